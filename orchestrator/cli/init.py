"""`orchestrator init`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.edges.scaffold import ExistingRepository


@click.command("init")
@click.argument("directory", metavar="[DIR]", default="", required=False)
@click.option("--name", metavar="NAME", default="", help="The repository's name [the directory's].")
@click.option(
    "--environments",
    metavar="A,B,…",
    default="dev,staging,production",
    show_default=True,
    help="In the order of promotion; each gets a branch of its name.",
)
@click.option("--application", metavar="NAME", default="my-website", show_default=True)
@click.option(
    "--forge", type=click.Choice(["github", "gitlab", "jenkins", "all"]), default="all", show_default=True
)
@click.option("--form", type=click.Choice(["full", "simple"]), default="full", show_default=True)
@click.option("--force", is_flag=True, help="Replace files that are there; they are listed.")
@click.pass_obj
def command(parent: str, /, **options: Any) -> int:
    """Write a deployment repository: documents, settings, CI files, code owners, a README, branches."""
    from orchestrator import __version__
    from orchestrator.core.scaffold import (
        EXECUTABLES,
        FORGES,
        Scaffold,
        render_scaffold,
        scaffold_problem,
    )
    from orchestrator.edges.scaffold import create_repository, find_repository, read_templates, write_files
    from orchestrator.errors import UsageError

    directory = Path(parent, options["directory"]).resolve()
    scaffold = Scaffold(
        name=options["name"] or _name_of(directory),
        application=options["application"],
        environments=tuple(filter(None, (name.strip() for name in options["environments"].split(",")))),
        forges=FORGES if options["forge"] == "all" else (options["forge"],),
        form=options["form"],
        version=__version__,
    )
    if problem := scaffold_problem(scaffold):
        raise UsageError(problem, resolution="see `orchestrator init --help`")
    files = render_scaffold(scaffold, read_templates())
    existing = find_repository(directory)
    if (
        existing is not None
        and not options["force"]
        and _is_complete(directory, files, existing, scaffold.environments)
    ):
        click.echo(f"{directory} is a deployment repository already: nothing was written.")
        click.echo(
            f"\nNext: `{_plan(directory, scaffold.environments[0])}`; --force writes these files anew."
        )
        return 0
    replaced = write_files(directory, files, executables=EXECUTABLES, force=options["force"])
    for path in files:
        click.echo(f"{'replaced' if path in replaced else 'wrote':9}{path}")
    branches = scaffold.environments
    existing = find_repository(directory)
    if existing is None:
        author = create_repository(directory, tuple(files), branches)
        click.echo(f"\nA git repository with the branches {', '.join(branches)}; committed as {author}.")
    else:
        _say_commands(directory, files, existing, branches)
    click.echo(
        f"\nNext: README.md says it step by step, and `{_plan(directory, branches[0])}` works already."
    )
    return 0


def _is_complete(
    directory: Path, files: Iterable[str], existing: ExistingRepository, branches: tuple[str, ...]
) -> bool:
    """Whether there is nothing that `init` would add."""
    return {*branches} <= {*existing.branches} and all((directory / path).is_file() for path in files)


def _say_commands(
    directory: Path, files: Iterable[str], existing: ExistingRepository, branches: tuple[str, ...]
) -> None:
    git = f"  git -C {_quote(str(directory))}"
    click.echo(
        "\nThis is a git repository already, so nothing was committed. To commit, and create the branches:\n"
    )
    click.echo(f"{git} add -- {' '.join(files)}")
    click.echo(f"{git} commit -m 'Set up the deployment repository'")
    for branch in branches:
        if branch not in existing.branches:
            click.echo(f"{git} branch {branch}")
    there = [branch for branch in branches if branch in existing.branches]
    if there:
        click.echo(f"\nThere already: {', '.join(there)}. Merge that commit where it is missing.")
    if directory != existing.top:
        stack = directory.relative_to(existing.top).as_posix()
        click.echo(f"\nCI reads its files at {existing.top} only: move them there, and write", nl=False)
        click.echo(f" `orchestrator -C {_quote(stack)}` in them.")


def _name_of(directory: Path) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+|\.git$", "-", directory.name).strip("-._")[:64] or "deployment"


def _plan(directory: Path, environment: str) -> str:
    place = "" if directory == Path.cwd() else f" -C {_quote(str(directory))}"
    return f"orchestrator{place} plan --offline --environment {environment}"


def _quote(text: str) -> str:
    import shlex

    return shlex.quote(text)
