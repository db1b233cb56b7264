"""`orchestrator status`."""

from __future__ import annotations

from typing import Any

import click

from orchestrator.cli.options import make_target, target_options, write_json


@click.command("status")
@target_options
@click.argument("name", metavar="[ENV]", default="")
@click.option(
    "--application", "-a", "applications", multiple=True, metavar="A", help="Only this application."
)
@click.option("--limit", "-l", "limits", multiple=True, metavar="HOST|REGION", help="Only these hosts.")
@click.option("--detailed-exitcode", is_flag=True, help="2 when anything is not as git asks for, or unknown.")
@click.option("--verify", is_flag=True, help="Hosts read every file of the live release again.")
@click.option("--json", "json_path", metavar="FILE", default="", help="The table for machines; - is stdout.")
@click.pass_obj
def command(directory: str, /, **options: Any) -> int:
    """Show desired and installed, application × host; drift and hosts that cannot be asked."""
    from orchestrator import workflow
    from orchestrator.cli.tables import line, make_console, print_table
    from orchestrator.errors import OrchestratorError, UsageError

    if options["name"] and options["environment"] not in ("", options["name"]):
        raise UsageError("two environments are named", resolution="name one, or none for all of them")
    options["environment"] = options["environment"] or options["name"]
    target = make_target(directory, options)
    one = target.branch or target.environment or target.ref or target.worktree
    names = (target.environment,) if one else workflow.environments_of(target)
    console, rows, first = make_console(), [], None
    holds: list[dict[str, str]] = []
    for name in names:
        try:
            chosen = target if one else make_target(directory, {**options, "environment": name})
            found, held = _rows(chosen, options)
            rows.extend(found)
            holds.extend(held)
        except OrchestratorError as error:
            if one:
                raise
            first = first or error
            line(console, f"{name}: {error.brief}", "red")
    if options["json_path"]:
        write_json(options["json_path"], {"format": 1, "placements": rows, "holds": holds})
    if options["json_path"] != "-":
        columns = ("environment", "application", "host", "desired", "installed", "running", "state", "why")
        if rows:
            print_table(console, columns, [tuple(row[column] for column in columns) for row in rows], 6)
        else:
            line(console, "no environment of this repository has a placement")
        for hold in holds:
            line(console, f"held: {hold['text']}", "yellow")
    if first is not None:
        raise first
    differs = any(row["state"] != "in sync" for row in rows)
    return 2 if options["detailed_exitcode"] and differs else 0


def _rows(target: Any, options: dict[str, Any]) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """What is where, and what is held."""
    from orchestrator import workflow
    from orchestrator.cli.progress import Progress
    from orchestrator.core.drain_plan import find_drained

    intent = workflow.read_intent(target)
    artifacts = workflow.resolve(intent, offline=True)
    selected = workflow.select(intent, options["applications"], options["limits"])
    names = {placement.host.name for placement in selected.placements}
    hosts = tuple(host for host in intent.desired.hosts if host.name in names)
    with (
        workflow.open_workspace(intent) as workspace,
        Progress(sorted(names), quiet=True) as progress,
    ):
        balancers = workflow.balancers_of(intent, selected, hosts)
        observed = workflow.observe(
            intent, workspace, hosts, balancers=balancers, verify=options["verify"], on_report=progress
        )
    plan = workflow.compile_intent(
        intent,
        artifacts,
        observed,
        selected,
        options["applications"],
        fingerprints=workflow.fingerprints_of(intent),
    )
    rows, drained = [], find_drained(observed)
    for step in plan.steps:
        found = observed[step.host].placements.get((step.application, step.deployment_path))
        state, why = _judge(step, found)
        out = drained.get((step.application, step.host))
        if out is not None:
            state, why = "drained", out.text if state == "in sync" else f"{out.text}; {why}"
        rows.append(
            {
                "environment": plan.identity.environment,
                "application": step.application,
                "host": step.host,
                "desired": step.to_version,
                "installed": "unknown" if step.from_version is None else step.from_version or "-",
                "running": (found.running if found else "") or "-",
                "state": state,
                "why": why,
            }
        )
    for orphan in plan.orphans:
        if options["applications"] and orphan.application not in options["applications"]:
            continue
        rows.append(
            {
                "environment": plan.identity.environment,
                "application": orphan.application,
                "host": orphan.host,
                "desired": "-",
                "installed": orphan.version or "-",
                "running": "-",
                "state": "orphan",
                "why": f"git no longer asks for it at {orphan.deployment_path}",
            }
        )
    return rows, _holds(intent)


def _holds(intent: Any) -> list[dict[str, str]]:
    from orchestrator.core.promotion_rules import hold_document
    from orchestrator.edges.state import open_state
    from orchestrator.errors import GitError, LedgerError
    from orchestrator.promotion_gate import read_holds_of

    environment = intent.desired.environment
    try:
        with open_state(intent.repository, intent.settings, outage_seconds=0.0) as state:
            holds = read_holds_of(state, environment)
    except (GitError, LedgerError) as error:
        click.echo(f"warning: whether {environment} is held is not known: {error.brief}", err=True)
        return []
    return [
        {**hold_document(hold), "environment": environment, "text": hold.describe(environment)}
        for hold in holds
    ]


def _judge(step: Any, found: Any) -> tuple[str, str]:
    if step.action == "unknown":
        return "unknown", step.reason
    if found is not None and found.problems:
        return "drift", "; ".join(found.problems)
    if found is None or found.state == "none":
        return "drift", "nothing is installed"
    if found.version != step.to_version:
        return "drift", f"git asks for {step.to_version}"
    if step.release and found.release != step.release:
        return "drift", "same version, other bytes"
    if found.state != "healthy":
        return "drift", f"the release is {found.state}, its health is not proven"
    if found.configuration_digest != step.configuration_digest:
        return "drift", "settings changed"
    if step.action == "reconfigure":
        return "drift", step.reason
    if found.running:
        return "in sync", "receipt, link and process agree"
    return "in sync", "receipt and link agree"
