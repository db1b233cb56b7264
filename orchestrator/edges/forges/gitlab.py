"""GitLab (gitlab.com and self-managed, 15.0 and later) through python-gitlab.

Sources: GitLab REST API v4: merge requests, notes, commits (statuses, merge requests), deployments, merge request
approvals, merge request versions, users.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import gitlab
from gitlab.v4.objects import Project, ProjectMergeRequest, ProjectMergeRequestNote

from orchestrator.core.forge_location import ForgeLocation
from orchestrator.core.forge_report import CommitState, DeploymentState
from orchestrator.core.forge_text import (
    description_of,
    same_text,
    shorten,
    title_of,
    without_quick_actions,
)
from orchestrator.edges.forges.protocol import (
    Approval,
    PostedComment,
    PullRequest,
)
from orchestrator.edges.forges.speaking import post_once, speaking
from orchestrator.edges.forges.transport import USER_AGENT, ForgeAnswerError, Gate, GatedSession

MAX_COMMENT = 1_000_000
DEVELOPER = 30
_STATES = {"pending": "running", "success": "success", "failure": "failed", "error": "failed"}
_DEPLOYMENT_STATES = {
    "in_progress": "running",
    "success": "success",
    "failure": "failed",
    "cancelled": "canceled",
}


class GitlabForge:
    """See `orchestrator.edges.forges.protocol.Forge`."""

    def __init__(self, location: ForgeLocation, token: str, gate: Gate) -> None:
        self._location = location
        self._client = gitlab.Gitlab(
            location.url,
            private_token=token,
            user_agent=USER_AGENT,
            session=GatedSession(gate),
            keep_base_url=True,
            per_page=100,
        )
        self._project: Project = self._client.projects.get(location.project, lazy=True)
        self._deployments: dict[tuple[str, str], Any] = {}

    @property
    def label(self) -> str:
        """See `Forge`."""
        return self._location.label

    def ensure_pull_request(
        self, *, source: str, target: str, title: str, body: str, reviewers: tuple[str, ...] = ()
    ) -> PullRequest:
        """See `Forge`."""
        title, body = title_of(title), shorten(without_quick_actions(body), MAX_COMMENT)
        with speaking(self._location, f"a merge request from {source} to {target}"):
            merge, created = self._find(source, target), False
            if merge is None:
                wanted = {"source_branch": source, "target_branch": target}
                try:
                    made = self._project.mergerequests.create(
                        {**wanted, "title": title, "description": body, "remove_source_branch": False}
                    )
                    merge, created = made, True
                except ForgeAnswerError as error:
                    merge = self._find(source, target) if error.status == 409 else None
                    if merge is None:  # else another job was faster
                        raise
            if not created and not (merge.title == title and same_text(merge.description or "", body)):
                self._project.mergerequests.update(merge.iid, {"title": title, "description": body})
            notes = self._request(merge, reviewers)
            return PullRequest(url=merge.web_url, number=merge.iid, created=created, notes=notes)

    def find_pull_request(self, *, source: str, target: str) -> int | None:
        """See `Forge`."""
        with speaking(self._location, f"look for the merge request from {source} to {target}"):
            merge = self._find(source, target)
            return None if merge is None else int(merge.iid)

    def plan_comment(self, number: int, markdown: str) -> PostedComment:
        """See `Forge`."""
        with speaking(self._location, f"the plan's comment on merge request {number}"):
            merge = self._project.mergerequests.get(number, lazy=True)
            web = f"{self._location.url}/{self._location.project}/-/merge_requests/{number}"
            own = self._client.http_get("/user")["id"]  # type: ignore[index]
            notes = merge.notes.list(iterator=True, sort="asc", order_by="created_at")

            def edit(note: ProjectMergeRequestNote, body: str) -> None:
                merge.notes.update(note.id, {"body": body})

            return post_once(
                (one for one in notes if one.author["id"] == own and not one.system),
                shorten(without_quick_actions(markdown), MAX_COMMENT),
                body_of=lambda one: str(one.body),
                url_of=lambda one: f"{web}#note_{one.id}",
                create=lambda body: merge.notes.create({"body": body}),
                edit=edit,
                remove=lambda one: merge.notes.delete(one.id),
            )

    def commit_status(
        self, commit: str, *, state: CommitState, context: str, description: str, url: str = ""
    ) -> None:
        """See `Forge`. GitLab answers 400 when the status is that already."""
        with speaking(self._location, f"the status {context} of {commit[:10]}"):
            wanted = {"state": _STATES[state], "name": context, "description": description_of(description)}
            try:
                self._project.commits.get(commit, lazy=True).statuses.create(
                    {**wanted, **({"target_url": url} if url else {})}
                )
            except ForgeAnswerError as error:
                if error.status != 400 or "Cannot transition status" not in " ".join(error.details):
                    raise

    def deployment(
        self, commit: str, *, branch: str, environment: str, state: DeploymentState, url: str = ""
    ) -> str:
        """See `Forge`. A job that names an `environment:` has an entry already, made by GitLab itself."""
        if os.environ.get("GITLAB_CI") == "true" and os.environ.get("CI_ENVIRONMENT_NAME") == environment:
            return "GitLab makes an entry for this job itself"
        with speaking(self._location, f"the deployment of {commit[:10]} to {environment}"):
            key, status = (commit, environment), _DEPLOYMENT_STATES[state]
            if key in self._deployments:
                self._project.deployments.update(self._deployments[key], {"status": status})
            else:
                made = self._project.deployments.create(
                    {
                        "environment": environment,
                        "sha": commit,
                        "ref": branch or commit,
                        "tag": False,
                        "status": status,
                    }
                )
                self._deployments[key] = made.id
            return ""

    def approvals(self, commit: str) -> tuple[Approval, ...]:
        """See `Forge`.

        GitLab does not say which commit was approved, so an approval counts when it is not older than the moment
        at which the head that was merged arrived.
        """
        with speaking(self._location, f"who approved {commit[:10]}"):
            found: list[Approval] = []
            for one in self._project.commits.get(commit, lazy=True).merge_requests(get_all=True):
                value: dict[str, Any] = one if isinstance(one, dict) else one.attributes
                made = (value.get("merge_commit_sha"), value.get("squash_commit_sha"))
                is_fast_forward = not any(made) and value.get("sha") == commit
                if value.get("state") == "merged" and (commit in made or is_fast_forward):
                    found += self._approvals_of(self._project.mergerequests.get(value["iid"]))
            return tuple(found)

    def request_reviewers(self, number: int, reviewers: tuple[str, ...]) -> tuple[str, ...]:
        """See `Forge`."""
        with speaking(self._location, f"reviewers of merge request {number}"):
            return self._request(self._project.mergerequests.get(number), reviewers)

    def _find(self, source: str, target: str) -> Any:
        listed = self._project.mergerequests.list(
            state="opened", source_branch=source, target_branch=target, iterator=True
        )
        for merge in listed:
            own = merge.source_project_id == merge.target_project_id
            if own and merge.source_branch == source and merge.target_branch == target:
                return merge
        return None

    def _request(self, merge: Any, reviewers: tuple[str, ...]) -> tuple[str, ...]:
        there = {int(one["id"]) for one in merge.reviewers or ()}
        wanted, notes = set(there), []
        for name in reviewers:
            users = [
                one for one in self._client.users.list(username=name, get_all=True) if one.username == name
            ]
            if users:
                wanted.add(int(users[0].id))
            else:
                notes.append(f"{name} cannot be asked for a review: GitLab knows no such user")
        if wanted != there:
            self._project.mergerequests.update(merge.iid, {"reviewer_ids": sorted(wanted)})
        return tuple(notes)

    def _approvals_of(self, merge: ProjectMergeRequest) -> Iterator[Approval]:
        arrived = max(
            (
                datetime.fromisoformat(one.created_at)
                for one in merge.diffs.list(iterator=True)
                if one.head_commit_sha == merge.sha
            ),
            default=None,
        )
        if arrived is None:
            return
        moments: dict[str, datetime] | None = None
        for one in merge.approvals.get().approved_by:
            user = one["user"]
            if user["id"] == merge.author["id"]:
                continue
            at = datetime.fromisoformat(one["approved_at"]) if one.get("approved_at") else None
            if at is None:  # before GitLab 17 only the merge request's own notes say when
                moments = self._approved_in_notes(merge) if moments is None else moments
                at = moments.get(user["username"])
            if at is not None and at >= arrived and self._may_write(user["id"]):
                yield Approval(
                    user=user["username"], number=merge.iid, branch=merge.target_branch, head=merge.sha
                )

    def _approved_in_notes(self, merge: ProjectMergeRequest) -> dict[str, datetime]:
        notes = merge.notes.list(iterator=True, sort="asc", order_by="created_at")
        return {
            one.author["username"]: datetime.fromisoformat(one.created_at)
            for one in notes
            if one.system and one.body == "approved this merge request"
        }

    def _may_write(self, user: int) -> bool:
        try:
            return int(self._project.members_all.get(user).access_level) >= DEVELOPER
        except ForgeAnswerError as error:
            if error.status == 404:
                return False
            raise
