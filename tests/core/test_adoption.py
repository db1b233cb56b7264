"""Steps of a takeover, and how they end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.compile import compile_plan, configuration_digest, release_name
from orchestrator.core.host_report import HostReport
from orchestrator.core.model import Desired
from orchestrator.core.observed import ObservedHost, ObservedPlacement
from orchestrator.core.outcome import fold_outcome
from orchestrator.core.own_roles import OwnRole
from orchestrator.core.plan import Plan
from orchestrator.core.resume import resume_command
from orchestrator.core.units import make_service
from orchestrator.errors import ConflictError
from tests.core.values import (
    IDENTITY,
    SHA,
    make_application,
    make_artifacts,
    make_desired,
    make_observed,
    make_placement,
)


def found(desired: Desired, **overrides: Any) -> ObservedHost:
    placement = desired.placements[0]
    application = placement.application
    one = ObservedPlacement(
        application=application.name,
        deployment_path=placement.deployment_path,
        version=application.version,
        release=release_name(application.artifact, application.version, SHA),
        artifact_sha256=SHA,
        configuration_digest=configuration_digest(placement),
        state="healthy",
    )
    return make_observed(placement.host.name, replace(one, **overrides))


def adopt(desired: Desired, *hosts: ObservedHost) -> Plan:
    return compile_plan(
        desired,
        make_artifacts(desired),
        {host.name: host for host in hosts},
        identity=IDENTITY,
        commit="c",
        adopt=True,
    )


def test_what_is_not_ours_is_taken_over_and_nothing_restarts() -> None:
    desired = make_desired(make_placement(service=make_service("api", {"exec": "/bin/a", "user": "u"})))
    for host in (
        make_observed("web1"),
        found(desired, state="none", version="", release="", problems=("current is not a link",)),
        ObservedHost.unasked("web1"),
    ):
        (step,) = adopt(desired, host).steps
        assert (step.action, step.from_version, step.restarts) == ("adopt", None, ())
        assert step.reason == "what is live there is taken over if it is the same"
        assert step.changes


def test_what_is_converged_unknown_or_begun_is_as_in_a_deployment() -> None:
    desired = make_desired()
    assert adopt(desired, found(desired)).steps[0].action == "skip"
    (step,) = adopt(desired, found(desired, state="active", problems=("it still runs what was live",))).steps
    assert (step.action, step.from_version, step.reason) == ("adopt", "2.0.0", "it still runs what was live")
    assert adopt(desired, ObservedHost.unreachable("web1", "no answer")).steps[0].action == "unknown"


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        ({"version": "1.9", "release": "1.9-x"}, "what is live there is ours already: 1.9"),
        ({"configuration_digest": "other"}, "2.0.0 is ours already; settings changed"),
        (
            {"problems": ("its unit was changed by hand",)},
            "2.0.0 is ours already; its unit was changed by hand",
        ),
        ({"state": "bad"}, "2.0.0 is ours already; the release is marked bad"),
    ],
)
def test_what_is_ours_is_left_to_deployments(overrides: dict[str, Any], problem: str) -> None:
    desired = make_desired()
    with pytest.raises(ConflictError) as caught:
        adopt(desired, found(desired, **overrides))
    assert problem in caught.value.details[0]
    assert "1 of 1 placements cannot be taken over" in caught.value.brief


def test_only_sites_and_services_are_taken_over() -> None:
    package = make_placement(application=make_application(kind="package"))
    own = make_placement(role=OwnRole(name="legacy", digest="d", entries=("activate",)))
    for placement in (package, own):
        with pytest.raises(ConflictError, match="cannot be taken over") as caught:
            adopt(make_desired(placement), make_observed("web1"))
        assert caught.value.details[0].endswith("on web1: only sites and services can be taken over")


def said(plan: Plan, activated: dict[str, Any], *phases: str) -> Any:
    step = plan.steps[0]
    name = {"application": step.application, "deployment_path": step.deployment_path, "changed": True}
    answers = {"stage": {**name, "message": "site is 1, file by file"}, "activate": {**name, **activated}}
    reports = [
        HostReport(host="web1", phase=phase, status="ok", result={"placements": [answers[phase]]})
        for phase in phases
    ]
    return fold_outcome(plan, reports, finished=True, cancelled=False).placements[0]


def test_outcome_says_how_what_was_live_compares() -> None:
    plan = adopt(make_desired(), make_observed("web1"))
    healthy = {"result": "healthy", "message": "taken over"}
    assert said(plan, healthy, "stage", "activate").message == "site is 1, file by file; taken over"
    assert said(plan, healthy, "activate").message == "taken over"
    problem = {"kind": "health", "message": "sick", "resolution": ""}
    back = {"result": "switched_back", "message": "sick", "version": None, "problem": problem}
    given_back = said(plan, back, "stage", "activate")
    assert (given_back.result, given_back.version, given_back.message) == ("switched back", None, "sick")


def test_command_that_goes_on_is_the_takeover() -> None:
    command = resume_command(
        environment="prod", branch="main", applications=("shop",), limits=("w1",), adopt=True
    )
    assert command == "orchestrator adopt --environment prod --application=shop --limit=w1"
