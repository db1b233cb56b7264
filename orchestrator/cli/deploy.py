"""`orchestrator deploy`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.options import make_target, target_options, write_json

if TYPE_CHECKING:
    from orchestrator.core.observed import ObservedHost
    from orchestrator.core.outcome import Outcome
    from orchestrator.core.plan import Plan


@click.command("deploy")
@target_options
@click.option("--check", is_flag=True, help="Dry run: find what the real run would find, change nothing.")
@click.option("--diff", is_flag=True, help="Show differences that ansible knows of.")
@click.option("--verify", is_flag=True, help="Hosts read every file of the live release again first.")
@click.option(
    "--application", "-a", "applications", multiple=True, metavar="A", help="Only this application."
)
@click.option("--limit", "-l", "limits", multiple=True, metavar="HOST|REGION", help="Only these hosts.")
@click.option("--forks", type=click.IntRange(1, 500), help="Hosts worked on at once.")
@click.option("--json", "json_path", metavar="FILE", default="", help="The result for machines; - is stdout.")
@click.option(
    "--log", "log_path", metavar="FILE", default="", help="Ansible's own output [.git/orchestrator/logs]."
)
@click.pass_obj
def command(directory: str, /, **options: Any) -> int:
    """Deploy a branch to its environment: stage everywhere, activate, check health, or switch back."""
    from orchestrator import workflow
    from orchestrator.cli import main
    from orchestrator.cli.progress import Progress
    from orchestrator.cli.tables import line, make_console, print_outcome, print_plan, summarise
    from orchestrator.deployment import Deployment
    from orchestrator.edges.failures import error_for_hosts, error_for_outcome

    started = time.monotonic()
    intent = workflow.read_intent(make_target(directory, options, strict=True))
    selected = workflow.select(intent, options["applications"], options["limits"])
    run = workflow.new_run(intent)
    progress = Progress(host.name for host in workflow.hosts_of(selected))

    def show(plan: Plan, observed: Mapping[str, ObservedHost]) -> None:
        mode = "Check" if options["check"] else "Deployment"
        title = f"{mode} of {plan.identity.environment} at {intent.revision.label}, manifest {plan.manifest_version}"
        with progress.paused():
            if options["json_path"] != "-":
                print_plan(plan, title=title, notes=filter(None, [intent.revision.note]))
        if len(plan.unknown_hosts) > plan.strategy.max_unreachable:
            failure = error_for_hosts(observed[name] for name in plan.unknown_hosts)
            _close(options, plan, workflow.nothing_done(plan), intent, run, started, verdict_only=True)
            raise failure

    deployment = Deployment(
        intent=intent,
        selected=selected,
        run=run,
        check=options["check"],
        diff=options["diff"],
        verify=options["verify"],
        forks=options["forks"],
        on_plan=show,
        on_report=progress,
        cancelled=main.cancelled.is_set,
    )
    with workflow.open_workspace(intent) as workspace, progress:
        main.running.set()
        done = deployment.execute(workspace)
    plan, outcome, output = done.plan, done.outcome, done.output
    log = _write_log(
        options["log_path"], intent.repository.state_directory / "logs" / f"{run.id}.log", output
    )
    console = make_console()
    if options["json_path"] != "-":
        _show_ansible(outcome, output, log)
        if plan.changes:
            print_outcome(outcome, check=options["check"])
        line(
            console,
            _closing(plan, outcome, check=options["check"]) if plan.changes else summarise(plan),
            "bold",
        )
    _close(options, plan, outcome, intent, run, started)
    main.running.clear()
    error = error_for_outcome(outcome)
    if outcome.verdict == "cancelled" or (main.cancelled.is_set() and error is not None):
        said = ", ".join(f"{one.application} on {one.host}: {one.result}" for one in outcome.placements)
        click.echo(f"interrupted; {said}", err=True)
        return 130
    if error is not None:
        raise error
    return 0


def _close(
    options: dict[str, Any],
    plan: Plan,
    outcome: Outcome,
    intent: Any,
    run: Any,
    started: float,
    *,
    verdict_only: bool = False,
) -> None:
    from orchestrator.cli.tables import line, make_console
    from orchestrator.core.plan import plan_document
    from orchestrator.recording import record

    where = "" if options["check"] else record(intent, plan, outcome, run, started=started)
    if options["json_path"]:
        document = {
            "format": 1,
            "run": asdict(run),
            "check": options["check"],
            "record": where,
            "verdict": outcome.verdict,
            "changed": outcome.changed,
            "placements": [asdict(one) for one in outcome.placements],
            "plan": plan_document(plan),
        }
        write_json(options["json_path"], document)
    if where and options["json_path"] != "-" and not verdict_only:
        line(make_console(), f"record: {where}", "dim")


def _closing(plan: Plan, outcome: Outcome, *, check: bool) -> str:
    counts: dict[str, int] = {}
    for one in outcome.placements:
        counts[one.result] = counts.get(one.result, 0) + 1
    said = ", ".join(f"{count} {result}" for result, count in sorted(counts.items()))
    if check:
        return (
            f"Check of {plan.identity.environment}: {outcome.verdict}; would be: {said}. Nothing was changed."
        )
    return f"{plan.identity.environment}: {outcome.verdict}; {said}."


def _write_log(asked: str, default: Path, output: str) -> Path | None:
    from orchestrator.errors import UsageError

    if not output:
        return None
    path = Path(asked) if asked else default
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(output + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"the log {path} cannot be written: {error.strerror}", resolution="see --log"
        ) from None
    return path


def _show_ansible(outcome: Outcome, output: str, log: Path | None) -> None:
    if outcome.verdict == "success" or not output:
        return
    lines = [text for text in output.splitlines() if text.startswith(("fatal:", "[ERROR]"))]
    for text in lines[:20]:
        click.echo(f"ansible: {text[:400]}", err=True)
    if log:
        click.echo(f"ansible's whole output: {log}", err=True)
