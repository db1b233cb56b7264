"""Deployments outside of windows are refused, by the real command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.edges.rollouts import Ground


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    made = Ground(tmp_path, 1)
    yield made
    made.close()


def test_freeze_refuses_what_would_change_something_unless_somebody_says_why(ground: Ground) -> None:
    ground.release("1")
    ground.deploy()
    ground.environment["windows"] = [{"deny": "always", "reason": "audit"}]
    ground.release("1", site="1")
    assert ground.deploy()["changed"] is False
    ground.release("2")
    assert "closed for deployments now: it is denied by the window deny always UTC (audit)" in ground.run(
        "plan"
    )
    output = ground.deploy(expect=33)["output"]
    assert "it opens not within a year" in output
    assert ground.live() == {"h1": "1"}
    assert "dev is closed" in ground.deploy("--check")["output"]
    ground.deploy("--override-window", "the shop is down")
    assert ground.live() == {"h1": "2"}
    attempts = json.loads(ground.run("history", "dev", "--json", "-"))["attempts"]
    assert "window overridden" in attempts[0]["reasons"][0]
    assert attempts[0]["reasons"][0].endswith(": the shop is down")
    assert (attempts[1]["verdict"], "closed for deployments" in attempts[1]["error"]) == ("failed", True)
    ground.run("rollback", "-e", "dev", expect=33)
    ground.run("rollback", "-e", "dev", "--override-window", "2 is broken")
    assert ground.live() == {"h1": "1"}
