"""`orchestrator show`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from orchestrator.cli.ledger_reading import LedgerReader
    from orchestrator.core.history_index import Indexed
    from orchestrator.core.record import Record


@click.command("show")
@click.argument("record")
@click.option("--json", "json_path", metavar="FILE", default="", help="The record itself; - is stdout.")
@click.pass_obj
def command(directory: str, /, **options: Any) -> int:
    """Show one attempt: who, what, when, why, and what became of each placement.

    RECORD is an id or the beginning of one, `production@last`, or `production@2026-11-01` for the last that started
    until then.
    """
    from orchestrator.cli.ledger_reading import LedgerReader, json_output

    asked = options["record"]
    environment, separator, when = asked.partition("@")
    reader = LedgerReader(directory, environment if separator else "")
    found = attempt_at(reader, environment, when) if separator else _by_id(reader, asked)
    if options["json_path"]:
        with json_output(options["json_path"]) as file:
            file.writelines(reader.texts([found]))
    if options["json_path"] != "-":
        for record in reader.records([found]):
            _print(record)
    reader.warn()
    return 0


def _by_id(reader: LedgerReader, asked: str) -> Indexed:
    from orchestrator.errors import UsageError

    near = {one.id: one for one in reader.attempts() if one.id.startswith(asked)}
    if asked in near:
        return near[asked]
    if len(near) > 1:
        raise UsageError(
            f"{len(near)} attempts begin with {asked!r}",
            details=tuple(list(near)[:20]),
            resolution="write more of the id",
        )
    for found in near.values():
        return found
    raise UsageError(
        f"the ledger has no attempt {asked!r}",
        resolution="see `orchestrator history ENV`; `ENV@last` is the last one",
    )


def attempt_at(reader: LedgerReader, environment: str, when: str) -> Indexed:
    """The last attempt; with a moment the last of those that had started by then, by the clocks of their runners."""
    from orchestrator.cli.moments import parse_moment
    from orchestrator.core.history import is_before
    from orchestrator.errors import UsageError

    until = "" if when == "last" else parse_moment(when, end_of_day=True)
    for found in reader.by_turn(environment):
        if not until or not is_before(until, found.started):
            return found
    raise UsageError(
        f"the ledger has no attempt to deploy to {environment}{f' until {until}' if until else ''}",
        resolution="see `orchestrator history ENV --all`",
    )


def _print(record: Record) -> None:
    from orchestrator.cli.ledger_reading import plain, shown_moment, shown_version
    from orchestrator.cli.tables import line, make_console, print_table

    console = make_console()
    line(console, f"{record.kind} to {record.environment}: {record.verdict or 'open'}", "bold")
    took = "" if record.is_open else f", took {record.duration_seconds:.1f} s"
    lock = "none" if record.lock_token is None else f"token {record.lock_token}"
    ended = f" until {shown_moment(record.ended)}" if record.ended else ""
    for name, value in (
        ("record", record.id),
        ("when", f"{shown_moment(record.started)}{ended} UTC{took}"),
        ("phases", ", ".join(f"{phase} {seconds:.1f} s" for phase, seconds in record.phases.items())),
        ("by", record.actor),
        ("ci", " ".join(record.ci.values()) if record.ci else ""),
        ("repository", "/".join(filter(None, (record.repository, record.stack)))),
        ("commit", f"{record.commit}{f' of {record.branch}' if record.branch else ''}"),
        ("manifest", record.manifest_version),
        ("intent, plan", " ".join(filter(None, (record.intent_id[:16], record.plan_id[:16])))),
        ("lock", f"{lock}{f', without: {record.no_lock_reason}' if record.no_lock_reason else ''}"),
        ("older allowed", record.allow_older_reason or ""),
        ("reasons", "; ".join(record.reasons)),
        ("error", record.error),
        (
            "holds",
            "; ".join(" ".join(f"{key}={value}" for key, value in hold.items()) for hold in record.holds),
        ),
        ("tools", ", ".join(f"{tool} {version}" for tool, version in record.tools.items())),
    ):
        if value:
            line(console, f"  {name + ':':14} {plain(str(value))}")
    rows = [
        (
            plain(one.application),
            plain(one.host),
            plain(one.result),
            shown_version(one.from_version),
            shown_version(one.to_version),
            "nothing" if one.version == "" else shown_version(one.version),
            plain(one.message),
        )
        for one in record.placements
    ]
    if rows:
        line(console, "")
        columns = ("application", "host", "result", "from", "to", "live then", "what happened")
        print_table(console, columns, rows, 2)
    hooks = [
        (
            *(plain(str(one.get(name, ""))) for name in ("application", "host", "event")),
            "ended well" if one.get("exit") == 0 else f"failed ({plain(str(one.get('exit')))})",
            f"{plain(str(one.get('seconds', '')))} s",
            plain(str(one.get("command", ""))),
        )
        for one in record.hooks
    ]
    if hooks:
        line(console, "")
        print_table(console, ("application", "host", "hook", "result", "took", "command"), hooks, 3)
    tests = [
        (
            *(plain(str(one.get(name, ""))) for name in ("application", "host", "name")),
            "passed" if one.get("passed") is True else "failed",
            plain(str(one.get("message", ""))),
        )
        for one in record.tests
    ]
    if tests:
        line(console, "")
        print_table(console, ("application", "host", "smoke test", "result", "what was seen"), tests, 3)
