"""Who fails, who is switched back and who is left in peace, batch after batch."""

from __future__ import annotations

from typing import Any

import pytest
from controller_program import verdict


def placement(result: str, **fields: Any) -> dict[str, Any]:
    return {
        "application": "site",
        "deployment_path": "/srv/site",
        "healthchecks": [],
        "result": result,
    } | fields


def judge(hosts: dict[str, Any], *, check_mode: bool = False, **policy: Any) -> dict[str, Any]:
    whole = {"max_failures": 0, "rollback": "batch", "failed_hosts": [], "last": False, **policy}
    found: dict[str, Any] = verdict.judge(hosts, whole, check_mode, lambda check: (False, "sick"))
    return found


def doing(found: dict[str, Any]) -> dict[str, list[str]]:
    return {name: [task["do"] for task in tasks] for name, tasks in found["hosts"].items()}


def test_healthy_batch_has_nothing_to_settle_and_ends_the_last_one() -> None:
    hosts = {"a": [placement("healthy")], "b": [placement("unchanged")]}
    assert (judge(hosts)["settling"], judge(hosts)["done"], judge(hosts, last=True)["done"]) == (
        [],
        False,
        True,
    )


def test_failures_of_earlier_batches_count() -> None:
    hosts = {"a": [placement("switched_back")]}
    assert not judge(hosts, max_failures=1)["stop"]
    assert judge(hosts, max_failures=1, failed_hosts=["z"])["stop"]
    assert not judge({"b": [placement("healthy")]}, failed_hosts=["z"])["stop"]


@pytest.mark.parametrize(
    ("rollback", "expected", "earlier"),
    [("batch", ["rollback"], False), ("all", ["rollback"], True), ("none", [], False)],
)
def test_policy_says_what_is_switched_back(rollback: str, expected: list[str], earlier: bool) -> None:
    found = judge({"a": [placement("switched_back")], "b": [placement("healthy")]}, rollback=rollback)
    assert (doing(found)["b"], found["roll_back_earlier"]) == (expected, earlier)
    assert found["settling"] == (["a", "b"] if expected else ["a"])


def test_host_that_vanished_fails_and_is_switched_back_where_it_comes_back() -> None:
    found = judge({"a": None, "b": [placement("healthy")]})
    assert (found["failed"], found["vanished"], found["settling"]) == (["a"], ["a"], ["a", "b"])


def test_controller_asks_who_could_not_tell() -> None:
    check = {"url": "http://x", "origin": "controller"}
    hosts = {"a": [placement("active", healthchecks=[check])]}
    found = judge(hosts)
    assert (found["failed"], doing(found)) == (["a"], {"a": ["confirm"]})
    assert judge(hosts, check_mode=True)["failed"] == []
