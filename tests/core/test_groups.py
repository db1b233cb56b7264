"""Groups: region by order, wave, batch."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.core.groups import changing_hosts
from orchestrator.core.model import Canary, Desired, Strategy
from orchestrator.core.plan import Plan
from orchestrator.core.rollout_text import describe_canary, describe_live, describe_order, describe_policy
from tests.core.test_compile import converged
from tests.core.values import (
    make_application,
    make_desired,
    make_host,
    make_observed,
    make_placement,
    make_plan,
)


def rolling(*names: str, batches: tuple[str, ...] = ("1",), region: str = "") -> Desired:
    desired = make_desired(*(make_placement(host=make_host(name, region=region)) for name in names))
    return replace(desired, strategy=Strategy(batches=batches))


def members(plan: Plan) -> list[tuple[str, ...]]:
    return [changing_hosts(plan.steps, number) for number in range(len(plan.groups))]


def test_wave_is_split_into_batches_by_host_name() -> None:
    plan = make_plan(rolling("c", "a", "b", "d", batches=("1", "50%")))
    assert members(plan) == [("a",), ("b", "c"), ("d",)]
    assert [(group.batch, group.batches, group.steps) for group in plan.groups] == [
        (0, 3, 1),
        (1, 3, 2),
        (2, 3, 1),
    ]


def test_all_applications_of_a_host_in_a_wave_go_with_its_batch() -> None:
    desired = make_desired(
        *(make_placement(make_application(name), make_host(host)) for name in "ab" for host in ("h1", "h2")),
        make_placement(make_application("c"), make_host("h1"), wave=1),
    )
    plan = make_plan(replace(desired, strategy=Strategy(batches=("1",))))
    assert [(step.application, step.host, step.group) for step in plan.steps] == [
        ("a", "h1", 0),
        ("b", "h1", 0),
        ("a", "h2", 1),
        ("b", "h2", 1),
        ("c", "h1", 2),
    ]


def test_hosts_on_which_nothing_changes_fill_no_batch_and_count_as_part_of_the_whole() -> None:
    desired = rolling("a", "b", "c", "d", batches=("50%",))
    one = make_desired(desired.placements[0])
    plan = make_plan(desired, replace(converged(one), name="a"), replace(converged(one), name="b"))
    assert members(plan) == [("c", "d")]
    assert [step.group for step in plan.steps] == [0, 0, 0, 0]


def test_wave_without_changes_is_one_group() -> None:
    desired = rolling("a", "b")
    one = make_desired(desired.placements[0])
    plan = make_plan(desired, replace(converged(one), name="a"), replace(converged(one), name="b"))
    assert (members(plan), plan.groups[0].steps) == ([()], 2)
    assert describe_order(plan) == ()


def test_order_is_told_with_region_wave_and_batch() -> None:
    eu = rolling("e1", "e2", "e3", "e4", "e5", batches=("1", "100%"), region="eu")
    us = make_placement(make_application("api"), make_host("u1", order=2), wave=1)
    desired = replace(eu, placements=(*eu.placements, us), hosts=(*eu.hosts, us.host))
    assert describe_order(make_plan(desired)) == (
        "1. region eu, wave 1, batch 1 of 2: site on e1",
        "2. region eu, wave 1, batch 2 of 2: site on e2, e3, e4 and 1 more",
        "3. wave 2: api on u1",
    )


def test_single_group_needs_no_order() -> None:
    assert describe_order(make_plan(make_desired(), make_observed("web1"))) == ()


def test_policy_is_told() -> None:
    assert describe_policy(Strategy()) == (
        "The rollout stops as soon as a host fails, and then switches back this batch."
    )
    assert describe_policy(Strategy(max_failures=1, rollback="all")) == (
        "The rollout stops when more than 1 host fails, all batches together, and then switches back everything "
        "that it activated, the last group first."
    )
    assert "more than 2 hosts fail" in describe_policy(Strategy(max_failures=2, rollback="none"))


def test_canary_is_the_first_group_in_which_something_changes_when_another_follows() -> None:
    desired = rolling("a", "b", "c")
    desired = replace(desired, strategy=Strategy(batches=("1",), canary=Canary(pause_seconds=60)))
    plan = make_plan(desired)
    assert [group.canary for group in plan.groups] == [True, False, False]
    assert describe_order(plan)[1] == "   then a pause of 60 s"
    assert describe_live(plan) == "site 2.0.0 on a"
    one = make_desired(desired.placements[0])
    only = make_plan(desired, *(replace(converged(one), name=name) for name in "ab"))
    assert [group.canary for group in only.groups] == [False]


def test_canary_is_told() -> None:
    assert describe_canary(Canary()) == "a wait for `orchestrator continue`, 3600 s at most"
    assert "the file that approves it" in describe_canary(Canary(approval_file="/run/go"))
