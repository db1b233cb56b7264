"""The steps of a rollout by one action: which phases run where, in which order, and when it stops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pytest
from controller_program.once import judge
from controller_program.rollout import OnFleet, Rollout

POLICY = {"max_failures": 0, "rollback": "batch"}


class FakeGround:
    """Remembers phases as `phase:group:hosts`; `bad` are (phase, host) pairs that fail there.

    `due` is what staging says of a host that has something to run once.
    """

    def __init__(
        self,
        *,
        bad: Sequence[tuple[str, str]] = (),
        smoke: bool = False,
        goes_on: bool = True,
        due: Mapping[str, Sequence[tuple[str, int, int]]] = MappingProxyType({}),
    ) -> None:
        self.bad, self.smoke, self.goes_on, self.due = set(bad), smoke, goes_on, due
        self.steps: list[str] = []

    def each(self, phase: str, hosts: Sequence[str], **arguments: Any) -> dict[str, dict[str, Any]]:
        self.steps.append(f"{phase}:{arguments.get('group', '')}:{','.join(hosts)}")
        said: dict[str, dict[str, Any]] = {
            name: {"failed": True} if (phase, name) in self.bad else {} for name in hosts
        }
        if phase == "stage":
            for name, due in self.due.items():
                keys = ("application", "group", "wave")
                said[name]["due"] = [dict(zip(keys, one, strict=True)) for one in due]
        if phase == "once":
            self.steps[-1] += ":" + ",".join(one["application"] for one in arguments["once"])
        return said

    def judge(self, said: Mapping[str, Any], group: int, policy: Mapping[str, Any]) -> dict[str, Any]:
        failed = [name for name, one in said.items() if one.get("failed")]
        every = sorted({*policy["failed_hosts"], *failed})
        stop = bool(failed) and len(every) > policy["max_failures"]
        return {
            "group": group,
            "waited": policy["waited"],
            "failed": failed,
            "failed_hosts": every,
            "stop": stop,
            "smoke": {"site": list(said)} if self.smoke and not stop else {},
            "settling": sorted(said) if stop and policy["rollback"] != "none" else failed,
            "roll_back_earlier": stop and policy["rollback"] == "all",
        }

    def judge_tests(
        self,
        verdict: dict[str, Any],
        said: Mapping[str, Any],
        smoked: Mapping[str, Any],
        policy: Mapping[str, Any],
    ) -> dict[str, Any]:
        failed = [name for name, one in smoked.items() if one.get("failed")]
        return {**verdict, "failed_hosts": failed, "settling": failed, "stop": bool(failed)}

    def wait(self, verdict: dict[str, Any]) -> dict[str, Any]:
        self.steps.append("wait")
        return {**verdict, "waited": True, "stop": not self.goes_on, "undo_batch": not self.goes_on}


def steps(ground: FakeGround, policy: Mapping[str, Any] = POLICY, **plan: Any) -> list[str]:
    whole = {
        "hosts": ["a", "b", "c"],
        "groups": [0, 1, 2],
        "members": {"0": ["a"], "1": ["b"], "2": ["a", "c"]},
        "removals": [],
        "canary": -1,
        **plan,
    }
    Rollout(whole, policy, ground).run()
    return ground.steps


STAGE = "stage::a,b,c"


def test_everything_is_staged_before_the_first_group_goes_live() -> None:
    assert steps(FakeGround()) == [STAGE, "activate:0:a", "activate:1:b", "activate:2:a,c"]


def test_nothing_to_do_asks_nobody() -> None:
    assert steps(FakeGround(), hosts=[]) == []


def test_host_that_cannot_stage_leaves_every_host_as_it_was() -> None:
    assert steps(FakeGround(bad=[("stage", "c")])) == [STAGE]


def test_failing_group_is_settled_and_nothing_follows() -> None:
    found = steps(FakeGround(bad=[("activate", "b")]), removals=[3], members={"0": ["a"], "1": ["b"]})
    assert found == [STAGE, "activate:0:a", "activate:1:b", "settle:1:b"]


def test_groups_before_a_failing_one_are_switched_back_last_first() -> None:
    found = steps(FakeGround(bad=[("activate", "c")]), {**POLICY, "rollback": "all"})
    assert found[4:] == ["settle:2:a,c", "rollback:1:b", "rollback:0:a"]


def test_host_that_failed_within_the_limit_takes_no_further_part() -> None:
    found = steps(FakeGround(bad=[("activate", "a")]), {**POLICY, "max_failures": 1})
    assert found == [STAGE, "activate:0:a", "settle:0:a", "activate:1:b", "activate:2:c"]


def test_host_that_cannot_settle_takes_no_further_part() -> None:
    ground = FakeGround(bad=[("activate", "a"), ("settle", "a")])
    found = steps(ground, {**POLICY, "max_failures": 1, "rollback": "all"})
    assert found[-1] == "activate:2:c"


def test_smoke_tests_run_before_the_group_is_settled() -> None:
    found = steps(FakeGround(bad=[("smoke", "b")], smoke=True))
    assert found == [STAGE, "activate:0:a", "smoke:0:a", "activate:1:b", "smoke:1:b", "settle:1:b"]


def test_rollout_waits_after_its_canary() -> None:
    found = steps(FakeGround(), canary=0)
    assert found == [STAGE, "activate:0:a", "wait", "activate:1:b", "activate:2:a,c"]


def test_canary_that_is_refused_is_switched_back_and_nothing_is_removed() -> None:
    found = steps(FakeGround(goes_on=False), canary=0, removals=[3])
    assert found == [STAGE, "activate:0:a", "wait", "rollback:0:a"]


def test_removals_come_last() -> None:
    members = {"0": ["a"], "1": ["b"], "2": ["c"], "3": ["b", "c"]}
    assert steps(FakeGround(), removals=[3], members=members)[-2:] == ["activate:2:c", "absent:3:b,c"]


def test_what_runs_once_runs_before_the_first_group_of_its_wave_on_its_first_host() -> None:
    due = {"a": [("db", 0, 0)], "b": [("db", 1, 0), ("api", 1, 1)], "c": [("db", 2, 2)]}
    assert steps(FakeGround(due=due)) == [
        STAGE,
        "once:0:a:db",
        "activate:0:a",
        "once:1:b:api",
        "activate:1:b",
        "once:2:c:db",
        "activate:2:a,c",
    ]


def test_hosts_that_run_something_once_do_it_at_the_same_time() -> None:
    found = steps(
        FakeGround(due={"a": [("db", 0, 0), ("mail", 0, 0)], "b": [("db", 0, 0), ("search", 0, 0)]}),
        groups=[0],
        members={"0": ["a", "b", "c"]},
    )
    assert found == [STAGE, "once:0:a,b:db,mail,search", "activate:0:a,b,c"]


def test_what_runs_once_and_fails_ends_the_rollout_whatever_may_fail() -> None:
    ground = FakeGround(due={"b": [("db", 1, 0)]}, bad=[("once", "b")])
    found = steps(ground, {"max_failures": 9, "rollback": "all"}, removals=[3])
    assert found == [STAGE, "activate:0:a", "once:1:b:db", "rollback:0:a"]
    ground = FakeGround(due={"b": [("db", 1, 0)]}, bad=[("once", "b")])
    assert steps(ground, removals=[3]) == [STAGE, "activate:0:a", "once:1:b:db"]


def test_host_that_has_failed_is_not_asked_to_run_anything_once() -> None:
    due = {"a": [("db", 2, 1)], "c": [("db", 2, 1)]}
    ground = FakeGround(due=due, bad=[("activate", "a")])
    found = steps(ground, {**POLICY, "max_failures": 1})
    assert found[-2:] == ["once:2:c:db", "activate:2:c"]


def test_host_that_gives_no_answer_has_not_run_it() -> None:
    elected = [{"application": "db", "group": 1, "wave": 0, "host": "b"}]
    policy = {**POLICY, "failed_hosts": ["a"], "waited": True}
    for said in ({}, {"b": {"unreachable": True}}, {"b": {"problem": {"kind": "host"}}}):
        verdict = judge(said, elected, policy, 1)
        assert (verdict["failed"], verdict["failed_hosts"], verdict["stop"]) == (["b"], ["a", "b"], True)
        assert verdict["waited"]
    assert not judge({"b": {"changed": True}}, elected, policy, 1)["stop"]


@pytest.mark.parametrize(
    "said", [{"failed": True}, {"unreachable": True}, {"problem": {"kind": "health", "message": "sick"}}]
)
def test_only_a_rollout_without_any_problem_says_by_itself_that_it_is_over(said: dict[str, Any]) -> None:
    """Of others, ansible's own account is waited for: its output is shown."""

    class FakeFleet:
        answers: Mapping[str, dict[str, Any]] = MappingProxyType({"a": {}, "b": {"changed": True}})

        def each(self, phase: str, hosts: Sequence[str], arguments: Any) -> Mapping[str, dict[str, Any]]:
            return self.answers

    fleet: Any = FakeFleet()
    ground = OnFleet(fleet, None, {})
    ground.each("stage", ["a", "b"])
    assert ground.is_well
    fleet.answers = {"a": {}, "b": said}
    ground.each("activate", ["a", "b"], activated={})
    fleet.answers = {"a": {}, "b": {}}
    ground.each("settle", ["a", "b"])
    assert not ground.is_well
