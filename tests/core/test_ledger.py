from __future__ import annotations

import json
from dataclasses import replace

import pytest

from orchestrator.core.history import (
    Interval,
    is_before,
    latest_entries,
    live_intervals,
    verdict_of,
)
from orchestrator.core.history_index import Index, Indexed, index_entry, parse_index, render_index
from orchestrator.core.ledger_entry import Entry, parse_entry, render_message
from orchestrator.core.ledger_state import (
    LedgerState,
    fold_record,
    observed_from_state,
    parse_state,
    render_state,
)
from orchestrator.core.lock_state import Holder, acquire_lock, release_lock
from orchestrator.core.record import Record, interrupt_record, render_record
from tests.core.test_record import CLOSED, OPEN, PLACEMENT

BLOB = "a" * 40
EMPTY = LedgerState(environment="production")
LIVE = replace(PLACEMENT, result="deployed", version="2.0", release="2.0-abc", artifact_sha256="c" * 64)


def attempt(number: int, *placements: object, **changes: object) -> Record:
    values = {
        "id": f"run-{number}",
        "lock_token": number,
        "ended": f"2026-11-24T05:{number:02}:00Z",
        "placements": placements or (LIVE,),
        **changes,
    }
    return replace(CLOSED, **values)  # type: ignore[arg-type]


def test_message_is_read_back() -> None:
    message = render_message(CLOSED, BLOB)

    assert message.splitlines()[0] == "production: 2.0 success, 2 planned [skip ci]"
    assert "shop-site web2 unknown → 2.0 planned" in message
    assert parse_entry("c1", message) == Entry(
        commit="c1", id=CLOSED.id, environment="production", verdict="success", document=BLOB
    )
    opened = parse_entry("c1", render_message(replace(OPEN, kind="rollback"), "b" * 64))
    assert opened is not None
    assert opened.is_open


def test_message_says_what_an_attempt_ended_with() -> None:
    assert "Error: no such file" in render_message(replace(CLOSED, error="no such\nfile"), BLOB)


def test_message_says_why() -> None:
    record = replace(
        CLOSED, kind="rollback", no_lock_reason="remote is down", allow_older_reason="only 1.0 is signed",
        branch="main", ci={"url": "https://ci.example.net/7"}, manifest_version="",
        placements=(replace(LIVE, result="failed", kind="health", message="no\nanswer", from_version="2.0"),
                    replace(LIVE, host="web2", from_version="")),
    )  # fmt: skip

    message = render_message(record, BLOB)

    assert message.startswith("production: rollback 1111111111 success, 1 deployed, 1 failed [skip ci]\n")
    for line in (
        f"By ci@example.net (https://ci.example.net/7), commit {'1' * 40} of main, started "
        "2026-11-24T05:38:50Z, took 70.0 s",
        "Without a lock: remote is down",
        "An older commit on purpose: only 1.0 is signed",
        "Reason: urgent",
        "shop-site web1 2.0 failed (no answer)",
        "shop-site web2 nothing → 2.0 deployed",
    ):
        assert f"\n{line}\n" in message


def test_message_stays_short_and_is_skipped_by_ci() -> None:
    many = tuple(replace(LIVE, host=f"web{number}") for number in range(60))

    message = render_message(replace(CLOSED, placements=many, manifest_version="x" * 1000), BLOB)

    assert "and 10 more" in message
    assert message.splitlines()[0].endswith(" [skip ci]")
    assert render_message(replace(CLOSED, placements=(), ci=None), BLOB).count("\n\n") == 2


def test_text_of_a_record_cannot_pass_for_what_the_message_says() -> None:
    evil = replace(
        LIVE, kind="x", message=f"\nAttempt-Id: e\nEnvironment: dev\nVerdict: success\nDocument: {BLOB}"
    )

    found = parse_entry("c1", render_message(replace(CLOSED, placements=(evil,)), "b" * 40))

    assert found is not None
    assert (found.id, found.document) == (CLOSED.id, "b" * 40)


@pytest.mark.parametrize(
    "message",
    [
        "",
        "Merge branch 'x'",
        f"Attempt-Id: a\nEnvironment: dev\nVerdict: success\nDocument: {BLOB}f\n",
        f"Attempt-Id: a b\nEnvironment: dev\nVerdict: success\nDocument: {BLOB}\n",
        f"Attempt-Id: a\nEnvironment: dev\nVerdict: success\nDocument: {BLOB}\nmore",
    ],
)
def test_foreign_commits_say_nothing(message: str) -> None:
    assert parse_entry("c1", message) is None


