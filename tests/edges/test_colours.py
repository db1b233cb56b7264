"""Colours on a real terminal, and none where they are not wanted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.edges.test_command_line import Clone

COMMANDS = ("plan -b nope", "plan --offline", "doctor", "deploy -b nope", "history dev")


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    made = Clone(tmp_path)
    made.environment["hosts"] = {"here": {"connection": "local", "python": "/nowhere/python"}}
    made.commit()
    return made


def _on_terminal(clone: Clone, command: str, **variables: str) -> str:
    """What the command writes to a terminal, output and errors."""
    ours, terminal = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestrator", *command.split()],
        cwd=clone.path,
        env={**clone.variables, "TERM": "xterm-256color", **variables},
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    said = b""
    try:
        while piece := os.read(ours, 65536):
            said += piece
    except OSError:  # the last of its writers has gone
        pass
    os.close(ours)
    process.wait()
    return said.decode()


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["NO_COLOR", "dumb"])
@pytest.mark.parametrize("command", COMMANDS)
def test_unwanted_colours_are_not_there(clone: Clone, command: str, variables: dict[str, str]) -> None:
    said = _on_terminal(clone, command, **variables)
    assert said
    assert not any(part.partition("m")[0].replace(";", "").isdigit() for part in said.split("\x1b[")[1:]), (
        said
    )


def test_colours_are_there_otherwise(clone: Clone) -> None:
    assert "\x1b[31m\x1b[1mError: " in _on_terminal(clone, "plan -b nope", NO_COLOR="")
    assert "\x1b[32m" in _on_terminal(clone, "plan --offline")
    assert "\x1b[31m\x1b[1mPROBLEM" in _on_terminal(clone, "doctor")
