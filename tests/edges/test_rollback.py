"""`orchestrator rollback`, by the real command, on hosts that are directories of this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.edges.rollouts import Ground, results


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    made = Ground(tmp_path, 2)
    yield made
    made.close()


def deploy(ground: Ground, *versions: str) -> None:
    for version in versions:
        ground.release(version)
        ground.deploy()


def roll_back(ground: Ground, *arguments: str, expect: int = 0) -> dict[str, object]:
    return ground.deploy("--environment", "dev", *arguments, command="rollback", expect=expect)


def test_rollback_switches_to_what_is_kept_says_what_git_wants_and_is_recorded(ground: Ground) -> None:
    deploy(ground, "1", "2", "3")
    for artifact in (ground.path / "artifacts").iterdir():
        artifact.unlink()
    checked = roll_back(ground, "--check")
    assert "that would be held then" in str(checked["output"])
    assert (set(results(checked).values()), set(ground.live().values())) == ({"deployed"}, {"3"})
    document = roll_back(ground)
    assert set(ground.live().values()) == {"2"}
    assert "git still wants site 3, not 2 (on 2 hosts)" in str(document["output"])
    assert "that is held now: no deployment of dev brings it back before git asks for something else" in str(
        document["output"]
    )
    history = json.loads(ground.run("history", "dev", "--json", "-"))["attempts"]
    assert [record["kind"] for record in history] == ["rollback", "deploy", "deploy", "deploy"]
    assert history[0]["reasons"] == ["rollback to the good release before"]
    assert set(results(roll_back(ground)).values()) == {"deployed"}
    assert set(ground.live().values()) == {"1"}, "what was left is no target"
    refused = roll_back(ground, expect=35)
    assert "no good release before 1 is known; kept there: 1 (live), 2 (bad), 3 (bad)" in str(
        refused["output"]
    )
    ground.git("checkout", "--", "artifacts")
    ground.deploy(expect=41)
    ground.run("unhold", "dev", "site")
    ground.deploy()
    assert set(ground.live().values()) == {"3"}


def test_rollback_undoes_what_the_last_deployment_changed_and_no_more(ground: Ground) -> None:
    ground.where = {"api": ["all"], "site": ["all"]}
    deploy(ground, "1", "2")
    ground.release("3", api="2")
    ground.deploy()
    roll_back(ground)
    assert (set(ground.live("api").values()), set(ground.live().values())) == ({"2"}, {"2"})


def test_release_that_failed_is_never_gone_back_to(ground: Ground) -> None:
    deploy(ground, "1")
    ground.sick |= {("h1", "2"), ("h2", "2")}
    ground.release("2")
    ground.deploy(expect=23)
    deploy(ground, "3")
    roll_back(ground)
    assert set(ground.live().values()) == {"1"}
    output = roll_back(ground, "--to", "2", expect=35)["output"]
    assert "2 is marked bad there" in str(output)


def test_rollback_to_a_version_or_to_what_was_live_after_an_attempt(ground: Ground) -> None:
    deploy(ground, "1", "2", "3")
    records = json.loads(ground.run("history", "dev", "--json", "-"))["attempts"]
    assert set(results(roll_back(ground, "--to", "dev@last")).values()) == {"unchanged"}
    roll_back(ground, "--to", records[-1]["id"], "--limit", "h1")
    assert ground.live() == {"h1": "1", "h2": "3"}
    document = roll_back(ground, "--to", "1")
    assert results(document) == {"h1": "unchanged", "h2": "deployed"}
    assert "the ledger does not know it as good" in str(roll_back(ground, "--to", "9", expect=35)["output"])


def test_release_that_is_not_kept_is_fetched_again_and_has_to_have_the_same_bytes(ground: Ground) -> None:
    ground.settings = {"keep_releases": 1}
    deploy(ground, "1", "2", "3")
    assert not list(ground.top.glob("srv/*/site/releases/1-*"))
    (ground.path / "artifacts" / "site-1.txt").write_text("other")
    output = str(roll_back(ground, "--to", "1", expect=35)["output"])
    assert "1 cannot be had again" in output
    assert "kept there: 3 (live), 2 (healthy)" in output
    (ground.path / "artifacts" / "site-1.txt").write_text("1")
    assert "it is not kept there and is fetched again" in str(roll_back(ground, "--to", "1")["output"])
    assert set(ground.live().values()) == {"1"}


def test_damaged_release_is_not_switched_to(ground: Ground) -> None:
    deploy(ground, "1", "2")
    (release,) = ground.top.glob("srv/h1/site/releases/1-*")
    (release / "site.txt").write_text("tampered")
    output = str(roll_back(ground, expect=13)["output"])
    assert "is not whole here any more" in output
    assert set(ground.live().values()) == {"2"}


def test_rollback_keeps_to_the_failure_policy(ground: Ground) -> None:
    deploy(ground, "1", "2")
    ground.sick.add(("h1", "1"))
    assert set(results(roll_back(ground, expect=23)).values()) == {"switched back"}
    assert set(ground.live().values()) == {"2"}


def test_version_of_several_applications_has_to_be_named(ground: Ground) -> None:
    ground.where = {"api": ["all"], "site": ["all"]}
    deploy(ground, "1", "2")
    ground.run("rollback", "-e", "dev", "--to", "1", expect=64)
    roll_back(ground, "--to", "1", "--application", "api")
    assert (set(ground.live("api").values()), set(ground.live().values())) == ({"1"}, {"2"})


def test_release_is_fetched_again_after_a_rollback_to_it(ground: Ground) -> None:
    """The rollback's record names the commit that git was at, which asks for another version."""
    ground.settings["keep_releases"] = 1
    deploy(ground, "1", "2")
    roll_back(ground, "--to", "1")
    deploy(ground, "3", "4")
    roll_back(ground, "--to", "1")
    assert set(ground.live().values()) == {"1"}


def test_host_that_comes_back_is_brought_to_the_last_good_state(ground: Ground) -> None:
    ground.environment["hosts"]["h3"] = {**ground.environment["hosts"]["h1"], "maintenance": True}
    deploy(ground, "1", "2")
    ground.sick |= {("h1", "3")}
    del ground.environment["hosts"]["h3"]["maintenance"]
    ground.release("3")
    ground.deploy(expect=23)
    command = ("--environment", "dev", "--last-good")
    assert "goes with --environment and --limit" in str(ground.deploy(*command, expect=64)["output"])
    checked = ground.deploy(*command, "--limit", "h3", "--check")
    assert (results(checked), ground.live_on("h3")) == ({"h3": "deployed"}, "")
    document = ground.deploy(*command, "--limit", "h3")
    assert results(document) == {"h3": "deployed"}
    assert ground.live() == {"h1": "2", "h2": "2", "h3": "2"}
    history = json.loads(ground.run("history", "dev", "--json", "-"))["attempts"]
    assert (history[0]["kind"], history[0]["reasons"]) == ("deploy", ["the last good state"])
    assert results(ground.deploy(*command, "--limit", "h3")) == {"h3": "unchanged"}
