"""Orphans as steps of a plan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.host_report import HostReport
from orchestrator.core.inventory import Run, render_by_hand, render_placements
from orchestrator.core.markdown import render_review
from orchestrator.core.model import Desired
from orchestrator.core.observed import ObservedPlacement
from orchestrator.core.outcome import fold_outcome
from orchestrator.core.plan import Plan
from orchestrator.core.pruning import WARNING, check_pruning
from orchestrator.core.rollout_text import describe_order
from orchestrator.errors import PruneError
from tests.core.builders import make_environment, parse
from tests.core.reviews import make_review
from tests.core.test_compile import converged
from tests.core.values import (
    make_application,
    make_artifacts,
    make_desired,
    make_host,
    make_observed,
    make_placement,
    make_plan,
)


def receipt(application: str, version: str = "1") -> ObservedPlacement:
    return ObservedPlacement(
        application=application,
        deployment_path=f"/srv/{application}",
        version=version,
        release=f"{version}-r",
        artifact_sha256="f",
        configuration_digest="c",
        state="healthy",
    )


def pruning(*more: ObservedPlacement, prune: bool = True) -> tuple[Desired, Plan]:
    """`site` is converged on web1 and `api` is asked for on web2; web1 has more than that."""
    site = make_placement(wave=1)
    api = make_placement(make_application("api"), make_host("web2", region="eu", address="192.0.2.2"))
    desired = replace(make_desired(site, api), prune=prune)
    found = converged(desired).placements.values()
    return desired, make_plan(desired, make_observed("web1", *found, *more), make_observed("web2"))


def test_environment_says_whether_orphans_are_removed() -> None:
    assert parse(None, make_environment(prune=True)).prune
    assert not parse().prune


def test_orphans_stay_unless_it_is_said() -> None:
    _, plan = pruning(receipt("old"), prune=False)
    assert [one.application for one in plan.orphans] == ["old"]
    assert all(step.action != "remove" for step in plan.steps)


def test_unknown_applications_are_removed_first_and_what_others_depend_on_last() -> None:
    _, plan = pruning(receipt("api"), receipt("old"), receipt("older"))
    removals = [step for step in plan.steps if step.action == "remove"]
    assert [(step.application, step.group) for step in removals] == [("old", 2), ("older", 2), ("api", 3)]
    assert [group.removal for group in plan.groups] == [False, False, True, True]
    assert plan.orphans == ()
    assert (removals[0].from_version, removals[0].to_version, removals[0].changes) == ("1", "", True)
    assert describe_order(plan) == (
        "1. region eu, wave 1: api on web2",
        "2. removal of what is no longer asked for: old, older on web1",
        "3. removal of what is no longer asked for: api on web1",
    )


def test_selection_leaves_other_orphans() -> None:
    desired, _ = pruning()
    from orchestrator.core.compile import compile_plan
    from tests.core.values import IDENTITY

    plan = compile_plan(
        desired,
        make_artifacts(desired),
        {"web1": make_observed("web1", receipt("old"), receipt("older"))},
        identity=IDENTITY,
        commit="",
        applications=("old",),
    )
    assert [step.application for step in plan.steps if step.action == "remove"] == ["old"]
    assert [one.application for one in plan.orphans] == ["older"]


def test_removing_all_that_is_live_is_warned_of_and_refused() -> None:
    desired = replace(make_desired(), prune=True)
    plan = make_plan(desired, make_observed("web1", receipt("old")))
    assert WARNING in plan.warnings
    with pytest.raises(PruneError) as caught:
        check_pruning(plan)
    assert caught.value.details == ("old 1 on web1",)
    check_pruning(pruning(receipt("old"))[1])
    check_pruning(make_plan(make_desired(), make_observed("web1")))


def test_host_is_told_what_to_remove_and_a_playbook_by_hand_is_not() -> None:
    desired, plan = pruning(receipt("old"))
    artifacts = make_artifacts(desired)
    (told,) = render_placements(plan, desired, artifacts)["web1"]
    assert told == {
        "application": "old",
        "version": "1",
        "deployment_path": "/srv/old",
        "action": "remove",
        "group": 2,
    }
    run = Run(id="r", time="t", actor="a")
    inventory, extra = render_by_hand(plan, desired, artifacts, run)
    assert (list(inventory["all"]["hosts"]), extra["release_groups"]) == (["web2"], [1])


def report(status: Any = "ok", **answer: Any) -> HostReport:
    one = {"application": "old", "deployment_path": "/srv/old", "changed": True, "message": "m", **answer}
    result = {"placements": [one]} if answer else {}
    return HostReport(host="web1", phase="prune", status=status, result=result)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([report(result="absent")], ("pruned", "", True)),
        ([report("failed", problem={"kind": "permission", "message": "m"})], ("failed", None, False)),
        ([report("unreachable")], ("unknown", None, False)),
        ([], ("not started", "1", False)),
    ],
)
def test_what_became_of_an_orphan(given: list[HostReport], expected: tuple[Any, ...]) -> None:
    _, plan = pruning(receipt("old"))
    outcome = fold_outcome(plan, given, finished=True, cancelled=False)
    (one,) = [one for one in outcome.placements if one.application == "old"]
    assert (one.result, one.version, one.changed) == expected


def test_review_shows_what_is_removed() -> None:
    _, plan = pruning(receipt("old"))
    comment = render_review(make_review(plan=plan))
    assert "| `old` | – | `web1` | `1` → – | remove | – | – | `git no longer asks for it there` |" in comment
