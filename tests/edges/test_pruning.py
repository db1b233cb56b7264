"""Orphans are removed when somebody says so, and after everything else, by the real command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.edges.rollouts import Ground


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    made = Ground(tmp_path, 2)
    made.where = {"api": ["all"], "site": ["all"]}
    made.depends = ["api"]
    made.release("1")
    made.deploy()
    yield made
    made.close()


def pruned(document: dict[str, Any], result: str = "pruned") -> set[tuple[str, str]]:
    """What has that result, by application and directory: the hosts here are one machine, and share its receipts."""
    return {
        (one["application"], Path(one["deployment_path"]).parent.name)
        for one in document["placements"]
        if one["result"] == result
    }


def test_orphans_are_shown_and_stay_unless_pruned_then_they_are_gone_with_all_of_theirs(
    ground: Ground,
) -> None:
    ground.where = {"api": ["h1"]}
    ground.release("1")
    assert "orphan: site 1 on h1" in ground.run("deploy")
    assert set(ground.live().values()) == {"1"}
    checked = ground.deploy("--prune", "--check")
    assert pruned(checked) == {("site", "h1"), ("site", "h2"), ("api", "h2")}
    assert set(ground.live().values()) == {"1"}
    document = ground.deploy("--prune")
    assert "git no longer asks for it there" in document["output"]
    assert "1. removal of what is no longer asked for: site on h1" in document["output"]
    assert "2. removal of what is no longer asked for: api on h1" in document["output"]
    assert pruned(document) == {("site", "h1"), ("site", "h2"), ("api", "h2")}
    assert document["verdict"] == "success"
    assert sorted(path.name for path in ground.top.glob("srv/*/*")) == ["api"]
    assert (ground.live_on("h1", "api"), ground.live_on("h2", "api")) == ("1", "")
    record = json.loads(ground.run("history", "dev", "--json", "-"))["attempts"][0]
    assert {one["result"] for one in record["placements"]} == {"pruned", "unchanged"}
    assert ground.deploy("--prune")["changed"] is False


def test_environment_may_say_it_and_only_the_selected_application_is_removed(ground: Ground) -> None:
    ground.environment["prune"] = True
    ground.where = {"api": ["h1"], "site": ["h1"]}
    ground.release("2")
    assert "removal of what is no longer asked for" in ground.run("plan")
    document = ground.deploy("--application", "api")
    assert pruned(document) == {("api", "h2")}
    assert ground.live() == {"h1": "1", "h2": "1"}
    assert ground.live("api") == {"h1": "2", "h2": ""}
    assert pruned(ground.deploy()) == {("site", "h2")}
    assert ground.live() == {"h1": "2", "h2": ""}


def test_nothing_is_removed_when_the_rollout_failed(ground: Ground) -> None:
    ground.where = {"api": ["all"]}
    ground.release("2")
    ground.sick.add(("h2", "2"))
    document = ground.deploy("--prune", expect=23)
    assert pruned(document, "not started") == {("site", "h1"), ("site", "h2")}
    assert set(ground.live().values()) == {"1"}


def test_removing_everything_is_refused_before_any_host_is_touched(ground: Ground) -> None:
    ground.where = {"other": ["all"]}
    ground.depends = []
    ground.release("1")
    document = ground.deploy("--prune", expect=36)
    assert "everything that is installed in dev would be removed" in document["output"]
    assert set(ground.live().values()) == {"1"}
    assert ground.live_on("h1", "other") == ""
    ground.deploy()
    ground.deploy("--prune")
    assert ground.live() == {"h1": "", "h2": ""}
