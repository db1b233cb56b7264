"""Production in a repository of its own: two bare repositories over HTTP, and an account for each."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.edges.branches import Branches
from tests.edges.remotes import git, make_clone, serve_http
from tests.edges.test_promote import deployed

pytestmark = pytest.mark.usefixtures("isolated_git")

ACCOUNTS = {"remote.git": ("builder", "b-secret"), "production.git": ("releaser", "r-secret")}


class Ground:
    """`remote.git` with dev and staging, which only `builder` may use, and `production.git`, which only `releaser` may."""

    def __init__(self, directory: Path, address: str) -> None:
        self.stages = Branches(directory, "dev", "staging")
        self.production = Branches(directory, "production", name="production.git")
        for bare in (self.stages.remote, self.production.remote):
            git(bare, "config", "http.receivepack", "true")
        self.url = f"{address}/production.git"
        git(self.stages.clone, "remote", "set-url", "origin", f"{address}/remote.git")

    def may(self, name: str, url: str = "") -> None:
        """The clone has this account's credentials for its own repository, or for that address."""
        user, password = ACCOUNTS[name]
        header = base64.b64encode(f"{user}:{password}".encode()).decode()
        address = url or f"{self.url.rpartition('/')[0]}/{name}"
        git(self.stages.clone, "config", f"http.{address}.extraHeader", f"Authorization: Basic {header}")


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with serve_http(tmp_path, ACCOUNTS) as address:
        made = Ground(tmp_path, address)
        made.may("remote.git")
        yield made


def test_promotion_goes_to_another_repository_with_the_account_that_may_push_there(ground: Ground) -> None:
    ground.stages.run("set", "api=2", "-b", "staging", "--push")
    hotfix = ground.production.commit("production", {"README.md": "Hotfix\n"})
    order = ("promote", "staging", "--to", "production", "--to-repo", ground.url)
    refused = ground.stages.run(*order, "--push", expect=11)
    assert "cannot be reached" in refused
    assert "secret" not in refused
    ground.may("production.git")
    output = ground.stages.run(*order, "--push")
    assert f"to production of {ground.url}" in output
    assert ground.production.versions("production") == {"site": "1", "api": "2"}
    assert git(ground.production.remote, "rev-list", "--parents", "-1", "production").split()[1:] == [hotfix]
    assert ground.production.tip("staging") == "", "production's repository has what was carried, and no more"
    assert ground.stages.tip("production") == ""
    assert "nothing to do" in ground.stages.run(*order, "--push")


def test_account_of_one_repository_does_not_open_the_other(ground: Ground) -> None:
    ground.may("remote.git", ground.url)
    ground.stages.run("set", "api=2", "-b", "staging", "--push")
    before = ground.production.tip("production")
    for means in ("--push", "--pr"):
        ground.stages.run(
            "promote", "staging", "--to", "production", "--to-repo", ground.url, means, expect=11
        )
    assert ground.production.tip("production") == before
    assert git(ground.production.remote, "for-each-ref", "--format=%(refname)").split() == [
        "refs/heads/production"
    ]


def test_rules_and_holds_are_those_of_production_s_repository_and_the_proof_is_the_stages_ledger(
    ground: Ground, tmp_path: Path
) -> None:
    ground.may("production.git")
    rules = 'format = 1\n[environments.production]\nrequire_deployed_in = ["staging"]\n'
    ground.production.commit("production", {"orchestrator.toml": rules})
    ground.stages.run("set", "api=2", "-b", "staging", "--push")
    order = ("promote", "staging", "--to", "production", "--to-repo", ground.url, "--push")
    assert "it was never live and healthy in staging" in ground.stages.run(*order, expect=42)
    deployed(ground.stages, "staging", {"api": "2"})
    git(ground.production.clone, "pull", "--quiet")
    ground.production.run("hold", "production", "api", "--reason", "Audit", "--for", "promote")
    held = ground.stages.run(*order, expect=42)
    assert "api is held for promote since" in held
    assert "Audit" in held
    ground.production.run("unhold", "production", "api")
    ground.stages.run(*order)
    assert ground.production.versions("production")["api"] == "2"


def test_pull_request_branch_is_pushed_there(ground: Ground) -> None:
    ground.may("production.git")
    ground.stages.run("set", "api=2", "-b", "staging", "--push")
    output = ground.stages.run("promote", "staging", "--to", "production", "--to-repo", ground.url, "--pr")
    own = "orchestrator/promote/staging-to-production"
    assert f"open a pull request from {own} into production there, by hand" in output
    assert ground.production.versions(own)["api"] == "2"


def test_deployment_in_production_s_repository_asks_the_stages_ledger(ground: Ground, tmp_path: Path) -> None:
    stages = str(ground.stages.remote)
    rules = f'format = 1\n[environments.production]\nrequire_deployed_in = ["staging"]\ndeployed_in_ledger = "{stages}"\n'
    ground.production.commit("production", {"orchestrator.toml": rules})
    clone = make_clone(ground.production.remote, tmp_path / "runner")
    refused = ground.production.run("deploy", "-b", "production", expect=42, clone=clone)
    assert "api 1: it was never live and healthy in staging" in refused
    deployed(ground.stages, "staging", {"api": "1", "site": "1"})
    ground.production.run("deploy", "-b", "production", clone=clone)
    history = json.loads(ground.production.run("history", "production", "--json", "-", clone=clone))
    assert [one["verdict"] for one in history["attempts"]] == ["success", "failed"]
