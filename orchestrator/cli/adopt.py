"""`orchestrator adopt`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from orchestrator.cli.attempt_options import attempt_options, make_order
from orchestrator.cli.early import starting_ansible


@click.command("adopt")
@click.option("--environment", "-e", metavar="E", required=True, help="The environment, at its branch.")
@attempt_options
@click.option(
    "--require-plan",
    "required_plan",
    metavar="ID|FILE",
    default="",
    help="Refuse unless git asks for this: an intent id, or a file of plan --json.",
)
@click.pass_obj
def command(directory: str, /, **options: Any) -> int:
    """Take over what is live on hosts already, of the application that --application names: a directory, a foreign
    link, a unit that runs. Nothing is restarted.

    What git asks for is fetched and verified beside it and compared, file by file. Where both are the same, `current`
    becomes the link to that release, and what it was is kept; where they differ, it is said how, and nothing changes.
    Afterwards `deploy` has nothing to do. --check compares and changes nothing.
    """
    from orchestrator.cli.deploy import run_order
    from orchestrator.cli.lasting_output import lasting_output

    if not options["applications"]:
        from orchestrator.errors import UsageError

        raise UsageError(
            "which application is to be taken over?",
            resolution="name it with --application, and hosts with --limit",
        )
    flags = {name: options[name] for name in ("check", "diff", "forks")}
    with lasting_output(), starting_ansible("deploy", **flags) as workspace:
        from orchestrator.edges.required_plan import read_required_plan
        from orchestrator.intent import Target

        order = make_order(
            Target(directory=Path(directory), environment=options["environment"], strict=True),
            options,
            adopt=True,
            required=read_required_plan(options["required_plan"]) if options["required_plan"] else None,
        )
        return run_order(directory, order, options, workspace)
