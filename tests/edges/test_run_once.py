"""Hooks that run once for an application and wave, by the real command: one action for all hosts, and tasks for each."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.edges.rollouts import ROOT, Ground, results

TASKS_FOR_EACH_HOST = """
import functools
import orchestrator.deployment
from orchestrator.cli.main import main
from orchestrator.edges.playbook_server import Rollout
orchestrator.deployment.Rollout = functools.partial(Rollout, together=False)
main()
"""
WAYS = {"one action": ("-m", "orchestrator"), "tasks": ("-c", TASKS_FOR_EACH_HOST)}
NOTE = 'echo "${ORCHESTRATOR_DEPLOYMENT_PATH%/*} $ORCHESTRATOR_APPLICATION $ORCHESTRATOR_VERSION" >> '

Make = Callable[..., "Migrating"]


class Migrating(Ground):
    """Applications with a migration that notes where it ran; it fails while the file `broken` is there."""

    def __init__(self, directory: Path, hosts: int, way: str, **more: object) -> None:
        super().__init__(directory, hosts)
        self.program, self.noted, self.broken = WAYS[way], directory / "noted", directory / "broken"
        script = f'{NOTE}{self.noted}; test ! -e {self.broken} || {{ echo "no such table"; exit 3; }}'
        self.command = ["/bin/sh", "-c", script]
        self.settings = {"hooks": {"run_once": [{"command": self.command, **more}]}}

    def notes(self) -> list[str]:
        """`host application version` of each run."""
        text = self.noted.read_text() if self.noted.exists() else ""
        return [line.removeprefix(f"{self.top}/srv/") for line in text.splitlines()]

    def roll(self, **strategy: Any) -> None:
        """Version 1 is everywhere, nothing is noted, and version 2 is asked for with that strategy."""
        self.release("1")
        self.deploy()
        self.noted.unlink()
        self.environment["strategy"] = strategy
        self.release("2")


@pytest.fixture(params=WAYS)
def make(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Make]:
    made: list[Migrating] = []

    def build(hosts: int, **more: object) -> Migrating:
        made.append(Migrating(tmp_path, hosts, request.param, **more))
        return made[-1]

    yield build
    for ground in made:
        ground.close()


def test_it_runs_on_one_host_before_the_first_batch_and_not_again(make: Make) -> None:
    ground = make(3)
    ground.roll(batches="1")
    planned = ground.run("plan")
    assert (
        "site: run_once on h1, before wave 1, batch 1 of 3; if it fails, nothing of that is switched: /bin/sh"
        in planned
    )
    ground.sick.add(("h2", "2"))
    assert results(ground.deploy(expect=23)) == {"h1": "deployed", "h2": "switched back", "h3": "staged"}
    assert ground.notes() == ["h1 site 2"]
    ground.sick.clear()
    assert "site: run_once has run for this artifact on h1 and does not run again: /bin/sh -c" in ground.run(
        "plan"
    )
    assert results(ground.deploy()) == {"h1": "unchanged", "h2": "deployed", "h3": "deployed"}
    assert ground.notes() == ["h1 site 2"]


def test_failing_one_leaves_every_host_as_it_is_and_runs_again(make: Make) -> None:
    ground = make(3)
    ground.roll(batches="2")
    ground.broken.touch()
    document = ground.deploy(expect=22)
    assert results(document) == {"h1": "failed", "h2": "staged", "h3": "staged"}
    assert set(ground.live().values()) == {"1"}
    (failed,) = [one for one in document["placements"] if one["result"] == "failed"]
    assert failed["message"].startswith("hook run_once /bin/sh -c ")
    assert failed["message"].endswith("failed with 3: no such table")
    (ran,) = failed["hooks"]
    assert (ran["event"], ran["exit"]) == ("run_once", 3)
    output = ground.run("show", "dev@last")
    assert "site         h1    run_once  failed (3)" in output
    (recorded,) = json.loads(ground.run("show", "dev@last", "--json", "-"))["hooks"]
    assert (recorded["host"], recorded["event"], recorded["exit"]) == ("h1", "run_once", 3)
    assert "message" not in recorded
    ground.broken.unlink()
    ground.deploy()
    assert ground.notes() == ["h1 site 2", "h1 site 2"]
    assert set(ground.live().values()) == {"2"}


def test_one_that_may_fail_is_told_of_and_the_rollout_goes_on(make: Make) -> None:
    ground = make(2, on_failure="continue")
    ground.roll(batches="1")
    ground.broken.touch()
    document = ground.deploy()
    assert results(document) == {"h1": "deployed", "h2": "deployed"}
    assert ground.notes() == ["h1 site 2"]
    said = {one["host"]: one["message"] for one in document["placements"]}
    assert "failed with 3: no such table; the rollout went on; " in said["h1"]
    assert "no such table" not in said["h2"]


def test_waves_before_are_switched_back_when_all_is_to_be(make: Make) -> None:
    ground = make(2)
    ground.where, ground.depends = {"api": ["all"], "site": ["all"]}, ["api"]
    ground.roll(rollback="all")
    ground.broken.write_text("")
    ground.command[2] = ground.command[2].replace("test !", '[ "$ORCHESTRATOR_APPLICATION" = api ] || test !')
    ground.release("2")
    document = ground.deploy(expect=22)
    assert ground.notes() == ["h1 api 2", "h1 site 2"]
    assert results(document, "api") == {"h1": "switched back", "h2": "switched back"}
    assert results(document) == {"h1": "failed", "h2": "staged"}
    assert set(ground.live("api").values()) == set(ground.live().values()) == {"1"}


def test_host_that_has_failed_before_is_not_the_one(make: Make) -> None:
    ground = make(3)
    ground.where, ground.depends = {"api": ["all"], "site": ["all"]}, ["api"]
    ground.roll(batches="1", max_failures=1)
    ground.sick.add(("h1", "2"))
    document = ground.deploy(expect=24)
    assert ground.notes() == ["h1 api 2", "h2 site 2"]
    assert results(document) == {"h1": "staged", "h2": "deployed", "h3": "deployed"}


def test_check_says_where_it_would_run_and_runs_nothing(make: Make) -> None:
    ground = make(2)
    ground.roll()
    document = ground.deploy("--check")
    said = {one["host"]: one["message"] for one in document["placements"]}
    assert said["h1"].startswith("would run run_once /bin/sh -c ")
    assert said["h1"].endswith("; would go live")
    assert said["h2"] == "would go live"
    assert ground.notes() == []
    assert set(ground.live().values()) == {"1"}


def test_plain_playbook_runs_it_once_for_each_wave_and_not_for_what_is_live(tmp_path: Path) -> None:
    """The placements are variables of the role, which no other host of the play can see."""
    ground = Migrating(tmp_path, 0, "tasks")
    ground.close()
    artifact = tmp_path / "site.txt"
    artifact.write_text("2")
    placement = {
        "application": "site",
        "version": "2",
        "deployment_path": f"{tmp_path}/srv/{{{{ inventory_hostname }}}}/site",
        "group": "{{ (inventory_hostname[1:] | int) - 1 }}",
        "wave": "{{ 2 if inventory_hostname == 'h3' else 0 }}",
        "artifact": {"location": str(artifact), "sha256": hashlib.sha256(b"2").hexdigest()},
        "hooks": {"run_once": [{"command": ground.command}]},
    }
    variables = {"release_groups": [0, 1, 2], "release_placements": [placement]}
    play_of_all = {"hosts": "all", "gather_facts": False, "roles": [{"role": "release", "vars": variables}]}
    (tmp_path / "site.yml").write_text(json.dumps([play_of_all]))

    def play(expect: int) -> str:
        done = subprocess.run(
            [Path(sys.executable).with_name("ansible-playbook"), "-i", "h1,h2,h3", "site.yml"],
            cwd=tmp_path,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(ground.home),
                "ORCHESTRATOR_STATE_DIRECTORY": str(ground.home / "state"),
                "ANSIBLE_ROLES_PATH": str(ROOT / "roles"),
                "ANSIBLE_TRANSPORT": "local",
                "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout

    ground.broken.touch()
    output = play(2)
    assert "no such table" in output
    assert [ground.live_on(host) for host in ("h1", "h2", "h3")] == ["", "", ""]
    assert ground.notes() == ["h1 site 2"]
    ground.broken.unlink()
    ground.noted.unlink()
    for _ in range(2):
        output = play(0)
        assert [ground.live_on(host) for host in ("h1", "h2", "h3")] == ["2", "2", "2"]
        assert ground.notes() == ["h1 site 2", "h3 site 2"]
    assert output.count("changed=0") == 3


def test_going_back_runs_nothing(make: Make) -> None:
    ground = make(2)
    ground.roll()
    ground.deploy()
    document = ground.deploy("--environment", "dev", command="rollback")
    assert set(results(document).values()) == {"deployed"}
    assert set(ground.live().values()) == {"1"}
    assert ground.notes() == ["h1 site 2"]
