"""Windows and freezes at moments that are handed in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.windows import Window, judge_windows
from tests.core.builders import make_environment, parse, problems

BERLIN = {"timezone": "Europe/Berlin"}
OFFICE = {"allow": "mon-fri 09:00-17:00", **BERLIN}


def windows(*raw: dict[str, Any]) -> tuple[Window, ...]:
    return parse(None, make_environment(windows=list(raw))).windows


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def is_open(moment: str, *raw: dict[str, Any]) -> bool:
    return judge_windows(windows(*raw), at(moment)).is_open


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-11-02 07:59", False),  # a Monday in winter: Berlin is one hour ahead
        ("2026-11-02 08:00", True),
        ("2026-11-02 15:59", True),
        ("2026-11-02 16:00", False),
        ("2026-07-06 07:00", True),  # and two in summer
        ("2026-11-07 10:00", False),  # a Saturday
    ],
)
def test_hours_are_those_of_the_time_zone(moment: str, expected: bool) -> None:
    assert is_open(moment, OFFICE) == expected


def test_without_windows_or_with_freezes_only_it_is_open() -> None:
    assert is_open("2026-11-07 10:00")
    assert is_open("2026-11-07 10:00", {"deny": "mon"})
    assert not is_open("2026-11-02 10:00", {"deny": "mon"})


def test_deny_beats_allow_and_says_why_and_when_it_opens() -> None:
    freeze = {"deny": "2026-12-18..2027-01-03", "reason": "Christmas", **BERLIN}
    found = judge_windows(windows(OFFICE, freeze), at("2026-12-21 10:00"))
    assert not found.is_open
    assert found.why == "it is denied by the window deny 2026-12-18..2027-01-03 Europe/Berlin (Christmas)"
    assert found.opening == "2027-01-04 08:00 UTC"
    assert is_open("2026-12-17 10:00", OFFICE, freeze)


def test_outside_of_what_is_allowed_the_next_opening_is_told() -> None:
    found = judge_windows(windows(OFFICE, {"allow": "sun 10:00-11:00"}), at("2026-11-06 20:00"))
    assert found.why == "it is outside of allow mon-fri 09:00-17:00 Europe/Berlin, allow sun 10:00-11:00 UTC"
    assert found.opening == "2026-11-08 10:00 UTC"


def test_what_never_opens_is_told() -> None:
    assert judge_windows(windows({"deny": "always"}), at("2026-11-06 20:00")).opening == "not within a year"
    assert judge_windows(windows({"allow": "2020-01-01..2020-01-02"}), at("2026-11-06 20:00")).opens is None


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("22:00-06:00", "2026-11-02 23:00", "2026-11-02 07:00"),
        ("fri 22:00-06:00", "2026-11-07 05:59", "2026-11-06 05:59"),
        ("sat,sun", "2026-11-08 23:59", "2026-11-09 00:00"),
        ("fri-mon", "2026-11-09 12:00", "2026-11-10 12:00"),
        ("MON 15:00-24:00", "2026-11-02 23:59", "2026-11-03 00:00"),
        ("2026-12-20 18:00..2026-12-21 06:00", "2026-12-21 05:59", "2026-12-20 17:59"),
        ("2026-12-20..2026-12-20", "2026-12-20 23:59", "2026-12-21 00:00"),
    ],
)
def test_every_form_of_a_window(text: str, inside: str, outside: str) -> None:
    assert is_open(inside, {"allow": text})
    assert not is_open(outside, {"allow": text})


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        *(
            ({"allow": text}, "windows[0].allow: ")
            for text in (
                "", "someday", "mon-", "mon--fri", "-fri", "mon,", "mon 9:00-17:00", "09:00-09:00", "24:00-06:00",
                "25:00-26:00", "mon 09:00", " 09:00-10:00x", "2026-13-01..2026-13-02", "2026-01-02..2026-01-01",
                "2026-01-01 99:00..2026-01-02", "xyz 09:00-10:00",
            )
        ),
        ({}, "windows[0]: a window has exactly one of `allow` and `deny`"),
        ({"allow": "mon", "deny": "tue"}, "windows[0]: a window has exactly one of"),
        ({"allow": 5}, "windows[0].allow: has to be a string in quotes"),
        ({"allow": "mon", "timezone": "Mars/Base"}, 'windows[0].timezone: "Mars/Base" is no time zone'),
        ({"allow": "mon", "timezone": "../x"}, 'windows[0].timezone: "../x" is no time zone'),
        ({"allow": "mon", "when": "x"}, 'windows[0].when: unknown key "when"'),
        (5, "windows[0]: has to be an object"),
    ],
)  # fmt: skip
def test_window_that_is_wrong_is_explained(window: Any, expected: str) -> None:
    (found,) = problems(None, make_environment(windows=[window]))
    assert found.startswith(f"staging-env.json: {expected}")


@given(st.datetimes(min_value=datetime(2026, 1, 1), max_value=datetime(2027, 12, 31)))
def test_it_is_open_when_it_is_said_to_open(moment: datetime) -> None:
    found = windows(OFFICE, {"deny": "wed 10:00-12:00"}, {"allow": "sat 22:00-02:00"})
    state = judge_windows(found, moment.replace(tzinfo=UTC))
    if not state.is_open:
        assert state.opens is not None
        assert judge_windows(found, state.opens).is_open
