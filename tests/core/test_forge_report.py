from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.core.forge_report import describe_beginning, describe_end
from orchestrator.core.record import Record
from tests.edges.remotes import make_placement, make_record


def record(verdict: str, *results: str, **more: object) -> Record:
    placements = tuple(replace(make_placement(), result=result) for result in results)
    return replace(make_record(), verdict=verdict, placements=placements, commit="a" * 40, **more)


def test_a_beginning_is_pending() -> None:
    told = describe_beginning(
        commit="a" * 40, branch="main", environment="production", stack="", changes=3, url="https://ci"
    )
    assert (told.context, told.state, told.deployment) == (
        "orchestrator/production",
        "pending",
        "in_progress",
    )
    assert told.description == "deploying: 3 to change"


def test_a_beginning_without_changes_is_no_deployment() -> None:
    told = describe_beginning(
        commit="a" * 40, branch="main", environment="dev", stack="stacks/shop", changes=0, url=""
    )
    assert (told.context, told.deployment) == ("orchestrator/stacks/shop/dev", None)
    assert told.description == "nothing to change"


@pytest.mark.parametrize(
    ("verdict", "state", "deployment"),
    [
        ("success", "success", "success"),
        ("partial", "failure", "failure"),
        ("failed", "failure", "failure"),
        ("unknown", "error", "failure"),
        ("cancelled", "error", "cancelled"),
        ("interrupted", "error", "failure"),
    ],
)
def test_an_end_is_what_the_record_says(verdict: str, state: str, deployment: str) -> None:
    told = describe_end(record(verdict, "deployed", "deployed", "unchanged"), url="", is_begun=True)
    assert told is not None
    assert (told.state, told.deployment) == (state, deployment)
    assert told.description == "2 deployed, 1 unchanged"


def test_an_error_is_said() -> None:
    told = describe_end(record("failed", error="no such artifact"), url="", is_begun=False)
    assert told is not None
    assert (told.description, told.deployment) == ("no such artifact", None)


def test_nothing_is_said_of_what_gave_way_or_has_no_commit() -> None:
    assert describe_end(record("superseded"), url="", is_begun=False) is None
    assert describe_end(replace(record("success"), commit=""), url="", is_begun=True) is None


def test_nothing_to_change_is_a_success_and_no_deployment() -> None:
    told = describe_end(record("success", "unchanged"), url="", is_begun=True)
    assert told is not None
    assert told.deployment is None
    told = describe_end(record("success"), url="", is_begun=True)
    assert told is not None
    assert told.description == "nothing to change"


def test_a_rollback_says_that_the_commit_does_not_run_there_any_more() -> None:
    told = describe_end(record("success", "deployed", kind="rollback", actor="ada"), url="", is_begun=False)
    assert told is not None
    assert (told.state, told.description) == ("failure", "rolled back by ada: 1 deployed")
    assert told.deployment is None
    assert describe_end(record("failed", kind="rollback"), url="", is_begun=False) is None
