"""`orchestrator promote`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.options import write_json

if TYPE_CHECKING:
    from orchestrator.ledger_source import Moment
    from orchestrator.promote import PromoteResult

_RECORD = re.compile(r"[0-9]{8}T[0-9]{6}-[0-9a-f]{8}")


@click.command("promote")
@click.argument("source", metavar="FROM")
@click.option("--to", "target", metavar="TO", required=True, help="The environment or branch that gets it.")
@click.option("--to-repo", "to_repository", metavar="URL", default="", help="TO is in this git repository.")
@click.option(
    "--application", "-a", "applications", multiple=True, metavar="A", help="Only this application."
)
@click.option("--push", is_flag=True, help="Commit it on top of TO's branch, and push.")
@click.option("--pr", is_flag=True, help="Push a branch of its own, and open a pull request or update it.")
@click.option(
    "--reviewer", "reviewers", multiple=True, metavar="R", help="With --pr: who is asked to review."
)
@click.option("--json", "json_path", metavar="FILE", default="", help="The result for machines; - is stdout.")
@click.pass_obj
def command(directory: str, /, **options: Any) -> int:
    """Carry applications from one environment's manifest to another's, in any direction.

    FROM is an environment or a branch, an attempt of the ledger, or `production@2026-11-01` for what was live then
    (`production@now` for what is live by the ledger). Whole applications of manifest.json are carried; the
    environment JSON is not touched and nothing is removed. Without --push and --pr it is only shown.
    """
    from orchestrator.cli.written import means_of
    from orchestrator.promote import PromoteOrder, promote

    means = means_of(options)
    result = promote(
        PromoteOrder(
            directory=Path(directory),
            source=options["source"],
            moment=read_moment(options["source"]),
            target=options["target"],
            to_repository=options["to_repository"],
            applications=options["applications"],
            means=means,
        )
    )
    return conclude_promotion(result, options)


def read_moment(text: str) -> Moment | None:
    """What FROM means in the ledger; None: it is a branch or an environment.

    Raises:
        UsageError: what follows on `@` is no point in time.
    """
    from orchestrator.cli.moments import parse_moment
    from orchestrator.ledger_source import Moment

    if _RECORD.fullmatch(text):
        return Moment(label=text, record=text)
    environment, separator, when = text.rpartition("@")
    if not separator:
        return None
    until = "" if when in ("now", "last") else parse_moment(when, end_of_day=True)
    return Moment(label=text, environment=environment, until=until)


def conclude_promotion(result: PromoteResult, options: dict[str, Any], *, write: bool = True) -> int:
    """What became of it is shown and written.

    Args:
        options: `push`, `pr`, `reviewers` and `json_path`.
        write: the document for machines, too.
    """
    from orchestrator.cli.written import conclude
    from orchestrator.core.promotion import describe_moves, promotion_document

    promotion = result.promotion
    changed = result.before != result.after and result.refusal is None
    if options["json_path"] != "-":
        show_promotion(result, diff=changed and not (options["push"] or options["pr"]))
    if result.refusal is not None:
        if write and options["json_path"]:
            write_json(options["json_path"], promotion_document(promotion, changed=False))
        raise result.refusal
    body = [f"- {text}" for text in describe_moves(promotion)]
    body += [f"- stays: {row.application} ({row.why})" for row in promotion.blocked]
    body += [f"- **warning**: {text}" for text in promotion.warnings]
    url = conclude(
        result.written,
        is_change=changed,
        title=result.title,
        body="\n".join(body),
        options=options,
    )
    if write and options["json_path"]:
        document = promotion_document(
            promotion,
            changed=changed,
            commit=result.written.commit,
            pushed_to=result.written.branch,
            pull_request=url,
        )
        write_json(options["json_path"], document)
    return 0


def show_promotion(result: PromoteResult, *, diff: bool) -> None:
    """The table: what moves, what does not, and why; then what differs in the manifest."""
    from orchestrator.cli.tables import line, make_console, print_table
    from orchestrator.cli.written import show_diff

    promotion, console = result.promotion, make_console()
    version = f", manifest {promotion.manifest_version}" if result.before != result.after else ""
    line(console, f"Promote {promotion.source} to {promotion.target}{version}", "bold")
    rows = [
        (row.application, row.verdict, row.from_version or "-", row.to_version or "-", row.why)
        for row in promotion.rows
    ]
    print_table(console, ("application", "what", "has", "gets", "why"), rows, 1)
    for warning in promotion.warnings:
        line(console, f"warning: {warning}", "yellow")
    if diff:
        show_diff(console, result.before, result.after)
