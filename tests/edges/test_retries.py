"""A phase that is asked again, because its connection broke or its host died, tells the truth about what it undid."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.host_report import HostReport
from orchestrator.core.outcome import fold_outcome
from tests.core.values import make_desired, make_observed, make_plan
from tests.edges.host import Host
from tests.edges.test_kills import UNHEALTHY, deployment, each_step, live, observed, requests_of, run_until

ASKED_ELSEWHERE = [{**UNHEALTHY, "origin": "controller"}]
SAID = {"healthy": False, "keep": False, "message": "answers 500"}
PHASES = ("confirm", "distrust", "rollback")


def activated(host: Host, version: str) -> dict[str, Any]:
    """A placement that is live, and whose health the controller is to ask; with what it then says of it."""
    placement = {**deployment(host, version), "healthchecks": ASKED_ELSEWHERE}
    assert host.deploy(placement)["result"] == "active"
    return {**placement, **SAID}


def ask(host: Host, phase: str, placement: dict[str, Any]) -> dict[str, Any]:
    """The answer, without what is another one each time."""
    return {**host.phase(phase, placement), "seconds": 0}


def folded(phase: str, answer: dict[str, Any]) -> tuple[str, str | None]:
    """What becomes of the placement whose release got healthy, and then was answered for like that."""
    named = {"application": "site", "deployment_path": "/srv/site", "message": "m", "changed": True}
    reports = [
        HostReport(host="web1", phase=name, status="ok", result={"placements": [{**said, **named}]})
        for name, said in (("activate", {"result": "healthy"}), (phase, answer))
    ]
    plan = make_plan(make_desired(), make_observed("web1"))
    (one,) = fold_outcome(plan, reports, finished=True, cancelled=False).placements
    return one.result, one.version


@pytest.mark.parametrize("phase", PHASES)
def test_phase_that_switched_back_says_so_when_it_is_asked_again(host: Host, phase: str) -> None:
    host.deploy(deployment(host, "1"))
    two = activated(host, "2")
    first = ask(host, phase, two)
    assert (first["result"], first["version"], live(host)) == ("switched_back", "1", "1")
    again = ask(host, phase, two)
    assert again == first
    assert folded("undo" if phase == "rollback" else "settle", again) == ("switched back", "1")
    assert (live(host), observed(host)["state"]) == ("1", "healthy")


@pytest.mark.parametrize("phase", PHASES)
def test_phase_that_removed_the_first_release_says_so_when_it_is_asked_again(host: Host, phase: str) -> None:
    one = activated(host, "1")
    first = ask(host, phase, one)
    assert (first["result"], live(host)) == ("removed", "")
    assert ask(host, phase, one) == first


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("before", ["1", ""])
def test_phase_that_died_while_it_switched_back_finishes_when_it_is_asked_again(
    host: Host, phase: str, before: str
) -> None:
    base, step, died = host.path, 0, True
    while died:
        step += 1
        host.path = base.with_name(f"site{step}")
        if before:
            host.deploy(deployment(host, before))
        two = activated(host, "2")
        died = run_until(host, step, host.request(phase, two)).returncode != 0
        said = ask(host, phase, two)
        assert (said["result"], live(host)) == ("switched_back" if before else "removed", before), step
        assert observed(host)["state"] == ("healthy" if before else "none"), step
        assert observed(host)["problems"] == [], step
    assert step > 5


def test_switching_back_that_died_with_its_activation_is_finished_by_a_rollback(host: Host) -> None:
    """A host that vanishes twice while it activates is told to roll back, whatever it has."""
    stage, activate = requests_of(host, deployment(host, "2", healthcheck=UNHEALTHY))
    run = host.runs
    for step in each_step(host, lambda: host.deploy(deployment(host, "1")), stage, activate):
        host.runs = run
        said = host.phase("rollback", deployment(host, "2"))
        assert live(host) == "1" or said["problem"], step
        assert said["result"] in ("unchanged", "switched_back", "failed"), step


def test_rollback_leaves_alone_what_activation_has_switched_back(host: Host) -> None:
    host.deploy(deployment(host, "1"))
    two = deployment(host, "2", hooks={"after_activate": [{"command": ["/bin/false"]}]})
    assert host.deploy(two)["result"] == "switched_back"
    assert host.phase("rollback", two)["result"] == "unchanged"


def test_release_that_is_made_live_again_after_that_is_rolled_back_anew(host: Host) -> None:
    """Activation is done again too: what it undid the first time is not undone any more."""
    host.deploy(deployment(host, "1"))
    two = deployment(host, "2")
    host.deploy({**two, "healthchecks": [UNHEALTHY]})
    assert host.phase("activate", two)["result"] == "healthy"
    assert (host.phase("rollback", two)["result"], live(host)) == ("switched_back", "1")


def test_release_before_is_confirmed_once_its_own_role_has_activated_it_again(host: Host) -> None:
    role = {"role": {"name": "legacy", "entries": ["activate"]}}
    one = {**deployment(host, "1", **role), "healthy": True, "message": "answers 200"}
    host.deploy(one)
    host.phase("confirm", one)
    two = {**deployment(host, "2", **role), **SAID}
    host.deploy(two)
    assert host.phase("confirm", two)["result"] == "switched_back"
    assert observed(host)["state"] == "active"
    assert host.phase("confirm", {**two, "healthy": True})["result"] == "healthy"
    assert (live(host), observed(host)["state"]) == ("1", "healthy")


def test_run_that_found_another_release_live_undoes_nothing(host: Host) -> None:
    for version in ("1", "2"):
        host.deploy(deployment(host, version))
    three = activated(host, "3")
    host.phase("rollback", three)
    current = host.path / "current"
    (other,) = (one for one in (host.path / "releases").iterdir() if one.name.startswith("1-"))
    current.unlink()
    current.symlink_to(f"releases/{other.name}")
    said = host.phase("rollback", three)
    assert said["problem"]["kind"] == "conflict"
    assert live(host) == "1"
