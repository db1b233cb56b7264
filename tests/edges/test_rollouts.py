"""Rollouts in batches and behind canaries, by the real command, on hosts that are directories of this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.edges.remotes import wait_for
from tests.edges.rollouts import Ground, results

Make = Callable[[int], Ground]


@pytest.fixture
def make_ground(tmp_path: Path) -> Iterator[Make]:
    made: list[Ground] = []

    def make(hosts: int) -> Ground:
        made.append(Ground(tmp_path, hosts))
        return made[-1]

    yield make
    for ground in made:
        ground.close()


def rolling(ground: Ground, **strategy: object) -> None:
    """Version 1 is everywhere, and version 2 is asked for with that strategy."""
    ground.release("1")
    ground.deploy()
    ground.asked.clear()
    ground.environment["strategy"] = strategy
    ground.release("2")


def asked(ground: Ground) -> list[str]:
    """The hosts whose health was asked for, in order, one after the other."""
    return list(dict.fromkeys(host for host, _, _ in ground.asked))


def test_batches_go_one_after_the_other_and_the_plan_shows_them(make_ground: Make) -> None:
    ground = make_ground(5)
    rolling(ground, batches=["1", "50%"])
    assert "2. wave 1, batch 2 of 3: site on h2, h3" in ground.run("plan")
    document = ground.deploy()
    assert "The rollout stops as soon as a host fails" in document["output"]
    assert set(ground.live().values()) == {"2"}
    hosts = asked(ground)
    assert (hosts[0], set(hosts[1:3]), set(hosts[3:])) == ("h1", {"h2", "h3"}, {"h4", "h5"})


def test_failing_batch_stops_the_rollout_and_running_again_touches_only_the_rest(make_ground: Make) -> None:
    ground = make_ground(5)
    rolling(ground, batches="2")
    ground.sick.add(("h4", "2"))
    document = ground.deploy(expect=23)
    assert results(document) == {
        "h1": "deployed",
        "h2": "deployed",
        "h3": "switched back",
        "h4": "switched back",
        "h5": "staged",
    }
    assert ground.live() == {"h1": "2", "h2": "2", "h3": "1", "h4": "1", "h5": "1"}
    ground.sick.clear()
    ground.asked.clear()
    document = ground.deploy()
    assert set(asked(ground)) == {"h3", "h4", "h5"}
    assert results(document) == {
        "h1": "unchanged",
        "h2": "unchanged",
        "h3": "deployed",
        "h4": "deployed",
        "h5": "deployed",
    }


def test_single_sick_host_in_a_batch_of_its_own_stops_the_rollout(make_ground: Make) -> None:
    ground = make_ground(3)
    rolling(ground, batches="1")
    ground.sick.add(("h1", "2"))
    assert results(ground.deploy(expect=23)) == {"h1": "switched back", "h2": "staged", "h3": "staged"}


def test_rollback_all_switches_back_every_batch_of_this_run(make_ground: Make) -> None:
    ground = make_ground(4)
    rolling(ground, batches="1", rollback="all")
    ground.sick.add(("h3", "2"))
    document = ground.deploy(expect=23)
    assert results(document) == {
        "h1": "switched back",
        "h2": "switched back",
        "h3": "switched back",
        "h4": "staged",
    }
    assert set(ground.live().values()) == {"1"}
    backwards = [host for host, _, version in ground.asked if version == "1"]
    assert backwards == ["h3", "h2", "h1"]


def test_rollback_none_leaves_what_is_healthy(make_ground: Make) -> None:
    ground = make_ground(4)
    rolling(ground, batches="2", rollback="none")
    ground.sick.add(("h2", "2"))
    assert results(ground.deploy(expect=23)) == {
        "h1": "deployed",
        "h2": "switched back",
        "h3": "staged",
        "h4": "staged",
    }


def test_failures_are_counted_across_batches(make_ground: Make) -> None:
    ground = make_ground(4)
    rolling(ground, batches="1", max_failures=1)
    ground.sick |= {("h1", "2"), ("h3", "2")}
    assert results(ground.deploy(expect=23)) == {
        "h1": "switched back",
        "h2": "deployed",
        "h3": "switched back",
        "h4": "staged",
    }
    ground.sick.remove(("h3", "2"))
    assert results(ground.deploy(expect=24)) == {
        "h1": "switched back",
        "h2": "unchanged",
        "h3": "deployed",
        "h4": "deployed",
    }


def test_rollback_all_reaches_what_a_tolerated_failure_left_behind(make_ground: Make) -> None:
    """h1 fails in the second wave and is tolerated; when h2 fails as well, h1's first wave is switched back, too."""
    ground = make_ground(3)
    ground.where = {"api": ["all"], "site": ["all"]}
    ground.depends = ["api"]
    rolling(ground, batches="1", rollback="all", max_failures=1)
    ground.release("2", api="3")
    ground.sick |= {("h1", "2"), ("h2", "2")}
    document = ground.deploy(expect=23)
    assert results(document, "api") == dict.fromkeys(("h1", "h2", "h3"), "switched back")
    assert results(document) == {"h1": "switched back", "h2": "switched back", "h3": "staged"}
    assert set(ground.live("api").values()) == set(ground.live().values()) == {"1"}


def test_check_mode_walks_all_batches_and_changes_nothing(make_ground: Make) -> None:
    ground = make_ground(3)
    rolling(ground, batches="1")
    assert set(results(ground.deploy("--check")).values()) == {"deployed"}
    assert set(ground.live().values()) == {"1"}


