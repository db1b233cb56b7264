"""`orchestrator audit`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.options import write_json

if TYPE_CHECKING:
    from orchestrator.intent import Target


@click.command("audit")
@click.argument("environments", metavar="[ENV]...", nargs=-1)
@click.option("--json", "json_path", metavar="FILE", default="", help="The table for machines; - is stdout.")
@click.pass_obj
def command(directory: str, /, **options: Any) -> int:
    """Show the protection in force: rules, where they come from, keys, and what the branch's tip would meet.

    Branch protection of the git host is not known to git: the table says so, and names what to look at there.
    """
    from orchestrator import workflow
    from orchestrator.cli.tables import line, make_console, print_table
    from orchestrator.errors import OrchestratorError
    from orchestrator.intent import Target

    target = Target(directory=Path(directory))
    names = options["environments"] or _names(target, workflow.environments_of(target))
    found, rows, first = [], [], None
    console = make_console()
    for name in names:
        try:
            one = _audit(target, name)
        except OrchestratorError as error:
            first = first or error
            one = {"environment": name, "problem": error.brief, "rules": {}, "source": {}, "findings": []}
        found.append(one)
        rows.extend(_rows(one))
    if options["json_path"]:
        write_json(options["json_path"], {"format": 1, "environments": found})
    if options["json_path"] != "-":
        print_table(console, ("environment", "rule", "asks for", "tip", "why", "rules from"), rows, 4)
        line(
            console,
            "branch protection at the git host: unknown here; look at its settings (docs/security.md)",
            "dim",
        )
    if first is not None and options["environments"]:
        raise first
    return 0


def _names(target: Target, known: tuple[str, ...]) -> tuple[str, ...]:
    """The environments that the repository names, and those that it protects."""
    from orchestrator.edges.git import DeploymentRepository
    from orchestrator.intent import read_settings

    repository = DeploymentRepository(target.directory)
    settings = read_settings(repository, repository.resolve_ref("HEAD"))
    return tuple(sorted({*known, *settings.protection.rules}))


def _audit(target: Target, name: str) -> dict[str, Any]:
    from dataclasses import asdict, replace

    from orchestrator.edges.git import DeploymentRepository
    from orchestrator.intent import choose_revision
    from orchestrator.protection import POLICY_VARIABLE, Asked, judge_deployment

    repository = DeploymentRepository(target.directory)
    revision, _ = choose_revision(repository, replace(target, environment=name))
    asked = Asked(policy=os.environ.get(POLICY_VARIABLE, ""))
    judged = judge_deployment(repository, revision, name, asked)
    protection = judged.settings.protection
    return {
        "environment": name,
        "commit": revision.commit,
        "branch": revision.branch,
        "rules": {rule: text for rules in judged.rules.values() for rule, text in rules.in_force().items()},
        "source": {**asdict(judged.source), "text": str(judged.source)},
        "keys": {key: text.partition(" ")[0] for key, text in sorted(protection.keys.items())},
        "findings": [asdict(one) for one in judged.findings],
        "branch_protection": "unknown",
        "problem": judged.problem,
    }


def _rows(one: dict[str, Any]) -> list[tuple[str, ...]]:
    """One for each rule; one that says so where there is none."""
    name, source = one["environment"], one["source"].get("text", "")
    results = {finding["rule"]: finding for finding in one["findings"]}
    rows: list[tuple[str, ...]] = []
    for rule, asks in one["rules"].items():
        finding = results.get(rule)
        tip = "" if finding is None else "passed" if finding["passed"] else "refused"
        rows.append((name, rule, asks, tip, "" if finding is None else finding["why"], source))
    if not rows:
        rows.append(
            (name, "none", "", "", one["problem"] or "anybody who may push to its branch deploys", source)
        )
    return rows
