"""Phases `drain` and `undrain`: hosts leave their load balancer, and come back. Runs where that is recorded.

<state>/environments/<environment>--<12 hex>/drains/
    drained.json  `{"format": 1, "drained": {KEY: {"host", "application", "run", "since"}}}`: what a run has taken out;
                  with `"leaves": true` for good: its server is anybody's who is deployed there later
    lock          held (flock) while that is read and changed

The record is written before a server is taken out and changed after it was put back: a run that is killed in
between leaves one server too many on record, never one too few. Only what is on record is ever put back.
"""

from __future__ import annotations

import json
import os
import time

from host_program import fences, receipts
from host_program.problems import Problem, from_defect, from_os_error

FORMAT = 1
POLL_SECONDS = 0.2


class Book:
    """The record of one identity on this host, under its lock."""

    def __init__(self, identity):
        self.directory = os.path.join(fences.directory_of(identity), "drains")
        self.path = os.path.join(self.directory, "drained.json")
        self.drained = _read(self.path)

    def note(self, item, run):
        """The item is on record as taken out, by the run that did it first."""
        entry = {
            "host": item["host"],
            "application": item["application"],
            "run": run["id"],
            "since": run["time"],
        }
        before = self.drained.get(key_of(item), {})
        for key in self._left(item):
            del self.drained[key]
        if not before or before.get("leaves"):
            self.drained[key_of(item)] = {**entry, **({"leaves": True} if item.get("leaves") else {})}
        self._write()

    def forget(self, item):
        """The item is not on record."""
        if self.drained.pop(key_of(item), None) is not None:
            self._write()

    def has(self, item):
        """Whether a run has taken it out."""
        return key_of(item) in self.drained or bool(self._left(item))

    def _left(self, item):
        """The keys of applications that have left the same server."""
        return [key for key, one in self.drained.items() if one.get("leaves") and same_server(key, item)]

    def _write(self):
        receipts.write_json(self.path, {"format": FORMAT, "drained": self.drained})


def answer(request):
    """One answer for each of the request's `items`, see `done`: what became of its host.

    Args:
        request: `phase` (drain or undrain), `check`, `identity`, `run`, and `items`, as `orchestrator.core.drains`
            renders them; an item with `socket` is a server of HAProxy's, another one has commands. An item whose
            `wait` is false is put back without waiting until it is seen healthy.
    """
    try:
        fences.teach(request["identity"], request["run"].get("token") if not request["check"] else None)
        servers = [item for item in request["items"] if "socket" in item]
        others = [item for item in request["items"] if "socket" not in item]
        said = [_command(item, request) for item in others]
        if servers:
            from host_program import haproxy

            said += haproxy.answer(servers, request)
        return said
    except Problem as problem:
        return [failed(item, problem) for item in request["items"]]
    except OSError as error:
        return [failed(item, from_os_error(error)) for item in request["items"]]
    except Exception as error:
        return [failed(item, from_defect(error)) for item in request["items"]]


def listed(identity):
    """What is on record, by host and application."""
    book = Book(identity)
    return [book.drained[key] for key in sorted(book.drained)]


def done(item, message, changed=False, out=False):
    """What became of an item; `out`: it is out of its load balancer now, and on record."""
    return {**_name(item), "ok": True, "changed": changed, "out": out, "message": message, "problem": None}


def failed(item, problem):
    """That an item's host was not drained, or not put back."""
    named = {**_name(item), "ok": False, "changed": False, "out": False}
    return {**named, "message": problem.message, "problem": problem.as_json()}


def entered(identity):
    """The lock of the record, as a context."""
    return fences.locked(os.path.join(fences.directory_of(identity), "drains"))


def key_of(item):
    """What names an item in the record: the server, or the host whose commands they are."""
    if "socket" in item:
        server = "{}|{}/{}".format(item["socket"], item["backend"], item["server"])
        return "|".join([item["application"], item["host"], server])
    return "|".join([item["application"], item["host"]])


def same_server(key, item):
    """Whether a key of the record is about the item's server of HAProxy's."""
    return "socket" in item and key.endswith(
        "|{}|{}/{}".format(item["socket"], item["backend"], item["server"])
    )


def wait_until(items, look, clock=time.monotonic, sleep=time.sleep):
    """What `look` returned last for each item: it is asked until it returns (True, ...), or the item's time is over.

    Args:
        look: takes the items that are left and returns [(done, what was seen)].

    Returns:
        [(done, what was seen, seconds)], in the order of the items.
    """
    began, found, left = clock(), {}, list(range(len(items)))
    while left:
        seen = look([items[index] for index in left])
        took = clock() - began
        for index, (is_done, what) in zip(tuple(left), seen):
            found[index] = (is_done, what, took)
            if is_done or took >= items[index]["timeout_seconds"]:
                left.remove(index)
        if left:
            sleep(POLL_SECONDS)
    return [found[index] for index in range(len(items))]


def _command(item, request):
    """The item's own program has run; where the controller runs it, only the record is kept here."""
    phase, runs = request["phase"], item["on"] == "host"
    if request["check"]:
        return done(item, "would be {}ed".format(phase))
    try:
        with entered(request["identity"]):
            book = Book(request["identity"])
            if phase == "undrain" and not book.has(item):
                return {**done(item, "was not drained"), "noop": True}
            if phase == "drain":
                book.note(item, request["run"])
        if runs:
            _run(item[phase], item)
        if phase == "undrain" and (runs or item.get("settled")):
            with entered(request["identity"]):
                Book(request["identity"]).forget(item)
        return done(item, "{}ed by its command".format(phase), changed=True, out=phase == "drain")
    except Problem as problem:
        return failed(item, problem)


def _run(arguments, item):
    from host_program import probes

    seconds = item["timeout_seconds"]
    good, seen = probes.run({"command": arguments, "user": item.get("user", "")}, seconds)
    if not good:
        from host_program import commands

        raise Problem("drain", "{} {}".format(commands.describe(arguments), seen), "look at that command")


def _name(item):
    return {name: item[name] for name in ("host", "application", "deployment_path")}


def _read(path):
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        if content["format"] > FORMAT:
            raise Problem(
                "conflict", "{} was written by a newer orchestrator".format(path), "use that version or later"
            )
        return {key: {**entry} for key, entry in content["drained"].items()}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Problem(
            "conflict",
            "the record of what is drained, {}, is not readable".format(path),
            "see which servers are drained, then remove that file",
        ) from None
