"""What a deployment repository's own roles failed at, in the outcome of a run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from orchestrator.core.host_report import HostReport
from orchestrator.core.outcome import FINE, Outcome

_CERTAIN = ("stage", "activate")


def mark_own_failures(outcome: Outcome, reports: Iterable[HostReport]) -> Outcome:
    """Return the outcome in which a role that failed to go back, or to remove, leaves nobody knowing what runs."""
    failures: dict[tuple[str, str], tuple[str, str]] = {}
    for report in reports:
        own = report.result.get("own") if report.phase == "own" else None
        if own:
            failures[own["application"], report.host] = (own["entry"], own["message"])
    placements, verdict = [], outcome.verdict
    for one in outcome.placements:
        entry, message = failures.get((one.application, one.host), ("", ""))
        if entry in _CERTAIN and one.result in (*FINE, "staged"):
            one = replace(one, result="failed", kind="host", message=message, version=one.from_version)
            verdict = "failed" if verdict in ("success", "partial") else verdict
        elif entry and entry not in _CERTAIN:
            one = replace(
                one, result="unknown", kind="host", message=f"{one.message}; {message}", version=None
            )
            verdict = "unknown"
        placements.append(one)
    return Outcome(verdict=verdict, placements=tuple(placements))
