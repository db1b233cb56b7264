"""Taking over what is live on hosts and not ours: steps of a deployment that replace and restart nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from orchestrator.core.model import Placement
from orchestrator.core.observed import ObservedHost
from orchestrator.core.plan import Step
from orchestrator.errors import ConflictError

KINDS = ("", "site", "service")
REASON = "what is live there is taken over if it is the same"


def adopt_steps(
    steps: Sequence[Step], placements: Sequence[Placement], observed: Mapping[str, ObservedHost]
) -> list[Step]:
    """Return the steps of a takeover: `adopt` where nothing of ours is live, or where a run before did not end.

    Whether that run was a takeover the host knows, and refuses where it was not.

    Args:
        placements: of the same length: each step's own.

    Raises:
        ConflictError: something cannot be taken over, or is ours already and not as git asks for.
    """
    taken, problems = [], []
    for step, placement in zip(steps, placements, strict=True):
        problem = _problem(step, placement, observed)
        if problem:
            problems.append(f"{step.application} on {step.host}: {problem}")
        elif step.action == "install":
            step = replace(step, action="adopt", from_version=None, restarts=(), reason=REASON)
        elif step.action == "verify":
            step = replace(step, action="adopt", restarts=())
        taken.append(step)
    if problems:
        raise ConflictError(
            f"{len(problems)} of {len(steps)} placements cannot be taken over, and every host is left as it was",
            details=tuple(problems),
            resolution="leave these out with --application or --limit; `orchestrator deploy` deploys them",
        )
    return taken


def _problem(step: Step, placement: Placement, observed: Mapping[str, ObservedHost]) -> str:
    if step.kind not in KINDS or placement.role is not None:
        return "only sites and services can be taken over"
    host = observed.get(step.host)
    found = host.placements.get((step.application, step.deployment_path)) if host else None
    if step.action == "reconfigure" or (step.action == "verify" and found and found.state != "active"):
        return f"{step.from_version} is ours already; {step.reason}"
    if step.action == "install" and found is not None and found.state != "none":
        return f"what is live there is ours already: {found.version}"
    return ""
