"""A rollback that is killed: the same command goes on with it, and what it left stays held."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.edges.deliveries import DEPLOY, Delivery, verdicts
from tests.edges.remotes import wait_for

ROLLBACK = ("rollback", "--environment", "dev")


@pytest.fixture
def delivery(directory: Path) -> Delivery:
    """0.0, 1.0 and 2.0 were good there, and a rollback from 2.0 was killed when it had switched to 1.0."""
    made, asking = Delivery(directory, hosts=1), directory / "asking"
    script = f"test ! -e {asking} || {{ touch {asking}.now; sleep 600; }}"
    made.application["healthcheck"] = {
        "type": "command",
        "command": ["/bin/sh", "-c", script],
        "timeout_seconds": 300,
        "deadline_seconds": 300,
    }
    for number in range(3):
        made.release(f"{number}.0")
        if not number:
            clone = made.clone("runner")
        made.run(clone, *DEPLOY)
    asking.touch()
    job = made.start(clone, *ROLLBACK)
    wait_for((directory / "asking.now").exists, 60)
    job.kill_tree()
    asking.unlink()
    assert made.live() == "1.0"
    return made


def test_same_command_goes_on_with_it(delivery: Delivery) -> None:
    clone = delivery.clone("other")
    delivery.run(clone, "lock", "break", "dev", "--reason", "the runner is gone")
    delivery.run(clone, *ROLLBACK)
    assert delivery.live() == "1.0"
    assert verdicts(delivery.history(clone))[0] == "success"
    assert "dev is held" in delivery.run(clone, *DEPLOY, expect=41)
    delivery.run(clone, *ROLLBACK)
    assert delivery.live() == "0.0", "and one that is over is gone further back from"


def test_what_it_left_is_held_before_anybody_goes_on_with_it(delivery: Delivery) -> None:
    clone = delivery.clone("other")
    delivery.run(clone, "lock", "break", "dev", "--reason", "the runner is gone")
    for _ in range(2):
        assert "dev is held" in delivery.run(clone, *DEPLOY, expect=41)
    assert delivery.live() == "1.0"
    assert "interrupted" in verdicts(delivery.history(clone))
