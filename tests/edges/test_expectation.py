"""The guess that there is nothing to do: right where nothing moved, and never for what was not asked before."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from orchestrator.edges.expectation import FILE, KEPT, expects_nothing, remember_converged

ASKED = {"branch": "dev", "limits": ()}


def git(clone: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=clone, check=True, capture_output=True)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet", "--initial-branch=dev", "clone")
    made = tmp_path / "clone"
    git(made, "config", "user.name", "CI")
    git(made, "config", "user.email", "ci@example.net")
    git(made, "commit", "--allow-empty", "--quiet", "--message", "1")
    return made


def test_same_question_is_expected_to_find_nothing_until_a_branch_moves(clone: Path) -> None:
    assert not expects_nothing(str(clone), ASKED)
    remember_converged(str(clone), ASKED)
    assert expects_nothing(str(clone), ASKED)
    assert not expects_nothing(str(clone), {**ASKED, "limits": ("h1",)})
    git(clone, "update-ref", "refs/remotes/origin/orchestrator/ledger/main", "HEAD")
    assert expects_nothing(str(clone), ASKED)
    git(clone, "update-ref", "refs/remotes/origin/dev", "HEAD")
    assert not expects_nothing(str(clone), ASKED)


def test_stack_of_a_clone_has_expectations_of_its_own(clone: Path) -> None:
    stack = clone / "stacks" / "shop"
    stack.mkdir(parents=True)
    remember_converged(str(stack), ASKED)
    assert expects_nothing(str(stack), ASKED)
    assert not expects_nothing(str(clone), ASKED)


def test_only_some_are_remembered(clone: Path) -> None:
    for number in range(KEPT + 1):
        remember_converged(str(clone), {"branch": f"b{number}"})
    assert not expects_nothing(str(clone), {"branch": "b0"})
    assert expects_nothing(str(clone), {"branch": "b1"})


@pytest.mark.parametrize("content", ["", "[]", "{"])
def test_file_that_is_broken_is_no_expectation(clone: Path, content: str) -> None:
    remember_converged(str(clone), ASKED)
    (clone / ".git" / "orchestrator" / FILE).write_text(content)
    assert not expects_nothing(str(clone), ASKED)
    remember_converged(str(clone), ASKED)
    assert expects_nothing(str(clone), ASKED)


def test_nothing_is_expected_outside_of_a_clone(tmp_path: Path) -> None:
    remember_converged(str(tmp_path), ASKED)
    assert not expects_nothing(str(tmp_path), ASKED)
    (tmp_path / ".git").write_text("gitdir: elsewhere\n")
    remember_converged(str(tmp_path), ASKED)
    assert not expects_nothing(str(tmp_path), ASKED)
