from __future__ import annotations

import json
from dataclasses import replace

import pytest

from orchestrator.core.lock_state import (
    Breaking,
    Holder,
    LockState,
    acquire_lock,
    break_lock,
    parse_lock_state,
    release_lock,
    render_lock,
    renew_lock,
)

NOW, LATER = "2026-11-24T05:00:00Z", "2026-11-24T05:10:00Z"
HOLDER = Holder(actor="ci@example.net", host="runner1", pid=7, run="r1", ci_url="https://ci.example.net/7")
OTHER = Holder(actor="ops", host="laptop", pid=8)
HELD = acquire_lock(None, HOLDER, environment="production", stack="shop", now=NOW, expires=LATER)


def test_first_token_is_one_and_each_acquisition_has_one_more() -> None:
    assert (HELD.token, HELD.held, HELD.fence) == (1, True, False)

    again = acquire_lock(
        release_lock(HELD, fenced=False),
        OTHER,
        environment="production",
        stack="shop",
        now=NOW,
        expires=LATER,
    )

    assert (again.token, again.held, again.holder) == (2, True, OTHER)


def test_renewal_changes_the_expiry_only() -> None:
    assert renew_lock(HELD, expires="x") == replace(HELD, expires="x")


def test_fence_stays_until_every_host_was_shown_a_token() -> None:
    broken = break_lock(HELD, reason="dead", by="ops", now=LATER)

    assert (broken.held, broken.fence) == (False, True)
    assert broken.broken == Breaking(reason="dead", by="ops", at=LATER, holder=HOLDER)
    after = acquire_lock(broken, OTHER, environment="production", stack="shop", now=NOW, expires=LATER)
    assert (after.fence, after.broken) == (True, broken.broken)
    assert release_lock(after, fenced=False).fence
    lifted = release_lock(after, fenced=True)
    assert (lifted.fence, lifted.broken, lifted.held) == (False, None, False)


def test_word_says_what_is_known_of_the_holder() -> None:
    assert HELD.word(NOW, is_gone=False) == "held"
    assert HELD.word(LATER, is_gone=False) == "expired"
    assert HELD.word(LATER, is_gone=True) == "dead"
    assert release_lock(HELD, fenced=False).word(LATER, is_gone=True) == "free"


@pytest.mark.parametrize(("now", "expected"), [(NOW, False), (LATER, True), ("2027", True)])
def test_expiry(now: str, expected: bool) -> None:
    assert HELD.is_expired(now) is expected
    assert not release_lock(HELD, fenced=False).is_expired(now)


def test_people_read_who_since_when_and_until() -> None:
    assert HELD.describe(NOW) == (
        "production is held by ci@example.net (https://ci.example.net/7) since 2026-11-24T05:00:00Z, "
        "expires 2026-11-24T05:10:00Z unless renewed"
    )
    assert HELD.describe(LATER).endswith("; it expired at 2026-11-24T05:10:00Z and was not renewed")
    assert release_lock(HELD, fenced=False).describe(NOW) == "production is free"
    broken = break_lock(HELD, reason="dead", by="ops", now=LATER)
    assert broken.describe(NOW) == "production is free; it was broken by ops: dead"
    assert str(OTHER) == "ops (process 8 on laptop)"


@pytest.mark.parametrize(
    "state", [HELD, release_lock(HELD, fenced=False), break_lock(HELD, reason="dead", by="ops", now=LATER)]
)
def test_what_is_written_is_read(state: LockState) -> None:
    assert parse_lock_state(render_lock(state)) == state


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"format": 2}, "format 2"),
        ({"format": None}, "format None"),
        ({"token": 0}, "no valid token"),
        ({"token": True}, "no valid token"),
        ({"state": "locked"}, "no valid token and state"),
        ({"holder": None}, "its holder is no object"),
        ({"since": 5}, "its since is no text"),
        ({"broken": []}, "its broken is no object"),
    ],
)
def test_what_is_no_lock_is_said(changes: dict[str, object], expected: str) -> None:
    document = {**json.loads(render_lock(HELD)), **changes}

    with pytest.raises(ValueError, match=expected):
        parse_lock_state(json.dumps(document).encode())


@pytest.mark.parametrize("content", [b"[]", b"", b"\xff"])
def test_what_is_no_document_is_said(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        parse_lock_state(content)


def test_text_of_others_cannot_control_a_terminal() -> None:
    document = json.loads(render_lock(HELD))
    document["holder"].update(actor="a\x1b[2J\n" + "x" * 1000, pid="7")

    found = parse_lock_state(json.dumps(document).encode())

    assert found.holder.actor.startswith("a [2J x")
    assert len(found.holder.actor) == 500
    assert found.holder.pid == 0
