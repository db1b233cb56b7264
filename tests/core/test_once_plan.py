"""What runs once in a plan: which command, on which host, before which group, and what is not to run again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.inventory import render_placements
from orchestrator.core.markdown import render_review
from orchestrator.core.model import Desired, Strategy
from orchestrator.core.observed import KeptRelease, ObservedHost, parse_observed
from orchestrator.core.once_plan import describe_once
from orchestrator.core.plan import Plan
from orchestrator.core.release_settings import Hook, ReleaseSettings
from tests.core.reviews import make_review
from tests.core.test_compile import converged
from tests.core.values import (
    SHA,
    make_application,
    make_artifacts,
    make_desired,
    make_host,
    make_observed,
    make_placement,
    make_plan,
)

MIGRATE = Hook(command=("bin/migrate",))


def desired(*names: str, hooks: tuple[Hook, ...] = (MIGRATE,), **strategy: Any) -> Desired:
    """`site` on these hosts, each `region/name` or a name alone."""
    release = ReleaseSettings(hooks={"run_once": hooks, "before_activate": (Hook(command=("true",)),)})
    placements = []
    for order, name in enumerate(names):
        region, _, host = name.rpartition("/")
        placements.append(
            make_placement(host=make_host(host, region=region, order=order if region else 0), release=release)
        )
    return make_desired(*placements, strategy=Strategy(**strategy))


def observed(whole: Desired, name: str, *commands: str, sha256: str = SHA, **live: Any) -> ObservedHost:
    """The host has an older release live, and one of that artifact for which it has run these commands."""
    one = next(placement for placement in whole.placements if placement.host.name == name)
    kept = KeptRelease(
        release="x",
        version="2.0.0",
        artifact_sha256=sha256,
        state="bad",
        once=tuple((command,) for command in commands),
    )
    return converged(make_desired(one), **{"version": "1", "release": "1-x", "releases": (kept,), **live})


def due(plan: Plan, whole: Desired) -> dict[str, list[list[str]]]:
    """Host → commands that it is told to run once, should it be the one."""
    rendered = render_placements(plan, whole, make_artifacts(whole))
    found = {}
    for host, (one,) in rendered.items():
        hooks = one.get("hooks", {}).get("run_once", [])
        assert ("wave" in one) == bool(hooks)
        found[host] = [hook["command"] for hook in hooks]
    return found


def test_first_host_of_each_region_runs_it_before_its_first_group() -> None:
    whole = desired("eu/b", "eu/a", "us/c", batches=("1",))
    whole = replace(
        whole, placements=tuple(replace(one, host=replace(one.host, order=0)) for one in whole.placements)
    )
    plan = make_plan(whole)
    assert [(one.region, one.group, one.host, one.done_on) for one in plan.once] == [
        ("eu", 0, "a", ""),
        ("us", 2, "c", ""),
    ]
    assert due(plan, whole) == {name: [["bin/migrate"]] for name in "abc"}
    rendered = render_placements(plan, whole, make_artifacts(whole))
    assert {host: one["wave"] for host, (one,) in rendered.items()} == {"a": 0, "b": 0, "c": 2}


def test_what_has_run_for_the_artifact_is_shown_and_not_due() -> None:
    seed = Hook(command=("bin/seed",), user="shop", on_failure="continue")
    whole = desired("a", "b", hooks=(MIGRATE, seed))
    plan = make_plan(
        whole, observed(whole, "a", "bin/migrate", sha256="b" * 64), observed(whole, "b", "bin/migrate")
    )
    assert [(one.command, one.done_on) for one in plan.once] == [(("bin/migrate",), "b"), (("bin/seed",), "")]
    assert due(plan, whole) == {"a": [["bin/seed"]], "b": [["bin/seed"]]}
    assert [describe_once(plan, one) for one in plan.once] == [
        "has run for this artifact on b and does not run again",
        "on a as shop, before wave 1; if it fails, the rollout goes on",
    ]


def test_host_that_does_not_change_any_more_may_have_run_it_and_one_of_another_region_has_not() -> None:
    whole = desired("eu/a", "eu/b", "us/c")
    (first, *_) = whole.placements
    done = converged(
        make_desired(first), releases=observed(whole, "a", "bin/migrate").placements.popitem()[1].releases
    )
    plan = make_plan(whole, done, observed(whole, "b"), observed(whole, "c"))
    assert [(one.region, one.host, one.done_on) for one in plan.once] == [("eu", "b", "a"), ("us", "c", "")]
    assert due(plan, whole) == {"b": [], "c": [["bin/migrate"]]}
    assert describe_once(plan, plan.once[1]) == (
        "on c, before region us, wave 1; if it fails, nothing of that is switched"
    )


def test_nothing_runs_once_where_the_same_release_stays() -> None:
    whole = desired("a")
    assert make_plan(whole, replace(converged(whole), name="a")).once == ()
    plan = make_plan(whole, converged(whole, configuration_digest="other"))
    assert (plan.steps[0].action, plan.once) == ("reconfigure", ())
    assert due(plan, whole) == {"a": []}


def test_artifact_that_nobody_has_resolved_may_be_any() -> None:
    whole = desired("a")
    (one,) = make_plan(whole, observed(whole, "a", "bin/migrate", sha256=""), sha256="").once
    assert one.done_on == ""


def test_other_applications_have_run_nothing_of_it() -> None:
    whole = desired("a")
    other = make_desired(make_placement(make_application("api"), make_host("a")))
    kept = observed(whole, "a", "bin/migrate").placements["site", "/srv/site"].releases
    found = converged(other, releases=kept).placements
    (one,) = make_plan(whole, make_observed("a", *found.values())).once
    assert one.done_on == ""


def test_comment_on_a_pull_request_shows_it_as_text() -> None:
    whole = desired("a", hooks=(Hook(command=("bin/migrate", "<b>`x`")),))
    comment = render_review(make_review(plan=make_plan(whole)))
    assert "**Runs once**" in comment
    assert (
        "- `site`: `bin/migrate ‹b›'x'`: `on a, before wave 1; if it fails, nothing of that is switched`"
        in comment
    )
    assert "Runs once" not in render_review(make_review())


@pytest.mark.parametrize("once", [["bin/migrate"], [[1]], "bin/migrate"])
def test_host_that_answers_nonsense_about_it_is_unknown(once: Any) -> None:
    kept = {"release": "x", "version": "2", "artifact_sha256": SHA, "state": "healthy"}
    entry = dict.fromkeys(
        ("application", "deployment_path", "version", "release", "artifact_sha256", "configuration_digest"),
        "x",
    ) | {"previous_version": "", "state": "healthy", "problems": []}
    good = parse_observed("h", [{**entry, "releases": [{**kept, "once": [["bin/migrate"]]}, kept]}])
    assert [one.once for one in good.placements["x", "x"].releases] == [(("bin/migrate",),), ()]
    assert parse_observed("h", [{**entry, "releases": [{**kept, "once": once}]}]).status == "unreachable"
