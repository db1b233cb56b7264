"""Output that cannot be written: said by name where it is all that a command does, and never in the way of a deployment."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.edges.branches import Branches
from tests.edges.test_command_line import Clone

NO_SPACE = "Error: standard output cannot be written: No space left on device\n"
GITLAB = {"GITLAB_CI": "true", "CI_COMMIT_BRANCH": "dev"}


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def _shell(clone: Clone, command: str, **variables: str) -> tuple[int, str, str]:
    """Code, output and errors of a line in which `orchestrator` is ours."""
    done = subprocess.run(
        ["bash", "-c", f'orchestrator() {{ "$PYTHON" -m orchestrator "$@"; }}; {command}'],
        cwd=clone.path,
        env={**clone.variables, "PYTHON": sys.executable, **variables},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "command",
    [
        "status",
        "plan --offline",
        "plan --offline --json -",
        "history dev",
        "history dev --json -",
        "schema manifest",
        "completion bash",
        "--version",
        "--help",
        "deploy --help",
    ],
)
@pytest.mark.parametrize("variables", [{}, GITLAB], ids=["plain", "ci"])
def test_full_disk_beneath_standard_output_is_said_in_one_line(
    clone: Clone, command: str, variables: dict[str, str]
) -> None:
    assert _shell(clone, f"orchestrator {command} >/dev/full", **variables) == (74, "", NO_SPACE)


def test_error_keeps_its_code_when_nothing_can_be_written(clone: Clone) -> None:
    assert _shell(clone, "orchestrator plan -b nope >/dev/full 2>/dev/full")[0] == 12
    assert _shell(clone, "orchestrator history dev --json /dev/full")[0] == 64
    code, _, errors = _shell(clone, "orchestrator plan --offline --detailed-exitcode >/dev/full")
    assert (code, errors) == (1, NO_SPACE)


def test_deployment_goes_on_without_its_output(clone: Clone, tmp_path: Path) -> None:
    assert _shell(clone, "orchestrator deploy -b dev >/dev/full 2>/dev/full")[0] == 0
    assert (tmp_path / "srv" / "site" / "current" / "site.txt").read_text() == "one\n"
    assert _shell(clone, "orchestrator deploy -b dev >&- 2>&- <&-")[0] == 0
    history = json.loads(_shell(clone, "orchestrator history dev --json -")[1])
    assert [record["verdict"] for record in history["attempts"]][-1] == "success"


@pytest.mark.parametrize("streams", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_streams_go_nowhere(clone: Clone, streams: str) -> None:
    assert _shell(clone, f"orchestrator status {streams}")[0] == 0
    assert _shell(clone, f"orchestrator plan -b nope {streams}")[0] == 12


@pytest.mark.parametrize("variables", [{}, GITLAB], ids=["plain", "ci"])
def test_reader_that_goes_ends_the_command_as_sigpipe_does(clone: Clone, variables: dict[str, str]) -> None:
    line = 'orchestrator {} | true; echo "${{PIPESTATUS[0]}}"'
    for command in ("status", "plan --offline --detailed-exitcode", "--help", "schema manifest"):
        assert _shell(clone, line.format(command), **variables)[1:] == ("141\n", "")


@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1:strict"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_character_that_the_terminal_does_not_have_is_an_escape(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    branches = Branches(tmp_path, "dev", "production")
    branches.publish("api", "2")
    said = branches.run("set", "api=2", "-b", "dev", "--push", **variables)
    assert r"manifest 1.0.0 \u2192 1.0.1" in said
    assert "pushed" in said
    assert r"\u2192" in branches.run("plan", "--base", "dev", "--from-ledger", **variables)
