"""Draining in a plan: who is drained because of which step, and who still is since a run before did not end."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from orchestrator.core.drains import (
    Drained,
    HaproxyDrain,
    describe_drain,
    places_of,
    render_drain,
)
from orchestrator.core.host_report import HostReport
from orchestrator.core.leaving import leaving_drain
from orchestrator.core.model import Desired, Placement
from orchestrator.core.observed import ObservedHost
from orchestrator.core.outcome import FINE, Outcome
from orchestrator.core.plan import Plan, Step

Drains = Mapping[int, Mapping[str, list[dict[str, Any]]]]


def find_drained(observed: Mapping[str, ObservedHost]) -> dict[tuple[str, str], Drained]:
    """Return what is drained by a run of ours, by (application, host)."""
    return {(one.application, one.host): one for _, host in sorted(observed.items()) for one in host.drained}


def plan_drains(
    steps: Iterable[Step], placements: Iterable[Placement], observed: Mapping[str, ObservedHost]
) -> list[Step]:
    """Return the steps with what they say about draining; who is still drained has something to do.

    Args:
        placements: of the same length: each step's own.
    """
    drained = find_drained(observed)
    planned = []
    for step, placement in zip(steps, placements, strict=True):
        found = drained.get((step.application, step.host))
        if placement.drain is not None and places_of(placement.drain, placement.host.name):
            if step.action == "skip" and found is not None:
                step = replace(step, action="verify", reason=found.text)
            if step.changes:
                step = replace(step, reason=f"{step.reason}; {describe_drain(placement.drain)}")
        planned.append(step)
    return planned


def find_crowds(steps: Sequence[Step], placements: Iterable[Placement]) -> tuple[str, ...]:
    """Return a warning for each application whose hosts all leave HAProxy at once somewhere.

    Args:
        steps: with their groups.
        placements: of all steps, in any order.
    """
    by_key = {(one.application.name, one.host.name): one for one in placements}
    servers: dict[tuple[str, str, str], set[str]] = {}
    leaving: dict[tuple[str, str, str], dict[int, set[str]]] = {}
    minimum: dict[tuple[str, str, str], int] = {}
    for step in steps:
        placement = by_key.get((step.application, step.host))
        if placement is None or placement.drain is None:
            continue
        by = placement.drain.by
        if not isinstance(by, HaproxyDrain):
            continue
        for balancer in by.hosts:
            key = (step.application, balancer, by.backend)
            servers.setdefault(key, set()).add(by.server)
            minimum[key] = by.minimum
            if step.changes:
                leaving.setdefault(key, {}).setdefault(step.group, set()).add(by.server)
    found = {}
    for (application, _, backend), groups in leaving.items():
        key = (application, _, backend)
        most, every = max(map(len, groups.values())), len(servers[key])
        if every > 1 and every - most < minimum[key]:
            found[application] = (
                f"{application}: {most} of its {every} servers in the backend {backend} are to be drained at once, "
                f"and {minimum[key]} ha{'s' if minimum[key] == 1 else 've'} to stay ready; unless the backend has "
                "others this is refused: set `batches` in the strategy"
            )
    return tuple(found[name] for name in sorted(found))


def render_drains(
    plan: Plan, placements: Iterable[Placement], desired: Desired
) -> dict[int, dict[str, list[dict[str, Any]]]]:
    """Return group → place → what that place is told of each host that it drains.

    Args:
        placements: those that the plan is about.
        desired: where orphans are drained, see `leaving_drain`.
    """
    by_key = {(one.application.name, one.host.name, one.deployment_path): one for one in placements}
    rendered: dict[int, dict[str, list[dict[str, Any]]]] = {}
    for step in plan.changes:
        if step.action == "remove":
            drain, more = leaving_drain(desired, step), {"leaves": True}
        else:
            placement = by_key.get((step.application, step.host, step.deployment_path))
            drain, more = placement.drain if placement else None, {}
        if drain is not None:
            for place in places_of(drain, step.host):
                item = render_drain(drain, step.host, step.application, step.deployment_path)
                rendered.setdefault(step.group, {}).setdefault(place, []).append({**item, **more})
    return rendered


def removed_in(plan: Plan, reports: Iterable[HostReport]) -> set[tuple[str, str]]:
    """Return (application, host) of what was removed: its host has left, and stays drained."""
    said = {
        (one["application"], report.host, one["deployment_path"])
        for report in reports
        if report.phase == "prune"
        for one in report.result.get("placements") or ()
        if not one.get("problem")
    }
    return {
        (step.application, step.host)
        for step in plan.changes
        if step.action == "remove" and (step.application, step.host, step.deployment_path) in said
    }


def without_removed(drains: Drains, removed: Collection[tuple[str, str]]) -> Drains:
    """Return what is to be put back at the end of a run; what has left its host is not."""
    return {
        group: {
            place: [item for item in items if (item["application"], item["host"]) not in removed]
            for place, items in places.items()
        }
        for group, places in drains.items()
    }


def drains_in(report: HostReport) -> list[Mapping[str, Any]]:
    """Return what places said of hosts in a task that drained or put back; empty while it runs."""
    results = report.result.get("results")
    said = results if isinstance(results, list) else [report.result]
    return [one for result in said for one in result.get("drains") or ()]


def still_drained(
    reports: Iterable[HostReport], removed: Collection[tuple[str, str]] = ()
) -> dict[tuple[str, str], str]:
    """Return (application, host) → why, for what was drained, by any place, and not put back since.

    Args:
        removed: what stays drained, see `removed_in`.
    """
    out: dict[tuple[str, str, str], str] = {}
    for report in reports:
        for one in drains_in(report):
            key = (str(one["application"]), str(one["host"]), str(one.get("place", "")))
            if report.phase == "drain" and one["out"]:
                out[key] = "the run ended before it was put back"
            elif report.phase == "undrain" and one["ok"]:
                out.pop(key, None)
            elif report.phase == "undrain" and one["problem"]["kind"] != "health":
                out[key] = str(one["message"])
    return {
        (application, host): why
        for (application, host, _), why in sorted(out.items())
        if (application, host) not in removed
    }


def mark_drained(outcome: Outcome, left: Mapping[tuple[str, str], str]) -> Outcome:
    """Return the outcome, in which nothing is well of what nobody could put back."""
    if not left:
        return outcome
    marked = []
    for one in outcome.placements:
        why = left.get((one.application, one.host))
        if why is not None:
            message = f"{one.message}; it is still drained: {why}"
            one = replace(one, message=message)
            if one.result in FINE:
                one = replace(one, result="unproven", kind="drain")
        marked.append(one)
    verdict = "failed" if outcome.verdict in ("success", "partial") else outcome.verdict
    return Outcome(verdict=verdict, placements=tuple(marked))
