"""Draining through HAProxy's runtime socket. Follows its management guide, "Unix Socket commands"."""

from __future__ import annotations

import csv
import io
import itertools
import re
import socket

from host_program import draining
from host_program.problems import Problem

ANSWER_SECONDS = 10
NAME = re.compile(r"[A-Za-z0-9_.:-]{1,255}")
READY, MAINTENANCE, DRAIN = (
    0,
    0x01,
    0x08,
)  # of srv_admin_state, a bit field: what somebody's command made of it
HEALTHY = ("UP", "no check")


class Backend:
    """The servers of one backend, as HAProxy sees them now.

    Attributes:
        servers: name → `status`, `sessions` (current and queued), `seen` (of the last check), `admin` (its bits).
    """

    def __init__(self, path, name):
        self.path, self.name, self.servers = path, name, {}
        for row in csv.DictReader(io.StringIO(ask(path, "show stat").lstrip("# "))):
            if row["pxname"] == name and row.get("type") == "2":
                self.servers[row["svname"]] = {
                    "status": row["status"],
                    "sessions": _number(row["scur"]) + _number(row["qcur"]),
                    "seen": row.get("last_chk") or row.get("check_status") or "",
                    "admin": READY,
                }
        if not self.servers:
            raise Problem(
                "drain",
                "HAProxy has no backend {} with servers at {}".format(name, path),
                "correct `backend` of the drain, or HAProxy's configuration",
            )
        columns, *rows = [
            line.split() for line in ask(path, "show servers state " + name).splitlines()[1:] if line.strip()
        ]
        place = {column: index for index, column in enumerate(columns[1:])}
        for row in rows:
            known = self.servers.get(row[place["srv_name"]])
            if known is not None:
                known["admin"] = int(row[place["srv_admin_state"]])

    def server(self, name):
        """One server.

        Raises:
            Problem: there is none of that name.
        """
        if name not in self.servers:
            raise Problem(
                "drain",
                "HAProxy has no server {} in the backend {}".format(name, self.name),
                "it has {}; correct `server` of the drain".format(", ".join(sorted(self.servers))),
            )
        return self.servers[name]

    def set_state(self, name, state):
        """The server is `drain` or `ready` from now on."""
        said = ask(self.path, "set server {}/{} state {}".format(self.name, name, state)).strip()
        if said:
            raise Problem("drain", "HAProxy refuses: {}".format(said), "look at its configuration")


