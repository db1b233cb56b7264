from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from orchestrator.core.promotion_rules import (
    Hold,
    Rules,
    find_hold,
    fold_holds,
    hold_document,
    judge_rules,
    parse_holds,
    rollback_holds,
    was_deployed,
)
from orchestrator.core.record import Record, RecordPlacement

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
GOOD, OTHER = "a" * 64, "b" * 64


def placement(sha256: str = GOOD, host: str = "h1", **overrides: Any) -> RecordPlacement:
    values: dict[str, Any] = {
        "application": "shop",
        "host": host,
        "deployment_path": "/srv/shop",
        "result": "deployed",
        "from_version": "1",
        "to_version": "2",
        "version": "2",
        "artifact_sha256": sha256,
        **overrides,
    }
    return RecordPlacement(**values)


def record(hour: int, *placements: RecordPlacement, **overrides: Any) -> Record:
    when = f"2026-11-24T{hour:02}:00:00Z"
    values: dict[str, Any] = {
        "id": f"r{hour}",
        "actor": "alice",
        "started": when,
        "ended": when,
        "environment": "staging",
        "verdict": "success",
        "placements": placements or (placement(),),
        **overrides,
    }
    return Record(**values)


def judge(*records: Record, soak: int = 0, sha256: str = GOOD, now: datetime = NOW) -> str:
    rules = Rules(require_deployed_in=("staging",), soak_minutes=soak)
    return judge_rules(rules, {"staging": records}, "shop", sha256, now)


def test_live_and_healthy_for_long_enough_may_go() -> None:
    assert judge(record(10)) == ""
    assert judge(record(10), soak=120) == ""
    assert (
        judge(record(10), soak=121)
        == "it has been in staging for 120 of 121 minutes; wait until 2026-11-24T12:01:00Z"
    )


def test_without_rule_everything_may_go() -> None:
    assert judge_rules(Rules(), {}, "shop", "", NOW) == ""


def test_every_required_environment_counts() -> None:
    rules = Rules(require_deployed_in=("qa", "staging"))
    said = judge_rules(rules, {"staging": (record(1),)}, "shop", GOOD, NOW)
    assert said.startswith("it was never live and healthy in qa")
    assert ";" not in said.removesuffix("; deploy it there first")
    assert rules.and_(Rules(require_deployed_in=("dev",), soak_minutes=5)) == Rules(
        require_deployed_in=("qa", "staging", "dev"), soak_minutes=5
    )


@pytest.mark.parametrize(
    "records",
    [
        (),
        (record(1, placement(OTHER)),),
        (record(1, placement(application="other")),),
        (
            record(
                1, placement(), placement(host="h2", result="switched back", version="1", artifact_sha256="")
            ),
        ),
        (record(1, placement(result="unproven")),),
        (record(1, placement(result="unknown", version=None, artifact_sha256="")),),
        (record(1, placement(version="", result="removed", artifact_sha256="")),),
    ],
)
def test_what_was_not_good_on_every_host_was_never_there(records: tuple[Record, ...]) -> None:
    assert judge(*records).startswith("it was never live and healthy in staging (sha256 aaaaaaaaaaaa)")
    assert not was_deployed(records, "shop", GOOD)


def test_hosts_may_follow_one_after_the_other() -> None:
    first = record(1, placement(), placement(OTHER, "h2", version="1"))
    assert judge(first)
    assert judge(first, record(2, placement(host="h2")), soak=600) == ""
    assert judge(first, record(2, placement(host="h2")), soak=601)
    gone = record(2, placement(host="h2", version="", result="removed", artifact_sha256=""))
    assert judge(first, gone) == ""


def test_attempt_that_changes_nothing_does_not_interrupt() -> None:
    same = record(3, placement(result="not started", version="2", artifact_sha256=""))
    again = record(4, placement(result="unchanged"))
    assert judge(record(1), same, again, soak=660) == ""
    assert was_deployed((record(1), same), "shop", GOOD)


def test_clock_that_was_ahead_gives_no_time_that_has_not_passed() -> None:
    ahead = record(15)
    assert judge(ahead) == ""
    assert judge(ahead, soak=5).startswith(
        "it has been in staging for 0 of 5 minutes; wait until 2026-11-24T15:05"
    )
    over = record(4, placement(OTHER, version="3"))
    assert judge(ahead, over, soak=5).startswith("it was in staging for less than 5 minutes")
    assert judge(ahead, replace(over, kind="rollback")).startswith("it was rolled back in staging")


