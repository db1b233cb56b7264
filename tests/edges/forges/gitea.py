"""A double of the API v1 of Gitea and Forgejo, as far as the orchestrator uses it."""

from __future__ import annotations

import re
from typing import Any

from tests.edges.forges.double import Asked, Double, Pull, RefusedError


class GiteaDouble(Double):
    """`is_actions`: the token is a job's, which has no user."""

    prefix = "/api/v1/"
    is_actions = False

    def route(self, asked: Asked) -> Any:
        path, repository = asked.path, f"/api/v1/repos/{self.PROJECT}"
        if path == "/api/v1/user":
            if self.is_actions:
                raise RefusedError(401, "token is required")
            return self._user(self.me)
        if not path.startswith(repository):
            raise RefusedError(404, "The target couldn't be found.")
        rest = path.removeprefix(repository)
        for pattern, answer in (
            (r"/pulls", self._pulls),
            (r"/pulls/(\d+)", self._one_pull),
            (r"/pulls/(\d+)/requested_reviewers", self._request_reviewers),
            (r"/pulls/(\d+)/reviews", self._reviews),
            (r"/issues/(\d+)/comments", self._comments),
            (r"/issues/comments/(\d+)", self._one_comment),
            (r"/commits/([0-9a-f]{40})/pull", self._pull_of_commit),
            (r"/statuses/([0-9a-f]{40})", self._status),
        ):
            if found := re.fullmatch(pattern, rest):
                return answer(asked, *found.groups())
        raise RefusedError(404, f"The target couldn't be found: {rest}")

    def _user(self, login: str) -> dict[str, Any]:
        return {"login": login, "id": len(login), "username": login}

    def _pull(self, pull: Pull) -> dict[str, Any]:
        return {
            "id": 100 + pull.number,
            "number": pull.number,
            "html_url": f"{self.url}/{self.PROJECT}/pulls/{pull.number}",
            "title": pull.title,
            "body": pull.body,
            "state": "open" if pull.state == "open" else "closed",
            "user": self._user(pull.author),
            "head": {"ref": pull.source, "sha": pull.head, "repo_id": 2 if pull.fork else 1},
            "base": {"ref": pull.target, "sha": "c" * 40, "repo_id": 1},
            "merged": pull.state == "merged",
            "merge_commit_sha": pull.merge_commit or None,
            "requested_reviewers": [self._user(one) for one in pull.reviewers if "/" not in one],
            "requested_reviewers_teams": [
                {"name": one.partition("/")[2]} for one in pull.reviewers if "/" in one
            ],
        }

    def _pulls(self, asked: Asked) -> Any:
        if asked.method == "GET":
            return [self._pull(one) for one in self.pulls.values() if one.state == "open"]
        body = asked.body
        if any(
            one.state == "open" and not one.fork and (one.source, one.target) == (body["head"], body["base"])
            for one in self.pulls.values()
        ):
            raise RefusedError(409, "pull request already exists for these targets")
        return self._pull(
            self.pull(body["head"], body["base"], title=body["title"], body=body["body"], author=self.me)
        )

    def _get(self, number: str) -> Pull:
        if int(number) not in self.pulls:
            raise RefusedError(404, "The target couldn't be found.")
        return self.pulls[int(number)]

    def _one_pull(self, asked: Asked, number: str) -> Any:
        pull = self._get(number)
        if asked.method == "PATCH":
            pull.title, pull.body = asked.body["title"], asked.body["body"]
        return self._pull(pull)

    def _request_reviewers(self, asked: Asked, number: str) -> Any:
        pull = self._get(number)
        for name in asked.body.get("reviewers", []):
            if name not in self.users:
                raise RefusedError(404, f"user does not exist [uid: 0, name: {name}]")
            pull.reviewers.append(name)
        pull.reviewers += [f"shop/{one}" for one in asked.body.get("team_reviewers", [])]
        return []

    def _reviews(self, asked: Asked, number: str) -> Any:
        return [
            {
                "id": index,
                "user": self._user(one["user"]),
                "state": {"CHANGES_REQUESTED": "REQUEST_CHANGES"}.get(one["state"], one["state"]),
                "commit_id": one.get("commit", self._get(number).head),
                "stale": "commit" in one,
                "dismissed": one["state"] == "DISMISSED",
                "official": one["user"] in self.writers,
            }
            for index, one in enumerate(self._get(number).reviews)
        ]

    def _comment(self, value: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": value["id"],
            "html_url": f"{self.url}/{self.PROJECT}/pulls/1#issuecomment-{value['id']}",
            "body": value["body"],
            "user": self._user(value["user"]),
        }

    def _comments(self, asked: Asked, number: str) -> Any:
        pull = self._get(number)
        if asked.method == "GET":
            return [self._comment(one) for one in pull.comments]
        name = "gitea-actions" if self.is_actions else self.me
        value = {"id": self.next_id(), "user": name, "body": asked.body["body"]}
        pull.comments.append(value)
        return self._comment(value)

    def _one_comment(self, asked: Asked, number: str) -> Any:
        for pull in self.pulls.values():
            for value in pull.comments:
                if value["id"] == int(number):
                    if asked.method == "DELETE":
                        pull.comments.remove(value)
                        return None
                    value["body"] = asked.body["body"]
                    return self._comment(value)
        raise RefusedError(404, "The target couldn't be found.")

    def _pull_of_commit(self, asked: Asked, commit: str) -> Any:
        for one in self.pulls.values():
            if one.state == "merged" and commit == one.merge_commit:
                return self._pull(one)
        raise RefusedError(404, "The target couldn't be found.")

    def _status(self, asked: Asked, commit: str) -> Any:
        self.statuses.append({"commit": commit, **asked.body})
        return {"id": self.next_id(), "status": asked.body["state"], "context": asked.body["context"]}
