"""GitHub (github.com and Enterprise Server) through PyGithub.

Sources: GitHub REST API 2022-11-28: pulls, issue comments, commit statuses, deployments, reviews, collaborators.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import github
import requests
from github.GithubObject import NotSet
from github.IssueComment import IssueComment
from github.PullRequest import PullRequest as GithubPull
from github.Repository import Repository
from github.Requester import Requester, RequestsResponse

from orchestrator.core.forge_location import ForgeLocation
from orchestrator.core.forge_report import CommitState, DeploymentState
from orchestrator.core.forge_text import description_of, same_text, shorten, title_of
from orchestrator.edges.forges.protocol import (
    Approval,
    PostedComment,
    PullRequest,
)
from orchestrator.edges.forges.speaking import known_teams, post_once, speaking
from orchestrator.edges.forges.transport import USER_AGENT, ForgeAnswerError, Gate, GatedSession

MAX_COMMENT = 65_536
ACTIONS_BOT = "github-actions[bot]"
_DECIDING = ("APPROVED", "CHANGES_REQUESTED", "DISMISSED")
_WRITERS = ("admin", "write")
_DEPLOYMENT_STATES = {
    "in_progress": "in_progress",
    "success": "success",
    "failure": "failure",
    "cancelled": "error",
}


class GithubForge:
    """See `orchestrator.edges.forges.protocol.Forge`."""

    def __init__(self, location: ForgeLocation, token: str, gate: Gate) -> None:
        self._location = location
        self._client = _client(location, token, gate)
        self._deployments: dict[tuple[str, str], Any] = {}
        self._repository: Repository = self._client.get_repo(location.project)

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
                    pull = self._repository.create_pull(base=target, head=source, title=title, body=body)
                    created = True
                except ForgeAnswerError as error:
                    pull = self._find(source, target) if error.status == 422 else None
                    if pull is None:  # else another job was faster
                        raise
            if not created and not (pull.title == title and same_text(pull.body or "", body)):
                pull.edit(title=title, body=body)
            notes = self._request(pull, reviewers)
            return PullRequest(url=pull.html_url, number=pull.number, created=created, notes=notes)

    def find_pull_request(self, *, source: str, target: str) -> int | None:
        """See `Forge`."""
        with speaking(self._location, f"look for the pull request from {source} to {target}"):
            pull = self._find(source, target)
            return None if pull is None else pull.number

    def plan_comment(self, number: int, markdown: str) -> PostedComment:
        """See `Forge`."""
        with speaking(self._location, f"the plan's comment on pull request {number}"):
            issue = self._repository.get_issue(number)
            names = self._own_names()
            return post_once(
                (one for one in issue.get_comments() if one.user.login in names),
                shorten(markdown, MAX_COMMENT),
                body_of=lambda one: one.body or "",
                url_of=lambda one: one.html_url,
                create=issue.create_comment,
                edit=IssueComment.edit,
                remove=IssueComment.delete,
            )

    def commit_status(
        self, commit: str, *, state: CommitState, context: str, description: str, url: str = ""
    ) -> None:
        """See `Forge`."""
        with speaking(self._location, f"the status {context} of {commit[:10]}"):
            self._repository.get_commit(commit).create_status(
                state=state,
                description=description_of(description),
                context=context,
                target_url=url or NotSet,
            )

    def deployment(
        self, commit: str, *, branch: str, environment: str, state: DeploymentState, url: str = ""
    ) -> str:
        """See `Forge`. A job that names an `environment:` has an entry already, made by GitHub Actions itself."""
        with speaking(self._location, f"the deployment of {commit[:10]} to {environment}"):
            key = (commit, environment)
            if key not in self._deployments:
                for one in self._repository.get_deployments(sha=commit, environment=environment):
                    if one.creator is not None and one.creator.login == ACTIONS_BOT and one.task == "deploy":
                        self._deployments[key] = None
                        break
                else:
                    self._deployments[key] = self._repository.create_deployment(
                        ref=commit, environment=environment, auto_merge=False, required_contexts=[]
                    )
            entry = self._deployments[key]
            if entry is None:
                return "GitHub Actions made an entry for it itself"
            entry.create_status(
                state=_DEPLOYMENT_STATES[state], target_url=url or NotSet, environment=environment
            )
            return ""

    def approvals(self, commit: str) -> tuple[Approval, ...]:
        """See `Forge`."""
        with speaking(self._location, f"who approved {commit[:10]}"):
            found: list[Approval] = []
            for pull in self._repository.get_commit(commit).get_pulls():
                if pull.merged_at is not None and pull.merge_commit_sha == commit:
                    found += self._approvals_of(pull)
            return tuple(found)

    def request_reviewers(self, number: int, reviewers: tuple[str, ...]) -> tuple[str, ...]:
        """See `Forge`."""
        with speaking(self._location, f"reviewers of pull request {number}"):
            return self._request(self._repository.get_pull(number), reviewers)

    def _find(self, source: str, target: str) -> GithubPull | None:
        owner = self._location.project.partition("/")[0]
        for pull in self._repository.get_pulls(state="open", head=f"{owner}:{source}", base=target):
            # A filter that is not understood lists everything.
            own = (
                pull.head.repo is not None
                and pull.head.repo.full_name.lower() == self._location.project.lower()
            )
            if own and pull.head.ref == source and pull.base.ref == target:
                return pull
        return None

    def _request(self, pull: GithubPull, reviewers: tuple[str, ...]) -> tuple[str, ...]:
        there = {one.login.lower() for one in pull.requested_reviewers}
        there |= {one.slug.lower() for one in pull.requested_teams}
        notes = []
        for name in reviewers:
            accounts, teams = known_teams([name])
            if {one.lower() for one in (*accounts, *teams)} <= there:
                continue
            try:
                pull.create_review_request(reviewers=accounts, team_reviewers=teams)
            except ForgeAnswerError as error:
                if error.status not in (404, 422):
                    raise
                notes.append(
                    f"{name} cannot be asked for a review: {'; '.join(error.details) or error.brief}"
                )
        return tuple(notes)

    def _approvals_of(self, pull: GithubPull) -> Iterator[Approval]:
        latest: dict[str, Any] = {}
        for review in pull.get_reviews():  # in the order in which they were made
            if review.user is not None and review.state in _DECIDING:
                latest[review.user.login] = review
        for login, review in latest.items():
            is_current = review.state == "APPROVED" and review.commit_id == pull.head.sha
            if is_current and login != pull.user.login and self._may_write(login):
                yield Approval(user=login, number=pull.number, branch=pull.base.ref, head=pull.head.sha)

    def _may_write(self, login: str) -> bool:
        try:
            return self._repository.get_collaborator_permission(login) in _WRITERS
        except ForgeAnswerError as error:
            if error.status == 404:
                return False
            raise

    def _own_names(self) -> frozenset[str]:
        """Ours; a job's own token may not ask `/user`, and says it by GraphQL."""
        with contextlib.suppress(ForgeAnswerError):
            return frozenset({self._client.get_user().login})
        try:
            _, answer = self._client.requester.graphql_query("query { viewer { login } }", {})
            return frozenset({str(answer["data"]["viewer"]["login"])})
        except (ForgeAnswerError, github.GithubException):
            return frozenset({ACTIONS_BOT})


