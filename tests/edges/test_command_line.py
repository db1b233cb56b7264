"""The command as its users run it: exit codes, messages, JSON; never a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


class Clone:
    """A deployment repository with one environment on this machine."""

    def __init__(self, directory: Path) -> None:
        self.path, self.home = directory / "clone", directory / "home"
        self.home.mkdir()
        self.path.mkdir()
        self.git("init", "--quiet", "--initial-branch=dev")
        self.git("config", "user.email", "ci@example.net")
        self.git("config", "user.name", "CI")
        (self.path / "artifacts").mkdir()
        (self.path / "artifacts" / "site-1.0.txt").write_text("one\n")
        self.manifest = {
            "manifest_version": "1",
            "applications": {
                "site": {"version": "1.0", "artifact": {"repository": "here", "path": "site-{version}.txt"}}
            },
        }
        self.environment = {
            "environment": "dev",
            "repositories": {"here": {"type": "directory", "path": "artifacts"}},
            "hosts": {"here": {"connection": "local", "python": sys.executable}},
            "applications": {"site": {"deployment_path": str(directory / "srv" / "site")}},
        }
        self.commit()

    def git(self, *arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=self.path, check=True, capture_output=True, text=True)
        return done.stdout

    def commit(self) -> None:
        (self.path / "manifest.json").write_text(json.dumps(self.manifest, indent=2))
        (self.path / "dev-env.json").write_text(json.dumps(self.environment, indent=2))
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "Change")

    @property
    def variables(self) -> dict[str, str]:
        """The environment of every command."""
        return {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.home),
            "ORCHESTRATOR_STATE_DIRECTORY": str(self.home / "state"),
            "PYTHONPATH": str(ROOT),
        }

    def run(self, *arguments: str, expect: int = 0, **variables: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "orchestrator", *arguments],
            cwd=self.path,
            env={**self.variables, **variables},
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        text = done.stdout + done.stderr
        assert done.returncode == expect, text
        assert "Traceback" not in text
        assert "\x1b" not in text
        return text


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def test_plan_has_terraforms_exit_codes(clone: Clone) -> None:
    assert "first release there" in clone.run("plan")
    clone.run("plan", "--detailed-exitcode", expect=2)
    clone.run("plan", "--branch", "nope", "--detailed-exitcode", expect=1)


def test_plan_for_machines_is_json_on_standard_output_alone(clone: Clone) -> None:
    plan = json.loads(clone.run("plan", "--offline", "--json", "-"))
    assert plan["format"] == 1
    assert plan["steps"][0]["to_version"] == "1.0"
    again = json.loads(clone.run("plan", "--offline", "--json", "-"))
    assert (plan["plan_id"], plan["intent_id"]) == (again["plan_id"], again["intent_id"])


def test_dirty_work_tree_is_not_read_unless_asked(clone: Clone) -> None:
    (clone.path / "manifest.json").write_text("broken")
    clone.run("plan", "--offline")
    clone.run("plan", "--offline", "--worktree", expect=10)


def test_broken_document_lists_every_violation_with_its_line(clone: Clone) -> None:
    clone.manifest["colour"] = "red"
    clone.environment["applications"] = {"site": {"deployment_path": "relative", "hosts": ["nowhere"]}}
    clone.commit()
    text = clone.run("plan", expect=10)
    assert "manifest.json:" in text
    assert "colour" in text
    assert "deployment_path" in text
    assert "nowhere" in text


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("plan", "--branch", "nope"), 12),
        (("plan", "--ref", "nope"), 12),
        (("plan", "--branch", "dev", "--ref", "dev"), 64),
        (("deploy", "--application", "nope"), 64),
        (("deploy", "--limit", "nope"), 64),
        (("frobnicate",), 64),
        (("-C", "/", "plan"), 11),
    ],
)
def test_each_kind_of_mistake_has_its_code(clone: Clone, arguments: tuple[str, ...], code: int) -> None:
    clone.run(*arguments, expect=code)


def test_unreachable_remote_is_said_and_offline_goes_on(clone: Clone, tmp_path: Path) -> None:
    clone.git("remote", "add", "origin", str(tmp_path / "gone.git"))
    assert "cannot be reached" in clone.run("plan", expect=11)
    clone.run("plan", "--offline")


@pytest.mark.parametrize("name", ["manifest.json", "dev-env.json", "orchestrator.toml"])
def test_committed_link_is_said_to_be_one(clone: Clone, name: str) -> None:
    (clone.path / name).unlink(missing_ok=True)
    (clone.path / name).symlink_to("elsewhere")
    clone.git("add", "--all")
    clone.git("commit", "--quiet", "--message", "Link")
    for command in ("plan", "deploy"):
        said = clone.run(command, expect=10)
        assert f"{name} at " in said
        assert "is a symbolic link, and links are not followed" in said


def test_missing_artifact_stops_before_any_host(clone: Clone, tmp_path: Path) -> None:
    (clone.path / "artifacts" / "site-1.0.txt").unlink()
    clone.run("deploy", expect=13)
    assert not (tmp_path / "srv").exists()


def test_environment_from_an_executable(clone: Clone) -> None:
    provider = clone.path / "provider"
    provider.write_text(f"#!/bin/sh\ncat <<'EOF'\n{json.dumps(clone.environment)}\nEOF\n")
    provider.chmod(0o755)
    (clone.path / "orchestrator.toml").write_text(
        'format = 1\n[environments.dev]\nprovider = { command = ["./provider"] }\n'
    )
    clone.git("add", "--all")
    clone.git("rm", "--quiet", "--cached", "dev-env.json")
    clone.git("commit", "--quiet", "--message", "Provider")
    assert "first release there" in clone.run("plan")
    provider.write_text("#!/bin/sh\necho no >&2\nexit 3\n")
    assert "no" in clone.run("plan", expect=26)


def test_render_runs_by_hand(clone: Clone, tmp_path: Path) -> None:
    output = clone.run("render", str(tmp_path / "rendered"))
    assert "ansible-playbook" in output
    inventory = (tmp_path / "rendered" / "inventory.yml").read_text()
    assert 'version: "1.0"' in inventory
    assert 'application: !unsafe "site"' in inventory


def test_deploy_then_status_then_drift(clone: Clone, tmp_path: Path) -> None:
    clone.run("deploy", "--check")
    assert not (tmp_path / "srv").exists()
    clone.run("deploy")
    assert (tmp_path / "srv" / "site" / "current" / "site.txt").read_text() == "one\n"
    assert "in sync" in clone.run("status", "--verify")
    (tmp_path / "srv" / "site" / "current" / "site.txt").write_text("two\n")
    assert "site.txt was changed" in clone.run("status", "--verify")
    clone.run("deploy", "--verify")
    assert (tmp_path / "srv" / "site" / "current" / "site.txt").read_text() == "one\n"
    history = json.loads(clone.run("history", "dev", "--json", "-"))
    assert [record["verdict"] for record in history["attempts"]] == ["success", "success"]


def test_doctor_finds_nothing_wrong_here(clone: Clone) -> None:
    said = clone.run("doctor")
    assert "everything that a deployment needs" in said
    assert "dev was never locked" in said
    clone.run("deploy")
    assert "ledger in git can be read and written" in clone.run("doctor")
    heads = clone.git("for-each-ref", "--format=%(refname) %(objectname)")
    clone.run("doctor")
    assert "orchestrator/lock/dev" in heads
    assert clone.git("for-each-ref", "--format=%(refname) %(objectname)") == heads


def test_doctor_says_when_lock_and_ledger_may_not_be_written(clone: Clone) -> None:
    (clone.path / "orchestrator.toml").write_text('format = 1\n[ledger]\nrepository = "/nowhere/ops.git"\n')
    clone.git("add", "orchestrator.toml")
    clone.git("commit", "--quiet", "--message", "Elsewhere")
    said = clone.run("doctor", expect=28)
    assert "PROBLEM the git remote /nowhere/ops.git cannot be reached" in said


@pytest.mark.parametrize("document", ["manifest", "environment", "settings"])
def test_schema_is_published(clone: Clone, document: str) -> None:
    assert json.loads(clone.run("schema", document))["$schema"].endswith("2020-12/schema")
