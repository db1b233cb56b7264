"""`orchestrator plan`."""

from __future__ import annotations

from typing import Any

import click

from orchestrator.cli.options import make_target, target_options, write_json
from orchestrator.errors import OrchestratorError

CHANGES = 2


@click.command("plan")
@target_options
@click.option("--offline", is_flag=True, help="Ask no remote, no repository and no host.")
@click.option("--verify", is_flag=True, help="Hosts read every file of the live release again.")
@click.option(
    "--application", "-a", "applications", multiple=True, metavar="A", help="Only this application."
)
@click.option("--limit", "-l", "limits", multiple=True, metavar="HOST|REGION", help="Only these hosts.")
@click.option("--json", "json_path", metavar="FILE", default="", help="The plan for machines; - is stdout.")
@click.option("--detailed-exitcode", is_flag=True, help="0: nothing to do, 1: error, 2: changes.")
@click.pass_obj
def command(directory: str, /, **options: Any) -> int:
    """Show what a deployment would do: application × host, from → to, and why."""
    try:
        return _plan(directory, options)
    except OrchestratorError as error:
        if not options["detailed_exitcode"]:
            raise
        from orchestrator.cli.main import render_error

        render_error(error)
        return 1


def _plan(directory: str, options: dict[str, Any]) -> int:
    from orchestrator import workflow
    from orchestrator.cli.progress import Progress
    from orchestrator.cli.tables import print_plan
    from orchestrator.core.plan import plan_document

    offline = options["offline"]
    intent = workflow.read_intent(make_target(directory, options, offline=offline))
    selected = workflow.select(intent, options["applications"], options["limits"])
    artifacts = workflow.resolve(intent, offline=offline)
    observed = {}
    if not offline:
        names = {placement.host.name for placement in selected.placements}
        hosts = tuple(host for host in intent.desired.hosts if host.name in names)
        with workflow.open_workspace(intent) as workspace, Progress(sorted(names), quiet=True) as progress:
            observed = workflow.observe(
                intent, workspace, hosts, verify=options["verify"], on_report=progress
            )
    plan = workflow.compile_intent(intent, artifacts, observed, selected)
    if options["json_path"]:
        write_json(options["json_path"], plan_document(plan))
    if options["json_path"] != "-":
        title = f"Plan for {plan.identity.environment} at {intent.revision.label}"
        title += f", manifest {plan.manifest_version}"
        print_plan(plan, title=title, notes=filter(None, [intent.revision.note]))
    changes = bool(plan.changes or plan.unknown_hosts)
    return CHANGES if options["detailed_exitcode"] and changes else 0
