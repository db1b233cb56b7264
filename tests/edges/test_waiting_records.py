"""Records that wait in a clone: what they say counts before anything is done that did not know it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from orchestrator.errors import HoldError
from tests.edges.deliveries import DEPLOY, Delivery
from tests.edges.remotes import closed, make_clone, make_record, make_remote, state_of, subjects

BREAK = ("lock", "break", "dev", "--reason", "its runner is gone")

pytestmark = pytest.mark.usefixtures("isolated_git")


@pytest.fixture
def remote(directory: Path) -> Path:
    return make_remote(directory)


@pytest.fixture
def clone(remote: Path, directory: Path) -> Path:
    return make_clone(remote, directory / "clone")


@contextlib.contextmanager
def taking_no_push(bare: Path) -> Iterator[None]:
    hook = bare / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    try:
        yield
    finally:
        hook.unlink()


def leave_waiting(clone: Path, remote: Path, number: int = 1) -> None:
    """An attempt of another environment has ended, and the ledger takes no push."""
    with taking_no_push(remote), state_of(clone) as state:
        assert state.ledger.close(closed(make_record(f"waits-{number}", environment="dev"))).problem


def test_attempt_is_asked_about_again_when_the_ledger_has_what_waited_and_not_yet_the_attempt(
    remote: Path, clone: Path
) -> None:
    asked: list[list[str]] = []
    leave_waiting(clone, remote, 1)
    leave_waiting(clone, remote, 2)
    with state_of(clone) as state:
        recorded = state.ledger.open(make_record(), again=lambda: asked.append(subjects(remote)))
        assert (recorded.problem, asked) == (None, [["dev: 2.0.1 success, 1 deployed [skip ci]"] * 2])
        state.ledger.close(closed(make_record()))
    assert len(asked) == 1
    assert len(subjects(remote)) == 4


def test_attempt_that_is_refused_then_is_not_in_the_ledger_and_what_waited_is(
    remote: Path, clone: Path
) -> None:
    def refuse() -> None:
        raise HoldError("held", resolution="unhold")

    leave_waiting(clone, remote)
    with state_of(clone) as state:
        with pytest.raises(HoldError):
            state.ledger.open(make_record(), again=refuse)
        assert subjects(remote) == ["dev: 2.0.1 success, 1 deployed [skip ci]"]
        state.ledger.close(replace(closed(make_record()), verdict="failed"))
    assert len(subjects(remote)) == 2
    assert not list((clone / ".git" / "orchestrator" / "pending").glob("*.json"))


def test_beginning_that_another_command_of_the_clone_has_pushed_is_told_whole(
    remote: Path, clone: Path
) -> None:
    """A clone knows of an attempt before its plan is made; if it ends then, what it was about to change is unknown."""
    planned = make_record(plan_id="plan", lock_token=1)
    with state_of(clone) as state, state_of(clone) as other:
        state.ledger.remember(make_record(placements=(), lock_token=1))
        other.ledger.close(closed(make_record("other-1", environment="dev")))
        for _ in range(2):
            assert state.ledger.open(planned).problem is None
        assert other.ledger.open_records("production") == (planned,)
        assert [line.split(":")[0] for line in subjects(remote)] == ["production", "dev", "production"]
        (interrupted,) = other.ledger.open(make_record("next-1", lock_token=2)).interrupted
        assert [one.result for one in interrupted.placements] == ["unknown"]
        before = subjects(remote)
        for late in (planned, replace(planned, plan_id="another")):
            assert state.ledger.open(late).problem is None
    assert subjects(remote) == before


def test_hold_that_could_not_be_pushed_holds_the_next_deployment_from_there(directory: Path) -> None:
    delivery = Delivery(directory, hosts=1)
    delivery.release("1.0")
    clone = delivery.clone("runner")
    delivery.run(clone, *DEPLOY)
    delivery.release("2.0")
    with taking_no_push(delivery.bare):
        delivery.run(clone, "hold", "dev", "--reason", "Bad database", expect=30)
    assert "Bad database" in delivery.run(clone, *DEPLOY, expect=41)
    assert delivery.live() == "1.0"
    assert [one["kind"] for one in delivery.history(clone)] == ["deploy", "hold", "deploy"]
    delivery.run(clone, "unhold", "dev")
    delivery.run(clone, *DEPLOY)
    assert delivery.live() == "2.0"


def test_rollback_whose_end_could_not_be_recorded_holds_what_it_left(directory: Path) -> None:
    delivery = Delivery(directory, hosts=1)
    delivery.release("1.0")
    clone = delivery.clone("runner")
    delivery.run(clone, *DEPLOY)
    delivery.release("2.0")
    delivery.run(clone, *DEPLOY)
    with contextlib.ExitStack() as deaf:
        with delivery.holding("activate"):
            job = delivery.start(clone, "rollback", "--environment", "dev")
            delivery.wait_held("activate", job)
            deaf.enter_context(taking_no_push(delivery.bare))
        job.end(expect=29)
    delivery.run(clone, *BREAK)
    assert "rollback to the good release before" in delivery.run(clone, *DEPLOY, expect=41)
    assert delivery.live() == "1.0"


def test_deployment_whose_end_is_told_late_frees_no_other_from_a_rule(directory: Path) -> None:
    delivery = Delivery(directory, hosts=1)
    delivery.release("1.0")
    clone, other = delivery.clone("runner"), delivery.clone("other")
    with contextlib.ExitStack() as deaf:
        with delivery.holding("activate"):
            job = delivery.start(clone, *DEPLOY)
            delivery.wait_held("activate", job)
            deaf.enter_context(taking_no_push(delivery.bare))
        job.end(expect=29)
    delivery.run(other, *BREAK)
    (delivery.work / "orchestrator.toml").write_text("format = 1\n[protection.dev]\nrequire_pinned = true\n")
    delivery.release("2.0", sha256=sha256(b"2.0\n").hexdigest())
    delivery.run(other, *DEPLOY)
    delivery.release("3.0")
    for _ in range(2):  # the record of the first refusal brings the one that waited to the ledger
        assert "require_pinned" in delivery.run(clone, *DEPLOY, expect=43)
    assert "dev: 1.0 success, 1 deployed [skip ci]" in delivery.subjects()
    assert delivery.live() == "2.0"
