"""What one host runs once for all of them, by the host program."""

from __future__ import annotations

from typing import Any

from tests.edges.host import PASSWORD, Host
from tests.edges.test_release_settings import deploy, hook, placement

RAN = 'echo "$ORCHESTRATOR_HOOK $ORCHESTRATOR_VERSION $ORCHESTRATOR_PREVIOUS_VERSION $PWD" >> '


def stage(host: Host, wanted: dict[str, Any]) -> dict[str, Any]:
    """Staged by a run of its own, and what runs once has run."""
    host.runs += 1
    assert host.phase("stage", wanted)["problem"] is None
    return host.phase("once", wanted)


def log_of(host: Host) -> list[str]:
    log = host.path.parent / "log"
    return log.read_text().splitlines() if log.exists() else []


def migrating(host: Host, version: str, *scripts: str, **more: Any) -> dict[str, Any]:
    """A placement whose hooks note that they run, and then do what the scripts say."""
    scripts = scripts or ("true",)
    log = host.path.parent / "log"
    hooks = [hook(host, f"{RAN}{log}; {script}", **more) for script in scripts]
    return placement(host, version, hooks={"run_once": hooks})


def test_it_runs_in_the_staged_release_before_anything_is_switched(host: Host) -> None:
    deploy(host, placement(host, "1"))
    wanted = migrating(host, "2")
    said = stage(host, wanted)
    assert said["changed"]
    assert log_of(host) == [f"run_once 2 1 {host.path}/releases/{wanted['release']}"]
    assert (host.path / "current" / "index.html").read_text() == "1"
    (ran,) = said["hooks"]
    assert (ran["event"], ran["exit"]) == ("run_once", 0)


def test_it_does_not_run_again_for_its_artifact_and_does_for_another_command(host: Host) -> None:
    wanted = migrating(host, "2")
    stage(host, wanted)
    assert stage(host, wanted)["message"] == "what runs once has run for this artifact"
    assert len(log_of(host)) == 1
    stage(host, {**wanted, "release": "2-otherwise-laid-out"})
    assert len(log_of(host)) == 1
    stage(host, migrating(host, "2", "echo another"))
    assert len(log_of(host)) == 2
    (found,) = host.observe()
    assert [len(kept.get("once", [])) for kept in found["releases"]] == [0, 2]


def test_it_does_not_run_where_its_release_is_live_already(host: Host) -> None:
    wanted = migrating(host, "2")
    assert deploy(host, wanted)["result"] == "healthy"
    assert stage(host, wanted)["message"] == "already live and healthy"
    assert log_of(host) == []


def test_failing_one_says_so_and_what_comes_after_it_does_not_run(host: Host) -> None:
    wanted = migrating(host, "2", "true", "echo no such table; exit 3", "echo never")
    said = stage(host, wanted)
    assert said["problem"]["kind"] == "hook"
    assert said["message"].endswith("failed with 3: no such table")
    assert [one["exit"] for one in said["hooks"]] == [0, 3]
    assert not (host.path / "current").exists()
    stage(host, wanted)
    assert len(log_of(host)) == 3  # the first one has succeeded, and is not run again


def test_one_that_may_fail_is_told_of_and_runs_again_with_the_next_run(host: Host) -> None:
    wanted = migrating(host, "2", "exit 3", "exit 4", on_failure="continue")
    said = stage(host, wanted)
    assert said["problem"] is None
    assert "failed with 3" in said["notice"]
    assert said["notice"].endswith("failed with 4; the rollout went on")
    stage(host, wanted)
    assert len(log_of(host)) == 4


def test_secrets_are_in_its_environment_and_in_no_output(host: Host) -> None:
    settings = {
        "secrets": {"TOKEN": {"env": "PASSWORD"}},
        "hooks": {"run_once": [hook(host, 'test "$TOKEN" && echo "is $TOKEN"; exit 1', secrets=True)]},
    }
    said = stage(host, placement(host, "1", **settings))
    assert said["message"].endswith("failed with 1: is ***")
    assert PASSWORD not in str(said)


def test_check_says_what_would_run_and_runs_nothing(host: Host) -> None:
    wanted = migrating(host, "2")
    said = host.phase("once", wanted, check=True)
    assert said["notice"].startswith("would run run_once /bin/sh -c ")
    assert log_of(host) == []
    assert not host.path.exists()


def test_release_that_this_run_has_not_staged_is_no_place_to_run_it(host: Host) -> None:
    wanted = migrating(host, "2")
    stage(host, wanted)
    host.runs += 1
    assert "has not staged" in host.phase("once", migrating(host, "3"))["message"]
    assert len(log_of(host)) == 1
