"""Commits that `git fast-import` makes, held against what git then says of them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from orchestrator.edges.fast_import import FAST_IMPORT, render_commit
from orchestrator.edges.git_process import GitProcess
from orchestrator.edges.object_reader import ObjectReader

WHO = ("A U Thor <author@example.net> 1700000000 +0100", "C <c@example.net> 1700000001 +0000")
NAMES = (
    "plain",
    "a/b/c.json",
    'quo"te',
    "back\\slash",
    "line\nfeed",
    "ünï",
    "tab\there",
    " blanks ",
    "\udcff",
)


@pytest.fixture
def git(tmp_path: Path) -> GitProcess:
    git = GitProcess(
        environment=dict(os.environ), directory=tmp_path, git_directory=str(tmp_path / "repository")
    )
    git.check("init", "--quiet", "--bare")
    return git


def make(
    git: GitProcess, ref: str, files: dict[str, bytes | str | None], parent: str = "", message: str = "m"
) -> str:
    return git.check(
        *FAST_IMPORT,
        content=render_commit(ref, WHO, message, parent=parent, files=files, modes={"run": "100755"}),
    ).text


def listed(git: GitProcess, commit: str) -> dict[str, str]:
    out = git.check("ls-tree", "-r", "-z", commit).output.decode("utf-8", "surrogateescape")
    pairs = [line.partition("\t") for line in out.split("\0") if line]
    return {path: meta.split()[0] for meta, _, path in pairs}


def test_any_name_and_content_arrives(git: GitProcess) -> None:
    files: dict[str, bytes | str | None] = {name: f"{name!r}\n\0".encode() for name in (*NAMES, "run")}
    commit = make(git, "refs/x/1", files, message="what\n\nand why\n")
    assert listed(git, commit) == dict.fromkeys(NAMES, "100644") | {"run": "100755"}
    reader = ObjectReader(git)
    for name in NAMES:
        if "\n" not in name:
            found = reader.get(f"{commit}:{name}")
            assert found is not None
            assert found.content == files[name]
    head = reader.get(commit)
    assert head is not None
    assert (
        head.content.decode().partition("\nauthor ")[2]
        == f"{WHO[0]}\ncommitter {WHO[1]}\n\nwhat\n\nand why\n"
    )
    reader.close()


def test_commit_differs_from_its_parent_in_what_is_said(git: GitProcess) -> None:
    first = make(git, "refs/x/1", {"keep": b"1", "gone": b"2", "d": b"was a file"})
    blob = git.check("rev-parse", f"{first}:keep").text
    second = make(git, "refs/x/2", {"gone": None, "d": None, "d/in": b"3", "copy": blob}, parent=first)
    assert set(listed(git, second)) == {"keep", "d/in", "copy"}
    assert git.check("rev-parse", f"{second}^").text == first
    assert (
        git.check("rev-parse", f"{make(git, 'refs/x/3', {}, parent=second)}^{{tree}}").text
        == git.check("rev-parse", f"{second}^{{tree}}").text
    )


def test_objects_that_come_later_are_seen_and_others_are_not_there(git: GitProcess, tmp_path: Path) -> None:
    reader = ObjectReader(git)
    assert reader.get("refs/x/1") is reader.get("0" * 40) is reader.get("") is reader.get("a\nb") is None
    commit = make(git, "refs/x/1", {"a": b"1"})
    found = reader.get("refs/x/1")
    assert found is not None
    assert (found.name, found.kind) == (commit, "commit")
    assert reader.get(f"{commit}:no") is None
    reader.close()
    assert reader.get(f"{commit}:a") is not None
    process = reader._process
    assert process is not None
    process.kill()
    process.wait(10)
    with pytest.raises(Exception, match="git cat-file"):
        reader.get(commit)
    assert reader.get(commit) is not None
    reader.close()
    assert (
        subprocess.run(["pgrep", "-f", f"git-dir={tmp_path}/repository cat-file"], check=False).returncode
        == 1
    )
