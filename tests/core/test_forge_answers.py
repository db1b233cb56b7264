from __future__ import annotations

import pytest

from orchestrator.core.forge_answers import ForgeAnswer, retry_pause, wait_seconds


def pause(status: int, method: str = "GET", attempt: int = 1, elapsed: float = 0.0, **headers: str) -> object:
    answer = ForgeAnswer(
        method=method, status=status, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )
    return retry_pause(answer, attempt=attempt, elapsed_seconds=elapsed, now_seconds=1000.0)


def test_success_and_refusals_are_taken_as_they_are() -> None:
    assert [pause(status) for status in (200, 302, 401, 403, 404, 422)] == [None] * 6


def test_what_passes_is_asked_again_with_growing_pauses_and_not_for_ever() -> None:
    assert [pause(502, attempt=attempt) for attempt in (1, 2, 3)] == [0.3, 0.6, None]


def test_what_may_have_been_done_is_not_asked_for_twice() -> None:
    assert pause(500, "POST") is None
    assert pause(503, "POST") == 0.3
    assert pause(429, "POST") == 0.3


def test_the_forges_own_pause_is_kept_while_it_is_short() -> None:
    assert pause(429, retry_after="2") == 2.0
    assert pause(429, retry_after="3600") is None
    assert pause(429, retry_after="2", elapsed=7.0) is None
    assert pause(503, retry_after="soon") == 0.3


def test_a_spent_limit_is_waited_for_until_it_begins_anew() -> None:
    assert pause(403, x_ratelimit_remaining="0", x_ratelimit_reset="1004") == 4.0
    assert pause(403, x_ratelimit_remaining="0", x_ratelimit_reset="999") == 0.0
    assert pause(403, x_ratelimit_remaining="0", x_ratelimit_reset="9000") is None
    assert pause(429, ratelimit_reset="1001") == 1.0
    assert pause(403, x_ratelimit_remaining="9") is None
    assert pause(403, retry_after="1") == 1.0


@pytest.mark.parametrize("headers", [{}, {"x-ratelimit-reset": "5000"}])
def test_without_a_limit_no_pause_is_named(headers: dict[str, str]) -> None:
    assert wait_seconds(ForgeAnswer(method="GET", status=502, headers=headers), now_seconds=0.0) is None
