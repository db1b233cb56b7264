"""`orchestrator adopt`, by the real command, on hosts that are directories of this machine."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.edges.rollouts import ROOT, Ground, results


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    made = Ground(tmp_path, 2)
    yield made
    made.close()


def by_hand(ground: Ground, host: str, version: str) -> Path:
    """A directory that is live there, and nobody deployed it."""
    current = ground.top / "srv" / host / "site" / "current"
    current.mkdir(parents=True)
    (current / "site.txt").write_text(version)
    return current


def adopt(ground: Ground, *arguments: str, expect: int = 0) -> dict[str, object]:
    words = ("--environment", "dev", "--application", "site", *arguments)
    return ground.deploy(*words, command="adopt", expect=expect)


def test_what_is_live_is_taken_over_recorded_and_then_deployed_to(ground: Ground) -> None:
    for host in ("h1", "h2"):
        by_hand(ground, host, "1")
    ground.release("1")
    refused = str(ground.deploy(expect=21)["output"])
    assert "take it over with `orchestrator adopt` where it is the version that git asks for" in refused
    checked = adopt(ground, "--check")
    assert results(checked) == {"h1": "deployed", "h2": "deployed"}
    assert "Check of the takeover of dev" in str(checked["output"])
    assert "current is 1, file by file; would be taken over without a restart" in str(checked["output"])
    assert not list(ground.top.glob("srv/*/site/current.before-adoption"))
    document = adopt(ground, "--limit", "h1")
    assert results(document) == {"h1": "deployed"}
    assert "is kept as" in str(document["output"])
    (kept,) = ground.top.glob("srv/*/site/current.before-adoption")
    assert (kept / "site.txt").read_text() == "1"
    assert results(adopt(ground)) == {"h1": "unchanged", "h2": "deployed"}
    assert set(results(ground.deploy()).values()) == {"unchanged"}
    assert "in sync" in ground.run("status", "dev", "--verify")
    kinds = [one["kind"] for one in json.loads(ground.run("history", "dev", "--json", "-"))["attempts"]]
    assert kinds == ["deploy", "adopt", "adopt", "deploy"]
    assert "adopt: " in ground.run("history", "dev")
    ground.release("2")
    assert set(results(ground.deploy()).values()) == {"deployed"}
    assert set(results(ground.deploy("--environment", "dev", command="rollback")).values()) == {"deployed"}
    assert set(ground.live().values()) == {"1"}


def test_one_host_that_differs_keeps_all_as_they_are(ground: Ground) -> None:
    one, other = by_hand(ground, "h1", "1"), by_hand(ground, "h2", "1 and more")
    (other / "added").write_text("")
    ground.release("1")
    for arguments in (("--check",), ()):
        document = adopt(ground, *arguments, expect=21)
        assert (
            f"{other} is not 1 of site; 2 differences: added is only there; site.txt has other content"
            in str(document["output"])
        )
    assert not one.is_symlink()
    assert not other.is_symlink()
    assert results(adopt(ground, "--limit", "h1")) == {"h1": "deployed"}


def test_host_that_is_not_healthy_is_given_back_and_the_command_that_goes_on_is_named(ground: Ground) -> None:
    current = by_hand(ground, "h1", "1")
    ground.sick.add(("h1", "1"))
    ground.release("1")
    document = adopt(ground, "--limit", "h1", expect=23)
    assert results(document) == {"h1": "switched back"}
    assert document["resume"] == "orchestrator adopt --environment dev --application=site --limit=h1"
    assert not current.is_symlink()
    assert current.joinpath("site.txt").read_text() == "1"
    (record, *_) = json.loads(ground.run("history", "dev", "--json", "-"))["attempts"]
    assert (record["kind"], record["placements"][0]["version"]) == ("adopt", None)


def test_holds_windows_and_what_is_ours_are_as_for_a_deployment(ground: Ground) -> None:
    by_hand(ground, "h1", "1")
    ground.where = {"site": ["h1"]}
    ground.environment["windows"] = [{"deny": "always", "reason": "frozen"}]
    ground.release("1")
    assert "frozen" in str(adopt(ground, expect=33)["output"])
    ground.environment["windows"] = []
    ground.release("1")
    ground.run("hold", "dev", "site", "--reason", "not now")
    assert "not now" in str(adopt(ground, expect=41)["output"])
    ground.run("unhold", "dev", "site")
    ground.run("plan", "--environment", "dev", "--json", str(ground.top / "plan.json"))
    adopt(ground, "--require-plan", str(ground.top / "plan.json"))
    ground.release("2")
    assert "what is live there is ours already: 1" in str(adopt(ground, expect=21)["output"])
    adopt(ground, "--require-plan", str(ground.top / "plan.json"), expect=21)


def test_prune_of_the_environment_is_not_done_and_an_application_has_to_be_named(ground: Ground) -> None:
    ground.where = {"api": ["h1"], "site": ["h1"]}
    ground.release("1")
    ground.deploy("--application", "api")
    by_hand(ground, "h1", "1")
    ground.where = {"site": ["h1"]}
    ground.environment["prune"] = True
    ground.release("1")
    adopt(ground)
    assert ground.live_on("h1", "api") == "1"
    output = ground.run("adopt", "--environment", "dev", expect=64)
    assert "which application is to be taken over?" in output
    assert "dev has no application 'nope'" in ground.run("adopt", "-e", "dev", "-a", "nope", expect=64)


def test_plain_playbook_takes_over_by_the_same_role(tmp_path: Path) -> None:
    current = tmp_path / "srv" / "current"
    current.mkdir(parents=True)
    (current / "site.txt").write_text("1")
    (tmp_path / "site.txt").write_text("1")
    placement = {
        "application": "site",
        "version": "1",
        "deployment_path": str(tmp_path / "srv"),
        "action": "adopt",
        "artifact": {"location": str(tmp_path / "site.txt"), "sha256": hashlib.sha256(b"1").hexdigest()},
    }
    tasks = [{"ansible.builtin.include_role": {"name": "release"}}]
    variables = {"release_placements": [placement], "ansible_python_interpreter": sys.executable}
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars": variables,
        "tasks": tasks,
    }
    (tmp_path / "play.yml").write_text(json.dumps([play]))
    for check in (["--check"], []):
        assert not current.is_symlink()
        done = subprocess.run(
            [str(Path(sys.executable).parent / "ansible-playbook"), *check, "play.yml"],
            cwd=tmp_path,
            env={
                "PATH": "/usr/bin:/bin",
                "HOME": str(tmp_path),
                "LANG": "C.UTF-8",
                "ANSIBLE_ROLES_PATH": str(ROOT / "roles"),
                "ORCHESTRATOR_STATE_DIRECTORY": str(tmp_path / "state"),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
    assert current.is_symlink()
    assert (tmp_path / "srv" / "current.before-adoption" / "site.txt").read_text() == "1"
