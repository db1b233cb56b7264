"""What a reader sees of a deployment that failed, and of what it left: everything that helps, and once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.edges.rollouts import Ground


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    made = Ground(tmp_path, 2)
    made.release("1")
    made.deploy()
    yield made
    made.close()


def test_failed_health_is_said_by_the_host_the_table_and_the_error(ground: Ground) -> None:
    ground.sick.add(("h1", "2"))
    ground.release("2")
    output = str(ground.deploy(expect=23)["output"])
    assert output.count("answered 500") == 3
    assert "ansible: " not in output
    planned = ground.run("plan")
    assert planned.count("git asks for 2, which is marked bad here") == 2
    assert "drift" in ground.run("status", "dev", "--limit", "h1", "--detailed-exitcode", expect=2)
    ground.git("reset", "--quiet", "--hard", "HEAD^")
    table = ground.run("status", "dev", "--limit", "h1", "--application", "site", "--detailed-exitcode")
    assert ("in sync" in table, "h2" in table) == (True, False)
    assert "two environments" in ground.run("status", "dev", "--environment", "qa", expect=64)


def test_remedy_that_the_host_knows_is_the_one_that_is_given(ground: Ground) -> None:
    current = ground.top / "srv" / "h2" / "site" / "current"
    current.unlink()
    current.mkdir()
    (current / "mine.txt").write_text("by hand")
    ground.release("2")
    document = ground.deploy(expect=21)
    remedy = (
        "take it over with `orchestrator adopt` where it is the version that git asks for; or "
        "move it away (nothing in it was touched), then deploy again"
    )
    assert f"To do: {remedy}" in str(document["output"])
    assert [one["resolution"] for one in document["placements"] if one["result"] == "failed"] == [remedy]
    assert (current / "mine.txt").read_text() == "by hand"
