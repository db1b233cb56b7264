"""`orchestrator deploy`."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.options import make_target, target_options, write_json

if TYPE_CHECKING:
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
    from orchestrator.edges.failures import error_for_hosts, error_for_outcome

    started = time.monotonic()
    intent = workflow.read_intent(make_target(directory, options, strict=True))
    selected = workflow.select(intent, options["applications"], options["limits"])
    artifacts = workflow.resolve(intent, offline=False)
    names = sorted({placement.host.name for placement in selected.placements})
    hosts = tuple(host for host in intent.desired.hosts if host.name in set(names))
    run = workflow.new_run(intent)
    with workflow.open_workspace(intent) as workspace:
        main.running.set()
        shared = {"forks": options["forks"], "cancelled": main.cancelled.is_set}
        with Progress(names, quiet=True) as progress:
            observed = workflow.observe(
                intent, workspace, hosts, verify=options["verify"], on_report=progress, **shared
            )
        plan = workflow.compile_intent(intent, artifacts, observed, selected)
        mode = "Check" if options["check"] else "Deployment"
        title = f"{mode} of {plan.identity.environment} at {intent.revision.label}, manifest {plan.manifest_version}"
        if options["json_path"] != "-":
            print_plan(plan, title=title, notes=filter(None, [intent.revision.note]))
        silent = [observed[name] for name in plan.unknown_hosts]
        tolerated = plan.strategy.max_unreachable
        if len(silent) > tolerated:
            failure = error_for_hosts(silent)
            _close(options, plan, workflow.nothing_done(plan), intent, run, started, verdict_only=True)
            raise failure
        with Progress(sorted({step.host for step in plan.changes})) as progress:
            outcome, output = workflow.execute(
                intent,
                plan,
                artifacts,
                workspace,
                run=run,
                check=options["check"],
                diff=options["diff"],
                on_report=progress,
                **shared,
            )
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
        done = ", ".join(f"{one.application} on {one.host}: {one.result}" for one in outcome.placements)
        click.echo(f"interrupted; {done}", err=True)
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
    from orchestrator import workflow
    from orchestrator.cli.tables import line, make_console
    from orchestrator.core.plan import plan_document

    where = "" if options["check"] else workflow.record(intent, plan, outcome, run, started=started)
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
