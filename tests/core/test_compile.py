"""Desired and observed in, a plan out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.canonical import canonical_json
from orchestrator.core.compile import compile_plan, configuration_digest, release_name, select_placements
from orchestrator.core.model import Desired
from orchestrator.core.observed import KeptRelease, ObservedHost, ObservedPlacement, parse_observed
from orchestrator.core.plan import Plan, plan_document
from tests.core.values import (
    IDENTITY,
    SHA,
    make_application,
    make_artifacts,
    make_check,
    make_desired,
    make_host,
    make_observed,
    make_placement,
    make_plan,
)


def converged(desired: Desired, **overrides: Any) -> ObservedHost:
    placement = desired.placements[0]
    application = placement.application
    found = ObservedPlacement(
        application=application.name,
        deployment_path=placement.deployment_path,
        version=application.version,
        release=release_name(application.artifact, application.version, SHA),
        artifact_sha256=SHA,
        configuration_digest=configuration_digest(placement),
        state="healthy",
    )
    return make_observed(placement.host.name, replace(found, **overrides))


def only_step(plan: Plan) -> tuple[str, str | None, str]:
    (step,) = plan.steps
    return step.action, step.from_version, step.reason


def test_plan_installs_on_a_host_without_receipt() -> None:
    assert only_step(make_plan(make_desired(), make_observed("web1"))) == (
        "install",
        "",
        "first release there",
    )


def test_plan_skips_host_already_on_release() -> None:
    desired = make_desired()
    plan = make_plan(desired, converged(desired))
    assert only_step(plan) == ("skip", "2.0.0", "already on 2.0.0, receipt verified")
    assert plan.changes == ()


@pytest.mark.parametrize(
    ("overrides", "action", "reason"),
    [
        ({"version": "1.0.0", "release": "1.0.0-x"}, "install", "git asks for 2.0.0"),
        ({"release": "2.0.0-x"}, "install", "2.0.0 has other bytes or is unpacked otherwise"),
        ({"state": "none", "version": "", "release": ""}, "install", "nothing is live there"),
        ({"state": "none", "problems": ("current is a directory",)}, "install", "current is a directory"),
        ({"problems": ("index.html was changed",)}, "verify", "index.html was changed"),
        ({"state": "bad"}, "verify", "marked bad"),
        ({"state": "active"}, "verify", "health is not proven"),
        ({"configuration_digest": "other"}, "reconfigure", "settings changed"),
    ],
)
def test_every_difference_has_its_action_and_reason(
    overrides: dict[str, Any], action: str, reason: str
) -> None:
    desired = make_desired()
    found = only_step(make_plan(desired, converged(desired, **overrides)))
    assert found[0] == action
    assert reason in found[2]


def test_release_that_was_switched_back_before_is_called_that() -> None:
    desired = make_desired()
    application = desired.placements[0].application
    wanted = release_name(application.artifact, application.version, SHA)
    known = KeptRelease(release=wanted, version="2.0.0", artifact_sha256=SHA, state="bad")
    plan = make_plan(desired, converged(desired, version="1.0.0", release="1.0.0-x", releases=(known,)))
    assert only_step(plan) == ("install", "1.0.0", "git asks for 2.0.0, which is marked bad here")


def test_host_that_did_not_answer_gets_an_unknown_step_and_is_listed() -> None:
    plan = make_plan(make_desired(), ObservedHost.unreachable("web1", "timed out"))
    assert only_step(plan) == ("unknown", None, "the host did not answer: timed out")
    assert plan.unknown_hosts == {"web1": "timed out"}


def test_host_that_nobody_asked_is_planned_as_an_installation_from_unknown() -> None:
    assert only_step(make_plan(make_desired()))[:2] == ("install", None)


def test_unresolved_artifact_has_no_release_name() -> None:
    desired = make_desired()
    plan = make_plan(desired, converged(desired), sha256="")
    assert plan.steps[0].release == ""
    assert "not resolved" in plan.steps[0].reason


def test_groups_follow_region_order_then_wave() -> None:
    desired = make_desired(
        make_placement(make_application("b"), make_host("h1", region="eu", order=2), wave=0),
        make_placement(make_application("a"), make_host("h2", region="us", order=1), wave=1),
        make_placement(make_application("c"), make_host("h2", region="us", order=1), wave=0),
    )
    plan = make_plan(desired)
    assert [(step.application, step.group) for step in plan.steps] == [("c", 0), ("a", 1), ("b", 2)]
    assert [(group.region, group.wave, group.steps) for group in plan.groups] == [
        ("us", 0, 1),
        ("us", 1, 1),
        ("eu", 0, 1),
    ]


def test_downgrade_is_a_warning_and_a_strange_version_is_none() -> None:
    desired = make_desired()
    plan = make_plan(desired, converged(desired, version="3.0.0", release="x"))
    assert plan.warnings == ("downgrade: site goes from 3.0.0 back to 2.0.0",)
    assert make_plan(desired, converged(desired, version="1.0", release="x")).warnings == ()
    assert make_plan(desired, converged(desired, version="~odd", release="x")).warnings == ()


def test_placement_that_git_no_longer_asks_for_is_an_orphan() -> None:
    desired = make_desired()
    host = converged(desired, application="old", deployment_path="/srv/old")
    plan = make_plan(desired, host)
    assert [(one.application, one.deployment_path) for one in plan.orphans] == [("old", "/srv/old")]


def test_local_hosts_are_one_machine_and_not_each_others_orphans() -> None:
    desired = make_desired(
        *(
            make_placement(host=make_host(name, connection="local"), deployment_path=f"/srv/{name}")
            for name in ("h1", "h2")
        )
    )
    found = [
        converged(desired, deployment_path=path).placements["site", path]
        for path in ("/srv/h1", "/srv/h2", "/srv/old")
    ]
    plan = make_plan(desired, make_observed("h1", *found), make_observed("h2", *found))
    assert [(one.host, one.deployment_path) for one in plan.orphans] == [("h1", "/srv/old")]


def test_two_names_of_one_machine_are_not_each_others_orphans() -> None:
    desired = make_desired(
        make_placement(make_application("site"), make_host("web", address="2001:db8::1", become=True)),
        make_placement(
            make_application("api"),
            make_host("app", address="2001:DB8:0::1", user="root"),
            deployment_path="/a",
        ),
    )
    receipts = [
        replace(next(iter(converged(desired).placements.values())), application=name, deployment_path=path)
        for name, path in (("site", "/srv/site"), ("api", "/a"), ("old", "/old"))
    ]
    plan = make_plan(desired, make_observed("web", *receipts), make_observed("app", *receipts))
    assert [(one.host, one.application) for one in plan.orphans] == [("app", "old")]


def test_receipts_of_another_user_of_the_machine_are_others() -> None:
    desired = make_desired(
        make_placement(host=make_host("web", become=True)),
        make_placement(make_application("api"), make_host("app", user="app"), deployment_path="/a"),
    )
    plan = make_plan(desired, make_observed("app", *converged(desired).placements.values()))
    assert [(one.host, one.application) for one in plan.orphans] == [("app", "site")]


def test_placement_of_a_resting_host_is_no_orphan_of_its_machine() -> None:
    desired = make_desired(make_placement(host=make_host("one", connection="local")))
    resting = make_host("two", connection="local", maintenance=True)
    desired = replace(desired, hosts=(*desired.hosts, resting))
    theirs = converged(desired, deployment_path="/srv/two").placements.values()
    assert make_plan(desired, make_observed("one", *theirs)).orphans == ()


def test_host_in_maintenance_is_listed() -> None:
    desired = make_desired()
    resting = make_host("web2", maintenance=True)
    assert make_plan(replace(desired, hosts=(*desired.hosts, resting))).maintenance == ("web2",)


def test_selection_narrows_by_application_host_region_and_group_without_changing_the_intent() -> None:
    desired = make_desired(
        make_placement(make_application("a"), make_host("h1", region="eu", groups=("db",))),
        make_placement(make_application("b"), make_host("h2", region="us", groups=())),
    )
    assert [p.application.name for p in select_placements(desired, applications=["a"]).placements] == ["a"]
    for limit in ("h2", "us"):
        assert [p.host.name for p in select_placements(desired, limits=[limit]).placements] == ["h2"]
    assert [p.host.name for p in select_placements(desired, limits=["db"]).placements] == ["h1"]
    artifacts = make_artifacts(desired)
    selected = select_placements(desired, limits=["h2"])
    plan = compile_plan(desired, artifacts, {}, identity=IDENTITY, commit="", selected=selected)
    assert len(plan.steps) == 1
    assert plan.intent_id == make_plan(desired).intent_id
    assert plan.plan_id != make_plan(desired).plan_id


def test_nothing_selected_gives_an_empty_plan() -> None:
    desired = make_desired()
    none = select_placements(desired, applications=["other"])
    artifacts = make_artifacts(desired)
    plan = compile_plan(desired, artifacts, {}, identity=IDENTITY, commit="", selected=none)
    assert plan.steps == ()


def test_commit_is_no_part_of_either_id() -> None:
    desired = make_desired()
    artifacts = make_artifacts(desired)
    one = compile_plan(desired, artifacts, {}, identity=IDENTITY, commit="1")
    two = compile_plan(desired, artifacts, {}, identity=IDENTITY, commit="2")
    assert (one.plan_id, one.intent_id) == (two.plan_id, two.intent_id)


def test_other_bytes_are_another_intent() -> None:
    desired = make_desired()
    assert make_plan(desired).intent_id != make_plan(desired, sha256="b" * 64).intent_id


def test_settings_change_the_configuration_digest() -> None:
    digests = {
        configuration_digest(make_placement()),
        configuration_digest(make_placement(keep_releases=1)),
        configuration_digest(make_placement(healthchecks=(make_check(),))),
    }
    assert len(digests) == 3


@given(st.permutations(["h1", "h2", "h3", "h4"]), st.sets(st.sampled_from(["h1", "h2", "h3", "h4"])))
def test_compile_is_deterministic(order: list[str], reached: set[str]) -> None:
    desired = make_desired(*(make_placement(host=make_host(name)) for name in order))
    sorted_desired = make_desired(*(make_placement(host=make_host(name)) for name in sorted(order)))
    observed = [make_observed(name) for name in reached]
    one = make_plan(desired, *observed)
    two = make_plan(sorted_desired, *reversed(observed))
    assert canonical_json(plan_document(one)["steps"]) == canonical_json(plan_document(two)["steps"])


ENTRY = {
    "application": "site",
    "deployment_path": "/srv/site",
    "version": "1",
    "release": "1-a",
    "artifact_sha256": SHA,
    "configuration_digest": "c",
    "state": "healthy",
    "previous_version": "0",
    "releases": [{"release": "1-a", "version": "1", "artifact_sha256": SHA, "state": "healthy"}],
    "problems": ["p"],
}


def test_answer_of_a_host_is_parsed() -> None:
    found = parse_observed("web1", [ENTRY]).placements["site", "/srv/site"]
    assert (found.version, found.previous_version, found.problems) == ("1", "0", ("p",))
    assert [(one.release, one.state) for one in found.releases] == [("1-a", "healthy")]


@pytest.mark.parametrize(
    "answer",
    [
        None,
        {},
        "x",
        ["x"],
        [{}],
        [{**ENTRY, "version": 1}],
        [{**ENTRY, "state": "fine"}],
        [{**ENTRY, "state": []}],
        [{**ENTRY, "problems": "p"}],
        [{**ENTRY, "problems": [1]}],
        [{**ENTRY, "releases": [{}]}],
        [{**ENTRY, "releases": {}}],
    ],
)
def test_answer_that_makes_no_sense_is_an_unknown_host_and_no_crash(answer: Any) -> None:
    found = parse_observed("web1", answer)
    assert (found.status, found.kind, found.placements) == ("unreachable", "host", {})
    assert found.detail == "its answer makes no sense; look at the receipts on that host"


def test_what_a_host_says_can_be_shown_and_digested() -> None:
    said = {**ENTRY, "version": "1\x1b[31m", "problems": ["\udcff was added", "größer\nline"]}
    desired = make_desired()
    observed = parse_observed("web1", [said])
    plan = make_plan(desired, observed)
    (found,) = observed.placements.values()
    assert found.version == "1\\x1b[31m"
    assert found.problems == ("\\udcff was added", "größer\\nline")
    assert canonical_json(plan_document(plan))


def test_identity_leaves_out_an_empty_stack() -> None:
    assert str(IDENTITY) == "shop-deploy/dev"
    assert str(replace(IDENTITY, stack="shop")) == "shop-deploy/shop/dev"
