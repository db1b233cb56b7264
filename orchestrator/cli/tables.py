"""Tables and lines for people. Plain text where there is no terminal; nothing here decides anything."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from orchestrator.core.once_plan import describe_once
from orchestrator.core.outcome import Outcome
from orchestrator.core.plan import Plan, Step
from orchestrator.core.rollout_text import describe_order, describe_policy
from orchestrator.core.sizes import human_bytes

if TYPE_CHECKING:
    from rich.console import Console

COLOURS = {
    "install": "green",
    "adopt": "green",
    "reconfigure": "yellow",
    "verify": "yellow",
    "remove": "red",
    "pruned": "yellow",
    "skip": "dim",
    "unknown": "red",
    "deployed": "green",
    "unchanged": "dim",
    "staged": "yellow",
    "not started": "yellow",
    "left out": "yellow",
    "failed": "red",
    "unproven": "red",
    "switched back": "red",
    "removed": "red",
    "in sync": "green",
    "drift": "red",
    "behind": "yellow",
    "drained": "yellow",
    "success": "green",
    "partial": "yellow",
    "cancelled": "yellow",
    "superseded": "dim",
    "running": "yellow",
    "open": "yellow",
    "interrupted": "red",
    "interrupted?": "red",
    "interrupted (dead)": "red",
    "open (expired)": "red",
    "held": "yellow",
    "expired": "red",
    "free": "green",
    "live": "green",
    "gone": "dim",
    "moves": "green",
    "there": "dim",
    "blocked": "red",
}
SHOWN_STEPS, SHOWN_GROUPS = 200, 50


def make_console(*, error: bool = False) -> Console:
    """A console that writes plain text when nobody looks, and no colours where they are not wanted."""
    from rich.console import Console

    from orchestrator.cli.colours import wants_no_colour

    stream = sys.stderr if error else sys.stdout
    terminal = stream.isatty()
    return Console(
        stderr=error,
        highlight=False,
        markup=False,
        width=None if terminal else 200,
        no_color=not terminal,
        color_system=None if wants_no_colour() else "auto",
    )


def print_table(
    console: Console, columns: Iterable[str], rows: Iterable[tuple[str, ...]], state: int
) -> None:
    """Rows in columns; the column `state` is coloured by its word.

    On a terminal a rich table; elsewhere aligned plain text without escape codes.
    """
    names, lines = list(columns), list(rows)
    if not console.is_terminal:
        widths = [max(len(row[i]) for row in [tuple(names), *lines]) for i in range(len(names))]
        for row in [tuple(names), *lines]:
            console.file.write(
                "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            )
            console.file.write("\n")
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    kept = [
        index
        for index, _ in enumerate(names)
        if index in (0, state, len(names) - 1) or any(row[index] not in ("", "-") for row in lines)
    ]
    for index in kept:
        last = index == len(names) - 1
        table.add_column(names[index], overflow="fold", no_wrap=not last, min_width=20 if last else None)
    for row in lines:
        cells = [Text(cell) for cell in row]
        cells[state] = Text(row[state], style=COLOURS.get(row[state], ""))
        table.add_row(*(cells[index] for index in kept))
    console.print(table)


def print_plan(plan: Plan, *, title: str, notes: Iterable[str] = ()) -> None:
    """The plan as a reader wants it: artifacts, application × host, from → to, why, warnings."""
    console = make_console()
    line(console, title, "bold")
    for note in notes:
        line(console, f"note: {note}", "yellow")
    for artifact in plan.artifacts:
        size = "size unknown" if artifact.size_bytes is None else human_bytes(artifact.size_bytes)
        digest = (
            f"sha256 {artifact.sha256[:12]} ({artifact.digest_source})" if artifact.sha256 else "not resolved"
        )
        line(
            console,
            f"  {artifact.application} {artifact.version}: {artifact.location}, {size}, {digest}",
            "dim",
        )
    line(console, "")
    shown = [step for step in plan.steps if step.action != "skip"] or list(plan.steps)
    rows = [_plan_row(step) for step in shown[:SHOWN_STEPS]]
    if rows:
        columns = ("application", "host", "region", "action", "from", "to", "restarts", "why")
        print_table(console, columns, rows, 3)
    if len(shown) > SHOWN_STEPS:
        line(console, f"… and {len(shown) - SHOWN_STEPS} more (all of them with --json)")
    for name, said in plan.releases.items():
        for text in said:
            line(console, f"{name}: {text}")
    for one in plan.once:
        line(console, f"{one.application}: run_once {describe_once(plan, one)}: {' '.join(one.command)}")
    for text in _rollout_lines(plan):
        line(console, text)
    line(console, "")
    for host in plan.maintenance:
        line(console, f"maintenance: {host} is left out", "yellow")
    for orphan in plan.orphans:
        text = f"orphan: {orphan.application} {orphan.version} on {orphan.host} at {orphan.deployment_path}"
        line(console, text + " is no longer asked for; nothing is removed", "yellow")
    for warning in plan.warnings:
        line(console, f"warning: {warning}", "yellow")
    line(console, summarise(plan), "bold")
    line(console, f"intent {plan.intent_id[:16]}  plan {plan.plan_id[:16]}", "dim")


def _rollout_lines(plan: Plan) -> tuple[str, ...]:
    if not plan.changes:
        return ()
    order = describe_order(plan)
    shown = order[:SHOWN_GROUPS]
    more = (f"… and {len(order) - len(shown)} more groups (all of them with --json)",)
    return (*shown, *(more if len(order) > len(shown) else ()), describe_policy(plan.strategy))


def summarise(plan: Plan) -> str:
    """One sentence: how many placements change, how many hosts are unknown."""
    changes, skips = len(plan.changes), sum(step.action == "skip" for step in plan.steps)
    unknown = len(plan.unknown_hosts)
    tail = f", {unknown} host{'s' if unknown != 1 else ''} unknown" if unknown else ""
    if not changes and unknown:
        return f"{unknown} host{'s' if unknown != 1 else ''} did not answer; {skips} converged, nothing else to do."
    if not changes:
        return f"Nothing to do: {skips} placement{'s' if skips != 1 else ''} converged{tail}."
    hosts = len({step.host for step in plan.changes})
    return f"{changes} to change on {hosts} host{'s' if hosts != 1 else ''}, {skips} unchanged{tail}."


def print_outcome(outcome: Outcome, *, check: bool = False) -> None:
    """What is true now, application × host; in check mode, what would be."""
    rows = [
        (
            one.application,
            one.host,
            one.result,
            _version(one.from_version),
            one.to_version or "-",
            "unknown" if one.version is None else one.version or "nothing",
            one.message,
        )
        for one in outcome.placements
        if one.result != "unchanged" or len(outcome.placements) <= SHOWN_STEPS
    ]
    result, live, what = (
        ("would be", "live then", "why") if check else ("result", "live now", "what happened")
    )
    if rows:
        console = make_console()
        print_table(console, ("application", "host", result, "from", "to", live, what), rows, 2)


def line(console: Console, text: str, style: str = "") -> None:
    """One line, styled on a terminal only."""
    console.print(text, style=style if console.is_terminal else "", soft_wrap=True)


def _plan_row(step: Step) -> tuple[str, ...]:
    return (
        step.application,
        step.host,
        step.region,
        step.action,
        _version(step.from_version),
        step.to_version or "-",
        ", ".join(step.restarts) or "-",
        step.reason,
    )


def _version(version: str | None) -> str:
    return "unknown" if version is None else version or "-"
