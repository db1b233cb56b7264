"""`orchestrator rollback`."""

from __future__ import annotations

from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.attempt_options import attempt_options, make_order
from orchestrator.cli.early import starting_ansible

if TYPE_CHECKING:
    from orchestrator.attempt import Attempt
    from orchestrator.rollback import RollbackOrder

READ_ATTEMPTS = 300


@click.command("rollback")
@click.option("--environment", "-e", metavar="E", required=True, help="The environment.")
@click.option(
    "--to",
    metavar="VERSION|RECORD",
    default="",
    help="A version, or what was live after that attempt [the good release before].",
)
@click.option("--pr", is_flag=True, help="Then open a pull request that lets git ask for what is live now.")
@click.option(
    "--reviewer", "reviewers", multiple=True, metavar="R", help="With --pr: who is asked to review."
)
@attempt_options
@click.pass_obj
def command(directory: str, /, **options: Any) -> int:
    """Go back to releases that were good: switched to where hosts keep them, fetched again where they do not.

    Without --application and --to it undoes what the last deployment changed. Releases that are marked bad or were
    never healthy are no targets; the releases that are left are marked bad. Git still wants what it says: its
    deployments are held until git asks for something else, which --pr proposes, or until `orchestrator unhold`.
    """
    from orchestrator.cli.deploy import run_order
    from orchestrator.cli.lasting_output import lasting_output

    environment, quiet = options["environment"], options["json_path"] == "-"
    flags = {name: options[name] for name in ("check", "diff", "forks")}
    with lasting_output(), starting_ansible("deploy", **flags) as workspace:
        from orchestrator.intent import Target

        order = make_order(
            Target(directory=Path(directory), environment=environment, strict=True),
            options,
            rollback=read_rollback(directory, environment, options["to"].strip()),
        )
        return run_order(
            directory,
            order,
            options,
            workspace,
            after=lambda attempt: _say_what_git_wants(attempt, quiet, options),
        )


def read_rollback(
    directory: str, environment: str, to: str, *, last_good: bool = False, warns: bool = True
) -> RollbackOrder:
    """What the ledger knows; without it a rollback to what hosts keep still works.

    Args:
        warns: of what cannot be read; the same is read again inside the lock.
    """
    from orchestrator.cli.ledger_reading import LedgerReader
    from orchestrator.cli.show import attempt_at
    from orchestrator.core.rollback import interrupted_rollback
    from orchestrator.core.settings import environment_names
    from orchestrator.errors import GitError, LedgerError
    from orchestrator.rollback import RollbackOrder

    try:
        reader = LedgerReader(directory, environment)
        named, separator, when = to.partition("@")
        if separator and named in environment_names(environment):
            to = attempt_at(reader, named, when).id
        attempts = tuple(reader.records(islice(reader.by_turn(environment), READ_ATTEMPTS)))
        records = tuple(one for one in attempts if not one.is_open)
        if warns:
            reader.warn()
    except (GitError, LedgerError) as error:
        if warns:
            click.echo(f"warning: the ledger cannot be read: {error.brief}", err=True)
        read = partial(read_rollback, directory, environment, to, last_good=last_good, warns=False)
        return RollbackOrder(to=to, unread=error.brief, last_good=last_good, read=read)
    read = partial(read_rollback, directory, environment, to, last_good=last_good, warns=False)
    return RollbackOrder(
        to=to, records=records, last_good=last_good, interrupted=interrupted_rollback(attempts), read=read
    )


def _say_what_git_wants(attempt: Attempt, quiet: bool, options: dict[str, Any]) -> None:
    from orchestrator.core.rollback_plan import describe_wishes_of_git

    if attempt.intent is None or attempt.plan is None:
        return
    branch, environment = attempt.intent.revision.branch, attempt.intent.desired.environment
    texts = describe_wishes_of_git(attempt.intent.desired, attempt.plan)
    for text in texts:
        click.echo(text, err=quiet)
    if texts:
        held = "would be held then" if attempt.order.check else "is held now"
        click.echo(
            f"  that {held}: no deployment of {branch or environment} brings it back before git asks for "
            f"something else, or `orchestrator unhold {environment} APP`; revert the commit that asks for it"
            f"{'' if options['pr'] else ' (`rollback --pr` opens the pull request)'}",
            err=quiet,
        )
    if options["pr"] and not attempt.order.check:
        _propose(attempt, options)


def _propose(attempt: Attempt, options: dict[str, Any]) -> None:
    """A pull request lets the branch ask for what the rollback has made live."""
    from orchestrator.cli.promote import conclude_promotion
    from orchestrator.ledger_source import Moment
    from orchestrator.promote import PromoteOrder, promote

    assert attempt.intent is not None
    assert attempt.plan is not None
    environment, label = attempt.intent.desired.environment, f"{attempt.intent.desired.environment}@now"
    result = promote(
        PromoteOrder(
            directory=attempt.order.target.directory,
            source=label,
            moment=Moment(label=label, environment=environment),
            target=attempt.intent.revision.branch or environment,
            applications=tuple(sorted({step.application for step in attempt.plan.steps})),
            means="pull request",
            is_revert=True,
        )
    )
    quiet = "-" if options["json_path"] == "-" else ""
    conclude_promotion(result, {**options, "push": False, "json_path": quiet}, write=False)
