"""What people do without meaning to: wrong names, wrong places, closed pipes and terminals, odd locales."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.edges.test_command_line import Clone


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def verdicts(clone: Clone, environment: str = "dev") -> list[str]:
    history = json.loads(clone.run("history", environment, "--json", "-"))
    return [attempt["verdict"] for attempt in history["attempts"]]


def test_other_name_of_production_does_not_get_around_its_branch(clone: Clone) -> None:
    clone.environment["environment"] = "production"
    (clone.path / "prod-env.json").write_text(json.dumps(clone.environment))
    clone.commit()
    clone.git("branch", "production")
    clone.manifest["manifest_version"] = "2"
    clone.commit()
    for name in ("production", "prod"):
        said = clone.run("deploy", "--environment", name, "--ref", "HEAD", expect=12)
        assert "is ahead of production" in said
    assert "manifest 1" in clone.run("plan", "--environment", "prod")


def test_environment_that_nobody_knows_is_a_typo(clone: Clone) -> None:
    said = clone.run("plan", "--environment", "dve", expect=12)
    assert "there is no environment 'dve'" in said
    assert "it has dev" in said


def test_subdirectory_without_a_manifest_is_no_stack_and_leaves_no_ledger(clone: Clone) -> None:
    (clone.path / "notes").mkdir()
    (clone.path / "notes" / "x").write_text("x")
    clone.commit()
    assert "there is no manifest.json in notes" in clone.run("-C", "notes", "deploy", "-b", "dev", expect=64)
    assert "orchestrator/" not in clone.git("for-each-ref", "--format=%(refname)")


@pytest.mark.parametrize("locale", ["C", "POSIX", "de_DE.UTF-8"])
def test_any_locale_will_do(clone: Clone, locale: str) -> None:
    assert "1 to change" in clone.run("plan", LC_ALL=locale)


def test_output_that_nobody_reads_any_more_does_not_end_a_deployment(clone: Clone) -> None:
    command = shlex.join([sys.executable, "-m", "orchestrator", "deploy", "--branch", "dev"])
    script = f"set -o pipefail; {command} | true"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=clone.path,
        env=clone.variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    full = subprocess.run(
        ["bash", "-c", f"{command} > /dev/full"],
        cwd=clone.path,
        env=clone.variables,
        capture_output=True,
        check=False,
    )
    assert full.returncode == 0
    assert verdicts(clone) == ["success", "success"]


def test_terminal_that_closes_ends_a_run_as_a_signal_does(clone: Clone) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestrator", "deploy", "--branch", "dev"],
        cwd=clone.path,
        env={**clone.variables, "PYTHONUNBUFFERED": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("intent"):
            break
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGHUP
    assert verdicts(clone) in (["cancelled"], ["unknown"])
    assert "free" in clone.run("lock", "show")
    clone.run("deploy", "--branch", "dev")


def test_way_to_go_on_is_only_offered_where_it_leads_on(clone: Clone) -> None:
    assert "to go on" not in clone.run("deploy", "--application", "nope", expect=64)
    assert "to go on" not in clone.run("deploy", "--require-plan", "123456789abc", expect=31)
    (clone.path / "artifacts" / "site-1.0.txt").unlink()
    clone.commit()
    said = clone.run("deploy", expect=13)
    assert "to go on: orchestrator deploy --branch dev" in said
