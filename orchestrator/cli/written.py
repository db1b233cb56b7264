"""What `set` and `promote` say at their end: pushed, handed over, or only shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.edges.branch_documents import Means, Written


def means_of(options: dict[str, Any]) -> Means:
    """What is to be done with the change.

    Args:
        options: `push`, `pr`, `reviewers` and `json_path`.

    Raises:
        UsageError: they contradict each other, or the result cannot be written where it is to be.
    """
    from orchestrator.cli.reports import check_reports
    from orchestrator.errors import UsageError

    check_reports(options)
    if options["push"] and options["pr"]:
        raise UsageError("--push and --pr exclude each other", resolution="keep one")
    if options["reviewers"] and not options["pr"]:
        raise UsageError("--reviewer is for a pull request", resolution="add --pr, or leave it out")
    return "push" if options["push"] else "pull request" if options["pr"] else "show"


def conclude(written: Written, *, is_change: bool, title: str, body: str, options: dict[str, Any]) -> str:
    """What became of it is said; returns the pull request's address, or nothing.

    Args:
        options: `push`, `pr`, `reviewers` and `json_path`.
    """
    from orchestrator.edges.lock_branch import short

    quiet = options["json_path"] == "-"
    target = short(written.tree.ref)

    def say(text: str) -> None:
        click.echo(text, err=quiet)

    if not is_change:
        say(f"nothing to do: {target} has all of it")
        return ""
    if not written.branch:
        say("nothing is written: --push commits it there, --pr opens a pull request")
        return ""
    if not options["pr"]:
        say(f"pushed {written.commit[:10]} to {target} of {written.tree.repository.shown}")
        return ""
    state = "pushed to" if written.is_new else "is there already on"
    say(f"{written.commit[:10]} {state} {written.branch} of {written.tree.repository.shown}")
    return _open(written, target, title=title, body=body, reviewers=tuple(options["reviewers"]), say=say)


def _open(
    written: Written, target: str, *, title: str, body: str, reviewers: tuple[str, ...], say: Any
) -> str:
    from orchestrator.changes import hand_over

    request = hand_over(
        written.tree.repository.shown,
        written.tree.settings(),
        source=written.branch,
        target=target,
        title=title,
        body=body,
        reviewers=reviewers,
    )
    if request is None:
        say(f"no forge is set up: open a pull request from {written.branch} into {target} there, by hand")
        if reviewers:
            say(f"  and ask for a review by {', '.join(reviewers)}")
        return ""
    for note in request.notes:
        say(f"note: {note}")
    say(f"pull request {'opened' if request.created else 'updated'}: {request.url}")
    return request.url


def show_diff(console: Console, before: str, after: str) -> None:
    """The lines that differ; what a reader would not see is a dot."""
    from difflib import unified_diff

    from orchestrator.cli.tables import line
    from orchestrator.core.hidden_text import HIDDEN

    for text in list(unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=1))[3:]:
        if text.startswith("@@"):
            line(console, "  …", "dim")
            continue
        style = "green" if text.startswith("+") else "red" if text.startswith("-") else "dim"
        line(console, f"  {HIDDEN.sub('·', text)}", style)
