"""`orchestrator unhold`."""

from __future__ import annotations

from typing import Any

import click


@click.command("unhold")
@click.argument("environment", metavar="ENV")
@click.argument("application", metavar="[APP]", default="")
@click.option("--all", "everything", is_flag=True, help="Every hold of the environment.")
@click.option("--reason", metavar="TEXT", default="", help="Why; it is recorded.")
@click.pass_obj
def command(directory: str, /, **options: Any) -> int:
    """Lift the holds of an environment, or of one application there."""
    from orchestrator.cli.ledger_reading import plain
    from orchestrator.holding import unhold

    done = unhold(
        directory,
        options["environment"],
        options["application"],
        everything=options["everything"],
        reason=" ".join(options["reason"].split()),
    )
    subject = " ".join(filter(None, (done.environment, options["application"])))
    for lifted in done.lifted:
        click.echo(plain(f"lifted: {lifted.describe(done.environment).rpartition('; ')[0]}"))
    if not done.lifted:
        click.echo(f"nothing to do: {subject} is not held")
    for kept in done.kept:
        click.echo(plain(f"still held: {kept.describe(done.environment)}"))
    return 0