def test_time_that_is_over_counts_unless_it_ended_in_a_rollback() -> None:
    over = record(4, placement(OTHER, version="3"))
    assert judge(record(1), over, soak=180) == ""
    assert judge(record(1), over, soak=181).startswith("it was in staging for less than 181 minutes")
    back = replace(over, kind="rollback")
    assert judge(record(1), back).startswith("it was rolled back in staging")
    assert judge(record(1), back, record(5), soak=420) == ""
    assert was_deployed((record(1), back), "shop", GOOD)


def test_unknown_digest_is_nowhere() -> None:
    assert "its SHA-256 is not known" in judge(record(1), sha256="")


def test_moment_that_cannot_be_read_proves_nothing() -> None:
    assert judge(record(1, ended="soon")).startswith("it was never live")
    assert judge(record(1), record(2, ended="soon")).startswith("it was never live")
    assert judge(record(1, ended="2026-11-24T01:00:00"), soak=1) == ""


HELD = Hold(
    id="h1", application="shop", purpose="deploy", reason="Incident 7", by="bob", at="2026-11-24T09:00:00Z"
)


def test_hold_says_who_since_when_why_and_what_lifts_it() -> None:
    assert HELD.describe("production") == (
        "shop is held for deploy since 2026-11-24T09:00:00Z by bob: Incident 7; "
        "`orchestrator unhold production shop` lifts it"
    )
    bound = replace(HELD, purpose="", sha256=GOOD, version="2")
    assert bound.describe("production").startswith("shop 2 (sha256 aaaaaaaaaaaa) is held since")
    assert "another version in git, or `orchestrator unhold production shop` lifts it" in bound.describe(
        "production"
    )
    assert replace(HELD, application="", purpose="").describe("qa").startswith("qa is held since")


@pytest.mark.parametrize(
    ("hold", "blocks"),
    [
        (Hold(id="1"), True),
        (HELD, True),
        (replace(HELD, purpose="promote"), False),
        (replace(HELD, application="other"), False),
        (replace(HELD, sha256=GOOD), True),
        (replace(HELD, sha256=OTHER), False),
    ],
)
def test_hold_blocks_what_it_is_about(hold: Hold, blocks: bool) -> None:
    assert (find_hold((hold,), "shop", "deploy", GOOD) is hold) is blocks


def test_holds_are_read_as_they_were_written_and_others_left_out() -> None:
    assert parse_holds([hold_document(HELD), {"a": 1}, {**hold_document(HELD), "new": "x", "by": 1}]) == (
        HELD,
        replace(HELD, by=""),
    )


def held_by(kind: str, *holds: Hold, **overrides: Any) -> Record:
    return record(9, kind=kind, holds=tuple(map(hold_document, holds)), **{"placements": (), **overrides})


def test_holds_add_up_and_are_lifted_by_name() -> None:
    one, two = hold_document(HELD), hold_document(replace(HELD, id="h2", application=""))
    held = fold_holds((), held_by("hold", HELD))
    held = fold_holds(held, held_by("hold", replace(HELD, id="h2", application="")))
    assert held == (one, two)
    assert fold_holds(held, record(10)) == held
    assert fold_holds(held, held_by("hold", HELD)) == (two, one)
    assert fold_holds(held, held_by("unhold", HELD)) == (two,)
    assert fold_holds(("broken",), record(10)) == ()  # type: ignore[arg-type]


def test_hold_on_bytes_lapses_when_git_asks_for_others_and_is_renewed_by_the_next_rollback() -> None:
    bound = replace(HELD, sha256=OTHER)
    held = fold_holds((), held_by("rollback", bound))
    assert fold_holds(held, record(10, placement(OTHER))) == held
    assert fold_holds(held, record(10, placement(application="api"))) == held
    assert fold_holds(held, record(10, placement(result="failed"))) == held
    assert fold_holds(held, record(10, placement(GOOD), kind="rollback")) == held
    assert fold_holds(held, record(10, placement(GOOD))) == ()
    assert fold_holds(held, record(10, placement(GOOD, result="unchanged"))) == ()
    again = replace(bound, id="h9")
    assert fold_holds(held, held_by("rollback", again)) == (hold_document(again),)


def test_rollback_holds_what_it_went_away_from_where_it_switched() -> None:
    done = record(11, kind="rollback", reasons=("rollback to 1",))
    (hold,) = parse_holds(rollback_holds(done, {("shop", OTHER): "2", ("api", OTHER): "5"}))
    assert (hold.id, hold.application, hold.sha256, hold.version) == ("r11.2", "shop", OTHER, "2")
    assert (hold.reason, hold.by, hold.at) == ("rollback to 1", "alice", "2026-11-24T11:00:00Z")
    assert rollback_holds(replace(done, placements=()), {("shop", OTHER): "2"}) == ()
    assert rollback_holds(replace(done, reasons=()), {("shop", OTHER): "2"})[0]["reason"] == "rolled back"
