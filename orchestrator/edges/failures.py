"""Kinds of problems that hosts report, and the error class of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from orchestrator.core.observed import ObservedHost
from orchestrator.core.outcome import FINE, STOPPED, Outcome
from orchestrator.errors import (
    ArtifactNotFoundError,
    ChecksumError,
    ConflictError,
    CredentialsError,
    DiskFullError,
    HealthcheckError,
    HostPermissionError,
    HostPythonError,
    LockError,
    OrchestratorError,
    PartialError,
    RepositoryError,
    StageError,
    UnknownOutcomeError,
    UnreachableError,
)

BY_KIND: Mapping[str, type[OrchestratorError]] = {
    "unreachable": UnreachableError,
    "disk_full": DiskFullError,
    "permission": HostPermissionError,
    "python": HostPythonError,
    "conflict": ConflictError,
    "busy": ConflictError,
    "credentials": CredentialsError,
    "missing": ArtifactNotFoundError,
    "checksum": ChecksumError,
    "download": RepositoryError,
    "health": HealthcheckError,
    "fenced": LockError,
}
REMEDIES: Mapping[str, str] = {
    "unreachable": "see `orchestrator doctor`; `maintenance: true` or max_unreachable leave a host out",
    "disk_full": "free some space there and run it again",
    "permission": "check user, become and become_password of that host, or who owns the path",
    "python": "install Python 3.9 or later there, or name it with `python`",
    "fenced": "this run's lock was taken from it; run `orchestrator status`, then deploy again",
    "drain": "see whether the load balancer answers and knows that server, then run it again",
    "hook": "look at what the command says above, on that host; correct it, then deploy again",
    "health": "look at the application's own log; fix it, release a new version, merge it",
}


def error_for_hosts(hosts: Iterable[ObservedHost]) -> OrchestratorError:
    """The error that hosts which did not answer amount to; nothing was changed yet."""
    silent = list(hosts)
    kind = silent[0].kind
    many = f"{len(silent)} hosts do" if len(silent) > 1 else f"host {silent[0].name} does"
    return BY_KIND.get(kind, UnreachableError)(
        f"{many} not answer, and every host is left as it was",
        details=tuple(f"{host.name}: {host.detail}" for host in silent),
        resolution=REMEDIES.get(kind, REMEDIES["unreachable"]),
    )


def error_for_outcome(outcome: Outcome) -> OrchestratorError | None:
    """The error that a run's outcome amounts to; None when all is well."""
    if outcome.verdict == "success":
        return None
    bad = [one for one in outcome.placements if one.result not in FINE]
    if outcome.verdict == "unknown":
        lost = [one for one in bad if one.result == "unknown"]
        return UnknownOutcomeError(
            f"nobody can say what {_places(lost)} now",
            details=tuple(f"{one.application} on {one.host}: {one.message}" for one in lost),
            resolution="run `orchestrator status`, then the same deployment again: it converges",
        )
    if outcome.verdict == "partial":
        left = bad or [one for one in outcome.placements if one.result == "left out"]
        return PartialError(
            f"{len(left)} of {len(outcome.placements)} placements are not deployed",
            details=tuple(f"{one.application} on {one.host}: {one.message}" for one in left),
            resolution="run the same deployment again: it touches only those",
        )
    causes = [one for one in bad if one.kind not in ("", STOPPED)] or bad
    kind = causes[0].kind if causes else ""
    said = dict.fromkeys(one.resolution for one in causes if one.resolution)
    return BY_KIND.get(kind, StageError)(
        f"the deployment failed on {len({one.host for one in causes})} host(s)",
        details=tuple(f"{one.application} on {one.host}: {one.result}: {one.message}" for one in causes),
        resolution="; ".join(said)
        or REMEDIES.get(kind, "the hosts' own messages are above; run it again when that is mended"),
    )


def _places(lost: Sequence[object]) -> str:
    return "one placement runs" if len(lost) == 1 else f"{len(lost)} placements run"
