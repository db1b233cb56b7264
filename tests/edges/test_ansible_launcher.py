"""How ansible-playbook is started."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.edges import ansible_launcher
from orchestrator.edges.ansible_launcher import WORTH_KEEPING_BYTES, cache_directory, kept

LONG = b"a: 1\n" + b"#" * WORTH_KEEPING_BYTES


class Parser:
    """Counts what it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, text: Any, content: Any) -> Any:
        self.asked += 1
        return {"asked": str(self.asked), "bytes": str(len(text))}


def test_long_metadata_is_parsed_once(tmp_path: Path) -> None:
    parse = Parser()
    first = kept(parse, tmp_path / "cache")(LONG, ("ansible.builtin", "runtime.yml"))
    assert kept(parse, tmp_path / "cache")(LONG.decode(), ("ansible.builtin", "runtime.yml")) == first
    assert parse.asked == 1
    kept(parse, tmp_path / "cache")(LONG + b"#", None)
    assert parse.asked == 2
    kept(parse, tmp_path / "cache")(b"a: 1", None)
    assert parse.asked == 3
    assert len(list((tmp_path / "cache").iterdir())) == 2


@pytest.mark.parametrize("content", [b"", b"[1]", b"\xff", b"{"])
def test_broken_cache_is_made_again(tmp_path: Path, content: bytes) -> None:
    parse = Parser()
    kept(parse, tmp_path)(LONG, None)
    (path,) = tmp_path.iterdir()
    path.write_bytes(content)
    assert kept(parse, tmp_path)(LONG, None)["asked"] == "2"
    assert kept(parse, tmp_path)(LONG, None)["asked"] == "2"


def test_directory_of_no_use_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert kept(Parser(), tmp_path / "file" / "below")(LONG, None)["asked"] == "1"


@pytest.mark.parametrize(("code", "expected"), [("None", 0), ("0", 0), ("4", 4), ("'words'", 1)])
def test_process_ends_with_its_code_and_all_of_its_output(code: str, expected: int) -> None:
    program = f"from orchestrator.edges.ansible_launcher import leave\nprint('x' * 100_000)\nleave({code})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stdout)) == (expected, 100_001)


def test_cache_that_others_can_write_is_not_used(tmp_path: Path) -> None:
    parse = Parser()
    kept(parse, tmp_path)(LONG, None)
    tmp_path.chmod(0o777)
    assert kept(parse, tmp_path)(LONG, None)["asked"] == "2"


def test_cache_is_where_xdg_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "gitops-orchestrator"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_directory() == tmp_path / "home" / ".cache" / "gitops-orchestrator"


def test_launcher_is_ansible_playbook_and_finds_its_own_hook(tmp_path: Path) -> None:
    """The name of ansible's function is its own; when it changes, we want to know."""
    path = str(ansible_launcher.__file__)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
    play = tmp_path / "play.yml"
    play.write_text(
        "- hosts: localhost\n  gather_facts: false\n  connection: local\n  tasks: [{debug: {msg: hello}}]\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", path, "-i", "localhost,", str(play)],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "hello" in done.stdout
    assert [one.suffix for one in (tmp_path / ".cache" / "gitops-orchestrator").iterdir()] == [".json"]
