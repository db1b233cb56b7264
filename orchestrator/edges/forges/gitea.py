"""Gitea and Forgejo through pyforgejo, whose part of the API both have.

Sources: the API documents (`/swagger.v1.json`) of Gitea 1.26 and Forgejo 11: pulls, issue comments, commit statuses,
reviews. Neither has an API for deployments.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import httpx
from pyforgejo import PyforgejoApi

from orchestrator.core.forge_location import ForgeLocation
from orchestrator.core.forge_report import CommitState, DeploymentState
from orchestrator.core.forge_text import description_of, same_text, shorten, title_of
from orchestrator.edges.forges.protocol import (
    Approval,
    PostedComment,
    PullRequest,
)
from orchestrator.edges.forges.speaking import known_teams, post_once, speaking
from orchestrator.edges.forges.transport import USER_AGENT, ForgeAnswerError, Gate, GatedTransport

MAX_COMMENT = 65_536
PAGE, MAX_PAGES = 50, 200
ACTIONS_USERS = frozenset({"gitea-actions", "forgejo-actions"})
_DECIDING = ("APPROVED", "REQUEST_CHANGES")


class GiteaForge:
    """See `orchestrator.edges.forges.protocol.Forge`."""

    def __init__(self, location: ForgeLocation, token: str, gate: Gate) -> None:
        self._location = location
        self._owner, _, self._name = location.project.partition("/")
        client = httpx.Client(
            transport=GatedTransport(gate), headers={"User-Agent": USER_AGENT}, follow_redirects=False
        )
        weakref.finalize(self, client.close)
        self._api: Any = PyforgejoApi(base_url=location.api_url, api_key=token, httpx_client=client)

    @property
    def label(self) -> str:
        """See `Forge`."""
        return self._location.label

    def ensure_pull_request(
        self, *, source: str, target: str, title: str, body: str, reviewers: tuple[str, ...] = ()
    ) -> PullRequest:
        """See `Forge`."""
        title, body = title_of(title), shorten(body, MAX_COMMENT)
        with speaking(self._location, f"a pull request from {source} to {target}"):
            pull, created = self._find(source, target), False
            if pull is None:
                try:
                    pull = self._api.repository.repo_create_pull_request(
                        self._owner, self._name, base=target, head=source, title=title, body=body
                    )
                    created = True
                except ForgeAnswerError as error:
                    pull = self._find(source, target) if error.status == 409 else None
                    if pull is None:  # else another job was faster
                        raise
            if not created and not (pull.title == title and same_text(pull.body or "", body)):
                self._api.repository.repo_edit_pull_request(
                    self._owner, self._name, pull.number, title=title, body=body
                )
            notes = self._request(pull, reviewers)
            return PullRequest(url=pull.html_url, number=pull.number, created=created, notes=notes)

    def find_pull_request(self, *, source: str, target: str) -> int | None:
        """See `Forge`."""
        with speaking(self._location, f"look for the pull request from {source} to {target}"):
            pull = self._find(source, target)
            return None if pull is None else int(pull.number)

    def plan_comment(self, number: int, markdown: str) -> PostedComment:
        """See `Forge`."""
        with speaking(self._location, f"the plan's comment on pull request {number}"):
            issues, where = self._api.issue, (self._owner, self._name)
            names = self._own_names()
            return post_once(
                (one for one in issues.get_comments(*where, number) if one.user.login in names),
                shorten(markdown, MAX_COMMENT),
                body_of=lambda one: one.body or "",
                url_of=lambda one: str(one.html_url),
                create=lambda body: issues.create_comment(*where, number, body=body),
                edit=lambda one, body: issues.edit_comment(*where, one.id, body=body),
                remove=lambda one: issues.delete_comment(*where, one.id),
            )

    def commit_status(
        self, commit: str, *, state: CommitState, context: str, description: str, url: str = ""
    ) -> None:
        """See `Forge`."""
        with speaking(self._location, f"the status {context} of {commit[:10]}"):
            self._api.repository.repo_create_status(
                self._owner,
                self._name,
                commit,
                state=state,
                context=context,
                description=description_of(description),
                **({"target_url": url} if url else {}),
            )

    def deployment(
        self, commit: str, *, branch: str, environment: str, state: DeploymentState, url: str = ""
    ) -> str:
        """See `Forge`."""
        return "Gitea and Forgejo keep no list of deployments; the commit's status says it"

    def approvals(self, commit: str) -> tuple[Approval, ...]:
        """See `Forge`.

        `official` is the forge's word for a review of somebody who may write, or of those alone whom the branch's
        protection lists; only an administrator's token could ask for permissions.
        """
        with speaking(self._location, f"who approved {commit[:10]}"):
            try:
                pull = self._api.repository.repo_get_commit_pull_request(self._owner, self._name, commit)
            except ForgeAnswerError as error:
                if error.status != 404:
                    raise
                return ()
            if not pull.merged or pull.merge_commit_sha != commit:
                return ()
            return tuple(self._approvals_of(pull))

    def request_reviewers(self, number: int, reviewers: tuple[str, ...]) -> tuple[str, ...]:
        """See `Forge`."""
        with speaking(self._location, f"reviewers of pull request {number}"):
            pull = self._api.repository.repo_get_pull_request(self._owner, self._name, number)
            return self._request(pull, reviewers)

    def _find(self, source: str, target: str) -> Any:
        def page(number: int) -> list[Any]:
            pulls: list[Any] = self._api.repository.repo_list_pull_requests(
                self._owner, self._name, state="open", page=number, limit=PAGE
            )
            return pulls

        for pull in _pages(page):
            own = pull.head.repo_id is not None and pull.head.repo_id == pull.base.repo_id
            if own and pull.head.ref == source and pull.base.ref == target:
                return pull
        return None

    def _request(self, pull: Any, reviewers: tuple[str, ...]) -> tuple[str, ...]:
        there = {one.login.lower() for one in pull.requested_reviewers or ()}
        there |= {one.name.lower() for one in pull.requested_reviewers_teams or ()}
        notes = []
        for name in reviewers:
            accounts, teams = known_teams([name])
            if {one.lower() for one in (*accounts, *teams)} <= there:
                continue
            try:
                self._api.repository.repo_create_pull_review_requests(
                    self._owner, self._name, pull.number, reviewers=accounts, team_reviewers=teams
                )
            except ForgeAnswerError as error:
                if error.status not in (404, 422):
                    raise
                notes.append(
                    f"{name} cannot be asked for a review: {'; '.join(error.details) or error.brief}"
                )
        return tuple(notes)

    def _approvals_of(self, pull: Any) -> Iterator[Approval]:
        def page(number: int) -> list[Any]:
            reviews: list[Any] = self._api.repository.repo_list_pull_reviews(
                self._owner, self._name, pull.number, page=number, limit=PAGE
            )
            return reviews

        latest: dict[str, Any] = {}
        for review in _pages(page):  # in the order in which they were made
            if review.user is not None and review.state in _DECIDING:
                latest[review.user.login] = review
        for login, review in latest.items():
            is_current = review.state == "APPROVED" and not review.stale and not review.dismissed
            is_current = is_current and review.commit_id == pull.head.sha
            if is_current and login != pull.user.login and review.official:
                yield Approval(user=login, number=pull.number, branch=pull.base.ref, head=pull.head.sha)

    def _own_names(self) -> frozenset[str]:
        """Ours; a job's own token has no user that could be asked for."""
        with contextlib.suppress(ForgeAnswerError):
            return frozenset({str(self._api.user.get_current().login)})
        return ACTIONS_USERS


def _pages(page: Callable[[int], list[Any]]) -> Iterator[Any]:
    """What is on all pages; a forge may give fewer than were asked for, so only an empty page is the last."""
    for number in range(1, MAX_PAGES + 1):
        found = page(number)
        yield from found
        if not found:
            return
