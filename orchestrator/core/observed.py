"""What hosts say about themselves: receipts and link targets, parsed from the host program's answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast, get_args

from orchestrator.core.drains import Drained

T = TypeVar("T")

State = Literal["none", "staged", "active", "healthy", "bad"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whose placement it is. Two deployment repositories never share one.

    Attributes:
        repository: the deployment repository's name.
        stack: the directory of the stack inside it, or empty.
    """

    repository: str
    stack: str
    environment: str

    def __str__(self) -> str:
        return "/".join(part for part in (self.repository, self.stack, self.environment) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRelease:
    """One release that lies on a host.

    Attributes:
        once: the commands that this host has run for its artifact, once for all of its region.
    """

    release: str
    version: str
    artifact_sha256: str
    state: State
    once: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedPlacement:
    """One receipt of ours on one host, held against the link that it speaks of.

    Attributes:
        version: of the release that `current` points to; empty when nothing is live.
        release: its directory's name; empty when nothing is live.
        artifact_sha256: of the artifact that it was made from.
        configuration_digest: what it was configured with when its health was last judged.
        state: of the live release; `none` when nothing is live.
        previous_version: what a rollback would go to; empty when there is nothing.
        running: what systemd says of its unit, such as `active` or `failed`; empty when it has none.
        service_digest: what its process was started with; empty when that is not known for sure.
        secrets_fingerprint: of the secrets that its process was started with.
        releases: those that are kept, the live one too; those that were live last first.
        problems: what contradicts the receipt, one sentence each (drift).
    """

    application: str
    deployment_path: str
    version: str
    release: str
    artifact_sha256: str
    configuration_digest: str
    state: State
    previous_version: str = ""
    running: str = ""
    service_digest: str = ""
    secrets_fingerprint: str = ""
    releases: tuple[KeptRelease, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedHost:
    """What one host answered.

    Attributes:
        status: `observed`, `unreachable` (asked, no answer) or `unasked` (`--offline`).
        kind: the kind of failure when there is no answer (see `orchestrator.edges.failures`), or empty.
        detail: the failure in the host's or SSH's words; why nobody asked; or empty.
        placements: by (application, deployment path).
        drained: what is out of its load balancer, as this host has it in its records.
    """

    name: str
    status: Literal["observed", "unreachable", "unasked"]
    kind: str = ""
    detail: str = ""
    placements: Mapping[tuple[str, str], ObservedPlacement]
    drained: tuple[Drained, ...] = ()

    @classmethod
    def unasked(cls, name: str, detail: str = "") -> ObservedHost:
        """A host that nobody asked, and why not where that is no matter of course."""
        return cls(name=name, status="unasked", detail=detail, placements={})

    @classmethod
    def unreachable(cls, name: str, detail: str, kind: str = "unreachable") -> ObservedHost:
        """A host that was asked and did not answer."""
        return cls(name=name, status="unreachable", kind=kind, detail=detail, placements={})


def parse_observed(host: str, placements: Any, drained: Any = ()) -> ObservedHost:
    """The host program's answer to the phase `observe`, as a value; a host that answers nonsense is unknown.

    Args:
        host: the host's name in the inventory.
        placements: one object per receipt, as `roles/placement/files/host_program/observe.py` writes it.
        drained: one object for each host that it knows to be drained.
    """
    try:
        found = [_parse_placement(entry) for entry in _typed(placements, list)]
        out = tuple(_parse_drained(entry, host) for entry in drained)
    except (KeyError, TypeError, ValueError):
        detail = "its answer makes no sense; look at the receipts on that host"
        return ObservedHost.unreachable(host, detail, "host")
    return ObservedHost(
        name=host,
        status="observed",
        placements={(entry.application, entry.deployment_path): entry for entry in found},
        drained=out,
    )


def _parse_drained(entry: Any, place: str) -> Drained:
    texts = {name: _shown(entry[name]) for name in ("application", "host", "run", "since")}
    return Drained(**texts, place=place)


def _parse_placement(entry: Any) -> ObservedPlacement:
    texts = {
        name: _shown(entry[name])
        for name in (
            "application",
            "deployment_path",
            "version",
            "release",
            "artifact_sha256",
            "configuration_digest",
            "previous_version",
        )
    }
    texts |= {
        name: _shown(entry.get(name, "")) for name in ("running", "service_digest", "secrets_fingerprint")
    }
    problems = tuple(_shown(problem) for problem in _typed(entry["problems"], list))
    releases = tuple(_parse_release(one) for one in _typed(entry.get("releases", []), list))
    return ObservedPlacement(**texts, state=_state(entry), releases=releases, problems=problems)


def _parse_release(entry: Any) -> KeptRelease:
    texts = {name: _shown(entry[name]) for name in ("release", "version", "artifact_sha256")}
    once = tuple(
        tuple(_typed(word, str) for word in _typed(command, list))
        for command in _typed(entry.get("once", []), list)
    )
    return KeptRelease(**texts, state=_state(entry), once=once)


def _state(entry: Any) -> State:
    state = _typed(entry["state"], str)
    if state not in get_args(State):
        raise ValueError(state)
    return cast(State, state)


def _typed(value: Any, kind: type[T]) -> T:
    if not isinstance(value, kind):
        raise TypeError(type(value).__name__)
    return value


def _shown(text: Any) -> str:
    """Return the text with what no terminal and no digest should get written out: a host may say anything."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in _typed(text, str)
    )
