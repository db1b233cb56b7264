"""`orchestrator set`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.options import write_json

if TYPE_CHECKING:
    from orchestrator.set_versions import SetResult


@click.command("set")
@click.argument("versions", metavar="APP=VERSION...", nargs=-1, required=True)
@click.option("--branch", "-b", metavar="B", required=True, help="The branch whose manifest it is.")
@click.option("--push", is_flag=True, help="Commit it on top of the branch, and push.")
@click.option("--pr", is_flag=True, help="Push a branch of its own, and open a pull request or update it.")
@click.option(
    "--reviewer", "reviewers", multiple=True, metavar="R", help="With --pr: who is asked to review."
)
@click.option("--no-pin", is_flag=True, help="Write no SHA-256 of the artifact.")
@click.option("--manifest-version", metavar="V", default="", help="The manifest's version [the next one].")
@click.option("--source-commit", metavar="C", default="", help="For the commit's message [the CI job's].")
@click.option("--build-url", metavar="URL", default="", help="For the commit's message [the CI job's].")
@click.option("--json", "json_path", metavar="FILE", default="", help="The result for machines; - is stdout.")
@click.pass_obj
def command(directory: str, /, **options: Any) -> int:
    """Set versions in a branch's manifest.json, as a build does that has published them.

    Each artifact has to be in its repository. Only the lines that change are written. Somebody who pushes at the same
    time is built upon, never overwritten. Without --push and --pr it is only shown.
    """
    import os

    from orchestrator.cli.written import means_of
    from orchestrator.edges.ci import detect_ci
    from orchestrator.errors import UsageError
    from orchestrator.set_versions import SetOrder, set_in_branch

    means = means_of(options)
    versions: dict[str, str] = {}
    for text in options["versions"]:
        name, separator, version = text.partition("=")
        if not separator or not name or not version:
            raise UsageError(
                f"{text!r} says no version of an application",
                resolution="write APP=VERSION, such as shop=2.0.1",
            )
        if versions.setdefault(name, version) != version:
            raise UsageError(f"{name} is to have two versions", resolution="keep one of them")
    ci = detect_ci(os.environ)
    result = set_in_branch(
        SetOrder(
            directory=Path(directory),
            branch=options["branch"].removeprefix("refs/heads/"),
            versions=versions,
            means=means,
            pin=not options["no_pin"],
            manifest_version=options["manifest_version"],
            trailers={
                "Source-Commit": options["source_commit"] or ci.commit,
                "Build-URL": options["build_url"] or ci.url,
            },
        )
    )
    return _conclude(result, options)


def _conclude(result: SetResult, options: dict[str, Any]) -> int:
    from dataclasses import asdict

    from orchestrator.cli.written import conclude
    from orchestrator.edges.lock_branch import short

    quiet = options["json_path"] == "-"
    branch = short(result.written.tree.ref)
    if not quiet:
        show_set(result, branch, diff=not (options["push"] or options["pr"]))
    url = conclude(
        result.written,
        is_change=result.is_change,
        title=result.title,
        body="\n".join(f"- {row.application}: {row.from_version} → {row.to_version}" for row in result.rows),
        options=options,
    )
    if options["json_path"]:
        write_json(
            options["json_path"],
            {
                "format": 1,
                "branch": branch,
                "changed": result.is_change,
                "applications": [asdict(row) for row in result.rows],
                "from_version": result.from_version,
                "manifest_version": result.to_version,
                "commit": result.written.commit,
                "pushed_to": result.written.branch,
                "pull_request": url,
            },
        )
    return 0


def show_set(result: SetResult, branch: str, *, diff: bool) -> None:
    """The table, and what differs in the manifest."""
    from orchestrator.cli.tables import line, make_console, print_table
    from orchestrator.cli.written import show_diff

    console = make_console()
    line(console, f"Set in {branch}, manifest {result.from_version} → {result.to_version}", "bold")
    rows = [
        (row.application, row.from_version, row.to_version, row.sha256[:12] or "-", row.why)
        for row in result.rows
    ]
    print_table(console, ("application", "from", "to", "sha256", "why"), rows, 4)
    if diff:
        show_diff(console, result.before, result.after)
