"""Deployments from every kind of checkout, of every stack, and what is left of those that fail."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.edges.deliveries import DEPLOY, Delivery, github, verdicts
from tests.edges.remotes import free_port, git

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6bFPdMzwJ6Zc8mTnTbZ1oQqk4pQ0Zr3pYl0mZl1l2K"


def test_checkouts_of_every_ci_deploy_the_commit_and_not_the_work_tree(directory: Path) -> None:
    delivery = Delivery(directory, hosts=1)
    remote = f"file://{delivery.bare}"

    commit = delivery.release("1.0")
    clone = directory / "github"
    git(directory, "init", "--quiet", str(clone))
    git(clone, "remote", "add", "origin", remote)
    git(clone, "fetch", "--quiet", "--no-tags", "--depth=1", "origin", f"+{commit}:refs/remotes/origin/dev")
    git(clone, "checkout", "--quiet", "-B", "dev", "refs/remotes/origin/dev")
    (clone / "manifest.json").write_text("not what is deployed")
    said = delivery.run(clone, *DEPLOY, environ=github(commit))
    assert "local dev" not in said
    assert delivery.live() == "1.0"

    commit = delivery.release("2.0")
    clone = directory / "gitlab"
    git(directory, "init", "--quiet", str(clone))
    git(clone, "remote", "add", "origin", remote)
    git(clone, "fetch", "--quiet", "--depth=1", "origin", f"+{commit}:refs/pipelines/9")
    git(clone, "checkout", "--quiet", "--force", "--detach", commit)
    environ = {"GITLAB_CI": "true", "CI_COMMIT_BRANCH": "dev", "CI_COMMIT_SHA": commit}
    delivery.run(clone, "deploy", environ=environ)
    assert delivery.live() == "2.0"

    commit = delivery.release("3.0")
    clone = directory / "jenkins"
    git(directory, "init", "--quiet", str(clone))
    git(clone, "config", "remote.origin.url", remote)
    git(clone, "fetch", "--quiet", "--no-tags", "origin", "+refs/heads/*:refs/remotes/origin/*")
    git(clone, "checkout", "--quiet", "--force", "--detach", commit)
    environ = {"JENKINS_URL": "https://ci.example.net/", "BRANCH_NAME": "dev", "GIT_COMMIT": commit}
    delivery.run(clone, *DEPLOY, environ=environ)
    assert delivery.live() == "3.0"
    assert git(clone, "for-each-ref", "--format=%(refname)", "refs/heads") == ""
    assert verdicts(delivery.history(clone)) == ["success"] * 3


def test_failure_is_recorded_with_its_sentence_and_unlocks(directory: Path) -> None:
    delivery = Delivery(directory, hosts=1)
    delivery.release("1.0")
    clone = delivery.clone("runner")
    delivery.release("2.0", publish=False)
    said = {13: delivery.run(clone, *DEPLOY, expect=13)}
    delivery.release("2.0", sha256="0" * 64)
    said[14] = delivery.run(clone, *DEPLOY, expect=14)
    delivery.hosts["gone"] = {"address": "127.0.0.1", "port": free_port(), "host_key": HOST_KEY}
    delivery.release("2.0")
    said[17] = delivery.run(clone, *DEPLOY, expect=17)
    (delivery.work / "dev-env.json").write_text('{"environment": "dev", "colour": "red"}')
    delivery.push("Break it")
    said[10] = delivery.run(clone, *DEPLOY, expect=10)
    history = delivery.history(clone)
    assert verdicts(history) == ["failed"] * 4
    for attempt, (code, text) in zip(reversed(history), said.items(), strict=True):
        brief = attempt["error"].partition(":")[0]
        assert brief
        assert brief in text
        assert ("to go on: orchestrator deploy --branch dev" in text) == (code != 10)
        assert attempt["id"] in text
    assert delivery.live() == ""
    assert delivery.lock()["state"] == "free"


def test_stacks_of_one_repository_do_not_wait_for_each_other(directory: Path) -> None:
    delivery = Delivery(directory, hosts=1, stacks=("stacks/shop", "stacks/blog"))
    delivery.release("1.0")
    clone = delivery.clone("runner")
    with delivery.holding("activate"):
        shop = delivery.start(clone, "-C", "stacks/shop", *DEPLOY)
        delivery.wait_held("activate", shop)
        (directory / "hold" / "activate").rename(directory / "hold" / "later")
        said = delivery.run(clone, "-C", "stacks/blog", *DEPLOY)
    assert "waiting" not in said
    shop.end()
    refs = git(delivery.bare, "for-each-ref", "--format=%(refname:short)", "refs/heads/orchestrator").split()
    assert len(refs) == 4
    for stack in ("shop", "blog"):
        assert delivery.live(stack=f"stacks/{stack}") == "1.0"
        assert len([ref for ref in refs if stack in ref]) == 2
        (attempt,) = delivery.history(clone, "dev", "-C", f"stacks/{stack}")
        assert (attempt["stack"], attempt["lock_token"]) == (f"stacks/{stack}", 1)


def test_branch_that_is_no_environment_is_nothing_to_deploy(directory: Path) -> None:
    delivery = Delivery(directory, hosts=1)
    commit = delivery.release("1.0")
    clone = delivery.clone("runner")
    delivery.run(clone, *DEPLOY)
    for branch in ("feature/x", "orchestrator/ledger", "orchestrator/lock/dev"):
        if branch == "feature/x":
            git(delivery.work, "push", "--quiet", "origin", "HEAD:refs/heads/feature/x")
        commit = git(delivery.bare, "rev-parse", branch)
        before = delivery.subjects()
        said = delivery.run(clone, "deploy", environ=github(commit, branch))
        assert "nothing to deploy" in said
        assert delivery.subjects() == before
    request = github(commit, GITHUB_EVENT_NAME="pull_request", GITHUB_REF="refs/pull/7/merge")
    assert "is a pull request's" in delivery.run(clone, "deploy", environ=request)
    assert delivery.subjects() == before


def test_how_often_the_git_host_is_asked(directory: Path) -> None:
    """Each time is a handshake with a machine that may be far away."""
    delivery = Delivery(directory, hosts=1)
    real, log = shutil.which("git"), directory / "asked"
    shim = directory / "bin" / "git"
    shim.parent.mkdir()
    shim.write_text(
        f'#!/bin/sh\nfor word; do case "$word" in ls-remote|fetch|push) echo "$word" >> {log}; break;; esac; done\n'
        f'exec {real} "$@"\n'
    )
    shim.chmod(0o755)
    path = {"PATH": f"{shim.parent}:{os.environ['PATH']}"}

    def asked() -> list[str]:
        log.write_text("")
        delivery.run(clone, *DEPLOY, environ=path)
        return sorted(log.read_text().split())

    delivery.release("1.0")
    clone = delivery.clone("runner")
    first = asked()
    assert first.count("push") == 3
    delivery.release("2.0")
    git(clone, "fetch", "--quiet")
    # The tip, twice; the ledger with the lock, and alone inside the lock; the lock, the beginning, the end.
    assert asked() == ["fetch"] * 2 + ["ls-remote"] * 2 + ["push"] * 3
    assert asked() == ["fetch"] * 2 + ["ls-remote"] * 2 + ["push"] * 2, "there is nothing to do"
