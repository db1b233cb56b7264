"""The order of a rollout: regions by their order, waves of dependencies inside, batches of hosts inside those."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from orchestrator.core.batches import split_hosts
from orchestrator.core.model import Placement, Strategy
from orchestrator.core.plan import Group, Step

Wave = tuple[int, str, int]


def assign_groups(
    steps: Sequence[Step], placements: Sequence[Placement], strategy: Strategy
) -> tuple[tuple[Step, ...], tuple[Group, ...]]:
    """Return the steps with their groups, and the groups in order.

    Batches are filled with the hosts on which something changes, so that the first batch is never one in which
    nothing happens; 100 % are all hosts of the wave. What does not change is in the wave's first group.
    The canary is the first group in which something changes, when another one follows.

    Args:
        placements: of the same length: each step's own.
    """
    waves: dict[Wave, list[Step]] = {}
    for step, placement in zip(steps, placements, strict=True):
        key = (placement.host.order, placement.host.region, placement.wave)
        waves.setdefault(key, []).append(step)
    grouped: list[Step] = []
    groups: list[Group] = []
    for key in sorted(waves):
        hosts = sorted({step.host for step in waves[key] if step.changes})
        whole = len({step.host for step in waves[key]})
        batches = split_hosts(hosts, strategy.batches, whole=whole) or ((),)
        numbers = {host: number for number, batch in enumerate(batches) for host in batch}
        for number in range(len(batches)):
            members = [
                replace(step, group=len(groups))
                for step in waves[key]
                if (numbers[step.host] if step.changes else 0) == number
            ]
            groups.append(
                Group(region=key[1], wave=key[2], batch=number, batches=len(batches), steps=len(members))
            )
            grouped += members
    busy = sorted({step.group for step in grouped if step.changes})
    if strategy.canary is not None and len(busy) > 1:
        groups[busy[0]] = replace(groups[busy[0]], canary=True)
    return tuple(sorted(grouped, key=_order)), tuple(groups)


def changing_hosts(steps: Iterable[Step], group: int) -> tuple[str, ...]:
    """Return the hosts on which something changes in that group, by name."""
    return tuple(sorted({step.host for step in steps if step.changes and step.group == group}))


def _order(step: Step) -> tuple[int, str, str]:
    return (step.group, step.application, step.host)