class _Connection:
    """What PyGithub takes for a connection: requests go through our session."""

    def __init__(
        self, session: requests.Session, scheme: str, host: str, port: int | None = None, **_: object
    ) -> None:
        self._session, self.host = session, host
        self._base = f"{scheme}://{host}" if port is None else f"{scheme}://{host}:{port}"
        self._asked: tuple[str, str, Any, dict[str, str]] = ("", "", None, {})

    def request(
        self, verb: str, url: str, content: Any, headers: dict[str, str], stream: bool = False
    ) -> None:
        """Keeps it until the answer is wanted."""
        self._asked = (verb, url, content, headers)

    def getresponse(self) -> RequestsResponse:
        """The answer."""
        verb, url, content, headers = self._asked
        return RequestsResponse(self._session.request(verb, self._base + url, data=content, headers=headers))

    def close(self) -> None:
        """The session stays open."""


def _client(location: ForgeLocation, token: str, gate: Gate) -> github.Github:
    session = GatedSession(gate)
    session.auth = Requester.noopAuth  # or requests would take a password from ~/.netrc

    http: Any = partial(_Connection, session, "http")
    https: Any = partial(_Connection, session, "https")
    Requester.injectConnectionClasses(http, https)
    try:
        return github.Github(
            auth=github.Auth.Token(token),
            base_url=location.api_url,
            user_agent=USER_AGENT,
            per_page=100,
            retry=None,
            seconds_between_requests=0,
            seconds_between_writes=0,
            lazy=True,
        )
    finally:
        Requester.resetConnectionClasses()
