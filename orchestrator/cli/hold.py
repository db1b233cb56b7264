"""`orchestrator hold`."""

from __future__ import annotations

from typing import Any

import click


@click.command("hold")
@click.argument("environment", metavar="ENV")
@click.argument("application", metavar="[APP]", default="")
@click.option("--reason", metavar="TEXT", required=True, help="Why; it is shown to whoever is held up.")
@click.option(
    "--for",
    "purpose",
    type=click.Choice(["deploy", "promote"]),
    help="Only deployments to it, or only promotions to it.  [default: both]",
)
@click.pass_obj
def command(directory: str, /, **options: Any) -> int:
    """Keep an environment, or one application there, as it is: deployments and promotions to it are refused.

    It is in the ledger, so that it holds for everybody. Rollbacks go on. `orchestrator unhold` lifts it.
    """
    from orchestrator.cli.ledger_reading import plain
    from orchestrator.holding import hold

    reason = " ".join(options["reason"].split())
    made = hold(
        directory,
        options["environment"],
        options["application"],
        reason=reason,
        purpose=options["purpose"] or "",
    )
    click.echo(plain(made.hold.describe(made.environment)))
    return 0
