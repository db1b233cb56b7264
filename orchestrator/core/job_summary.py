"""A run as Markdown for the summary that a CI shows of a job."""

from __future__ import annotations

from orchestrator.core.markdown_text import code, escape_cell
from orchestrator.core.outcome import FINE, Outcome, PlacementOutcome
from orchestrator.core.plan import Plan
from orchestrator.core.run_report import RunReport

MAX_ROWS = 300
MAX_TABLE_BYTES = 700 * 1024
"""GitHub shows no summary of more than 1 MiB."""
_MAX_DETAILS = 20
_MARKS = {"success": "✅", "partial": "⚠️", "failed": "❌", "unknown": "❌", "cancelled": "⏹️"}


def render_summary(report: RunReport, plan: Plan | None, outcome: Outcome | None) -> str:
    """Return the summary: verdict, placements with what went wrong first, record, and how to go on.

    Args:
        plan: None when the run ended before there was one; so with `outcome`.
    """
    verdict = outcome.verdict if outcome else "failed"
    what = "Check" if report.check else "Deployment"
    lines = [
        f"## {_MARKS[verdict]} {what} of {code(report.environment)}: {verdict}",
        "",
        *_facts(report, plan),
    ]
    if report.error:
        lines += ["", f"**What went wrong:** {escape_cell(report.error)}", ""]
        lines += [f"- {escape_cell(line)}" for line in report.details[:_MAX_DETAILS]]
        if len(report.details) > _MAX_DETAILS:
            lines.append(f"- … and {len(report.details) - _MAX_DETAILS} more, in the job's log")
    if outcome and outcome.placements:
        lines += ["", *_table(outcome.placements, check=report.check)]
    if plan and plan.warnings:
        lines += ["", *(f"- warning: {escape_cell(text)}" for text in plan.warnings[:_MAX_DETAILS])]
    lines += ["", *_next_steps(report, verdict)]
    return "\n".join(lines) + "\n"


def _facts(report: RunReport, plan: Plan | None) -> list[str]:
    branch = f"{code(report.branch)} at " if report.branch else ""
    facts = [f"- commit: {branch}{code(report.commit) or 'the work tree'}"]
    if plan:
        facts.append(
            f"- manifest {code(plan.manifest_version)}, intent {code(plan.intent_id[:16])}, "
            f"plan {code(plan.plan_id[:16])}"
        )
    by = f" by {code(report.actor)}" if report.actor else ""
    facts.append(f"- {report.duration_seconds:.0f} s, begun {escape_cell(report.time)}{by}")
    if report.record:
        facts.append(f"- record: {code(report.record)}")
    return facts


def _table(placements: tuple[PlacementOutcome, ...], *, check: bool) -> list[str]:
    first = sorted(placements, key=lambda one: one.result in FINE)
    result, live = ("would be", "live then") if check else ("result", "live now")
    rows = [f"| application | host | from | to | {result} | {live} | why |", "|---|---|---|---|---|---|---|"]
    shown, size = 0, 0
    for one in first[:MAX_ROWS]:
        row = _row(one)
        size += len(row.encode()) + 1
        if size > MAX_TABLE_BYTES:
            break
        rows.append(row)
        shown += 1
    if shown < len(first):
        rows += ["", f"… and {len(first) - shown} more placements."]
    return rows


def _row(one: PlacementOutcome) -> str:
    result = one.result if one.result in FINE else f"**{one.result}**"
    cells = (
        code(one.application),
        code(one.host),
        _version(one.from_version),
        _version(one.to_version),
        result,
        _version(one.version),
        escape_cell(one.message),
    )
    return f"| {' | '.join(cells)} |"


def _version(version: str | None) -> str:
    return "unknown" if version is None else code(version) or "–"


def _next_steps(report: RunReport, verdict: str) -> list[str]:
    steps = []
    if verdict != "success" and not report.check:
        steps += ["To go on after mending the cause; only what has not converged is touched:", ""]
        steps += [*_block(report.resume), ""]
    return [*steps, "To see what is installed now:", "", *_block(report.status)]


def _block(command: str) -> list[str]:
    # An indented block takes any text, backticks too; a command is one line because it is shell-quoted.
    return [f"    {' '.join(command.splitlines())}"]