def waiting(ground: Ground, **canary: object) -> subprocess.Popen[str]:
    """A rollout of version 2 whose canary is live on h1, and which waits."""
    rolling(ground, batches=["1", "100%"], canary=canary)
    process = ground.start("deploy")
    wait_for(lambda: ground.live_on("h1") == "2" and "h1" in asked(ground))
    return process


def ended(process: subprocess.Popen[str], code: int) -> str:
    text, _ = process.communicate(timeout=120)
    assert process.returncode == code, text
    return text


def answer(ground: Ground, *arguments: str) -> str:
    """What `orchestrator continue` says once the rollout waits."""
    wait_for(lambda: "waiting" in _said(ground))
    return ground.run("continue", "dev", *arguments)


def _said(ground: Ground) -> str:
    done = subprocess.run(
        ["git", "show", "refs/heads/orchestrator/approval/dev:approval.json"],
        cwd=ground.path,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


def test_canary_pauses_and_the_rollout_goes_on(make_ground: Make) -> None:
    ground = make_ground(3)
    rolling(ground, batches=["1", "100%"], canary={"pause_seconds": 1})
    output = ground.deploy()["output"]
    assert "then a pause of 1 s" in output
    assert "canary: site 2 on h1; the rollout goes on at" in output
    assert set(ground.live().values()) == {"2"}


def test_canary_is_approved_by_a_second_command(make_ground: Make) -> None:
    ground = make_ground(3)
    process = waiting(ground, approval=True)
    assert ground.live() == {"h1": "2", "h2": "1", "h3": "1"}
    assert "site 2 on h1: approved" in answer(ground, "--reason", "looks good")
    assert "approved by ci@example.net: looks good" in ended(process, 0)
    assert set(ground.live().values()) == {"2"}
    record = json.loads(_last_record(ground))
    assert any("approved by" in reason for reason in record["reasons"])
    assert "no rollout of dev waits" in ground.run("continue", "dev", expect=34)


def _last_record(ground: Ground) -> str:
    history = json.loads(ground.run("history", "dev", "--json", "-"))
    return json.dumps(history["attempts"][0])


def test_rejected_canary_is_switched_back_and_the_rest_stays(make_ground: Make) -> None:
    ground = make_ground(3)
    process = waiting(ground, approval=True)
    answer(ground, "--reject", "--reason", "slow")
    assert "rejected by ci@example.net: slow" in ended(process, 34)
    assert set(ground.live().values()) == {"1"}


def test_canary_that_nobody_approves_in_time_is_switched_back(make_ground: Make) -> None:
    ground = make_ground(2)
    rolling(ground, batches=["1", "100%"], canary={"approval": True, "approval_timeout_seconds": 1})
    document = ground.deploy(expect=34)
    assert "nobody approved it within 1 s" in document["output"]
    assert results(document) == {"h1": "switched back", "h2": "staged"}
    assert '"ended"' in _said(ground)


def test_rejected_canary_stays_where_nothing_is_to_be_switched_back(make_ground: Make) -> None:
    ground = make_ground(2)
    canary = {"approval": True, "approval_timeout_seconds": 1}
    rolling(ground, batches=["1", "100%"], rollback="none", canary=canary)
    assert results(ground.deploy(expect=34)) == {"h1": "deployed", "h2": "staged"}


def test_file_that_appears_approves_and_an_old_one_does_not(make_ground: Make, tmp_path: Path) -> None:
    ground = make_ground(2)
    go = tmp_path / "go"
    go.write_text("")
    os.utime(go, (1, 1))
    process = waiting(ground, approval={"file": str(go)})
    assert process.poll() is None
    go.touch()
    assert f"the file {go} appeared" in ended(process, 0)
    assert set(ground.live().values()) == {"2"}


def test_failing_canary_is_not_waited_for(make_ground: Make) -> None:
    ground = make_ground(2)
    rolling(ground, batches=["1", "100%"], canary={"pause_seconds": 3600})
    ground.sick.add(("h1", "2"))
    assert results(ground.deploy(expect=23)) == {"h1": "switched back", "h2": "staged"}


def test_rollout_that_is_cancelled_while_it_waits_leaves_the_canary(make_ground: Make) -> None:
    ground = make_ground(2)
    process = waiting(ground, approval=True)
    wait_for(lambda: "waiting" in _said(ground))
    process.send_signal(signal.SIGTERM)
    ended(process, 143)
    assert ground.live() == {"h1": "2", "h2": "1"}
    assert "no rollout of dev waits" in ground.run("continue", "dev", expect=34)


TASKS_FOR_EACH_HOST = """
import functools
import orchestrator.deployment
from orchestrator.cli.main import main
from orchestrator.edges.playbook_server import Rollout
orchestrator.deployment.Rollout = functools.partial(Rollout, together=False)
main()
"""


def test_tasks_for_each_host_do_what_one_action_does(make_ground: Make) -> None:
    ground = make_ground(3)
    ground.program = ("-c", TASKS_FOR_EACH_HOST)
    rolling(ground, batches=["1", "1"], rollback="all")
    ground.sick.add(("h2", "2"))
    document = ground.deploy(expect=23)
    assert set(ground.live().values()) == {"1"}
    assert results(document) == {"h1": "switched back", "h2": "switched back", "h3": "staged"}
    ground.sick.clear()
    ground.deploy()
    assert set(ground.live().values()) == {"2"}
