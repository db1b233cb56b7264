"""What the orchestrator wants of a forge: pull requests, one comment, statuses, deployments, approvals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from orchestrator.core.forge_report import CommitState, DeploymentState

Change = Literal["created", "updated", "unchanged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequest:
    """One pull (merge) request.

    Attributes:
        created: it was made just now; an open one was there otherwise, and says now what was asked for.
        notes: what could not be had with it (a reviewer who is not known there), one sentence each.
    """

    url: str
    number: int
    created: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PostedComment:
    """The plan's comment, and what was done to it; `unchanged`: nothing was sent."""

    url: str
    change: Change


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """Somebody approved just what was merged.

    Attributes:
        user: the account's name at the forge, as the forge vouches for it.
        number: of the pull request that was merged.
        branch: the branch that it was merged into.
        head: the commit that was approved, the last one of the pull request.
    """

    user: str
    number: int
    branch: str
    head: str


class Forge(Protocol):
    """One repository at one forge. Every method may raise ForgeError, and nothing else that is expected."""

    @property
    def label(self) -> str:
        """For messages, such as `GitLab (shop/deploy at gitlab.com)`."""
        ...

    def ensure_pull_request(
        self, *, source: str, target: str, title: str, body: str, reviewers: tuple[str, ...] = ()
    ) -> PullRequest:
        """One pull request from source to target is open, with that title, body and these reviewers.

        Args:
            body: Markdown.
            reviewers: names of accounts; at GitHub and Gitea a team is `organisation/team`.
        """
        ...

    def find_pull_request(self, *, source: str, target: str) -> int | None:
        """The number of the open pull request from source to target, both branches of this repository."""
        ...

    def plan_comment(self, number: int, markdown: str) -> PostedComment:
        """The pull request has one comment of ours with the first line of `markdown`, and it is `markdown`.

        Nothing is sent when it is that already. A comment of somebody else is never taken for ours.
        """
        ...

    def commit_status(
        self, commit: str, *, state: CommitState, context: str, description: str, url: str = ""
    ) -> None:
        """The commit has that status under `context`."""
        ...

    def deployment(
        self, commit: str, *, branch: str, environment: str, state: DeploymentState, url: str = ""
    ) -> str:
        """The forge's list of deployments says so; returns why not where it has none, else nothing.

        The first call of an environment and a commit makes the entry, later ones go on with it.
        """
        ...

    def approvals(self, commit: str) -> tuple[Approval, ...]:
        """Who approved the pull requests whose merge made that commit.

        Only approvals of the head that was merged, not of an older push; not by the author; not withdrawn; and
        only of accounts that may write to the repository.
        """
        ...

    def request_reviewers(self, number: int, reviewers: tuple[str, ...]) -> tuple[str, ...]:
        """These are asked for a review; who was asked already is not asked again. Returns notes, as PullRequest has."""
        ...
