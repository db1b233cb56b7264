"""What the running playbook may ask its orchestrator, over a private socket: secrets, and the plan.

ansible-runner writes variables, arguments and environment of its process to disk, so secrets are none of
these: an action asks for a reference here when it needs the value. Only references that belong to the run
are answered. The plan travels the same way: no string of a document becomes an Ansible variable on it.
"""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.core.drain_plan import Drains
    from orchestrator.core.model import Reference
    from orchestrator.edges.credentials import SecretSource
    from orchestrator.edges.early_channels import EarlyChannels

QUESTION_BYTES = 64 << 20
CLOSED = {"error": "the orchestrator has ended"}
Report = Callable[[Mapping[str, Any]], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """What the playbook is to do, once the plan is made. Without hosts it does nothing and ends.

    Attributes:
        run: what receipts say about the run, see `release_run` of the role `release`.
        placements: host → elements of `release_placements`.
        groups: the groups that are activated, in order.
        removals: the groups whose placements are removed once everything else went well, in order.
        drains: group → place → what that place is told of each host that it drains.
        own_roles: the deployment repository has roles of its own.
        owners: hosts with placements that a role of the deployment repository activates.
        canary: the group after which `wait` is asked whether the rollout goes on; -1: none.
        wait: blocks until that is decided; its argument says whether nobody asks any more.
        together: one action does it all; otherwise the playbook goes on with tasks for each host.
    """

    run: Mapping[str, Any] = field(default_factory=dict)
    placements: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    groups: tuple[int, ...] = ()
    removals: tuple[int, ...] = ()
    drains: Drains = field(default_factory=dict)
    owners: tuple[str, ...] = ()
    own_roles: bool = False
    canary: int = -1
    wait: Callable[[Callable[[], bool]], bool] = lambda ended: True
    together: bool = True

    def drained(self, group: int, place: str) -> list[dict[str, Any]]:
        """What that place is told about the hosts of that group; of all groups when it is negative."""
        chosen = self.drains if group < 0 else {group: self.drains.get(group, {})}
        return [item for places in chosen.values() for item in places.get(place, [])]

    def members(self) -> dict[str, list[str]]:
        """Group, as text, → its hosts."""
        found: dict[str, set[str]] = {str(group): set() for group in (*self.groups, 0)}
        for host, placements in self.placements.items():
            for placement in placements:
                found.setdefault(str(placement["group"]), set()).add(host)
        return {group: sorted(hosts) for group, hosts in found.items()}


def owners_in(placements: Mapping[str, list[dict[str, Any]]]) -> tuple[str, ...]:
    """The hosts, of all these, with a placement that has a role of its own."""
    return tuple(sorted(host for host, every in placements.items() if any(one.get("role") for one in every)))


class PlaybookServer:
    """Answers at a Unix socket from `start` to `close`.

    Args:
        report: takes what a host said (`host`, `phase`, `status`, `result`); false when the run has ended.
        finish: told that everything has been done, and all of it went well.
    """

    def __init__(
        self,
        path: Path,
        report: Report = lambda said: False,
        finish: Callable[[], None] = lambda: None,
    ) -> None:
        self.path = path
        self._admitted, self._values = threading.Event(), dict[str, str]()
        self._closed, self._report, self._finish = False, report, finish
        self._waiting = threading.Lock()
        self._observing, self._observation = threading.Event(), dict[str, Any]()
        self._observed = frozenset[str]()
        self._decided, self._rollout = threading.Event(), Rollout()
        self._channels: EarlyChannels | None = None
        answer, hand_over = self._answer, self._hand_over

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                try:
                    question = json.loads(self.rfile.readline(QUESTION_BYTES))
                except (ValueError, OSError):
                    return
                if isinstance(question, dict) and question.get("ask") == "channel":
                    hand_over(self.connection, str(question.get("host")))
                elif isinstance(question, dict):
                    with contextlib.suppress(OSError):  # whoever asked has been killed
                        self.wfile.write(json.dumps(answer(question)).encode() + b"\n")

        self._server = socketserver.ThreadingUnixStreamServer(str(path), Handler)
        self._server.daemon_threads = True
        path.chmod(0o600)

    def admit(
        self,
        secrets: SecretSource,
        references: Iterable[Reference],
        channels: EarlyChannels | None = None,
    ) -> None:
        """The playbook may read its inventory, which is there, ask for these secrets, and take these channels over."""
        self._channels = channels
        self._values = {str(reference): secrets.value(reference) for reference in references}
        self._admitted.set()

    def let_observe(self, run: Mapping[str, Any], observed: frozenset[str] = frozenset()) -> None:
        """Hosts may be asked from now on; until then the observing action waits.

        Args:
            run: what it is told about the run: `token`, `teach`.
            observed: hosts that have been asked already.
        """
        self._observation, self._observed = dict(run), observed
        self._observing.set()

    def decide(self, rollout: Rollout) -> None:
        """Whoever waits for the plan gets it."""
        self._rollout = rollout
        self._decided.set()

    def _answer(self, question: Mapping[str, Any]) -> dict[str, Any]:
        match question.get("ask"):
            case "inventory":
                self._admitted.wait()
                return CLOSED if self._closed else {}
            case "secret":
                value = self._values.get(str(question.get("reference")))
                return {"error": "not allowed"} if value is None else {"value": value}
            case "channel_code":
                channels = self._channels
                return {"code": channels.code(str(question.get("host"))) if channels else None}
            case "report":
                return {} if not self._closed and self._report(question) else CLOSED
            case "finish":
                self._finish()
                return {}
            case "observe":
                self._observing.wait()
                return CLOSED if self._closed else {"run": self._observation}
            case "observed":
                self._observing.wait()
                return {"hosts": sorted(self._observed)}
            case "plan":
                self._decided.wait()
                return {
                    "hosts": sorted(self._rollout.placements),
                    "groups": list(self._rollout.groups) or [0],
                    "members": self._rollout.members(),
                    "removals": list(self._rollout.removals),
                    "canary": self._rollout.canary,
                    "together": self._rollout.together,
                    "owners": list(self._rollout.owners),
                    "own_roles": self._rollout.own_roles,
                    "places": {str(group): sorted(places) for group, places in self._rollout.drains.items()},
                }
            case "drain":
                self._decided.wait()
                if self._closed:
                    return CLOSED
                items = self._rollout.drained(int(question["group"]), str(question.get("place")))
                return {"run": dict(self._rollout.run), "items": items}
            case "wait":
                with self._waiting:
                    goes_on = self._rollout.wait(lambda: self._closed)
                return CLOSED if self._closed else {"goes_on": goes_on}
            case "work":
                self._decided.wait()
                if self._closed:
                    return CLOSED
                placements = self._rollout.placements.get(str(question.get("host")), [])
                return {"run": dict(self._rollout.run), "placements": placements}
            case _:
                return {"error": "no such question"}

    def _hand_over(self, connection: socket.socket, host: str) -> None:
        """Whoever asks gets the pipes of that host's channel, or learns that there is none."""
        channels = self._channels
        files = channels.take(host) if channels is not None and not self._closed else None
        told = {"open": files is not None}
        if channels is not None:
            told |= {"failed": channels.failed(host), "proved": channels.proved(host)}
        line = json.dumps(told).encode() + b"\n"
        with contextlib.suppress(OSError):  # whoever asked has been killed
            if files is None:
                connection.sendall(line)
            else:
                socket.send_fds(connection, [line], [file.fileno() for file in files])
        for file in files or ():
            file.close()

    def start(self) -> None:
        """It answers until it is closed."""
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()

    def close(self) -> None:
        """Nobody is answered any more; who still waits learns that there is no work. Twice is as once.

        A wait for an approval has ended, too: what it says of its end is part of the run.
        """
        if self._closed:
            return
        self._closed = True
        self._admitted.set()
        self._observing.set()
        self._decided.set()
        self._server.shutdown()
        self._server.server_close()
        with self._waiting:
            pass
        self.path.unlink(missing_ok=True)
