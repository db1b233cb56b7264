"""From what hosts answered to what is true now."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.host_report import HostReport
from orchestrator.core.model import Strategy
from orchestrator.core.observed import ObservedHost
from orchestrator.core.outcome import Outcome, SmokeOutcome, fold_outcome
from tests.core.values import make_desired, make_host, make_observed, make_placement, make_plan


def report(phase: str, host: str = "web1", status: Any = "ok", **result: Any) -> HostReport:
    return HostReport(host=host, phase=phase, status=status, result=result)


def said(phase: str, host: str = "web1", **answer: Any) -> HostReport:
    one = {"application": "site", "deployment_path": "/srv/site", "changed": True, "message": "m", **answer}
    return report(phase, host, placements=[one])


def fold(*reports: HostReport, finished: bool = True, cancelled: bool = False) -> Outcome:
    plan = make_plan(make_desired(), make_observed("web1"))
    return fold_outcome(plan, reports, finished=finished, cancelled=cancelled)


def test_healthy_activation_is_a_success() -> None:
    outcome = fold(said("stage"), said("activate", result="healthy"))
    assert (outcome.verdict, outcome.changed) == ("success", True)
    assert (outcome.placements[0].result, outcome.placements[0].version) == ("deployed", "2.0.0")


def test_controller_confirms_what_activation_left_open() -> None:
    activated, settled = said("activate", result="active"), said("settle", result="healthy", changed=False)
    outcome = fold(said("stage"), activated, settled)
    assert (outcome.verdict, outcome.placements[0].result, outcome.changed) == ("success", "deployed", True)


def test_activation_that_nobody_confirmed_is_unproven_and_failed() -> None:
    outcome = fold(said("stage"), said("activate", result="active"))
    assert (outcome.placements[0].result, outcome.verdict) == ("unproven", "failed")


def test_settling_without_activation_counts() -> None:
    assert fold(said("settle", result="switched_back", version="1")).placements[0].version == "1"


def test_switched_back_names_what_is_live_and_changed_nothing() -> None:
    problem = {"kind": "health", "message": "m", "resolution": ""}
    outcome = fold(said("activate", result="switched_back", version="1.0.0", problem=problem))
    one = outcome.placements[0]
    assert (outcome.verdict, one.result, one.version, one.kind, one.changed) == (
        "failed",
        "switched back",
        "1.0.0",
        "health",
        False,
    )


def test_removed_first_release_leaves_nothing_live() -> None:
    one = fold(said("activate", result="removed")).placements[0]
    assert (one.result, one.version, one.kind) == ("removed", "", "health")


def test_failed_activation_does_not_say_what_is_live() -> None:
    one = fold(said("activate", result="failed", changed=False)).placements[0]
    assert (one.result, one.version) == ("failed", None)


def test_failed_activation_that_left_nothing_to_switch_back_is_a_failure() -> None:
    problem = {"kind": "disk_full", "message": "m", "resolution": ""}
    activated = said("activate", result="failed", changed=False, message="no space", problem=problem)
    settled = said("settle", result="unchanged", changed=False, message="this run changed nothing here")
    outcome = fold(said("stage"), activated, settled)
    one = outcome.placements[0]
    assert (outcome.verdict, one.result, one.kind, one.message) == (
        "failed",
        "failed",
        "disk_full",
        "no space",
    )


def test_host_that_said_nothing_when_it_was_to_switch_and_has_nothing_to_switch_back_has_failed() -> None:
    problem = {"kind": "host", "message": "ended with 137", "resolution": "look there"}
    silent = replace(said("activate"), result={"placements": [], "problem": problem})
    settled = said("settle", result="unchanged", changed=False, message="this run changed nothing here")
    outcome = fold(said("stage"), silent, settled)
    one = outcome.placements[0]
    assert (outcome.verdict, one.result, one.version, one.message) == (
        "failed",
        "failed",
        "",
        "ended with 137",
    )
    assert one.resolution == "look there"


def test_host_that_had_nothing_to_do_and_nothing_to_switch_back_is_unchanged() -> None:
    activated = said("activate", result="unchanged", changed=False, message="already live and healthy")
    settled = said("settle", result="unchanged", changed=False, message="this run changed nothing here")
    assert fold(said("stage"), activated, settled).placements[0].result == "unchanged"


def test_answer_without_result_is_unknown() -> None:
    assert fold(said("activate")).verdict == "unknown"


def test_host_that_vanished_in_activation_is_unknown_and_loud() -> None:
    outcome = fold(said("stage"), report("activate", status="unreachable", msg="gone"))
    one = outcome.placements[0]
    assert (outcome.verdict, one.result, one.version, one.kind) == ("unknown", "unknown", None, "unreachable")


def test_activation_that_began_and_never_answered_is_unknown() -> None:
    outcome = fold(said("stage"), report("activate", status="started"), finished=False)
    assert outcome.placements[0].message == "the run ended before it answered"
    assert outcome.verdict == "unknown"


def test_settling_that_failed_without_answer_is_unknown() -> None:
    outcome = fold(said("stage"), report("activate"), report("settle", status="unreachable"))
    assert outcome.verdict == "unknown"


def test_group_that_was_not_reached_is_staged() -> None:
    other = {"application": "other", "deployment_path": "/srv/other", "changed": True, "message": "m"}
    outcome = fold(said("stage"), report("activate", placements=[{**other, "result": "healthy"}]))
    assert outcome.placements[0].result == "staged"


def test_second_group_that_began_and_never_answered_is_unknown() -> None:
    outcome = fold(said("stage"), report("activate"), report("activate", status="started"))
    assert outcome.placements[0].result == "unknown"


def test_answer_of_another_group_does_not_hide_that_the_host_vanished() -> None:
    outcome = fold(said("stage"), report("activate", status="unreachable"), report("activate"))
    assert outcome.placements[0].result == "unknown"


def test_host_that_vanished_before_it_was_switched_back_is_unknown() -> None:
    gone = report("settle", status="unreachable", msg="gone")
    assert fold(said("activate", result="healthy"), gone).placements[0].result == "unknown"


def test_staged_only_leaves_what_was_live() -> None:
    outcome = fold(said("stage"))
    assert (outcome.verdict, outcome.placements[0].result) == ("failed", "staged")


def test_failed_staging_has_the_hosts_kind_and_words() -> None:
    problem = {"kind": "disk_full", "message": "no space", "resolution": ""}
    one = fold(said("stage", problem=problem, message="no space")).placements[0]
    assert (one.result, one.kind, one.message, one.version) == ("failed", "disk_full", "no space", "")


@pytest.mark.parametrize(
    ("given", "result", "kind"),
    [
        (report("stage", status="started"), "not started", "host"),
        (report("stage", status="unreachable", msg="a\nb"), "failed", "unreachable"),
        (
            report("stage", status="failed", problem={"kind": "python", "message": "no python"}),
            "failed",
            "python",
        ),
    ],
)
def test_staging_without_answer(given: HostReport, result: str, kind: str) -> None:
    one = fold(given).placements[0]
    assert (one.result, one.kind) == (result, kind)


def test_host_that_had_a_later_run_does_not_have_what_this_one_saw() -> None:
    problem = {"kind": "fenced", "message": "m", "resolution": ""}
    one = fold(said("stage", result="failed", problem=problem)).placements[0]
    assert (one.result, one.version, one.kind) == ("failed", None, "fenced")


def test_late_start_does_not_hide_an_answer() -> None:
    outcome = fold(report("stage", status="unreachable", msg="x"), report("stage", status="started"))
    assert outcome.placements[0].kind == "unreachable"


def test_nothing_said_is_not_started() -> None:
    assert fold().placements[0].result == "not started"


def test_cancelled_and_unfinished_runs_are_never_successes() -> None:
    assert fold(said("stage"), finished=False, cancelled=True).verdict == "cancelled"
    assert fold(said("activate", result="healthy"), finished=False).verdict == "failed"
    assert fold(said("activate", result="active"), finished=False).verdict == "unknown"


def test_skips_and_hosts_left_out() -> None:
    desired = make_desired(make_placement(), make_placement(host=make_host("web2")))
    plan = make_plan(desired, make_observed("web1"), ObservedHost.unreachable("web2", "down"))
    outcome = fold_outcome(plan, [said("activate", result="healthy")], finished=True, cancelled=False)
    assert [one.result for one in outcome.placements] == ["deployed", "left out"]
    assert outcome.verdict == "partial"
    skip = replace(plan.steps[0], action="skip", from_version="2.0.0")
    quiet = fold_outcome(replace(plan, steps=(skip,)), [], finished=True, cancelled=False)
    assert (quiet.verdict, quiet.changed, quiet.placements[0].result) == ("success", False, "unchanged")


def test_failures_within_max_failures_are_partial() -> None:
    desired = make_desired(make_placement(), make_placement(host=make_host("web2")))
    desired = replace(desired, strategy=Strategy(max_failures=1))
    plan = make_plan(desired, make_observed("web1"), make_observed("web2"))
    reports = [said("activate", result="healthy"), said("activate", "web2", result="switched_back")]
    assert fold_outcome(plan, reports, finished=True, cancelled=False).verdict == "partial"
    strict = replace(plan, strategy=Strategy())
    assert fold_outcome(strict, reports, finished=True, cancelled=False).verdict == "failed"


def smoked(passed: bool, **overrides: Any) -> dict[str, Any]:
    test = {"name": "page", "on": "host", "once": False, "passed": passed, "message": "m", "seconds": 0.5}
    return {**test, **overrides}


def test_smoke_tests_are_kept_with_their_placement() -> None:
    outcome = fold(said("activate", result="healthy"), said("smoke", tests=[smoked(True)], seconds=0.5))
    (one,) = outcome.placements
    assert (outcome.verdict, one.result, one.seconds) == ("success", "deployed", 0.5)
    assert one.tests == (
        SmokeOutcome(name="page", on="host", once=False, passed=True, message="m", seconds=0.5),
    )


def test_smoke_test_that_fails_is_what_settling_made_of_it() -> None:
    problem = {"kind": "health", "message": "m", "resolution": ""}
    outcome = fold(
        said("activate", result="healthy"),
        said("smoke", tests=[smoked(False)], problem=problem),
        said("settle", result="switched_back", version="1.0.0", problem=problem),
    )
    (one,) = outcome.placements
    assert (outcome.verdict, one.result, one.version, one.kind) == (
        "failed",
        "switched back",
        "1.0.0",
        "health",
    )
    assert [test.passed for test in one.tests] == [False]


@pytest.mark.parametrize("status", ["unreachable", "failed", "started"])
def test_smoke_tests_that_did_not_end_prove_nothing(status: str) -> None:
    outcome = fold(said("activate", result="healthy"), report("smoke", status=status, msg="connection lost"))
    (one,) = outcome.placements
    assert (outcome.verdict, one.result, one.version, one.changed) == ("failed", "unproven", "2.0.0", True)
    assert "its smoke tests did not end: connection lost" in one.message


def test_host_that_was_switched_back_for_others_is_so_whatever_it_said_before() -> None:
    activated, undone = said("activate", result="healthy"), said("undo", result="switched_back", version="1")
    one = fold(activated, undone).placements[0]
    assert (one.result, one.version, one.changed) == ("switched back", "1", False)


def test_switching_back_that_found_nothing_to_do_changes_nothing_of_the_answer() -> None:
    one = fold(said("activate", result="healthy"), said("undo", result="unchanged")).placements[0]
    assert one.result == "deployed"


def test_switching_back_that_failed_or_was_not_answered_is_unknown() -> None:
    healthy = said("activate", result="healthy")
    for undo in (said("undo", result="failed"), report("undo", status="unreachable", msg="gone")):
        assert fold(healthy, undo).verdict == "unknown"


@pytest.mark.parametrize("before", [(), (said("activate", result="switched_back", version="1"),)])
def test_silent_switching_back_does_not_hide_what_was_not_activated(before: tuple[HostReport, ...]) -> None:
    one = fold(said("stage"), *before, report("undo", status="unreachable")).placements[0]
    assert one.result == ("switched back" if before else "staged")


def test_problem_without_an_answer_for_any_placement_is_silence() -> None:
    silent = report("activate", problem={"kind": "host", "message": "no answer"}, placements=[])
    assert fold(said("stage"), silent).placements[0].result == "unknown"


def test_what_runs_once_and_fails_leaves_its_host_failed_and_the_others_staged() -> None:
    problem = {"kind": "hook", "message": "hook run_once a failed with 3", "resolution": "look"}
    ran = said("once", message="hook run_once a failed with 3", problem=problem)
    outcome = fold(said("stage"), ran)
    one = outcome.placements[0]
    assert (outcome.verdict, one.result, one.version, one.kind) == ("failed", "failed", "", "hook")
    assert (one.message, one.resolution) == ("hook run_once a failed with 3", "look")
    assert fold(said("stage"), said("once")).placements[0].result == "staged"


@pytest.mark.parametrize(
    ("status", "result"), [("unreachable", "failed"), ("started", "staged"), ("ok", "staged")]
)
def test_host_that_vanishes_while_something_runs_once_was_not_switched(status: str, result: str) -> None:
    one = fold(said("stage"), report("once", status=status, msg="gone")).placements[0]
    assert (one.result, one.version) == (result, "")


def test_hooks_are_told_of_without_what_they_wrote() -> None:
    def ran(event: str, code: int | None) -> dict[str, Any]:
        return {"event": event, "command": "a", "exit": code, "seconds": 0.1, "message": "a secret"}

    outcome = fold(
        said("activate", result="switched_back", version="1", hooks=[ran("after_activate", 3)]),
        said("once", hooks=[ran("run_once", None)]),
        said("stage", hooks=[ran("after_stage", 0)]),
    )
    hooks = outcome.placements[0].hooks
    assert [(one.event, one.exit) for one in hooks] == [
        ("after_stage", 0),
        ("run_once", None),
        ("after_activate", 3),
    ]
    assert "a secret" not in str(hooks)


def test_notice_of_what_ran_once_comes_before_what_became_of_the_placement() -> None:
    ran = said("once", notice="run_once a failed with 3; the rollout went on")
    one = fold(said("stage"), ran, said("activate", result="healthy", message="healthy")).placements[0]
    assert one.message == "run_once a failed with 3; the rollout went on; healthy"
