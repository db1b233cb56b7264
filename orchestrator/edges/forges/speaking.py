"""What the forges share: libraries imported when they are needed, their surprises told as one kind of error."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from orchestrator.core.forge_location import ForgeLocation
from orchestrator.core.forge_text import same_text
from orchestrator.edges.forges.protocol import PostedComment
from orchestrator.errors import ForgeError, OrchestratorError

INSTALL = 'pip install "gitops-orchestrator[forges]"'
T = TypeVar("T")


def library(load: Callable[[], T], package: str) -> T:
    """What `load` imports.

    Raises:
        ForgeError: it is not installed; the message has the command.
    """
    try:
        return load()
    except ImportError:
        raise ForgeError(
            f"{package}, with which this forge is spoken to, is not installed", resolution=INSTALL
        ) from None


@contextlib.contextmanager
def speaking(location: ForgeLocation, what: str) -> Iterator[None]:
    """Whatever goes wrong in here is an OrchestratorError that says what was being done.

    A library that finds other values in an answer than the forge's documentation promises may raise anything.
    """
    try:
        yield
    except OrchestratorError as error:
        error.details = (f"while this was to be done: {what}", *error.details)
        raise
    except Exception as error:
        raise ForgeError(
            f"{location.label} answers other than it should ({type(error).__name__})",
            details=(f"while this was to be done: {what}",),
            resolution=f"check that its API is at {location.api_url}, and that `type` in [forge] is right",
        ) from None


def post_once(
    comments: Iterable[T],
    markdown: str,
    *,
    body_of: Callable[[T], str],
    url_of: Callable[[T], str],
    create: Callable[[str], T],
    edit: Callable[[T, str], None],
    remove: Callable[[T], None],
) -> PostedComment:
    """One of our comments is `markdown`: see `Forge.plan_comment`.

    Two jobs at once may have made two; the first stays.

    Args:
        comments: ours, oldest first.
    """
    marker = markdown.split("\n", 1)[0].rstrip()
    found = [one for one in comments if body_of(one).split("\n", 1)[0].rstrip() == marker]
    for surplus in found[1:]:
        remove(surplus)
    if not found:
        return PostedComment(url=url_of(create(markdown)), change="created")
    if same_text(body_of(found[0]), markdown):
        return PostedComment(url=url_of(found[0]), change="unchanged")
    edit(found[0], markdown)
    return PostedComment(url=url_of(found[0]), change="updated")


def known_teams(reviewers: Iterable[str]) -> tuple[list[str], list[str]]:
    """Accounts, and the teams (`organisation/team`) without their organisation."""
    accounts = [one for one in reviewers if "/" not in one]
    return accounts, [one.partition("/")[2] for one in reviewers if "/" in one]
