"""`orchestrator history`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from orchestrator.cli.ledger_reading import LedgerReader
    from orchestrator.core.history_index import Indexed
    from orchestrator.core.lock_state import LockState
    from orchestrator.core.record import Record

SHOWN = 20


@click.command("history")
@click.argument("environment", metavar="ENV")
@click.option("--application", "-a", metavar="A", default="", help="Only attempts about this application.")
@click.option(
    "--since", metavar="WHEN", default="", help="Only what started since: a date, a time (UTC), 7d or 12h."
)
@click.option(
    "--limit", type=click.IntRange(1, 1_000_000), metavar="N", help=f"The newest N.  [default: {SHOWN}]"
)
@click.option("--all", "everything", is_flag=True, help="All of them.")
@click.option("--json", "json_path", metavar="FILE", default="", help="Records for machines; - is stdout.")
@click.pass_obj
def command(directory: str, /, **options: Any) -> int:
    """Show the attempts to deploy to an environment, newest first, from the ledger in git."""
    from orchestrator.cli.ledger_reading import LedgerReader, write_documents
    from orchestrator.cli.moments import parse_moment
    from orchestrator.errors import UsageError

    if options["everything"] and options["limit"]:
        raise UsageError("--limit and --all exclude each other", resolution="keep one")
    environment = options["environment"]
    since = parse_moment(options["since"]) if options["since"] else ""
    reader = LedgerReader(directory, environment)
    limit = None if options["everything"] else options["limit"] or SHOWN
    found = list(islice(_select(reader, environment, options["application"], since), limit))
    verdicts = _verdicts(reader, environment, found)
    path = options["json_path"]
    if path:
        write_documents(path, "attempts", reader.texts(found, verdicts), environment=environment)
    if path != "-":
        _show(reader, environment, found, verdicts)
    reader.warn()
    return 0


def _select(reader: LedgerReader, environment: str, application: str, since: str) -> Iterator[Indexed]:
    """What was asked for, newest first; `since` goes by the clocks of the runners, the order does not."""
    from orchestrator.core.history import is_before

    for one in reader.by_turn(environment):
        if application and application not in one.applications:
            continue
        if since and is_before(one.started, since):
            continue
        yield one


def _show(reader: LedgerReader, environment: str, found: list[Indexed], verdicts: dict[str, str]) -> None:
    from orchestrator.cli.tables import line, make_console, print_table

    console = make_console()
    records = list(reader.records(found))
    if not records:
        line(console, f"the ledger has no attempt to deploy to {environment} that fits")
        return
    rows = [_row(record, verdicts[record.id]) for record in records]
    columns = ("record", "started (UTC)", "verdict", "manifest", "commit", "by", "placements", "took")
    print_table(console, columns, rows, 2)


def _row(record: Record, verdict: str) -> tuple[str, ...]:
    from orchestrator.cli.ledger_reading import plain, shown_moment

    counts = ", ".join(f"{count} {result}" for result, count in sorted(record.counts().items()))
    kind = "" if record.kind == "deploy" else f"{record.kind}: "
    if record.kind in ("hold", "unhold"):
        subjects = [str(hold.get("application") or record.environment) for hold in record.holds]
        counts = f"{', '.join(subjects)}: {'; '.join(record.reasons)}"
    return (
        record.id,
        shown_moment(record.started),
        plain(verdict),
        plain(record.manifest_version) or "-",
        plain(record.commit[:10]) or "-",
        plain(record.actor) or "-",
        plain(f"{kind}{counts or '-'}"),
        "-" if record.is_open else f"{record.duration_seconds:.0f} s",
    )


def _verdicts(reader: LedgerReader, environment: str, found: list[Indexed]) -> dict[str, str]:
    """By id; of open ones, what the environment's lock says of them now."""
    from orchestrator.core.history import verdict_of
    from orchestrator.edges.clock import moment
    from orchestrator.edges.process_identity import is_gone

    lock = _lock(reader, environment) if any(one.is_open for one in found) else None
    word = "" if lock is None else lock.word(moment(), is_gone=is_gone(lock.holder.process))
    return {one.id: verdict_of(one, lock, word) for one in found}


def _lock(reader: LedgerReader, environment: str) -> LockState | None:
    """The environment's lock; None when it cannot be read: then it is only said that the attempt is open."""
    from orchestrator.edges.state import open_state, this_process
    from orchestrator.errors import GitError, LockError

    try:
        with open_state(reader.repository, reader.settings) as state:
            holder = this_process(reader.repository)
            return state.lock(state.locked_as(environment, holder), holder).show()
    except (GitError, LockError):
        return None
