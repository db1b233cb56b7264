"""Hooks that run once in a plan: before which group, on which host, and which have run for that artifact already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from orchestrator.core.model import Host, Placement
from orchestrator.core.observed import ObservedHost
from orchestrator.core.plan import Group, Once, Plan, Step
from orchestrator.core.release_settings import ONCE, Hook
from orchestrator.core.rollout_text import describe_place


def plan_once(
    steps: Iterable[Step],
    groups: Sequence[Group],
    placements: Iterable[Placement],
    hosts: Iterable[Host],
    observed: Mapping[str, ObservedHost],
) -> tuple[Once, ...]:
    """Return every such hook of the applications that get another artifact somewhere.

    Args:
        steps: with their groups, in order: an application's first one in a region has the host.
        hosts: all of the environment: who has run it need not change any more.
    """
    hooks = {one.application.name: one.release.hooks.get(ONCE, ()) for one in placements}
    regions = {host.name: host.region for host in hosts}
    first: dict[tuple[str, str], Step] = {}
    for step in steps:
        if step.action == "install":
            first.setdefault((step.application, step.region), step)
    return tuple(
        Once(
            application=step.application,
            region=step.region,
            group=step.group,
            host=step.host,
            command=hook.command,
            user=hook.user,
            on_failure=hook.on_failure,
            done_on=_who_did(step, hook, regions, observed),
        )
        for step in first.values()
        for hook in hooks.get(step.application, ())
    )


def due_hooks(plan: Plan, step: Step, placement: Placement) -> Placement:
    """Return the placement with those hooks that are to run once because of that step, should its host be the one."""
    due = {(one.application, one.region, one.command) for one in plan.once if not one.done_on}
    hooks: Sequence[Hook] = placement.release.hooks.get(ONCE, ())
    kept = tuple(
        hook
        for hook in hooks
        if step.action == "install" and (step.application, step.region, hook.command) in due
    )
    if kept == hooks:
        return placement
    others = {event: every for event, every in placement.release.hooks.items() if event != ONCE}
    every = {**others, ONCE: kept} if kept else others
    return replace(placement, release=replace(placement.release, hooks=every))


def first_group(plan: Plan, step: Step) -> int:
    """Return the first group of the step's wave, which names the wave."""
    group = plan.groups[step.group]
    return next(
        number
        for number, other in enumerate(plan.groups)
        if (other.region, other.wave, other.removal) == (group.region, group.wave, group.removal)
    )


def describe_once(plan: Plan, one: Once) -> str:
    """Return where it runs and what happens when it fails, or that it has run."""
    if one.done_on:
        return f"has run for this artifact on {one.done_on} and does not run again"
    region = f"region {one.region}, " if one.region else ""
    user = f" as {one.user}" if one.user else ""
    rule = "nothing of that is switched" if one.on_failure == "stop" else "the rollout goes on"
    place = describe_place(plan.groups[one.group])
    return f"on {one.host}{user}, before {region}{place}; if it fails, {rule}"


def _who_did(step: Step, hook: Hook, regions: Mapping[str, str], observed: Mapping[str, ObservedHost]) -> str:
    """The host of the step's region that has run it for the step's artifact; empty when none is known to have."""
    for name, host in sorted(observed.items()):
        if regions.get(name) != step.region or not step.artifact_sha256:
            continue
        for (application, _), found in host.placements.items():
            for kept in found.releases if application == step.application else ():
                if kept.artifact_sha256 == step.artifact_sha256 and hook.command in kept.once:
                    return name
    return ""
