"""What the orchestrator asks of a forge; without one, git does everything but this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequest:
    """An open pull request.

    Attributes:
        url: for people.
        is_new: it was opened just now; else it was open already and says now what was asked for.
        notes: what could not be done, such as a reviewer whom the forge does not know.
    """

    url: str
    is_new: bool
    notes: tuple[str, ...] = ()


class Forge(Protocol):
    """GitHub, GitLab, Gitea, ..., for one repository."""

    def ensure_pull_request(
        self, *, source: str, target: str, title: str, body: str, reviewers: tuple[str, ...]
    ) -> PullRequest:
        """There is one open pull request from branch to branch, with this text and these reviewers asked.

        Raises:
            OrchestratorError: the forge refuses it, or cannot be reached.
        """
