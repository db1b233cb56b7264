"""`orchestrator deploy`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.attempt_options import attempt_options, make_order
from orchestrator.cli.early import starting_ansible
from orchestrator.cli.options import make_target, target_options, write_json
from orchestrator.cli.reports import write_reports

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.attempt import Attempt
    from orchestrator.cli.deployment_view import DeploymentView
    from orchestrator.edges.runner import Workspace
    from orchestrator.errors import OrchestratorError
    from orchestrator.order import Order
    from orchestrator.rollback import RollbackOrder


@click.command("deploy")
@target_options
@attempt_options
@click.option("--verify", is_flag=True, help="Hosts read every file of the live release again first.")
@click.option("--prune", is_flag=True, help="Remove what git no longer asks for, after everything else.")
@click.option(
    "--last-good",
    is_flag=True,
    help="With -e and --limit: what the last attempt that succeeded left live, for hosts that come back.",
)
@click.option(
    "--allow-older",
    "allow_older_reason",
    metavar="REASON",
    default="",
    help="Deploy a commit that is not the branch's tip; the reason is recorded.",
)
@click.option(
    "--require-plan",
    "required_plan",
    metavar="ID|FILE",
    default="",
    help="Refuse unless the plan is this one: an intent or plan id, or a file of plan --json.",
)
@click.pass_obj
def command(directory: str, /, **options: Any) -> int:
    """Deploy a branch to its environment: stage everywhere, activate, check health, or switch back.

    One deployment of an environment at a time; others wait. In a CI job the branch and the commit are the
    job's, and a job that has been overtaken by a newer commit ends without doing anything.
    """
    from orchestrator.cli.lasting_output import lasting_output

    with lasting_output():
        return _deploy(directory, options)


def _deploy(directory: str, options: dict[str, Any]) -> int:
    from orchestrator.edges.expectation import expects_nothing, remember_converged

    def remember(attempt: Attempt) -> None:
        if attempt.outcome is not None and not options["check"]:
            remember_converged(directory, options)

    flags = {name: options[name] for name in ("check", "diff", "forks")}
    flags["expected"] = not expects_nothing(directory, options)
    with starting_ansible("deploy", **flags) as workspace:
        from orchestrator.edges.required_plan import read_required_plan

        order = make_order(
            make_target(directory, options, strict=True),
            options,
            rollback=_last_good(directory, options) if options["last_good"] else None,
            verify=options["verify"],
            prune=options["prune"],
            required=read_required_plan(options["required_plan"]) if options["required_plan"] else None,
        )
        return run_order(directory, order, options, workspace, after=remember)


def _last_good(directory: str, options: dict[str, Any]) -> RollbackOrder:
    from orchestrator.cli.rollback import read_rollback
    from orchestrator.errors import UsageError

    if not options["limits"] or not options["environment"] or options["ref"] or options["worktree"]:
        raise UsageError(
            "--last-good brings single hosts to what succeeded elsewhere: it goes with --environment and --limit",
            resolution="say which hosts: orchestrator deploy --environment E --last-good --limit HOST",
        )
    return read_rollback(directory, options["environment"], "", last_good=True)


def run_order(
    directory: str,
    order: Order,
    options: dict[str, Any],
    workspace: Workspace,
    *,
    after: Callable[[Attempt], None] | None = None,
) -> int:
    """The attempt is made, shown and reported; returns its exit code.

    Args:
        options: `json_path`, `log_path`, `check` and those of the reports.
        workspace: where ansible starts already.
        after: called when it has succeeded.

    Raises:
        OrchestratorError: what the attempt ended with.
    """
    from orchestrator.attempt import Attempt
    from orchestrator.cli import main
    from orchestrator.cli.deployment_view import DeploymentView
    from orchestrator.errors import OrchestratorError
    from orchestrator.forge_report import ForgeReport

    view = DeploymentView(order, quiet=options["json_path"] == "-", log_path=options["log_path"])
    told = ForgeReport(order, view)
    attempt = Attempt(
        order=order, listener=told, cancelled=main.cancelled.is_set, closing=told.closing, workspace=workspace
    )
    failure: OrchestratorError | None = None
    interrupted = False
    with view:
        main.running.set()
        try:
            attempt.execute()
        except OrchestratorError as error:
            failure = error
        except KeyboardInterrupt:
            interrupted = True
    main.running.clear()
    if failure is None and attempt.outcome is not None:
        failure = view.failure_of(attempt.outcome, attempt.refusal)
    view.conclude(attempt)
    interrupted = interrupted or (
        attempt.outcome is not None and attempt.outcome.verdict == "cancelled" and failure is None
    )
    _report(directory, options, attempt, view, failure)
    if interrupted:
        view.say_interrupted(attempt)
        return 130
    if failure is not None:
        raise failure
    if attempt.recorded is not None and attempt.recorded.problem is not None and not order.no_lock_reason:
        raise attempt.recorded.problem
    if after is not None:
        after(attempt)
    return 0


def _report(
    directory: str,
    options: dict[str, Any],
    attempt: Attempt,
    view: DeploymentView,
    failure: OrchestratorError | None,
) -> None:
    from orchestrator.core.plan import plan_document
    from orchestrator.core.run_report import RunReport
    from orchestrator.errors import DocumentError, PlanMismatchError, RevisionError, UsageError

    order, record, run = attempt.order, attempt.record, attempt.run
    outcome, plan = attempt.outcome, attempt.plan
    verdict: str = outcome.verdict if outcome is not None else ("failed" if failure else "nothing")
    if record is not None and record.verdict:
        verdict = record.verdict
    environment, branch = view.place(attempt)
    resume, status = view.next_commands(attempt, directory)
    if isinstance(failure, DocumentError | PlanMismatchError | RevisionError | UsageError) or run is None:
        resume = ""
    problem = attempt.recorded.problem if attempt.recorded is not None else None
    if options["json_path"]:
        document = {
            "format": 1,
            "run": None if run is None else asdict(run),
            "check": order.check,
            "record": record.id if record is not None else "",
            "record_commit": attempt.recorded.commit if attempt.recorded is not None else "",
            "verdict": verdict,
            "nothing": attempt.nothing,
            "changed": outcome is not None and outcome.changed,
            "error": None if failure is None else {"code": failure.exit_code, "message": failure.brief},
            "placements": [] if outcome is None else [asdict(one) for one in outcome.placements],
            "plan": None if plan is None else plan_document(plan),
            "resume": resume if failure is not None else "",
        }
        write_json(options["json_path"], document)
    report = RunReport(
        environment=environment,
        branch=branch,
        commit=attempt.choice.revision.commit if attempt.choice else "",
        actor=run.actor if run is not None else order.ci.actor,
        time=run.time if run is not None else "",
        duration_seconds=record.duration_seconds if record is not None else view.seconds,
        resume=resume,
        status=status,
        url=order.ci.url,
        record=record.id if record is not None else "",
        check=order.check,
        error=failure.brief if failure else (problem.brief if problem else attempt.nothing),
        details=failure.details if failure else (),
        placement_seconds={
            (one.application, one.host, one.deployment_path): one.seconds
            for one in (outcome.placements if outcome else ())
        },
    )
    if not attempt.nothing:
        write_reports(options, order.ci, report, plan, outcome)
    if failure is not None and resume and not order.check:
        failure.resolution = "; to go on: ".join(filter(None, (failure.resolution, resume)))