def test_state_knows_what_the_newest_attempt_left() -> None:
    state = fold_record(fold_record(EMPTY, attempt(1)), attempt(2, replace(LIVE, version="3.0", release="")))

    (one,) = state.placements
    assert (one.version, one.release, one.artifact_sha256) == ("3.0", "", "c" * 64)
    assert (one.record, one.time, one.token) == ("run-2", "2026-11-24T05:02:00Z", 2)
    assert state.closed == ("run-1", "run-2")
    assert parse_state(render_state(state), "production") == state


def test_what_was_said_of_a_version_stays_true_while_it_is_live() -> None:
    quiet = replace(LIVE, result="unchanged", release="", artifact_sha256="")

    state = fold_record(fold_record(EMPTY, attempt(1)), attempt(2, quiet))

    assert (state.placements[0].release, state.placements[0].artifact_sha256) == ("2.0-abc", "c" * 64)


def test_hold_stays_in_force_through_later_attempts_until_it_is_lifted() -> None:
    held = fold_record(EMPTY, attempt(1, kind="hold", holds=({"id": "h1"},)))

    assert fold_record(held, attempt(2, holds=())).holds == ({"id": "h1"},)
    lifted = attempt(3, kind="unhold", holds=({"id": "h1"},))
    assert fold_record(held, lifted).holds == ()


@pytest.mark.parametrize("token", [1, None])
def test_attempt_that_arrives_late_changes_nothing_newer(token: int | None) -> None:
    state = fold_record(EMPTY, attempt(2, holds=({"id": "h1"},)))

    record = attempt(1, replace(LIVE, version="1.0"), lock_token=token, holds=())
    late = fold_record(state, record, waited=True)

    assert late.placements == state.placements
    assert late.holds == state.holds
    assert late.closed == ("run-2", "run-1")


def test_result_that_says_nothing_changes_nothing() -> None:
    state = fold_record(EMPTY, attempt(1))

    left_out = replace(LIVE, result="left out", version=None)
    assert fold_record(state, attempt(2, left_out)).placements == state.placements
    assert fold_record(EMPTY, attempt(2, left_out)).placements == ()
    unknown = fold_record(state, attempt(2, replace(LIVE, result="unknown", version=None)))
    assert unknown.placements[0].version is None


def test_interrupted_attempts_are_remembered_apart() -> None:
    state = fold_record(EMPTY, interrupt_record(replace(OPEN, id="dead"), ended="2026-11-24T06:00:00Z"))

    assert (state.closed, state.interrupted) == ((), ("dead",))


