"""A required plan is an assertion: the same intent, starting from the same versions."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.observed import ObservedHost, ObservedPlacement
from orchestrator.core.plan import Plan, plan_document
from orchestrator.core.required_plan import (
    RequiredPlan,
    check_required_plan,
    is_identifier,
    parse_required_plan,
    required_identifier,
)
from orchestrator.errors import PlanMismatchError, UsageError
from tests.core.values import (
    make_application,
    make_desired,
    make_host,
    make_observed,
    make_placement,
    make_plan,
)

HOSTS = tuple(make_placement(host=make_host(name)) for name in ("web1", "web2"))


def live(version: str) -> ObservedPlacement:
    return ObservedPlacement(
        application="site",
        deployment_path="/srv/site",
        version=version,
        release=f"{version}-x",
        artifact_sha256="",
        configuration_digest="",
        state="healthy",
    )


def planned(first: str = "1.0.0", second: str | None = "1.0.0", **overrides: Any) -> Plan:
    """A plan of two hosts on which these versions are live; None: the second one was not asked."""
    hosts = [make_observed("web1", live(first))]
    hosts.append(ObservedHost.unasked("web2") if second is None else make_observed("web2", live(second)))
    return make_plan(make_desired(*HOSTS, **overrides), *hosts)


def written(plan: Plan, **overrides: Any) -> RequiredPlan:
    return parse_required_plan(json.dumps({**plan_document(plan), **overrides}).encode(), "plan.json")


def refused(required: RequiredPlan, plan: Plan) -> str:
    with pytest.raises(PlanMismatchError) as caught:
        check_required_plan(required, plan)
    assert caught.value.resolution
    return "\n".join((caught.value.brief, *caught.value.details))


def test_plan_is_the_one_that_was_written() -> None:
    assert check_required_plan(written(planned()), planned()) == ()
    assert check_required_plan(written(replace(planned(), commit="d" * 40)), planned()) == ()


def test_id_or_its_beginning_is_enough() -> None:
    plan = planned()
    for given in (plan.intent_id, plan.plan_id, plan.intent_id[:12], plan.plan_id[:16].upper()):
        assert is_identifier(given)
        assert check_required_plan(required_identifier(given), plan) == ()
    for given in (plan.intent_id[:11], "plan.json", f"{plan.intent_id}0", ""):
        assert not is_identifier(given)


def test_intent_id_holds_whatever_is_live_and_says_what_is_unknown() -> None:
    required = required_identifier(planned().intent_id)
    assert check_required_plan(required, planned("1.5.0")) == ()
    (note,) = check_required_plan(required, planned(second=None))
    assert note == "site on web2: nobody knows what was live"


def test_other_id_is_refused_with_what_there_is_now() -> None:
    text = refused(required_identifier("0" * 12), planned())
    assert planned().intent_id in text
    assert "site now: 2.0.0" in text
    assert "manifest now: m" in text


def test_other_documents_are_named() -> None:
    text = refused(written(planned(documents={"manifest": "old", "environment": "e"})), planned())
    assert "manifest.json: its content differs" in text
    assert "environment JSON" not in text
    assert "does not say" in refused(written(planned(), documents={}, intent_id="f" * 64), planned())


def test_other_artifacts_and_targets_are_named() -> None:
    old = make_plan(
        make_desired(
            make_placement(make_application(version="1.9.0")),
            make_placement(make_application("gone")),
            make_placement(host=make_host("web3")),
        ),
        sha256="",
    )
    text = refused(written(old), planned())
    assert "gone: only in the required plan" in text
    assert "site: sha256 unknown in the required plan, aaaa" in text
    assert "site on web3 at /srv/site: only in the required plan" in text
    assert "site on web2 at /srv/site: not in the required plan" in text
    text = refused(written(planned()), old)
    assert "gone: only in the plan of now" in text


def test_other_environment_is_named() -> None:
    identity = {"repository": "shop-deploy", "stack": "", "environment": "production"}
    text = refused(written(planned(), identity=identity, intent_id="f" * 64), planned())
    assert "environment: production in the required plan, dev now" in text


def test_other_from_version_is_refused() -> None:
    text = refused(written(planned()), planned("1.5.0"))
    assert "site on web1: from 1.0.0 in the required plan, from 1.5.0 now" in text
    assert "web2" not in text
    assert "from 1.0.0 in the required plan, from nothing now" in refused(written(planned()), planned(""))


def test_unknown_matches_and_is_listed() -> None:
    (note,) = check_required_plan(written(planned(second=None)), planned())
    assert note == "site on web2: the required plan did not know what was live, so it is not compared"
    (note,) = check_required_plan(written(planned()), planned(second=None))
    assert note == "site on web2: nobody knows now what was live, so it is not compared"


def test_placement_that_was_not_reviewed_is_refused_when_it_would_change() -> None:
    whole = planned()
    narrow = replace(whole, steps=whole.steps[:1])
    assert "leaves it out" in refused(written(narrow), whole)
    converged = replace(whole, steps=(whole.steps[0], replace(whole.steps[1], action="skip")))
    assert check_required_plan(written(narrow), converged) == ()
    assert check_required_plan(written(whole), narrow) == ()


def test_many_differences_are_cut() -> None:
    many = make_desired(*(make_placement(host=make_host(f"web{number}")) for number in range(40)))
    assert "more" in refused(written(make_plan(many)), planned()).splitlines()[-1]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\xff", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "no JSON object"),
        (b"{}", "format None"),
        (b'{"format": 2}', "format 2"),
        (b'{"format": 1}', "'intent_id' is missing"),
        (b'{"format": 1, "intent_id": 7}', "7 is missing or of another type"),
        (b'{"format":1,"intent_id":"","plan_id":"","identity":{},"artifacts":[],"steps":[]}', "no intent id"),
        (b'{"format":1,"intent_id":"a","plan_id":"","identity":[],"artifacts":[],"steps":[]}', "items"),
    ],
)
def test_file_that_is_no_plan_is_refused(content: bytes, why: str) -> None:
    with pytest.raises(UsageError, match="is no plan") as caught:
        parse_required_plan(content, "plan.json")
    assert why in caught.value.brief


def test_plan_that_was_carried_out_or_a_part_of_it_can_be_required_again() -> None:
    before = planned()
    done = [replace(step, action="skip", from_version=step.to_version) for step in before.steps]
    after = replace(before, steps=tuple(done))
    assert check_required_plan(written(before), after) == ("2 steps of the required plan are done already",)
    half = replace(before, steps=(done[0], before.steps[1]))
    assert check_required_plan(written(before), half) == ("1 step of the required plan is done already",)
    moved = replace(done[0], action="verify")
    assert "web1: from 1.0.0 in the required plan, from 2.0.0 now" in refused(
        written(before), replace(before, steps=(moved, done[1]))
    )
    assert "nothing would be done now" in refused(required_identifier("0" * 12), after)
    assert "nothing would be done now" not in refused(required_identifier("0" * 12), before)
