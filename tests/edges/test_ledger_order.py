"""Which attempt came first: what the ledger and the locks say, whatever the clocks of runners said. Real repositories."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.cli.rollback import read_rollback
from orchestrator.core.rollback import goods_of, last_changed, last_good
from orchestrator.edges.git import DeploymentRepository
from orchestrator.edges.state import State, open_state
from orchestrator.ledger_source import read_records
from tests.edges.remotes import (
    git,
    make_clone,
    make_placement,
    make_record,
    make_remote,
    make_settings,
    repository_of,
    state_of,
)
from tests.edges.test_ledger_commands import run

AHEAD, NOW, BEHIND = "2026-11-25T05:00:00Z", "2026-11-24T05:00:00Z", "2026-11-23T05:00:00Z"
KEY = ("shop-site", "web1", "/srv/shop-site")

pytestmark = pytest.mark.usefixtures("isolated_git")


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return make_remote(tmp_path)


@pytest.fixture
def clone(remote: Path, tmp_path: Path) -> Path:
    return make_clone(remote, tmp_path / "clone")


def deploy(
    state: State, id: str, version: str, at: str, token: int | None = None, *, opens: bool = True
) -> None:
    """The version is live then, as a runner says whose clock says `at`."""
    record = make_record(id, started=at, lock_token=token, manifest_version=version)
    if opens:
        state.ledger.open(record)
    live = make_placement(
        result="deployed",
        to_version=version,
        version=version,
        release=f"{version}-abc",
        artifact_sha256="c" * 64,
    )
    state.ledger.close(replace(record, verdict="success", ended=at, placements=(live,)))


def attempts(clone: Path) -> list[str]:
    """Newest first."""
    found = json.loads(run(clone, "history", "production", "--json", "-"))["attempts"]
    return [one["id"] for one in found]


def readers(clone: Path, remote: Path) -> Iterator[Path]:
    """A clone that has read the ledger before, and one that reads all of it at once."""
    yield clone
    yield make_clone(remote, clone.parent / "other")


def test_attempts_of_one_second_are_in_the_order_in_which_they_were_recorded(
    clone: Path, remote: Path
) -> None:
    with state_of(clone) as state:
        deploy(state, "c", "1.0", NOW)
        assert attempts(clone) == ["c"]
        deploy(state, "a", "2.0", NOW)
        deploy(state, "b", "3.0", NOW)
    for reader in readers(clone, remote):
        assert attempts(reader) == ["b", "a", "c"]
        assert "record:        b" in run(reader, "show", "production@last")
        told = read_records(DeploymentRepository(reader), make_settings(), "production")
        assert [one.id for one in told] == ["c", "a", "b"]


@pytest.mark.parametrize("locked", [True, False])
@pytest.mark.parametrize(("first", "last"), [(AHEAD, NOW), (NOW, BEHIND), (AHEAD, BEHIND)])
def test_clock_of_a_runner_that_is_wrong_by_a_day_changes_no_order(
    clone: Path, remote: Path, first: str, last: str, locked: bool
) -> None:
    with state_of(clone) as state:
        for number, (version, at) in enumerate((("1.0", NOW), ("2.0", first), ("3.0", last)), 1):
            deploy(state, f"r{number}", version, at, number if locked else None)
        assert [one.version for one in state.ledger.state("production").placements] == ["3.0"]
    for reader in readers(clone, remote):
        assert attempts(reader) == ["r3", "r2", "r1"]
        known = read_rollback(str(reader), "production", "").records
        assert [one.version for one in goods_of(known)[KEY]] == ["3.0", "2.0", "1.0"]
        assert last_good(known)["shop-site"].version == "3.0"
        assert last_changed(known) == {KEY}
        told = read_records(DeploymentRepository(reader), make_settings(), "production")
        assert [one.id for one in told] == ["r1", "r2", "r3"]
        live = {
            version: json.loads(run(reader, "when", "shop-site", version, "--json", "-"))["intervals"]
            for version in ("1.0", "2.0", "3.0")
        }
        assert [one["is_live"] for intervals in live.values() for one in intervals] == [False, False, True]


def test_run_that_began_first_and_ended_last_is_no_newer_for_that(clone: Path, remote: Path) -> None:
    with state_of(clone) as state:
        stalled = make_record("stalled", started=NOW, lock_token=1)
        state.ledger.open(stalled)
        deploy(state, "next", "2.0", NOW, 2)
        assert attempts(clone) == ["next", "stalled"]
        state.ledger.close(replace(stalled, verdict="failed", ended=AHEAD))
    for reader in readers(clone, remote):
        assert attempts(reader) == ["next", "stalled"]


def test_attempt_that_the_ledger_was_told_of_late_has_the_place_of_its_lock(
    clone: Path, remote: Path
) -> None:
    with state_of(clone) as state:
        deploy(state, "second", "2.0", NOW, 2)
        deploy(state, "third", "3.0", NOW, 3)
        deploy(state, "first", "1.0", AHEAD, 1, opens=False)
        assert [one.version for one in state.ledger.state("production").placements] == ["3.0"]
    for reader in readers(clone, remote):
        assert attempts(reader) == ["third", "second", "first"]


def test_records_that_wait_in_a_clone_are_pushed_in_the_order_in_which_they_began(
    clone: Path, remote: Path, tmp_path: Path
) -> None:
    waiting = clone / ".git" / "orchestrator" / "pending"
    with open_state(repository_of(clone), make_settings(), outage_seconds=0.0) as state:
        remote.rename(tmp_path / "away.git")
        for number, (name, at) in enumerate((("c", AHEAD), ("a", NOW), ("b", BEHIND)), 1):
            deploy(state, name, f"{number}.0", at)
    (waiting / "0001+c.json").rename(waiting / "z.json")  # as an earlier version has named it
    (tmp_path / "away.git").rename(remote)
    with state_of(clone) as state:
        deploy(state, "d", "4.0", NOW)
        assert [one.version for one in state.ledger.state("production").placements] == ["4.0"]
    assert attempts(clone) == ["d", "b", "a", "c"]
    assert "c.json" not in " ".join(path.name for path in waiting.iterdir())


def test_copy_that_an_earlier_version_made_is_made_again(clone: Path, remote: Path) -> None:
    with state_of(clone) as state:
        deploy(state, "b", "1.0", NOW)
        deploy(state, "a", "2.0", NOW)
    attempts(clone)
    (index,) = (clone / ".git" / "orchestrator" / "history.git").glob("*.index")
    tip = git(remote, "rev-parse", "orchestrator/ledger")
    index.write_text(f'[]\n["{tip}","b","production","success","{NOW}",[],0,9,""]\n["tip","{tip}",9]\n')
    assert attempts(clone) == ["a", "b"]
