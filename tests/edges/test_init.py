"""`orchestrator init`, as its users run it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


def run(home: Path, *arguments: str, expect: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", *arguments],
        cwd=home,
        env={"PATH": "/usr/bin:/bin", "HOME": str(home), "PYTHONPATH": str(ROOT), "GIT_CONFIG_NOSYSTEM": "1"},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    text = done.stdout + done.stderr
    assert done.returncode == expect, text
    assert "Traceback" not in text
    return text


def git(directory: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=directory, check=True, capture_output=True, text=True
    ).stdout


@pytest.mark.parametrize("form", ["full", "simple"])
def test_every_environment_can_be_planned_at_once(tmp_path: Path, form: str) -> None:
    said = run(tmp_path, "init", "shop-deploy", "--form", form)
    assert "orchestrator -C" in said
    clone = tmp_path / "shop-deploy"
    for branch in ("dev", "staging", "production"):
        assert "1.0.0" in run(tmp_path, "-C", "shop-deploy", "plan", "--offline", "--branch", branch)
        assert "1.0.0" in run(tmp_path, "-C", "shop-deploy", "plan", "--offline", "-e", branch)
    assert git(clone, "branch", "--show-current").strip() == "dev"
    assert git(clone, "status", "--porcelain") == ""
    assert len(git(clone, "log", "--all", "--format=%H").split()) == 1
    assert os.access(clone / "tests" / "run.sh", os.X_OK)


def test_options_choose_names_and_forge(tmp_path: Path) -> None:
    run(
        tmp_path, "init", "d", "--name", "web", "--environments", "qa, live", "--application", "shop",
        "--forge", "github",
    )  # fmt: skip
    assert git(tmp_path / "d", "for-each-ref", "--format=%(refname:short)", "refs/heads").split() == [
        "live",
        "qa",
    ]
    assert 'name = "web"' in (tmp_path / "d" / "orchestrator.toml").read_text()
    assert not (tmp_path / "d" / "Jenkinsfile").exists()
    assert "shop" in run(tmp_path, "-C", "d", "plan", "--offline", "-b", "live")


def test_files_that_are_there_are_refused_by_name_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "README.md").write_text("mine")
    said = run(tmp_path, "init", expect=64)
    assert "manifest.json" in said
    assert "README.md" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "manifest.json"]
    said = run(tmp_path, "init", "--force")
    assert "replaced README.md" in said
    assert "wrote    Jenkinsfile" in said


def test_complete_repository_is_left_alone_whatever_its_files_say_by_now(tmp_path: Path) -> None:
    run(tmp_path, "init", "d")
    manifest = tmp_path / "d" / "manifest.json"
    manifest.write_text(manifest.read_text() + "\n")
    written = manifest.stat().st_mtime_ns
    said = run(tmp_path, "init", "d")
    assert "is a deployment repository already: nothing was written" in said
    assert manifest.stat().st_mtime_ns == written
    assert "wrote    README.md" in run(tmp_path, "init", "d", "--force")
    (tmp_path / "d" / "README.md").unlink()
    manifest.write_text("{}")
    assert "manifest.json" in run(tmp_path, "init", "d", expect=64)
    git(tmp_path / "d", "checkout", "--quiet", "--force", "dev")
    git(tmp_path / "d", "branch", "--delete", "--force", "staging")
    assert " branch staging" in run(tmp_path, "init", "d")


def test_link_out_of_the_directory_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "inventories").symlink_to(tmp_path / "outside")
    assert "leads out of" in run(tmp_path, "init", "d", "--force", expect=64)
    assert not list((tmp_path / "outside").iterdir())


def test_existing_repository_gets_files_only_and_the_commands(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    said = run(tmp_path, "init")
    assert git(tmp_path, "for-each-ref") == ""
    commands = [line.strip() for line in said.splitlines() if line.startswith("  git ")]
    git(tmp_path, "config", "user.email", "ci@example.net")
    git(tmp_path, "config", "user.name", "CI")
    for command in commands:
        subprocess.run(command, shell=True, check=True, capture_output=True, cwd="/")
    run(tmp_path, "plan", "--offline", "-b", "staging")


def test_unborn_branch_needs_no_creation_and_a_stack_has_no_ci(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--initial-branch=dev")
    said = run(tmp_path, "init", "shop stack")
    assert " branch dev" not in said
    assert " branch staging" in said
    assert "orchestrator -C 'shop stack'" in said


def test_other_files_of_the_directory_stay_uncommitted(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "secret.txt").write_text("x")
    run(tmp_path, "init", "d")
    assert git(tmp_path / "d", "status", "--porcelain") == "?? secret.txt\n"


@pytest.mark.parametrize(
    "arguments",
    [("--environments", ""), ("--environments", "a,a"), ("--name", "a b"), ("--application", "../x")],
)
def test_impossible_names_are_refused(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    run(tmp_path, "init", "d", *arguments, expect=64)
    assert not (tmp_path / "d").exists()
