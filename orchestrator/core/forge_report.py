"""What a forge is told of a deployment: a commit's status, and an entry among its deployments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from orchestrator.core.record import Record

CommitState = Literal["pending", "success", "failure", "error"]
DeploymentState = Literal["in_progress", "success", "failure", "cancelled"]

_STATES: dict[str, CommitState] = {
    "success": "success",
    "partial": "failure",
    "failed": "failure",
    "unknown": "error",
    "cancelled": "error",
    "interrupted": "error",
}
_DEPLOYMENTS: dict[CommitState, DeploymentState] = {
    "success": "success",
    "failure": "failure",
    "error": "failure",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """One message to a forge.

    Attributes:
        place: the environment, with a stack's directory in front.
        context: the status' name.
        deployment: None: the list of deployments is left alone.
        url: of the CI job, or empty.
    """

    commit: str
    branch: str
    place: str
    context: str
    state: CommitState
    description: str
    deployment: DeploymentState | None
    url: str


def describe_beginning(
    *, commit: str, branch: str, environment: str, stack: str, changes: int, url: str
) -> Telling:
    """Return what a forge is told before any host is touched."""
    place = _place(environment, stack)
    return Telling(
        commit=commit,
        branch=branch,
        place=place,
        context=f"orchestrator/{place}",
        state="pending",
        description=f"deploying: {changes} to change" if changes else "nothing to change",
        deployment="in_progress" if changes else None,
        url=url,
    )


def describe_end(record: Record, *, url: str, is_begun: bool) -> Telling | None:
    """Return what a forge is told of the end; None: nothing (superseded, nothing deployed by a rollback).

    A rollback that was done makes the commit that git asks for a failure: it is not what runs there any more.

    Args:
        is_begun: there was a plan.
    """
    state = _STATES.get(record.verdict)
    if state is None or not record.commit:
        return None
    place = _place(record.environment, record.stack)
    said = ", ".join(f"{count} {result}" for result, count in sorted(record.counts().items()))
    description = record.error or said or "nothing to change"
    deployment: DeploymentState | None = None
    if record.kind == "rollback":
        if state != "success":
            return None
        state, description = "failure", f"rolled back by {record.actor}: {said}"
    elif is_begun and record.counts().keys() - {"unchanged"}:
        deployment = "cancelled" if record.verdict == "cancelled" else _DEPLOYMENTS[state]
    return Telling(
        commit=record.commit,
        branch=record.branch,
        place=place,
        context=f"orchestrator/{place}",
        state=state,
        description=description,
        deployment=deployment,
        url=url,
    )


def _place(environment: str, stack: str) -> str:
    return f"{stack}/{environment}" if stack else environment
