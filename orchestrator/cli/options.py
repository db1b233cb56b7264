"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def target_options(command: Command) -> Command:
    """`--branch`, `--environment`, `--ref`, `--worktree`: which documents, at which commit."""
    for option in (
        click.option("--worktree", is_flag=True, help="Read the files as they are, committed or not."),
        click.option("--ref", metavar="R", default="", help="A commit, tag or branch of this clone."),
        click.option("--environment", "-e", metavar="E", default="", help="An environment, at its branch."),
        click.option("--branch", "-b", metavar="B", default="", help="A branch; its tip at the remote."),
    ):
        command = option(command)
    return command


def make_target(
    directory: str, options: dict[str, Any], *, strict: bool = False, offline: bool = False
) -> Any:
    """The target that these options name.

    Raises:
        UsageError: two of them contradict each other.
    """
    from orchestrator.errors import UsageError
    from orchestrator.workflow import Target

    named = [name for name in ("branch", "ref", "worktree") if options[name]]
    if len(named) > 1 or (options["branch"] and options["environment"]):
        raise UsageError(
            "--branch, --ref and --worktree exclude each other, and --branch names its environment itself",
            resolution="keep one; --environment goes with --ref or --worktree",
        )
    return Target(
        directory=Path(directory),
        branch=options["branch"],
        environment=options["environment"],
        ref=options["ref"],
        worktree=options["worktree"],
        offline=offline,
        strict=strict,
    )


def write_json(path: str, document: dict[str, Any]) -> None:
    """The document is in that file, or on standard output for `-`."""
    import json

    text = json.dumps(document, indent=2, sort_keys=True, default=str) + "\n"
    if path == "-":
        # Some CIs obey `##[` in a line of their log; the value stays the same.
        click.echo(text.replace("##", "#\\u0023"), nl=False)
        return
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        from orchestrator.errors import UsageError

        raise UsageError(f"{path} cannot be written: {error.strerror}", resolution="correct --json") from None
