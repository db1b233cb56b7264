"""Commands and units as health checks: real programs, bounded in time and output, and never a shell."""

from __future__ import annotations

import os
import pwd
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from controller_program.checks import normalise_check
from host_program import commands
from host_program.health import check_health

PYTHON = sys.executable
SYSTEMCTL = """#!/bin/sh
cat "{directory}/state"
echo asked >> "{directory}/asked"
test ! -e "{directory}/next" || mv "{directory}/next" "{directory}/state"
exit $(cat "{directory}/code" 2>/dev/null || echo 0)
"""


def check_command(*command: str, **settings: Any) -> tuple[bool, str]:
    timing = {"retries": 0, "interval_seconds": 0.05, "timeout_seconds": 3, "deadline_seconds": 5}
    check = normalise_check({"type": "command", "command": list(command), **timing, **settings})
    found: tuple[bool, str] = check_health(check)
    return found


def test_exit_code_decides_and_the_output_is_shown() -> None:
    healthy, message = check_command("true")
    assert healthy
    assert message.startswith("true succeeded after 1 attempt, ")
    healthy, message = check_command("/bin/sh", "-c", "echo out; echo 'no  database' >&2; exit 3")
    assert not healthy
    assert "ended with 3: out no database after 1 attempt" in message
    healthy, message = check_command("/bin/sh", "-c", "kill -9 $$")
    assert "was ended by SIGKILL after" in message
    assert check_command("false")[1].startswith("false ended with 1 after")


def test_nothing_goes_through_a_shell(tmp_path: Path) -> None:
    hostile = f"; touch {tmp_path}/pwned $(touch {tmp_path}/pwned) `touch {tmp_path}/pwned` 'x' \"y\"\n"
    healthy, _ = check_command(PYTHON, "-c", f"import sys; sys.exit(sys.argv[1] != {hostile!r})", hostile)
    assert healthy
    assert not check_command(hostile)[0]
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("command", [("/nowhere/program",), ("/etc/passwd",), ("nowhere-program",)])
def test_program_that_cannot_be_run_says_why(command: tuple[str, ...]) -> None:
    healthy, message = check_command(*command)
    assert not healthy
    assert "cannot be run: " in message


def test_command_that_does_not_end_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    began = time.monotonic()
    text = f"sleep 300 & echo $! > {mark}; echo waiting; wait"
    healthy, message = check_command("/bin/sh", "-c", text, timeout_seconds=0.5)
    assert time.monotonic() - began < 2
    assert not healthy
    assert "did not end within 0.5 s: waiting" in message
    assert is_gone(int(mark.read_text()))


def test_command_that_closes_its_output_is_waited_for_and_bounded() -> None:
    assert check_command("/bin/sh", "-c", "exec >&- 2>&-; sleep 0.3; exit 0")[0]
    healthy, message = check_command("/bin/sh", "-c", "exec >&- 2>&-; sleep 300", timeout_seconds=0.5)
    assert not healthy
    assert "did not end within 0.5 s" in message


