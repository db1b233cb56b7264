"""How a rollout goes, in words: its order, and what happens when something fails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.core.groups import changing_hosts
from orchestrator.core.model import Canary, Strategy
from orchestrator.core.plan import Group, Plan

_SHOWN_HOSTS = 3
_SWITCHED_BACK = {
    "batch": "switches back this batch",
    "all": "switches back everything that it activated, the last group first",
    "none": "switches nothing back that is healthy",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One group in which something changes, as a reader wants it.

    Attributes:
        number: from 1, groups without changes are not counted.
        applications, hosts: sorted; only those with changes.
    """

    number: int
    group: Group
    applications: tuple[str, ...]
    hosts: tuple[str, ...]


def stages_of(plan: Plan) -> Iterator[Stage]:
    """Yield the groups in which something changes, in order."""
    number = 0
    for index, group in enumerate(plan.groups):
        hosts = changing_hosts(plan.steps, index)
        if hosts:
            number += 1
            names = {step.application for step in plan.changes if step.group == index}
            yield Stage(number=number, group=group, applications=tuple(sorted(names)), hosts=hosts)


def describe_place(group: Group) -> str:
    """Return where a group is: its wave, and its batch where there are several."""
    if group.removal:
        return "removal of what is no longer asked for"
    batch = f", batch {group.batch + 1} of {group.batches}" if group.batches > 1 else ""
    return f"wave {group.wave + 1}{batch}"


def describe_order(plan: Plan) -> tuple[str, ...]:
    """Return one line for each group in which something changes; nothing where all changes are one group."""
    lines = []
    for stage in stages_of(plan):
        region = f"region {stage.group.region}, " if stage.group.region else ""
        hosts = ", ".join(stage.hosts[:_SHOWN_HOSTS])
        more = len(stage.hosts) - _SHOWN_HOSTS
        hosts += f" and {more} more" if more > 0 else ""
        what = ", ".join(stage.applications)
        lines.append(f"{stage.number}. {region}{describe_place(stage.group)}: {what} on {hosts}")
        if stage.group.canary and plan.strategy.canary is not None:
            lines.append(f"   then {describe_canary(plan.strategy.canary)}")
    return tuple(lines) if len(lines) > 1 else ()


def describe_canary(canary: Canary) -> str:
    """Return what comes after the first batch."""
    if canary.pause_seconds:
        return f"a pause of {canary.pause_seconds} s"
    what = "the file that approves it" if canary.approval_file else "`orchestrator continue`"
    return f"a wait for {what}, {canary.approval_timeout_seconds} s at most"


def describe_live(plan: Plan) -> str:
    """Return what is live where once the canary is activated."""
    canary = next(stage for stage in stages_of(plan) if stage.group.canary)
    versions = {step.application: step.to_version for step in plan.changes}
    what = ", ".join(f"{name} {versions[name]}" for name in canary.applications)
    return f"{what} on {', '.join(canary.hosts)}"


def describe_policy(strategy: Strategy) -> str:
    """Return when the rollout stops, and what is done then."""
    tolerated = strategy.max_failures
    if not tolerated:
        when = "as soon as a host fails"
    else:
        when = (
            f"when more than {tolerated} host{'s fail' if tolerated > 1 else ' fails'}, all batches together"
        )
    return f"The rollout stops {when}, and then {_SWITCHED_BACK[strategy.rollback]}."