def ask(path, command):
    """HAProxy's answer to one command.

    Raises:
        Problem: it does not answer, or the socket may not be used for that.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(ANSWER_SECONDS)
            connection.connect(path)
            connection.sendall(command.encode() + b"\n")
            pieces = iter(lambda: connection.recv(1 << 16), b"")
            said = b"".join(pieces).decode("utf-8", "replace")
    except OSError as error:
        why = getattr(error, "strerror", "") or "it does not answer within {} s".format(ANSWER_SECONDS)
        raise Problem(
            "drain",
            "HAProxy cannot be asked at {}: {}".format(path, why),
            "see that it runs, that it has `stats socket {} level admin`, and who may use that".format(path),
        ) from None
    if said.lstrip().lower().startswith("permission denied"):
        raise Problem(
            "drain",
            "HAProxy allows only reading at {}".format(path),
            "give that socket `level admin` in its configuration",
        )
    return said


def answer(items, request):
    """See `draining.answer`; servers of the same backend are looked at together."""
    work = _drain if request["phase"] == "drain" else _undrain
    for item in items:
        for key in ("backend", "server"):
            if not NAME.fullmatch(item[key]):
                raise Problem("drain", "{!r} is no name of HAProxy's".format(item[key][:80]), "correct it")
    said = {}
    ordered = sorted(items, key=_backend_of)
    for (path, name), group in itertools.groupby(ordered, key=_backend_of):
        members = list(group)
        try:
            found = work(path, name, members, request)
        except Problem as problem:
            found = [draining.failed(item, problem) for item in members]
        said.update(zip(map(draining.key_of, members), found))
    return [said[draining.key_of(item)] for item in items]


def _drain(path, name, items, request):
    """No new session goes to these servers, and those that they had have ended, or their time is over.

    All of them or none: when they would leave fewer ready servers than have to stay, none is drained.
    """
    if request["check"]:
        backend = Backend(path, name)
        _leave_enough(backend, items, lambda item: False)
        return [draining.done(item, "would be drained", changed=True) for item in items]
    before = {}
    with draining.entered(request["identity"]):
        backend, book = Backend(path, name), draining.Book(request["identity"])
        _leave_enough(backend, items, book.has)
        for item in items:
            ours = book.has(item)
            before[draining.key_of(item)] = (ours, backend.server(item["server"])["admin"])
            if ours or backend.server(item["server"])["admin"] == READY:
                book.note(item, request["run"])
                backend.set_state(item["server"], "drain")

    def look(left):
        now = Backend(path, name)
        return [(not now.server(one["server"])["sessions"], now.server(one["server"])) for one in left]

    said = []
    for item, (is_over, state, seconds) in zip(items, draining.wait_until(items, look)):
        ours, admin = before[draining.key_of(item)]
        by_hand = not ours and admin != READY
        if by_hand:
            message = "{}/{} was out already, by somebody's hand: it stays so".format(name, item["server"])
        else:
            message = "{}/{} drained after {:.1f} s".format(name, item["server"], seconds)
        if not is_over:
            message += ", {} sessions did not end".format(state["sessions"])
        if len(backend.servers) == 1 and not by_hand:
            message += "; it is the backend's only server"
        changed = not by_hand and not admin & DRAIN
        said.append(draining.done(item, message, changed=changed, out=not by_hand))
    return said


def _undrain(path, name, items, request):
    """Servers that a run has drained are ready, and HAProxy sees them healthy; all others are left alone."""
    if request["check"]:
        return [draining.done(item, "would be put back", changed=True) for item in items]
    ours, said = [], {}
    with draining.entered(request["identity"]):
        backend, book = Backend(path, name), draining.Book(request["identity"])
        for item in items:
            what = "{}/{}".format(name, item["server"])
            if not book.has(item):
                said[draining.key_of(item)] = draining.done(item, what + " is left as it was")
            elif (
                item["server"] not in backend.servers
                or backend.servers[item["server"]]["admin"] & MAINTENANCE
            ):
                book.forget(item)
                message = what + " is gone or in maintenance by somebody's hand: it stays so"
                said[draining.key_of(item)] = draining.done(item, message)
            elif any(
                key != draining.key_of(item) and draining.same_server(key, item) for key in book.drained
            ):
                book.forget(item)
                said[draining.key_of(item)] = draining.done(item, what + " stays out for another application")
            else:
                backend.set_state(item["server"], "ready")
                book.forget(item)
                ours.append(item)

    def look(left):
        now = Backend(path, name)
        return [_look_at(now, one) for one in left]

    for item, (is_up, seen, seconds) in zip(ours, draining.wait_until(ours, look)):
        what = "{}/{}".format(name, item["server"])
        if is_up:
            said[draining.key_of(item)] = draining.done(item, "{} {}".format(what, seen), changed=True)
        else:
            message = "HAProxy does not see {} healthy within {:.1f} s: {}".format(what, seconds, seen)
            problem = Problem("health", message, "look at its check in HAProxy's configuration")
            said[draining.key_of(item)] = draining.failed(item, problem)
    return [said[draining.key_of(item)] for item in items]


def _look_at(backend, item):
    if not item.get("wait", True):
        return True, "is ready"
    state = backend.server(item["server"])
    healthy = state["status"] in HEALTHY
    seen = " ({})".format(state["seen"]) if state["seen"] and not healthy else ""
    return healthy, "is " + state["status"] + seen


def _leave_enough(backend, items, is_ours):
    """Raises Problem when draining the items leaves fewer ready servers than have to stay."""
    leaving = {
        item["server"]
        for item in items
        if not is_ours(item) and backend.server(item["server"])["admin"] == READY
    }
    if not leaving or len(backend.servers) == 1:
        return
    minimum = max(item["minimum"] for item in items)
    ready = {
        name
        for name, state in backend.servers.items()
        if state["admin"] == READY and state["status"].split(" ")[0] in ("UP", "no") and name not in leaving
    }
    out = {item["server"] for item in items}
    staying = sorted(ready - out)
    if len(staying) < minimum:
        raise Problem(
            "drain",
            "without {} the backend {} has {} ready server{}, and {} ha{} to stay ready".format(
                ", ".join(sorted(leaving)),
                backend.name,
                len(staying) or "no",
                "" if len(staying) == 1 else "s",
                minimum,
                "s" if minimum == 1 else "ve",
            ),
            "see which servers are up; let fewer hosts go at once (`batches`), or set `minimum`",
        )


def _backend_of(item):
    return item["socket"], item["backend"]


def _number(text):
    return int(text) if text.isdigit() else 0
