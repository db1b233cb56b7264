"""How a host leaves its load balancer for good: what is drained before an orphan is removed."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.core.drain_settings import fill_drain
from orchestrator.core.drains import CommandDrain, Drain, HaproxyDrain, places_of
from orchestrator.core.model import Desired
from orchestrator.core.plan import Step


def leaving_drain(desired: Desired, step: Step) -> Drain | None:
    """Return how the host of an orphan is drained before that is removed; None: it is not.

    It is not when another application that stays on the host is behind the same server, or has the same commands:
    the host does not leave then. A backend that no host stays behind may lose its last server.
    """
    unfilled = desired.drains.get(step.application, desired.drains.get(""))
    host = next((one for one in desired.hosts if one.name == step.host), None)
    if unfilled is None or host is None:
        return None
    drain = fill_drain(unfilled, host, step.application, desired.environment)
    if not places_of(drain, host.name):
        return None
    staying = [one for one in desired.placements if one.drain is not None]
    if any(one.host.name == host.name and one.drain and _same(one.drain, drain) for one in staying):
        return None
    if isinstance(drain.by, HaproxyDrain):
        by = drain.by
        kept = any(one.drain and _backend(one.drain) == _backend(drain) for one in staying)
        return drain if kept else replace(drain, by=replace(by, minimum=0))
    return drain


def _same(one: Drain, other: Drain) -> bool:
    match one.by, other.by:
        case HaproxyDrain(server=server), HaproxyDrain(server=wanted):
            return server == wanted and _backend(one) == _backend(other)
        case CommandDrain(), CommandDrain():
            return one.by == other.by
        case _:
            return False


def _backend(drain: Drain) -> tuple[object, ...]:
    match drain.by:
        case HaproxyDrain(hosts=hosts, socket=socket, backend=backend):
            return hosts, socket, backend
        case by:
            return (by,)
