"""The `strategy` of an environment JSON: batches, canary, and what happens when something fails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.core.batches import ALL_AT_ONCE, parse_batches
from orchestrator.core.model import Canary, Strategy
from orchestrator.core.violations import Path, Report


def parse_strategy(raw: Mapping[str, Any], report: Report) -> Strategy:
    """Return the strategy in `raw`, which fits the schema as far as `report.bad` does not say otherwise."""
    batches = parse_batches(raw.get("batches", list(ALL_AT_ONCE)), report, ("strategy", "batches"))
    path = ("strategy", "canary")
    canary = (
        _parse_canary(raw["canary"], report, path) if "canary" in raw and path not in report.bad else None
    )
    if canary is not None and batches == ALL_AT_ONCE and ("strategy", "batches") not in report.bad:
        report.add(path, 'the first of several batches; add some, such as "batches": ["1", "100%"]')
    return Strategy(
        batches=batches,
        canary=canary,
        max_failures=raw.get("max_failures", 0),
        max_unreachable=raw.get("max_unreachable", 0),
        rollback=raw.get("rollback", "batch"),
    )


def _parse_canary(raw: Mapping[str, Any], report: Report, path: Path) -> Canary:
    has = {key for key in ("pause_seconds", "approval") if key in raw or (*path, key) in report.bad}
    if len(has) != 1:
        report.add(path, "a canary has exactly one of `pause_seconds` and `approval`")
    if raw.get("approval") is False:
        report.add((*path, "approval"), "has to be true or an object; remove it where nobody is to be asked")
    if "approval_timeout_seconds" in raw and "approval" not in has:
        report.add((*path, "approval_timeout_seconds"), "there is no `approval` to wait for; remove it")
    approval = raw.get("approval")
    return Canary(
        pause_seconds=raw.get("pause_seconds", 0),
        approval_file=approval.get("file", "") if isinstance(approval, dict) else "",
        approval_timeout_seconds=raw.get("approval_timeout_seconds", Canary().approval_timeout_seconds),
    )
