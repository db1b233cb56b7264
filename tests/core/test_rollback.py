"""Where a rollback goes, and its plan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.model import Canary, Strategy
from orchestrator.core.observed import KeptRelease, ObservedHost, ObservedPlacement
from orchestrator.core.record import Record, RecordPlacement
from orchestrator.core.resume import resume_command
from orchestrator.core.rollback import (
    Choice,
    Good,
    Wish,
    choose_release,
    commits_with,
    describe_kept,
    goods_of,
    interrupted_rollback,
    key_of,
    last_changed,
    last_good,
    live_after,
    newest_change,
    planned_by,
)
from orchestrator.core.rollback_plan import Aim, compile_rollback, describe_wishes_of_git
from tests.core.values import (
    IDENTITY,
    SHA,
    make_artifacts,
    make_desired,
    make_host,
    make_observed,
    make_placement,
)

KEY = ("site", "web1", "/srv/site")


def kept(version: str, state: Any = "healthy") -> KeptRelease:
    return KeptRelease(release=f"{version}-r", version=version, artifact_sha256=SHA, state=state)


def live(version: str, *others: KeptRelease, **fields: Any) -> ObservedPlacement:
    found = ObservedPlacement(
        application="site",
        deployment_path="/srv/site",
        version=version,
        release=f"{version}-r",
        artifact_sha256=SHA,
        configuration_digest="c",
        state="healthy",
        releases=(kept(version), *others),
    )
    return replace(found, **fields)


def good(version: str, commit: str = "c") -> Good:
    return Good(version=version, release=f"{version}-r", artifact_sha256=SHA, commit=commit)


def record(name: str, *placements: tuple[str, str, str | None], commit: str = "c", **fields: Any) -> Record:
    """Placements as host, result and version."""
    return Record(
        id=name,
        actor="a",
        started="s",
        environment="dev",
        commit=commit,
        placements=tuple(
            RecordPlacement(
                application="site",
                host=host,
                deployment_path="/srv/site",
                result=result,
                from_version="",
                to_version=version or "",
                version=version,
                release=f"{version}-r",
                artifact_sha256=SHA,
            )
            for host, result, version in placements
        ),
        **fields,
    )


def chosen(found: ObservedPlacement | None, wish: Wish | None = None, *known: Good) -> Choice | str:
    return choose_release(KEY, found, wish or Wish(), {KEY: known})


def test_good_release_that_was_live_before_is_the_target() -> None:
    found = live("4", kept("3", "bad"), kept("2", "staged"), kept("1"), kept("0"))
    assert chosen(found) == Choice(good=good("1", ""), kept=True)


def test_ledger_knows_it_where_the_host_does_not_keep_it() -> None:
    assert chosen(live("4", kept("3", "bad")), None, good("4"), good("3"), good("2")) == Choice(
        good=good("2")
    )


@pytest.mark.parametrize("found", [None, live("1", state="none")])
def test_nothing_live_is_nothing_to_go_back_from(found: ObservedPlacement | None) -> None:
    assert chosen(found) == "nothing is live there"


def test_no_good_release_is_said_with_what_is_kept() -> None:
    assert chosen(live("4", kept("3", "bad"))) == (
        "no good release before 4 is known; kept there: 4 (live), 3 (bad)"
    )
    assert describe_kept(live("4", releases=())) == "nothing is kept there"


def test_version_is_taken_where_it_is_kept_and_healthy() -> None:
    found = live("3", kept("2"), kept("1", "bad"))
    assert chosen(found, Wish(version="2")) == Choice(good=good("2", ""), kept=True)
    assert chosen(found, Wish(version="3")) == Choice(good=good("3", ""), stays=True)
    assert chosen(found, Wish(version="1"), good("1")) == (
        "1 is marked bad there; kept there: 3 (live), 2 (healthy), 1 (bad)"
    )
    assert chosen(found, Wish(version="0"), good("0")) == Choice(good=good("0"))
    assert "the ledger does not know it as good" in str(chosen(found, Wish(version="0")))


def test_version_that_was_good_on_another_host_will_do() -> None:
    goods = {("site", "web2", "/srv/site"): (good("0"),), ("api", "web1", "/srv/api"): (good("1"),)}
    assert choose_release(KEY, live("3"), Wish(version="0"), goods) == Choice(good=good("0"))
    assert isinstance(choose_release(KEY, live("3"), Wish(version="1"), goods), str)


def test_what_was_live_after_an_attempt_is_that_release_exactly() -> None:
    wish = Wish(exact={KEY: good("2")})
    assert chosen(live("3", kept("2")), wish) == Choice(good=good("2", ""), kept=True)
    assert chosen(live("2"), wish) == Choice(good=good("2", ""), stays=True)
    assert chosen(live("3"), wish, good("2")) == Choice(good=good("2"))
    unnamed = Wish(exact={KEY: replace(good("2"), release="")})
    assert chosen(live("3", kept("2")), unnamed) == Choice(good=good("2", ""), kept=True)
    assert "does not know it" in str(chosen(live("3", kept("2", "staged")), wish))
    assert "marked bad" in str(chosen(live("3", kept("2", "bad")), wish, good("2")))


def test_same_release_that_is_bad_by_another_name_is_not_fetched_again() -> None:
    found = live("3", replace(kept("x", "bad"), release="2-r"))
    assert "does not know it" in str(chosen(found, Wish(version="2"), good("2")))


def test_ledger_tells_what_was_good_what_changed_and_what_was_live() -> None:
    records = [
        record("r4", ("web1", "switched back", "2"), ("web2", "unknown", None)),
        record("r3", ("web1", "unchanged", "2"), ("web2", "deployed", "2"), commit="c3"),
        record("r2", ("web1", "deployed", "2"), commit="c2"),
        record("r1", ("web1", "deployed", "1"), commit="c1"),
    ]
    assert goods_of(records)[KEY] == (good("2", "c3"), good("1", "c1"))
    assert last_changed(records) == {("site", "web2", "/srv/site")}
    assert last_changed(records[:1]) == frozenset()
    assert live_after(records[0]) == {KEY: good("2", "")}
    assert live_after(records[3]) == {KEY: good("1", "c1")}


def test_plan_of_a_rollback_has_steps_groups_and_reasons() -> None:
    desired = make_desired(
        *(make_placement(host=make_host(name)) for name in ("web1", "web2", "web3", "web4"))
    )
    strategy = Strategy(batches=("1",), canary=Canary(pause_seconds=5))
    resting = make_host("web5", maintenance=True)
    desired = replace(desired, strategy=strategy, hosts=(*desired.hosts, resting))
    one, two, three, four = desired.placements
    again = make_artifacts(desired)["site"]
    aims = [
        Aim(placement=one, choice=Choice(good=good("1", ""), kept=True)),
        Aim(placement=two, choice=Choice(good=good("2.0.0")), artifact=again),
        Aim(placement=three, choice=Choice(good=good("3", ""), stays=True)),
        Aim(placement=four),
    ]
    observed = {
        "web1": make_observed("web1", live("3", kept("1"))),
        "web2": make_observed("web2", live("3")),
        "web3": make_observed("web3", live("3")),
        "web4": ObservedHost.unreachable("web4", "down"),
    }
    plan = compile_rollback(desired, aims, observed, identity=IDENTITY, commit="c")
    steps = {step.host: step for step in plan.steps}
    assert [(step.action, step.to_version) for step in (steps["web1"], steps["web2"])] == [
        ("install", "1"),
        ("install", "2.0.0"),
    ]
    assert steps["web1"].reason == "it was good before, and is kept there"
    assert "fetched again" in steps["web2"].reason
    assert (steps["web1"].release, steps["web2"].release[:6]) == ("1-r", "2.0.0-")
    assert (steps["web3"].action, steps["web4"].action) == ("reconfigure", "unknown")
    assert [group.canary for group in plan.groups] == [False, False, False]
    assert plan.unknown_hosts == {"web4": "down"}
    assert plan.maintenance == ("web5",)
    assert [(one.version, one.digest_source) for one in plan.artifacts] == [
        ("1", "receipt"),
        ("2.0.0", "ledger"),
        ("3", "receipt"),
    ]
    assert describe_wishes_of_git(desired, plan) == (
        "git still wants site 2.0.0, not 1 (on 1 host)",
        "git still wants site 2.0.0, not 3 (on 1 host)",
    )
    assert key_of(one) == KEY


def test_rollback_is_gone_on_with_by_the_same_command() -> None:
    assert resume_command(environment="dev", rollback_to="") == "orchestrator rollback --environment dev"
    assert resume_command(environment="dev", rollback_to="1", limits=("h1",)) == (
        "orchestrator rollback --environment dev --limit=h1 --to=1"
    )


def test_rollback_that_did_not_come_to_its_end_is_gone_on_with() -> None:
    """Wherever it is on its way; where its target is no good it goes further back."""
    begun = record("3", ("web1", "planned", "3"), kind="rollback")
    wish = Wish(going=planned_by(begun))
    assert chosen(live("3", kept("4"), kept("2"), state="active"), wish) == Choice(
        good=good("3", ""), stays=True
    )
    assert chosen(live("4", kept("3"), kept("2")), wish) == Choice(good=good("3", ""), kept=True)
    died = live("4", kept("3", "active"), kept("2"), state="bad")
    assert chosen(died, wish) == Choice(good=good("3", ""), kept=True)
    assert chosen(live("4", kept("3", "bad"), kept("2")), wish) == Choice(good=good("2", ""), kept=True)
    assert chosen(live("4", kept("2")), Wish(going={})) == Choice(good=good("2", ""), kept=True)
    assert planned_by(record("3", ("web1", "planned", None))) == {}


@pytest.mark.parametrize(
    ("newest", "expected"),
    [
        ({"kind": "rollback"}, True),
        ({"kind": "rollback", "verdict": "interrupted"}, True),
        ({"kind": "rollback", "verdict": "cancelled"}, True),
        ({"kind": "rollback", "verdict": "success"}, False),
        ({"kind": "rollback", "verdict": "failed"}, False),
        ({"kind": "deploy"}, False),
        ({"kind": "deploy", "verdict": "interrupted"}, False),
    ],
)
def test_only_the_newest_attempt_that_may_have_changed_anything_is_gone_on_with(
    newest: dict[str, str], expected: bool
) -> None:
    one = record("3", ("web1", "deployed" if newest.get("verdict") else "planned", "3"), **newest)
    idle = record("4", ("web1", "unchanged", "3"), verdict="success")
    older = record("2", ("web1", "deployed", "4"), kind="rollback", verdict="interrupted")
    assert interrupted_rollback((idle, one, older)) == (one if expected else None)
    assert interrupted_rollback((idle,)) is None


def test_newest_attempt_that_changed_a_placement_is_found() -> None:
    found = [
        record("3", ("web1", "unchanged", "3"), ("web2", "deployed", "3")),
        record("2", ("web1", "deployed", "2")),
    ]
    assert newest_change(found, {KEY}) == found[1]
    assert newest_change(found[:1], {KEY}) is None


def test_last_good_state_is_what_the_newest_attempt_that_succeeded_left() -> None:
    records = [
        record("4", ("web1", "switched_back", "3"), verdict="failed"),
        record("3", ("web1", "deployed", "3"), ("web2", "failed", "2"), verdict="partial"),
        record("2", ("web1", "deployed", "2"), commit="c2", verdict="success"),
        record("1", ("web1", "deployed", "1"), verdict="success"),
    ]
    assert last_good(records) == {"site": good("2", "c2")}


@pytest.mark.parametrize(
    ("found", "choice"),
    [
        (None, Choice(good=good("2"))),
        (live("1", state="none"), Choice(good=good("2"))),
        (live("2"), Choice(good=good("2"), stays=True)),
        (live("1", kept("2")), Choice(good=good("2"), kept=True)),
        (live("1", kept("2", "bad")), Choice(good=good("2"))),
    ],
)
def test_host_that_comes_back_gets_it_wherever_it_stands(
    found: ObservedPlacement | None, choice: Choice
) -> None:
    assert chosen(found, Wish(latest={"site": good("2")})) == choice
    assert chosen(found, Wish(latest={})) == "the ledger knows of no attempt that succeeded with it"


def test_release_is_looked_for_at_every_commit_that_had_it() -> None:
    records = [
        record("3", ("web2", "deployed", "1"), ("web1", "deployed", "1"), commit="c3", kind="rollback"),
        record("2", ("web1", "failed", "1"), commit="c2"),
        record("1", ("web1", "deployed", "1"), commit="c1"),
    ]
    assert commits_with(records, "site", good("1", "c9")) == ("c9", "c3", "c1")
    assert commits_with((), "site", good("1", "")) == ()
