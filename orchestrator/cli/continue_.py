"""`orchestrator continue`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command("continue")
@click.argument("environment", metavar="ENV")
@click.option(
    "--reject", is_flag=True, help="The rollout stops instead, and switches back as its policy says."
)
@click.option("--reason", metavar="TEXT", default="", help="Why; it is recorded.")
@click.pass_obj
def command(directory: str, /, **options: Any) -> int:
    """Let a rollout go on that waits for an approval after its canary, or stop it.

    From any clone of the deployment repository that may push: the answer is a commit on a branch that the rollout
    looks at.
    """
    from dataclasses import replace

    from orchestrator.cli.ledger_reading import plain, state_settings
    from orchestrator.edges.clock import moment
    from orchestrator.edges.git import DeploymentRepository
    from orchestrator.edges.state import open_state
    from orchestrator.errors import ApprovalError

    environment, now = options["environment"], moment()
    repository = DeploymentRepository(Path(directory))
    with open_state(repository, state_settings(repository, environment)) as state:
        branch = state.asked_approvals(environment)
        waiting = branch.read()
        if waiting is None or not waiting.is_open(now):
            last = "no rollout ever waited there"
            if waiting is not None:
                said = "waited until " + waiting.until if waiting.answer == "waiting" else waiting.answer
                last = f"the last one, {plain(waiting.run)}: {said}{' by ' + plain(waiting.by) if waiting.by else ''}"
            raise ApprovalError(
                f"no rollout of {environment} waits for an approval",
                details=(last,),
                resolution="a rollout waits after its canary only; see `orchestrator lock show`",
            )
        answer = replace(
            waiting,
            answer="rejected" if options["reject"] else "approved",
            by=repository.actor,
            reason=" ".join(options["reason"].split()),
        )
        if not branch.write(answer):
            raise ApprovalError(
                f"somebody else has just answered for {environment}",
                resolution="run this again to see what was said",
            )
    click.echo(
        f"{plain(waiting.what)}: {answer.answer}; the run {plain(waiting.run)} goes by it within seconds"
    )
    return 0