def test_what_a_command_leaves_behind_neither_holds_it_up_nor_lives_on(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    began = time.monotonic()
    assert check_command("/bin/sh", "-c", f"sleep 300 & echo $! > {mark}")[0]
    assert time.monotonic() - began < 2
    assert is_gone(int(mark.read_text()))
    began = time.monotonic()
    assert check_command("/bin/sh", "-c", "yes & exit 0", timeout_seconds=1)[0]
    assert time.monotonic() - began < 3


def test_huge_output_is_read_to_its_end_and_only_the_end_is_kept() -> None:
    text = (
        "import sys; sys.stdout.write('x' * (50 << 20)); sys.stdout.write('\\x1b[31mlast words'); sys.exit(1)"
    )
    healthy, message = check_command(PYTHON, "-c", text, timeout_seconds=20, deadline_seconds=30)
    assert not healthy
    assert len(message) < 1000
    assert "?[31mlast words after 1 attempt" in message


def test_output_that_never_ends_is_over_in_time() -> None:
    began = time.monotonic()
    assert not check_command("yes", timeout_seconds=0.5)[0]
    assert time.monotonic() - began < 2


def test_input_is_empty_and_the_environment_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXUS_PASSWORD", "s3cret")
    assert check_command("/bin/sh", "-c", 'test -z "$(cat)" && test -z "$NEXUS_PASSWORD" && test "$PWD" = /')[
        0
    ]


def test_user_that_is_not_there_or_not_ours_to_be_is_named() -> None:
    assert "there is no user nobody-at-all" in check_command("true", user="nobody-at-all")[1]
    own = pwd.getpwuid(os.geteuid()).pw_name
    assert check_command("true", user=own)[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs commands as somebody else")
def test_command_runs_as_its_user_with_that_users_groups() -> None:
    text = 'test "$(id -un) $(id -Gn) $HOME $USER" = "nobody nogroup /nonexistent nobody"'
    healthy, message = check_command("/bin/sh", "-c", text, user="nobody")
    assert healthy, message


@pytest.fixture
def unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory whose file `state` is what `systemctl show` says."""
    script = tmp_path / "systemctl"
    script.write_text(SYSTEMCTL.format(directory=tmp_path))
    script.chmod(0o755)
    monkeypatch.setattr(commands, "PATH", f"{tmp_path}:{commands.PATH}")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def write_state(unit: Path, name: str = "state", **state: str) -> None:
    usual = {"LoadState": "loaded", "ActiveState": "active", "SubState": "running", "InvocationID": "a1"}
    lines = {**usual, "Result": "success", **state}
    (unit / name).write_text("".join(f"{key}={value}\n" for key, value in lines.items()))


def check_unit(**settings: Any) -> tuple[bool, str]:
    timing = {"retries": 0, "interval_seconds": 0.1, "timeout_seconds": 3, "deadline_seconds": 5}
    found: tuple[bool, str] = check_health(
        normalise_check({"type": "systemd", "unit": "shop.service", **timing, **settings})
    )
    return found


@pytest.mark.parametrize(
    ("state", "healthy", "words"),
    [
        ({}, True, "shop.service is active (running) after 1 attempt"),
        ({"SubState": "exited"}, True, "is active (exited)"),
        (
            {"ActiveState": "activating", "SubState": "auto-restart", "Result": "exit-code"},
            False,
            "exit-code",
        ),
        ({"ActiveState": "inactive", "SubState": "dead"}, False, "is inactive (dead) after"),
        ({"LoadState": "not-found", "ActiveState": "inactive"}, False, "is no unit of this host"),
    ],
)
def test_units_state_decides(unit: Path, state: dict[str, str], healthy: bool, words: str) -> None:
    write_state(unit, **state)
    found, message = check_unit()
    assert found is healthy
    assert words in message


def test_unit_that_is_restarted_while_it_is_watched_is_not_healthy(unit: Path) -> None:
    write_state(unit)
    write_state(unit, "next", InvocationID="b2")
    healthy, message = check_unit(stays_healthy_seconds=0.3)
    assert not healthy
    assert "is active (running), and was restarted meanwhile" in message


def test_unit_that_settles_after_a_restart_is_healthy(unit: Path) -> None:
    write_state(unit)
    write_state(unit, "next", InvocationID="b2")
    assert check_unit(successes=2, retries=1)[0]
    assert (unit / "asked").read_text().count("asked") == 4


def test_systemctl_that_fails_or_is_missing_is_named(unit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (unit / "state").write_text("System has not been booted with systemd\n")
    (unit / "code").write_text("1")
    assert "has not been booted with systemd" in check_unit()[1]
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(commands, "PATH", "/nowhere")
    assert "systemctl cannot be run: No such file" in check_unit()[1]


def is_gone(process: int) -> bool:
    """Whether it ends within a few seconds; a zombie has ended."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False
