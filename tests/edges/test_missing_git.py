"""A machine without git, as a slim image of a CI is: said by every command that needs it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.edges.test_command_line import Clone


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    made = Clone(tmp_path)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "ssh"):
        found = shutil.which(name)
        if found:
            (programs / name).symlink_to(found)
    return made


@pytest.mark.parametrize(
    "command",
    [
        "plan",
        "plan -b dev --offline",
        "plan --base dev",
        "deploy -b dev",
        "adopt -e dev -a site",
        "rollback -e dev",
        "set site=2.0 -b dev",
        "promote dev --to main",
        "hold dev --reason x",
        "unhold dev",
        "continue dev",
        "status",
        "status --worktree",
        "render out",
        "history dev",
        "show dev-1",
        "when site 1.0",
        "lock show",
        "lock break dev --reason x",
        "audit",
        "hosts scan",
        "init new",
        "demo",
    ],
)
def test_missing_git_is_said(clone: Clone, tmp_path: Path, command: str) -> None:
    said = clone.run(*command.split(), expect=11, PATH=str(tmp_path / "bin"))
    assert "Error: git is not installed here, or not on the PATH\nTo do: install git" in said


def test_doctor_finds_that_git_is_missing(clone: Clone, tmp_path: Path) -> None:
    said = clone.run("doctor", expect=28, PATH=str(tmp_path / "bin"))
    assert "PROBLEM git on this machine\n        to do: install git\n" in said


def test_what_needs_no_git_goes_on(clone: Clone, tmp_path: Path) -> None:
    clone.run("schema", "manifest", PATH=str(tmp_path / "bin"))
