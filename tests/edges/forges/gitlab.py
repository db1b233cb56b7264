"""A double of GitLab's REST API v4, as far as the orchestrator uses it; quick actions in texts included."""

from __future__ import annotations

import re
from typing import Any

from tests.edges.forges.double import Asked, Double, Pull, RefusedError

_QUICK_ACTION = re.compile(r"(?m)^/[a-z_]+")


class GitlabDouble(Double):
    """`obeyed`: the quick actions that it found in what it was sent. `says_when`: approvals have a time."""

    prefix = "/api/v4/"

    def __init__(self) -> None:
        super().__init__()
        self.obeyed: list[str] = []
        self.says_when = True

    def token_of(self, headers: dict[str, str]) -> str:
        return headers.get("private-token", "")

    def route(self, asked: Asked) -> Any:
        project = f"/api/v4/projects/{self.PROJECT}"
        path = re.sub(r"^/api/v4/projects/1(?=/)", project, asked.path)
        for text in (asked.body or {}).values() if isinstance(asked.body, dict) else ():
            self.obeyed += _QUICK_ACTION.findall(text) if isinstance(text, str) else []
        if path == "/api/v4/user":
            return {"id": self._id(self.me), "username": self.me}
        if path == "/api/v4/users":
            name = asked.query["username"]
            return [{"id": self._id(name), "username": name}] if name in self.users else []
        if not path.startswith(project):
            raise RefusedError(404, "404 Project Not Found")
        rest = path.removeprefix(project)
        for pattern, answer in (
            (r"/merge_requests", self._merges),
            (r"/merge_requests/(\d+)", self._one_merge),
            (r"/merge_requests/(\d+)/notes", self._notes),
            (r"/merge_requests/(\d+)/notes/(\d+)", self._one_note),
            (r"/merge_requests/(\d+)/approvals", self._approvals),
            (r"/merge_requests/(\d+)/versions", self._versions),
            (r"/repository/commits/([0-9a-f]{40})/merge_requests", self._merges_of_commit),
            (r"/statuses/([0-9a-f]{40})", self._status),
            (r"/deployments", self._deployments_of),
            (r"/deployments/(\d+)", self._one_deployment),
            (r"/members/all/(\d+)", self._member),
        ):
            if found := re.fullmatch(pattern, rest):
                return answer(asked, *found.groups())
        raise RefusedError(404, f"404 Not Found {rest}")

    def _id(self, name: str) -> int:
        return self.users.index(name) + 1

    def _user(self, name: str) -> dict[str, Any]:
        return {"id": self._id(name), "username": name}

    def _merge(self, pull: Pull) -> dict[str, Any]:
        return {
            "id": 100 + pull.number,
            "iid": pull.number,
            "project_id": 1,
            "source_project_id": 2 if pull.fork else 1,
            "target_project_id": 1,
            "title": pull.title,
            "description": pull.body or None,
            "state": {"open": "opened"}.get(pull.state, pull.state),
            "source_branch": pull.source,
            "target_branch": pull.target,
            "web_url": f"{self.url}/{self.PROJECT}/-/merge_requests/{pull.number}",
            "author": self._user(pull.author),
            "sha": pull.head,
            "merge_commit_sha": pull.merge_commit or None,
            "squash_commit_sha": None,
            "reviewers": [self._user(one) for one in pull.reviewers],
        }

    def _get(self, number: str) -> Pull:
        if int(number) not in self.pulls:
            raise RefusedError(404, "404 Not found")
        return self.pulls[int(number)]

    def _merges(self, asked: Asked) -> Any:
        if asked.method == "GET":
            return [
                self._merge(one)
                for one in self.pulls.values()
                if one.state == "open"
                and (one.source, one.target) == (asked.query["source_branch"], asked.query["target_branch"])
            ]
        body = asked.body
        if any(
            one.state == "open" and (one.source, one.target) == (body["source_branch"], body["target_branch"])
            for one in self.pulls.values()
        ):
            raise RefusedError(409, "Another open merge request already exists for this source branch: !1")
        return self._merge(
            self.pull(
                body["source_branch"],
                body["target_branch"],
                title=body["title"],
                body=body["description"],
                author=self.me,
            )
        )

    def _one_merge(self, asked: Asked, number: str) -> Any:
        pull = self._get(number)
        if asked.method == "PUT":
            pull.title = asked.body.get("title", pull.title)
            pull.body = asked.body.get("description", pull.body)
            if "reviewer_ids" in asked.body:
                pull.reviewers = [self.users[one - 1] for one in asked.body["reviewer_ids"]]
        return self._merge(pull)

    def _note(self, value: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": value["id"],
            "body": value["body"],
            "author": self._user(value["user"]),
            "system": value.get("system", False),
            "created_at": value.get("at", "2026-11-01T10:00:00.000Z"),
        }

    def _notes(self, asked: Asked, number: str) -> Any:
        pull = self._get(number)
        if asked.method == "GET":
            return [self._note(one) for one in pull.comments]
        value = {"id": self.next_id(), "user": self.me, "body": asked.body["body"]}
        pull.comments.append(value)
        return self._note(value)

    def _one_note(self, asked: Asked, number: str, note: str) -> Any:
        comments = self._get(number).comments
        value = next(one for one in comments if one["id"] == int(note))
        if asked.method == "DELETE":
            comments.remove(value)
            return None
        value["body"] = asked.body["body"]
        return self._note(value)

    def _approvals(self, asked: Asked, number: str) -> Any:
        return {
            "approved_by": [
                {"user": self._user(one["user"]), **({"approved_at": one["at"]} if self.says_when else {})}
                for one in self._get(number).reviews
                if one["state"] == "APPROVED"
            ]
        }

    def _versions(self, asked: Asked, number: str) -> Any:
        pull = self._get(number)
        return [
            {"id": 2, "head_commit_sha": pull.head, "created_at": pull.pushed_at},
            {"id": 1, "head_commit_sha": "e" * 40, "created_at": "2026-10-01T10:00:00Z"},
        ]

    def _merges_of_commit(self, asked: Asked, commit: str) -> Any:
        return [self._merge(one) for one in self.pulls.values() if commit in (one.head, one.merge_commit)]

    def _status(self, asked: Asked, commit: str) -> Any:
        before = [
            one for one in self.statuses if (one["commit"], one["name"]) == (commit, asked.body["name"])
        ]
        if before and before[-1]["state"] == asked.body["state"]:
            raise RefusedError(400, f"Cannot transition status via :run from :{asked.body['state']}")
        self.statuses.append({"commit": commit, **asked.body})
        return {"id": self.next_id(), "status": asked.body["state"]}

    def _deployments_of(self, asked: Asked) -> Any:
        assert asked.body["ref"]
        value = {"id": self.next_id(), "states": [asked.body["status"]], **asked.body}
        self.deployments.append(value)
        return value

    def _one_deployment(self, asked: Asked, number: str) -> Any:
        value = next(one for one in self.deployments if one["id"] == int(number))
        value["states"].append(asked.body["status"])
        return value

    def _member(self, asked: Asked, number: str) -> Any:
        name = self.users[int(number) - 1]
        return {"id": int(number), "username": name, "access_level": 30 if name in self.writers else 20}
