"""A double of GitHub Enterprise Server's REST API (2022-11-28), as far as the orchestrator uses it."""

from __future__ import annotations

import re
from typing import Any

from tests.edges.forges.double import Asked, Double, Pull, RefusedError

TIME = "2026-11-01T10:00:00Z"


class GithubDouble(Double):
    """`is_actions`: the token is a job's, which may not ask for its user."""

    prefix = "/api/"
    is_actions = False

    def route(self, asked: Asked) -> Any:
        path, repository = asked.path, f"/api/v3/repos/{self.PROJECT}"
        if path == "/api/v3/user":
            if self.is_actions:
                raise RefusedError(403, "Resource not accessible by integration")
            return self._user(self.me)
        if path == "/api/graphql":
            return {"data": {"viewer": {"login": self.me}}}
        if not path.startswith(repository):
            raise RefusedError(404, "Not Found")
        rest = path.removeprefix(repository)
        for pattern, answer in (
            (r"/pulls", self._pulls),
            (r"/pulls/(\d+)", self._one_pull),
            (r"/pulls/(\d+)/requested_reviewers", self._request_reviewers),
            (r"/pulls/(\d+)/reviews", self._reviews),
            (r"/issues/(\d+)", self._issue),
            (r"/issues/(\d+)/comments", self._comments),
            (r"/issues/comments/(\d+)", self._one_comment),
            (r"/commits/([0-9a-f]{40})", self._commit),
            (r"/commits/([0-9a-f]{40})/pulls", self._pulls_of_commit),
            (r"/statuses/([0-9a-f]{40})", self._status),
            (r"/deployments", self._deployments_of),
            (r"/deployments/(\d+)/statuses", self._deployment_status),
            (r"/collaborators/([^/]+)/permission", self._permission),
        ):
            if found := re.fullmatch(pattern, rest):
                return answer(asked, *found.groups())
        raise RefusedError(404, f"Not Found: {rest}")

    def _user(self, login: str) -> dict[str, Any]:
        return {"login": login, "id": len(login), "url": f"{self.url}/api/v3/users/{login}"}

    def _pull(self, pull: Pull) -> dict[str, Any]:
        url = f"{self.url}/api/v3/repos/{self.PROJECT}/pulls/{pull.number}"
        own = {"full_name": self.PROJECT, "id": 1}
        return {
            "url": url,
            "issue_url": url.replace("/pulls/", "/issues/"),
            "html_url": f"{self.url}/{self.PROJECT}/pull/{pull.number}",
            "number": pull.number,
            "title": pull.title,
            "body": pull.body or None,
            "state": "open" if pull.state == "open" else "closed",
            "user": self._user(pull.author),
            "head": {
                "ref": pull.source,
                "sha": pull.head,
                "repo": {"full_name": "eve/deploy"} if pull.fork else own,
            },
            "base": {"ref": pull.target, "sha": "c" * 40, "repo": own},
            "merged_at": TIME if pull.state == "merged" else None,
            "merge_commit_sha": pull.merge_commit or None,
            "requested_reviewers": [self._user(one) for one in pull.reviewers if "/" not in one],
            "requested_teams": [{"slug": one.partition("/")[2]} for one in pull.reviewers if "/" in one],
        }

    def _pulls(self, asked: Asked) -> Any:
        if asked.method == "GET":
            wanted = asked.query.get("head", "").partition(":")[2]
            return [
                self._pull(one)
                for one in self.pulls.values()
                if one.state == "open"
                and wanted in ("", one.source)
                and asked.query.get("base", one.target) == one.target
            ]
        body = asked.body
        if any(
            one.state == "open" and not one.fork and (one.source, one.target) == (body["head"], body["base"])
            for one in self.pulls.values()
        ):
            raise RefusedError(422, "Validation Failed: A pull request already exists for shop:dev.")
        return self._pull(
            self.pull(body["head"], body["base"], title=body["title"], body=body["body"], author=self.me)
        )

    def _one_pull(self, asked: Asked, number: str) -> Any:
        pull = self._get(number)
        if asked.method == "PATCH":
            pull.title, pull.body = asked.body["title"], asked.body["body"]
        return self._pull(pull)

    def _get(self, number: str) -> Pull:
        if int(number) not in self.pulls:
            raise RefusedError(404, "Not Found")
        return self.pulls[int(number)]

    def _request_reviewers(self, asked: Asked, number: str) -> Any:
        pull = self._get(number)
        for name in asked.body.get("reviewers", []):
            if name not in self.users:
                raise RefusedError(
                    422, f"Reviews may only be requested from collaborators. {name} is not a collaborator"
                )
            pull.reviewers.append(name)
        pull.reviewers += [f"shop/{one}" for one in asked.body.get("team_reviewers", [])]
        return self._pull(pull)

    def _reviews(self, asked: Asked, number: str) -> Any:
        return [
            {
                "id": index,
                "user": self._user(one["user"]),
                "state": one["state"],
                "commit_id": one.get("commit", self._get(number).head),
                "submitted_at": TIME,
            }
            for index, one in enumerate(self._get(number).reviews)
        ]

    def _issue(self, asked: Asked, number: str) -> Any:
        url = f"{self.url}/api/v3/repos/{self.PROJECT}/issues/{number}"
        return {"url": url, "number": self._get(number).number, "title": "", "html_url": url}

    def _comment(self, value: dict[str, Any]) -> dict[str, Any]:
        url = f"{self.url}/api/v3/repos/{self.PROJECT}/issues/comments/{value['id']}"
        html = f"{self.url}/{self.PROJECT}/pull/1#issuecomment-{value['id']}"
        return {
            "id": value["id"],
            "url": url,
            "html_url": html,
            "body": value["body"],
            "user": self._user(value["user"]),
        }

    def _comments(self, asked: Asked, number: str) -> Any:
        pull = self._get(number)
        if asked.method == "GET":
            return [self._comment(one) for one in pull.comments]
        if len(asked.body["body"]) > 65_536:
            raise RefusedError(422, "Validation Failed: body is too long (maximum is 65536 characters)")
        value = {"id": self.next_id(), "user": self.me, "body": asked.body["body"]}
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
        raise RefusedError(404, "Not Found")

    def _commit(self, asked: Asked, commit: str) -> Any:
        return {"sha": commit, "url": f"{self.url}{asked.path}"}

    def _pulls_of_commit(self, asked: Asked, commit: str) -> Any:
        return [self._pull(one) for one in self.pulls.values() if commit in (one.head, one.merge_commit)]

    def _status(self, asked: Asked, commit: str) -> Any:
        if len(asked.body.get("description", "")) > 140:
            raise RefusedError(422, "Validation Failed: description is too long (maximum is 140 characters)")
        self.statuses.append({"commit": commit, **asked.body})
        return {"id": self.next_id(), "state": asked.body["state"], "context": asked.body["context"]}

    def _deployments_of(self, asked: Asked) -> Any:
        if asked.method == "GET":
            return [
                self._deployment(one)
                for one in self.deployments
                if (one["sha"], one["environment"]) == (asked.query["sha"], asked.query["environment"])
            ]
        assert asked.body["required_contexts"] == []
        value = {
            "id": self.next_id(),
            "sha": asked.body["ref"],
            "environment": asked.body["environment"],
            "creator": self.me,
            "states": [],
        }
        self.deployments.append(value)
        return self._deployment(value)

    def _deployment(self, value: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": value["id"],
            "url": f"{self.url}/api/v3/repos/{self.PROJECT}/deployments/{value['id']}",
            "sha": value["sha"],
            "task": "deploy",
            "environment": value["environment"],
            "creator": self._user(value["creator"]),
        }

    def _deployment_status(self, asked: Asked, number: str) -> Any:
        value = next(one for one in self.deployments if one["id"] == int(number))
        value["states"].append(asked.body["state"])
        return {"id": self.next_id(), "state": asked.body["state"]}

    def _permission(self, asked: Asked, login: str) -> Any:
        if login not in self.users:
            raise RefusedError(404, f"{login} is not a user")
        return {"permission": "write" if login in self.writers else "read", "user": self._user(login)}
