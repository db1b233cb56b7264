"""Roles of the deployment repository and draining, in rollouts with a canary, tolerated failures and a way all back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.edges.legacy import ACTIVATE, NOTE, Legacy, note_drains
from tests.edges.rollouts import results

REFUSE = """
- name: Refuse what this host does not like
  ansible.builtin.fail:
    msg: "{{ inventory_hostname }} does not like {{ orchestrator_version }}"
  when: (orchestrator_deployment_path ~ '/../refuses-' ~ orchestrator_version) is file
"""
Make = Callable[[int], Legacy]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Legacy] = []

    def make(hosts: int) -> Legacy:
        made.append(Legacy(tmp_path, hosts))
        return made[-1]

    yield make
    for ground in made:
        ground.close()


def rolling(ground: Legacy, **strategy: object) -> Path:
    """Version 1 is everywhere, and version 2 is asked for with that strategy; returns the log of who was drained."""
    ground.role(activate=ACTIVATE + REFUSE + NOTE)
    ground.release("1")
    ground.deploy()
    log = note_drains(ground, "host")
    ground.environment["strategy"] = strategy
    ground.release("2")
    return log


def refuses(ground: Legacy, host: str, version: str = "2") -> None:
    """The role fails to activate that version there."""
    (ground.top / "srv" / host / f"refuses-{version}").touch()


def test_rejected_canary_is_drained_again_and_its_role_goes_back(make: Make) -> None:
    ground = make(3)
    canary = {"approval": True, "approval_timeout_seconds": 1}
    log = rolling(ground, batches=["1", "100%"], canary=canary)
    document = ground.deploy(expect=34)
    assert results(document) == {"h1": "switched back", "h2": "staged", "h3": "staged"}
    assert ground.log()[-3:] == ["stage 2 1 6", "activate 2 1 6", "rollback 1 2 6"]
    assert ground.log("h2")[-1] == "stage 2 1 6"
    assert log.read_text().splitlines() == ["out h1 1", "in h1 2", "out h1 2", "in h1 1"]
    assert ground.legacy() == "site 1 {{ 6 * 7 }}\n"
    assert set(ground.live().values()) == {"1"}
    assert "drained" not in ground.run("status")


def test_canary_goes_on_and_the_other_hosts_follow(make: Make) -> None:
    ground = make(3)
    log = rolling(ground, batches=["1", "100%"], canary={"pause_seconds": 1})
    document = ground.deploy()
    assert set(results(document).values()) == {"deployed"}
    assert [ground.log(host)[-1] for host in ("h1", "h2", "h3")] == ["activate 2 1 6"] * 3
    said = log.read_text().splitlines()
    assert said[:2] == ["out h1 1", "in h1 2"]
    assert sorted(said[2:]) == ["in h2 2", "in h3 2", "out h2 1", "out h3 1"]
    assert "Nothing to do" in ground.run("plan")


def test_rollback_all_lets_every_role_go_back_while_its_host_is_out(make: Make) -> None:
    ground = make(4)
    log = rolling(ground, batches="1", rollback="all")
    ground.sick.add(("h3", "2"))
    document = ground.deploy(expect=23)
    back = dict.fromkeys(("h1", "h2", "h3"), "switched back")
    assert results(document) == {**back, "h4": "staged"}
    assert set(ground.live().values()) == {"1"}
    for host in back:
        assert ground.log(host)[-1] == "rollback 1 2 6"
        assert ground.legacy(host) == "site 1 {{ 6 * 7 }}\n"
    assert log.read_text().splitlines() == [
        *("out h1 1", "in h1 2", "out h2 1", "in h2 2", "out h3 1"),
        *("in h3 1", "out h2 2", "in h2 1", "out h1 2", "in h1 1"),
    ]
    assert "drained" not in ground.run("status")


def test_tolerated_failure_goes_back_by_its_role_and_the_rest_goes_on(make: Make) -> None:
    ground = make(4)
    log = rolling(ground, batches="1", max_failures=1)
    refuses(ground, "h1")
    document = ground.deploy(expect=24)
    assert results(document) == {"h1": "switched back", **dict.fromkeys(("h2", "h3", "h4"), "deployed")}
    assert "h1 does not like 2" in document["output"]
    assert [ground.log(host)[-1] for host in ("h1", "h2", "h4")] == [
        "rollback 1 2 6",
        *["activate 2 1 6"] * 2,
    ]
    assert log.read_text().splitlines()[:4] == ["out h1 1", "in h1 1", "out h2 1", "in h2 2"]

    (ground.top / "srv" / "h1" / "refuses-2").unlink()
    log.unlink()
    assert results(ground.deploy())["h1"] == "deployed"
    assert log.read_text().splitlines() == ["out h1 1", "in h1 2"]
    assert "Nothing to do" in ground.run("plan")


def test_failures_of_roles_health_and_draining_are_counted_together(make: Make) -> None:
    ground = make(5)
    log = rolling(ground, batches="1", max_failures=2, rollback="all")
    refuses(ground, "h1")
    ground.sick.add(("h2", "2"))
    program = ground.top / "lb"
    program.write_text(program.read_text() + '[ "$1 $2" != "out h4" ]\n')
    document = ground.deploy(expect=23)
    assert results(document) == {
        **dict.fromkeys(("h1", "h2", "h3"), "switched back"),
        "h4": "failed",
        "h5": "staged",
    }
    assert set(ground.live().values()) == {"1"}
    assert {ground.legacy(host) for host in ("h1", "h2", "h3", "h4")} == {"site 1 {{ 6 * 7 }}\n"}
    assert log.read_text().splitlines().count("in h3 1") == 1
    assert "drained" not in ground.run("status")


def test_role_does_not_activate_where_its_host_could_not_be_drained(make: Make) -> None:
    ground = make(2)
    rolling(ground, batches="2", max_failures=1)
    program = ground.top / "lb"
    program.write_text(program.read_text() + '[ "$1 $2" != "out h1" ]\n')
    document = ground.deploy(expect=24)
    assert results(document) == {"h1": "failed", "h2": "deployed"}
    assert "the host is not activated" in document["output"]
    assert ground.log("h1")[-1] == "stage 2 1 6"
    assert ground.legacy("h1") == "site 1 {{ 6 * 7 }}\n"
    assert ground.log("h2")[-1] == "activate 2 1 6"
    assert "drained" not in ground.run("status")


def test_pruned_application_is_drained_before_its_role_removes_it_or_stays(make: Make) -> None:
    """The hosts here are one machine, which has what both have receipts of."""
    ground = make(2)
    ground.where = {"api": ["all"], "site": ["all"]}
    ground.release("1")
    ground.deploy()
    log = note_drains(ground, "host", drain=[str(ground.top / "lb"), "out", "{host}", "{application}"])
    program = ground.top / "lb"
    text = program.read_text()
    ground.where = {"api": ["all"]}
    ground.release("1")

    program.write_text(f"{text}exit 1\n")
    document = ground.deploy("--prune", expect=22)
    assert "site ended with 1; nothing is removed there" in document["output"]
    assert set(ground.live().values()) == {"1"}
    assert not any(line.startswith("absent") for line in ground.log())
    assert {line.split()[0] for line in log.read_text().splitlines()} == {"out", "in"}

    log.unlink()
    program.write_text(text)
    document = ground.deploy("--prune")
    assert {one["result"] for one in document["placements"]} == {"unchanged", "pruned"}
    assert ground.live() == {"h1": "", "h2": ""}
    assert any(line.startswith("absent 1") for line in ground.log())
    said = log.read_text().splitlines()
    assert said
    assert all(line.startswith("out h") and line.endswith(" site 1") for line in said)
    assert "drained" not in ground.run("status")
