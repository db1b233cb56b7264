"""The order of attempts: that of the ledger and of locks, whatever the clocks of runners said."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.history import in_turn, live_intervals
from orchestrator.core.history_index import Index, Indexed
from orchestrator.core.ledger_entry import Entry
from orchestrator.core.ledger_state import fold_record
from tests.core.test_ledger import EMPTY, LIVE, attempt

AHEAD, NOW, BEHIND = "2026-11-25T05:00:00Z", "2026-11-24T05:00:00Z", "2026-11-23T05:00:00Z"


def turn(id: str, place: int, token: int | None = None, environment: str = "dev") -> Indexed:
    return Indexed(
        commit="c",
        id=id,
        environment=environment,
        verdict="success",
        started=NOW,
        applications=(),
        place=place,
        lock_token=token,
        offset=0,
        length=1,
    )


def said(id: str, verdict: str) -> Entry:
    return Entry(commit="c", id=id, environment="dev", verdict=verdict, document="d")


def ids(*attempts: Indexed) -> str:
    return " ".join(one.id for one in in_turn(attempts))


def test_place_of_an_attempt_is_where_it_was_told_of_first() -> None:
    known = Index(tip="c", entries=(turn("a", 0), turn("b", 1), turn("b", 1)), said=3)
    since = [said("c", "open"), said("b", "success"), said("d", "open"), said("c", "success")]
    assert known.places(since) == {("dev", "a"): 0, ("dev", "b"): 1, ("dev", "c"): 3, ("dev", "d"): 5}


def test_attempts_are_in_the_order_in_which_the_ledger_heard_of_them_first() -> None:
    assert ids(turn("c", 7), turn("a", 0), turn("b", 3)) == "a b c"


def test_lock_says_which_came_first_when_one_was_heard_of_late() -> None:
    assert ids(turn("b", 0, 2), turn("c", 1, 3), turn("a", 2, 1)) == "a b c"


def test_attempt_without_a_lock_stays_after_what_was_known_before_it() -> None:
    assert ids(turn("b", 0, 2), turn("free", 1), turn("late", 2, 1), turn("c", 3, 3)) == "late b free c"


def test_tokens_of_two_environments_say_nothing_about_each_other() -> None:
    assert ids(turn("a", 0, 9), turn("b", 1, 1, "production"), turn("c", 2, 10)) == "a b c"


def test_attempts_with_one_token_keep_the_order_of_the_ledger() -> None:
    assert ids(turn("a", 0, 1), turn("b", 1, 1), turn("c", 2, 1)) == "a b c"


@given(st.lists(st.tuples(st.sampled_from(("dev", "production")), st.none() | st.integers(1, 5))))
def test_order_never_contradicts_a_lock_and_moves_nothing_but_what_came_late(
    told: list[tuple[str, int | None]],
) -> None:
    attempts = [
        turn(str(place), place, token, environment) for place, (environment, token) in enumerate(told)
    ]
    found = in_turn(attempts)
    assert sorted(one.place for one in found) == list(range(len(told)))
    for environment in ("dev", "production"):
        tokens = [one.lock_token for one in found if one.environment == environment and one.lock_token]
        assert tokens == sorted(tokens)
    free = [one.place for one in found if one.lock_token is None]
    assert free == sorted(free)


def test_clock_that_is_wrong_by_a_day_does_not_decide_what_is_live() -> None:
    """Where a lock is on neither side or on one, the ledger has heard of one before it heard of the other."""
    for first, second in ((None, None), (None, 7), (7, None)):
        for moment in (AHEAD, NOW, BEHIND):
            state = fold_record(EMPTY, attempt(1, lock_token=first, ended=moment))
            state = fold_record(state, attempt(2, replace(LIVE, version="3.0"), lock_token=second, ended=NOW))
            assert state.placements[0].version == "3.0"


def test_intervals_are_in_their_order_whatever_the_clocks_said() -> None:
    records = [
        attempt(1, ended=AHEAD),
        attempt(2, replace(LIVE, version="3.0"), ended=NOW),
        attempt(3, ended=BEHIND),
    ]
    found = live_intervals(records, "shop-site", "2.0")
    assert [(one.since_record, one.until_record, one.is_live) for one in found] == [
        ("run-1", "run-2", False),
        ("run-3", "", True),
    ]