def test_only_the_latest_are_remembered() -> None:
    state = EMPTY
    for number in range(60):
        state = fold_record(state, attempt(number))

    assert len(state.closed) == 50
    assert state.closed[-1] == "run-59"


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b"{",
        b'{"format": 2}',
        b'{"format": 1}',
        b'{"format": 1, "placements": [{}], "holds": [], "closed": []}',
    ],
)
def test_what_is_no_state_is_said(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        parse_state(content, "production")
    assert parse_state(None, "production") == EMPTY


def test_hosts_are_observed_as_far_as_the_ledger_knows_them() -> None:
    state = fold_record(
        EMPTY,
        attempt(
            1,
            LIVE,
            replace(LIVE, application="api", result="unproven"),
            replace(LIVE, application="old", result="removed", version=""),
            replace(LIVE, host="web2"),
            replace(LIVE, host="web2", application="api", result="unknown", version=None),
        ),
    )

    found = observed_from_state(state, ["web1", "web2", "web3"])

    assert {name: host.status for name, host in found.items()} == {
        "web1": "observed",
        "web2": "unasked",
        "web3": "unasked",
    }
    states = {key[0]: one.state for key, one in found["web1"].placements.items()}
    assert states == {"shop-site": "healthy", "api": "active", "old": "none"}


def entry(id: str, verdict: str, environment: str = "production") -> Entry:
    return Entry(commit="c", id=id, environment=environment, verdict=verdict, document=BLOB)


def test_each_attempt_is_told_once_by_the_last_that_was_said() -> None:
    entries = [entry("b", "open"), entry("a", "success"), entry("a", "interrupted"), entry("a", "open")]

    assert list(latest_entries(entries)) == entries[:2]


def test_open_attempt_runs_as_long_as_it_has_the_lock() -> None:
    holder = Holder(actor="a", host="b", pid=1)
    held = replace(
        acquire_lock(None, holder, environment="production", stack="", now="1", expires="2"), token=7
    )

    assert verdict_of(CLOSED, held, "held") == "success"
    assert verdict_of(OPEN, None, "") == "open"
    assert verdict_of(replace(OPEN, lock_token=None), held, "held") == "open"
    assert verdict_of(OPEN, held, "held") == "running"
    assert verdict_of(OPEN, held, "dead") == "interrupted (dead)"
    assert verdict_of(OPEN, held, "expired") == "open (expired)"
    assert verdict_of(OPEN, replace(held, token=8), "held") == "interrupted?"
    assert verdict_of(OPEN, replace(held, token=8), "dead") == "interrupted?"
    assert verdict_of(OPEN, release_lock(held, fenced=False), "free") == "interrupted?"


def test_moments_compare_whatever_way_utc_is_written() -> None:
    assert is_before("2026-11-24T05:38:50Z", "2026-11-24T05:38:51+00:00")
    assert not is_before("2026-11-24T05:38:50+00:00", "2026-11-24T05:38:50Z")


def test_intervals_say_from_when_to_when_a_version_was_live() -> None:
    records = [
        attempt(1),
        attempt(2, replace(LIVE, result="unchanged"), replace(LIVE, application="api", version="9")),
        attempt(3, replace(LIVE, version="3.0"), replace(LIVE, host="web2")),
        attempt(4),
        attempt(5, replace(LIVE, result="left out", version=None)),
        attempt(6, replace(LIVE, host="web2", result="unknown", version=None)),
    ]

    found = live_intervals(records, "shop-site", "2.0")

    shared = {"environment": "production", "region": "", "deployment_path": "/srv/shop"}
    assert found == (
        Interval(
            host="web1", since="2026-11-24T05:01:00Z", since_record="run-1",
            until="2026-11-24T05:03:00Z", until_record="run-3", next_version="3.0", **shared,
        ),
        Interval(host="web1", since="2026-11-24T05:04:00Z", since_record="run-4", **shared),
        Interval(
            host="web2", since="2026-11-24T05:03:00Z", since_record="run-3",
            until="2026-11-24T05:06:00Z", until_record="run-6", next_version=None, **shared,
        ),
    )  # fmt: skip
    assert [one.is_live for one in found] == [False, True, False]


def test_run_that_speaks_late_ends_no_interval() -> None:
    late = attempt(4, replace(LIVE, result="failed", version="1.0"), lock_token=2)
    without_lock = attempt(5, replace(LIVE, version="4.0"), lock_token=None)

    (found,) = live_intervals([attempt(1), attempt(3), late], "shop-site", "2.0")
    assert found.is_live
    (found,) = live_intervals([attempt(3), late, without_lock], "shop-site", "2.0")
    assert found.until_record == "run-5"


def test_state_is_json_that_says_its_format() -> None:
    assert json.loads(render_state(EMPTY))["format"] == 1


def test_index_is_read_back_after_each_update() -> None:
    document = render_record(CLOSED)
    one = index_entry(entry(CLOSED.id, "success"), document, place=0, offset=0)
    other = index_entry(entry("b", "open"), None, place=2, offset=len(document))
    first = render_index([one], tip="c1", documents_size=len(document), said=2)

    found = parse_index(first + render_index([other], tip="c2", documents_size=len(document), said=3))

    assert (found.tip, found.entries, found.documents_size) == ("c2", (one, other), len(document))
    assert (one.started, one.applications, one.length) == (CLOSED.started, ("shop-site",), len(document))
    assert (one.lock_token, other.lock_token, found.said) == (CLOSED.lock_token, None, 3)
    assert (one.problem, one.is_open) == ("", False)
    assert (other.problem, other.length, other.is_open) == ("its document is missing", 0, True)
    assert parse_index(first) == Index(
        tip="c1", entries=(one,), size=len(first), documents_size=len(document), said=2
    )


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (b"{", "Expecting"),
        (b"\xff", "codec"),
        (b"{}", "format None"),
        (render_record(OPEN), "another attempt's"),
    ],
)
def test_document_that_is_none_is_a_problem_of_its_attempt(document: bytes, problem: str) -> None:
    assert problem in index_entry(entry("x", "success"), document, place=0, offset=0).problem


@pytest.mark.parametrize("rest", [b"[", b'["c","id"', b'[]\n["c"]\n', b'[]\n["tip","c3",1,1]'])
def test_update_that_did_not_end_is_left_out(rest: bytes) -> None:
    one = Indexed(
        commit="c",
        id="a",
        environment="dev",
        verdict="open",
        started="x",
        applications=(),
        place=0,
        lock_token=None,
        offset=0,
        length=1,
    )
    whole = render_index([one], tip="c1", documents_size=1, said=1)

    assert parse_index(whole + rest) == parse_index(whole)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b'[]\n["tip",1]\n',
        b'[]\n["tip","c",1]\n',
        b'[]\n[1]\n["tip","c",1,1]\n',
        b'x\n["tip","c",1,1]\n',
    ],
)
def test_broken_index_says_nothing(content: bytes) -> None:
    assert parse_index(content) == Index()
