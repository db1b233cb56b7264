"""Addresses of git repositories that come from the command line or a variable, and that git would run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.edges.clone import Clone as GitClone
from orchestrator.edges.clone import read_clone
from orchestrator.edges.commit_objects import CommitObjects
from orchestrator.edges.history import History
from orchestrator.edges.state_repository import Move, StateRepository
from orchestrator.errors import GitError
from tests.edges.remotes import make_clone, make_remote
from tests.edges.test_command_line import Clone, clone

__all__ = ["clone"]

ADDRESSES = (
    "--upload-pack=touch {mark}",
    "-u touch {mark}",
    "ext::sh -c touch% {mark}",
    "ssh://-oProxyCommand=touch%20{mark}/x",
    "https://bot:hunter2@127.0.0.1:9/x",
)
ALLOWED = {"GIT_ALLOW_PROTOCOL": "file:ext:ssh:https"}


@pytest.mark.parametrize("address", ADDRESSES)
def test_address_that_orchestrator_toml_would_not_have_is_refused(
    clone: Clone, tmp_path: Path, address: str
) -> None:
    mark = tmp_path / "mark"
    address = address.format(mark=mark)
    order = ("promote", "dev", "--to", "production", f"--to-repo={address}")
    said = clone.run(*order, expect=64, **ALLOWED)
    assert "--to-repo: " in said
    for policy in (address, f"{address}#main"):
        said += clone.run("audit", "dev", expect=64, ORCHESTRATOR_POLICY=policy, **ALLOWED)
        assert "ORCHESTRATOR_POLICY: " in said
    said += clone.run("deploy", "dev", expect=64, ORCHESTRATOR_POLICY=address, **ALLOWED)
    assert "hunter2" not in said
    assert not mark.exists()
    assert not (tmp_path / "srv").exists()


def test_policy_of_a_branch_alone_is_no_lack_of_one(clone: Clone) -> None:
    assert "ORCHESTRATOR_POLICY: " in clone.run("audit", "dev", expect=64, ORCHESTRATOR_POLICY="#main")


def list_refs(clone: GitClone, address: str) -> object:
    with StateRepository(clone, address, actor="ada") as repository:
        return repository.list_refs("refs/heads/")


def fetch(clone: GitClone, address: str) -> object:
    with StateRepository(clone, address, actor="ada") as repository:
        return repository.fetch("refs/heads/dev")


def push(clone: GitClone, address: str) -> object:
    with StateRepository(clone, address, actor="ada") as repository:
        commit = repository.commit({}, parent="", message="x")
        pushed = repository.push(Move(ref="refs/heads/dev", expected="", commit=commit))
        raise GitError(pushed.verdict)


def fetch_commit(clone: GitClone, address: str) -> object:
    with CommitObjects(clone) as objects:
        return objects.fetch(address, "refs/heads/dev", "dev", shallow=True)


def fetch_history(clone: GitClone, address: str) -> object:
    return History(clone, address, "refs/heads/dev").refresh()


@pytest.mark.usefixtures("isolated_git")
@pytest.mark.parametrize("ask", [list_refs, fetch, push, fetch_commit, fetch_history])
@pytest.mark.parametrize("option", ["upload-pack", "receive-pack"])
def test_git_takes_no_address_for_an_option(
    tmp_path: Path, ask: Callable[[GitClone, str], object], option: str
) -> None:
    where = read_clone(make_clone(make_remote(tmp_path), tmp_path / "clone"))
    with pytest.raises(GitError):
        ask(where, f"--{option}=touch {tmp_path}/mark;")
    assert not (tmp_path / "mark").exists()
