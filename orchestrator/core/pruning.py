"""Removing orphans: what hosts have receipts of and git no longer asks for, once everything else is deployed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from orchestrator.core.drains import describe_drain
from orchestrator.core.leaving import leaving_drain
from orchestrator.core.model import Desired
from orchestrator.core.observed import ObservedHost
from orchestrator.core.plan import Group, Orphan, Plan, Step
from orchestrator.errors import PruneError

_UNKNOWN_WAVE = -1
WARNING = "every application that is installed would be removed; `deploy` refuses that"


def split_orphans(
    desired: Desired, orphans: Sequence[Orphan], applications: Collection[str]
) -> tuple[tuple[Orphan, ...], tuple[Orphan, ...]]:
    """Return the orphans that are removed, and those that stay.

    Args:
        applications: what the run is about; empty: everything.
    """
    removed = tuple(
        one for one in orphans if desired.prune and (not applications or one.application in applications)
    )
    return removed, tuple(one for one in orphans if one not in removed)


def removal_steps(
    desired: Desired, orphans: Sequence[Orphan], observed: Mapping[str, ObservedHost], *, first_group: int
) -> tuple[tuple[Step, ...], tuple[Group, ...]]:
    """Return a step for each orphan, and their groups: what others may depend on goes last.

    Where git does not know an application any more nobody knows its dependencies either: it goes first.
    """
    waves = {one.application.name: one.wave for one in desired.placements}
    regions = {host.name: host.region for host in desired.hosts}
    by_wave: dict[int, list[Orphan]] = {}
    for orphan in orphans:
        by_wave.setdefault(waves.get(orphan.application, _UNKNOWN_WAVE), []).append(orphan)
    order = sorted(by_wave, key=lambda wave: (wave != _UNKNOWN_WAVE, -wave))
    steps, groups = [], []
    for number, wave in enumerate(order, first_group):
        groups.append(Group(region="", wave=max(wave, 0), steps=len(by_wave[wave]), removal=True))
        for orphan in sorted(by_wave[wave], key=lambda one: (one.application, one.host)):
            found = observed[orphan.host].placements[orphan.application, orphan.deployment_path]
            step = Step(
                application=orphan.application,
                kind="",
                host=orphan.host,
                region=regions.get(orphan.host, ""),
                deployment_path=orphan.deployment_path,
                action="remove",
                from_version=found.version,
                to_version="",
                artifact_sha256=found.artifact_sha256,
                release=found.release,
                configuration_digest="",
                restarts=(),
                group=number,
                reason="git no longer asks for it there",
            )
            drain = leaving_drain(desired, step)
            if drain is not None:
                step = replace(step, reason=f"{step.reason}; {describe_drain(drain, 'before')}")
            steps.append(step)
    return tuple(steps), tuple(groups)


def removes_everything(steps: Sequence[Step]) -> bool:
    """Return whether nothing that is live now would stay: more likely a mistake than an intention."""
    removed = any(step.action == "remove" for step in steps)
    return removed and not any(step.from_version for step in steps if step.action != "remove")


def check_pruning(plan: Plan) -> None:
    """Whether what the plan removes may be removed.

    Raises:
        PruneError: nothing of what is live would stay.
    """
    if removes_everything(plan.steps):
        removed = [step for step in plan.steps if step.action == "remove"]
        raise PruneError(
            f"everything that is installed in {plan.identity.environment} would be removed, and nothing was",
            details=tuple(f"{one.application} {one.from_version} on {one.host}" for one in removed[:20]),
            resolution="deploy without pruning first, so that something else is live; or see whether this is the "
            "right manifest",
        )
