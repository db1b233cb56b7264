"""`orchestrator plan --comment`: the plan as the one comment on its pull request."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.errors import ForgeError, OrchestratorError, UsageError

if TYPE_CHECKING:
    from orchestrator.core.pull_request import Review
    from orchestrator.edges.forges import Forge

FIND = "find"


def check_comment(options: dict[str, Any]) -> None:
    """Whether a comment can be asked for together with these options.

    Raises:
        UsageError: it cannot.
    """
    if options["comment"] not in ("", FIND) and not options["comment"].isdecimal():
        raise UsageError(
            f"--comment takes the pull request's number, not {options['comment']!r}",
            resolution="leave it out in a CI job of that pull request, or when its branches tell which one it is",
        )
    for name in ("offline", "applications", "limits"):
        if options["comment"] and options[name]:
            option = f"--{name.removesuffix('s')}" if options[name] is not True else f"--{name}"
            raise UsageError(
                f"--comment and {option} exclude each other: the comment is the whole plan",
                resolution="leave out one of them",
            )


def post_comment(directory: str, options: dict[str, Any], review: Review) -> None:
    """The comment says what `review` says; where it is, is said on standard error.

    When the pull request has a problem of its own, that is what the command ends with; and a job of a fork's pull
    request, whose token may not comment, does not fail for that.

    Raises:
        ForgeError, CredentialsError: it could not be posted.
    """
    from orchestrator.core.markdown import render_review
    from orchestrator.edges.ci import is_of_a_fork
    from orchestrator.edges.forges import require_forge
    from orchestrator.edges.git import DeploymentRepository

    try:
        forge = require_forge(DeploymentRepository(Path(directory)), review.settings)
        posted = forge.plan_comment(_number(forge, options, review), render_review(review))
    except OrchestratorError as error:
        if not review.problem and not (isinstance(error, ForgeError) and is_of_a_fork(os.environ)):
            raise
        click.echo(f"warning: the plan could not be posted: {error.brief}", err=True)
    else:
        click.echo(f"comment {posted.change}: {posted.url}", err=True)


def _number(forge: Forge, options: dict[str, Any], review: Review) -> int:
    from orchestrator.edges.ci import pull_request_of

    if options["comment"] != FIND:
        return int(options["comment"])
    number = pull_request_of(os.environ)
    if number is None and review.branch and options["head"]:
        number = forge.find_pull_request(
            source=options["head"].removeprefix("refs/heads/"), target=review.branch
        )
    if number is None:
        raise ForgeError(
            f"no open pull request at {forge.label} is known to be this one",
            resolution="say which one: --comment NUMBER",
        )
    return number
