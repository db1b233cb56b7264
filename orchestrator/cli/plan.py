"""`orchestrator plan`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from orchestrator.cli.options import make_target, target_options, write_json
from orchestrator.errors import OrchestratorError

CHANGES = 2
SHOWN_KEYS = 20


@click.command("plan")
@target_options
@click.option(
    "--base", metavar="TARGET", default="", help="Plan a pull request: what merging into this does."
)
@click.option("--head", metavar="SOURCE", default="", help="With --base: what is merged.  [default: HEAD]")
@click.option("--from-ledger", is_flag=True, help="Ask no host: the ledger says what is live.")
@click.option(
    "--format",
    "output",
    type=click.Choice(["text", "markdown"]),
    default="text",
    help="markdown: a comment for the pull request.",
)
@click.option(
    "--comment",
    is_flag=False,
    flag_value="find",
    metavar="[NUMBER]",
    default="",
    help="With --base: post the plan as the one comment of its pull request, or update it.",
)
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
        return _plan_pull_request(directory, options) if options["base"] else _plan_branch(directory, options)
    except OrchestratorError as error:
        if not options["detailed_exitcode"]:
            raise
        from orchestrator.cli.main import render_error

        render_error(error)
        return 1


def _plan_branch(directory: str, options: dict[str, Any]) -> int:
    from orchestrator import workflow
    from orchestrator.cli.progress import Progress
    from orchestrator.cli.tables import print_plan
    from orchestrator.core.plan import plan_document
    from orchestrator.errors import UsageError
    from orchestrator.promotion_gate import look_at_gate
    from orchestrator.protection import judge_plan_of

    for name in ("head", "from_ledger", "comment", "output"):
        if options[name] not in ("", False, "text"):
            option = "--format markdown" if name == "output" else f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} is for a pull request", resolution="name its target with --base")
    offline = options["offline"]
    intent = workflow.read_intent(make_target(directory, options, offline=offline))
    selected = workflow.select(intent, options["applications"], options["limits"])
    artifacts = workflow.resolve(intent, offline=offline)
    observed = {}
    if not offline:
        hosts = workflow.hosts_to_ask(intent, selected, options["limits"])
        names = [host.name for host in hosts]
        with workflow.open_workspace(intent) as workspace, Progress(names, quiet=True) as progress:
            observed = workflow.observe(
                intent,
                workspace,
                hosts,
                balancers=workflow.balancers_of(intent, selected, hosts),
                verify=options["verify"],
                on_report=progress,
            )
    fingerprints = {} if offline else workflow.fingerprints_of(intent)
    plan = workflow.compile_intent(
        intent, artifacts, observed, selected, options["applications"], fingerprints=fingerprints
    )
    trusted, protected = (None, ()) if offline else judge_plan_of(intent)
    gate, said = (None, ()) if offline else look_at_gate(intent, plan, trusted=trusted)
    if options["json_path"]:
        write_json(options["json_path"], {**plan_document(plan), "blocked": gate.blocked if gate else ()})
    if options["json_path"] != "-":
        title = f"Plan for {plan.identity.environment} at {intent.revision.label}"
        title += f", manifest {plan.manifest_version}"
        notes = [intent.revision.note, workflow.closed_now(intent.desired), *said, *protected]
        print_plan(plan, title=title, notes=filter(None, notes))
    changes = bool(plan.changes or plan.unknown_hosts)
    return CHANGES if options["detailed_exitcode"] and changes else 0


def _plan_pull_request(directory: str, options: dict[str, Any]) -> int:
    from orchestrator.cli.plan_comment import check_comment, post_comment
    from orchestrator.cli.tables import print_plan
    from orchestrator.core.markdown import render_review
    from orchestrator.core.plan import plan_document
    from orchestrator.core.pull_request import review_document
    from orchestrator.pull_request import Asked, review_pull_request

    _refuse_other_targets(options)
    check_comment(options)
    review = review_pull_request(
        Asked(
            directory=Path(directory),
            base=options["base"],
            head=options["head"] or "HEAD",
            environment=options["environment"],
            applications=options["applications"],
            limits=options["limits"],
            offline=options["offline"],
            verify=options["verify"],
            from_ledger=options["from_ledger"],
        )
    )
    plan = review.plan
    if options["json_path"] and plan:
        write_json(options["json_path"], {**plan_document(plan), "pull_request": review_document(review)})
    if options["output"] == "markdown" and options["json_path"] != "-":
        click.echo(render_review(review), nl=False)
    elif plan and options["json_path"] != "-":
        title = f"Plan for {review.environment}: {review.head} merged into {review.base}"
        title += f", manifest {review.from_version or 'none'} → {plan.manifest_version}"
        keys = [f"environment JSON: {key}" for key in review.keys[:SHOWN_KEYS]]
        lookups = [f"{name}: {reason}" for name, reason in review.lookups.items()]
        unasked = [f"{name}: {reason}" for name, reason in review.unasked.items()]
        print_plan(
            plan,
            title=title,
            notes=[*filter(None, [review.window]), *review.notes, *keys, *lookups, *unasked],
        )
    elif options["json_path"] != "-":
        for note in review.notes:
            click.echo(f"note: {note}")
    if options["comment"]:
        post_comment(directory, options, review)
    if review.problem:
        raise review.problem
    changes = bool(plan and (plan.changes or plan.unknown_hosts))
    return CHANGES if options["detailed_exitcode"] and changes else 0


def _refuse_other_targets(options: dict[str, Any]) -> None:
    from orchestrator.errors import UsageError

    for name in ("branch", "ref", "worktree"):
        if options[name]:
            raise UsageError(
                f"--base and --{name} exclude each other",
                resolution="keep one; a pull request is --base TARGET and --head SOURCE",
            )
    if options["offline"] and options["from_ledger"]:
        raise UsageError(
            "--offline and --from-ledger exclude each other: the ledger is at the remote",
            resolution="keep one",
        )
