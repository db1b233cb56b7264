"""How hosts leave and join their load balancer around activation: the types, and how the playbook takes them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, assert_never


@dataclass(frozen=True, slots=True, kw_only=True)
class HaproxyDrain:
    """A server of a backend is drained through HAProxy's runtime socket.

    Attributes:
        hosts: where HAProxy runs, names of hosts of the environment; it is drained on all of them.
        socket: absolute path of the socket there; its level is admin.
        minimum: servers of the backend that have to stay ready, unless it has only one.
    """

    hosts: tuple[str, ...]
    socket: str
    backend: str
    server: str
    minimum: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandDrain:
    """Two programs take the host out and put it back; no shell reads them.

    Attributes:
        drain, undrain: the program and its arguments.
        on: where they run.
        user: on the host, whom they run as; empty: whoever the deployment works as there.
    """

    drain: tuple[str, ...]
    undrain: tuple[str, ...]
    on: Literal["host", "controller"] = "host"
    user: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """How one placement's host is drained, its placeholders filled in.

    Attributes:
        timeout_seconds: how long sessions are waited for, how long the load balancer may take to see the server
            healthy again, and how long a command may run.
    """

    by: HaproxyDrain | CommandDrain
    timeout_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """A host that is out of its load balancer because a run took it out.

    Attributes:
        place: where that is recorded: on the load balancer's host, or on the host itself.
        since: the controller's clock when it was taken out.
    """

    application: str
    host: str
    place: str
    run: str
    since: str

    @property
    def text(self) -> str:
        """Return what a reader should know, without a stop."""
        where = f" on {self.place}" if self.place != self.host else ""
        return f"it is drained{where} by run {self.run} since {self.since}"


def balancers_of(drains: Iterable[Drain | None]) -> frozenset[str]:
    """Return the hosts whose HAProxy has servers that leave so."""
    return frozenset(
        host
        for drain in drains
        if drain is not None and isinstance(drain.by, HaproxyDrain)
        for host in drain.by.hosts
    )


def places_of(drain: Drain, host: str) -> tuple[str, ...]:
    """Return the hosts that are asked to drain that host."""
    match drain.by:
        case HaproxyDrain(hosts=hosts):
            return hosts
        case CommandDrain():
            return (host,)
        case by:
            assert_never(by)


def render_drain(drain: Drain, host: str, application: str, deployment_path: str) -> dict[str, Any]:
    """Return what a place is told of one host, in plain JSON types."""
    item: dict[str, Any] = {
        "host": host,
        "application": application,
        "deployment_path": deployment_path,
        "timeout_seconds": drain.timeout_seconds,
    }
    match drain.by:
        case HaproxyDrain(socket=socket, backend=backend, server=server, minimum=minimum):
            return {**item, "socket": socket, "backend": backend, "server": server, "minimum": minimum}
        case CommandDrain(drain=out, undrain=back, on=on, user=user):
            return {**item, "drain": list(out), "undrain": list(back), "on": on, "user": user}
        case by:
            assert_never(by)


def describe_drain(drain: Drain, when: str = "meanwhile") -> str:
    """Return how a host is drained, for the plan."""
    match drain.by:
        case HaproxyDrain(hosts=hosts, backend=backend, server=server):
            return f"drained {when} ({backend}/{server} on {', '.join(hosts)})"
        case CommandDrain(on="controller"):
            return f"drained {when} (a command on the controller)"
        case CommandDrain():
            return f"drained {when} (its own command)"
        case by:
            assert_never(by)
