"""The forge's adapter at a real Gitea or Forgejo: what a double says is what its author read, this is what the server does.

ORCHESTRATOR_TEST_GITEA=/path/to/gitea python -m pytest tests/servers
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.core.forge_location import ForgeLocation
from orchestrator.edges.forges.opening import _open
from orchestrator.edges.forges.protocol import Forge
from orchestrator.errors import ForgeError
from tests.edges.deliveries import DEPLOY, Delivery
from tests.edges.remotes import git, wait_for
from tests.servers.gitea import GiteaServer

PROGRAM = os.environ.get("ORCHESTRATOR_TEST_GITEA", "")
WORK_PATH = os.environ.get("ORCHESTRATOR_TEST_GITEA_WORK_PATH", "")
MARKDOWN = "<!-- orchestrator plan: production -->\n### Plan for `production`\n\n| `a` | `b` → `c` |\n"
REPOSITORY = "shop/deploy"

if not PROGRAM:
    pytest.skip("ORCHESTRATOR_TEST_GITEA names no gitea", allow_module_level=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    server: GiteaServer
    forge: Forge
    branch: str

    def commit(self, path: str = "") -> str:
        return self.server.commit("bot", REPOSITORY, path or f"{self.branch}.txt", self.branch)

    def review(self, user: str, number: int, event: str, commit: str) -> None:
        document = {"event": event, "body": "seen", "commit_id": commit}
        self.server.ask(user, "POST", f"/repos/{REPOSITORY}/pulls/{number}/reviews", document)

    def merge(self, number: int, how: str = "merge") -> str:
        path = f"/repos/{REPOSITORY}/pulls/{number}"
        wait_for(lambda: self.server.ask("bot", "GET", path)["mergeable"], 60)
        self.server.ask("bot", "POST", f"{path}/merge", {"Do": how})
        return str(self.server.ask("bot", "GET", path)["merge_commit_sha"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GiteaServer]:
    with GiteaServer(Path(PROGRAM), tmp_path_factory.mktemp("forge"), WORK_PATH) as server:
        for user in ("root", "bot", "ada", "bob", "eve"):
            server.add_user(user)
        server.ask("root", "POST", "/orgs", {"username": "shop"})
        server.ask(
            "root",
            "POST",
            "/orgs/shop/repos",
            {"name": "deploy", "auto_init": True, "default_branch": "production"},
        )
        for user in ("bot", "ada", "bob"):
            server.ask("root", "PUT", f"/repos/{REPOSITORY}/collaborators/{user}", {"permission": "write"})
        yield server


@pytest.fixture
def here(server: GiteaServer, request: pytest.FixtureRequest) -> Here:
    """A branch of its own for each test, one commit ahead."""
    location = ForgeLocation(
        type="gitea", url=server.url, api_url=f"{server.url}/api/v1", project=REPOSITORY, tokens=()
    )
    branch = "promote/" + re.sub(r"\W+", "-", request.node.name[5:40]).strip("-")
    server.commit("bot", REPOSITORY, f"{branch}-first.txt", branch, start="production")
    return Here(server=server, forge=_open(location, server.tokens["bot"]), branch=branch)


def test_pull_request(here: Here) -> None:
    wanted = {"source": here.branch, "target": "production"}
    first = here.forge.ensure_pull_request(**wanted, title="One", body="old", reviewers=("ada", "nobody"))
    again = here.forge.ensure_pull_request(**wanted, title="Two", body="new", reviewers=("ada", "bob"))
    assert (first.created, again.created, first.number) == (True, False, again.number)
    assert len(first.notes) == 1
    assert "nobody" in first.notes[0]
    assert again.notes == ()
    said = here.server.ask("bot", "GET", f"/repos/{REPOSITORY}/pulls/{first.number}")
    assert (said["title"], said["body"], said["html_url"]) == ("Two", "new", first.url)
    assert sorted(one["login"] for one in said["requested_reviewers"]) == ["ada", "bob"]
    assert here.forge.find_pull_request(**wanted) == first.number
    with pytest.raises(ForgeError):
        here.forge.ensure_pull_request(source="no-such-branch", target="production", title="T", body="")


def test_comment(here: Here) -> None:
    number = here.forge.ensure_pull_request(
        source=here.branch, target="production", title="T", body=""
    ).number
    path = f"/repos/{REPOSITORY}/issues/{number}/comments"
    here.server.ask("eve", "POST", path, {"body": MARKDOWN})
    changes = [
        here.forge.plan_comment(number, text).change for text in (MARKDOWN, MARKDOWN, MARKDOWN + "\nmore\n")
    ]
    assert changes == ["created", "unchanged", "updated"]
    said = here.server.ask("bot", "GET", path)
    assert [(one["user"]["login"], one["body"].rstrip()) for one in said] == [
        ("eve", MARKDOWN.rstrip()),
        ("bot", MARKDOWN + "\nmore"),
    ]
    long = here.forge.plan_comment(number, MARKDOWN + "| row |\n" * 20_000)
    assert long.change == "updated"
    assert here.forge.plan_comment(number, MARKDOWN + "| row |\n" * 20_000).change == "unchanged"


def test_status(here: Here) -> None:
    commit = here.commit()
    for state in ("pending", "success"):
        here.forge.commit_status(
            commit,
            state=state,
            context="orchestrator/production",
            description="done",
            url="https://ci.example.net/1",  # type: ignore[arg-type]
        )
    said = here.server.ask("bot", "GET", f"/repos/{REPOSITORY}/commits/{commit}/status")
    assert said["state"] == "success"
    assert [one["context"] for one in said["statuses"]] == ["orchestrator/production"]


@pytest.mark.parametrize("how", ["merge", "squash", "rebase"])
def test_approvals(here: Here, how: str) -> None:
    old = here.commit("old.txt" + how)
    number = here.forge.ensure_pull_request(
        source=here.branch, target="production", title="T", body=""
    ).number
    here.review("bob", number, "APPROVED", old)
    head = here.commit("new.txt" + how)
    here.review("ada", number, "APPROVED", head)
    here.review("eve", number, "APPROVED", head)
    commit = here.merge(number, how)
    found = here.forge.approvals(commit)
    assert [(one.user, one.number, one.branch, one.head) for one in found] == [
        ("ada", number, "production", head)
    ]
    assert here.forge.approvals(old) == ()


def test_approvals_that_were_withdrawn(here: Here) -> None:
    head = here.commit()
    number = here.forge.ensure_pull_request(
        source=here.branch, target="production", title="T", body=""
    ).number
    here.review("ada", number, "APPROVED", head)
    here.review("ada", number, "REQUEST_CHANGES", head)
    here.review("bob", number, "APPROVED", head)
    here.review("bob", number, "COMMENT", head)
    assert [one.user for one in here.forge.approvals(here.merge(number))] == ["bob"]
    assert here.forge.approvals("d" * 40) == ()


def test_commands(server: GiteaServer, tmp_path: Path) -> None:
    """A clone over HTTP as a CI has it: the plan is a comment, the deployment a status; found without a `url`."""
    server.ask("root", "POST", "/orgs/shop/repos", {"name": "live", "default_branch": "dev"})
    server.ask("root", "PUT", "/repos/shop/live/collaborators/bot", {"permission": "write"})
    token = server.tokens["bot"]
    address = f"{server.url}/shop/live.git".replace("://", f"://bot:{token}@")
    delivery = Delivery(
        tmp_path, settings='[forge]\ntype = "gitea"\ntoken = { env = "BOT_TOKEN" }\n', hosts=1
    )
    git(delivery.work, "remote", "set-url", "origin", address)
    commit = delivery.release("1.0")
    said = delivery.run(delivery.work, *DEPLOY, environ={"BOT_TOKEN": token})
    status = server.ask("bot", "GET", f"/repos/shop/live/commits/{commit}/status")["statuses"]
    assert [(one["context"], one["status"], one["description"]) for one in status] == [
        ("orchestrator/dev", "success", "1 deployed")
    ]
    head = delivery.release("2.0", branch="next")
    made = server.ask(
        "bot", "POST", "/repos/shop/live/pulls", {"head": "next", "base": "dev", "title": "Next"}
    )
    plan = ("plan", "--base", "dev", "--head", "next", "--from-ledger", "--comment")
    for change in ("created", "unchanged"):
        said += delivery.run(delivery.work, *plan, environ={"BOT_TOKEN": token})
        assert f"comment {change}: {server.url}/shop/live/pulls/{made['number']}#issuecomment-" in said
    (comment,) = server.ask("bot", "GET", f"/repos/shop/live/issues/{made['number']}/comments")
    assert "### Plan for `dev`" in comment["body"]
    assert head[:10] in comment["body"]
    assert token not in said
