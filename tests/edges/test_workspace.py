"""The private directory of a command's playbook runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.edges.ansible_process import EventStream
from orchestrator.edges.preparing import OWNER, remove_abandoned
from orchestrator.edges.process_identity import is_gone, this_process_identity
from orchestrator.errors import AnsibleError

IDENTITY = (
    "from orchestrator.edges.process_identity import this_process_identity as me; print(me(), flush=True)"
)


def test_directories_of_commands_that_were_killed_are_removed_and_no_others(tmp_path: Path) -> None:
    dead = subprocess.run(
        [sys.executable, "-c", IDENTITY], capture_output=True, text=True, check=True
    ).stdout.strip()
    owners = {"orch-dead": dead, "orch-alive": this_process_identity(), "orch-elsewhere": "boot:1:2:3"}
    for name, identity in {**owners, "other-dead": dead}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / OWNER).write_text(identity)
    remove_abandoned(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["orch-alive", "orch-elsewhere", "other-dead"]


def test_process_is_gone_only_when_this_kernel_says_so() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", f"{IDENTITY}; input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        identity = process.stdout.readline().strip()
        assert not is_gone(identity)
        process.communicate("\n")
    assert is_gone(identity)
    place, started = identity.rsplit(":", 2)[0], identity.rsplit(":", 1)[1]
    assert is_gone(f"{place}:1:{int(started) + 1}")
    assert not is_gone(f"another-boot:{identity.split(':', 1)[1]}")
    assert not any(is_gone(text) for text in ("", "x", "a:b:c:d"))


def test_runner_that_cannot_be_imported_is_an_error_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ansible_runner.interface", None)
    stream = EventStream(tmp_path, tmp_path / "deploy.yml", {})
    stream.start()
    with pytest.raises(AnsibleError, match="ansible-runner failed"):
        list(stream)
