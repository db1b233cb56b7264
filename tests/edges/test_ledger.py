"""The ledger in git: every attempt is in it once, whatever dies or cannot be reached in between."""

from __future__ import annotations

import json
import stat
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.core.ledger_state import observed_from_state
from orchestrator.core.observed import ObservedHost
from orchestrator.core.record import Record, parse_record
from orchestrator.edges.state import open_state, this_process
from orchestrator.errors import GitError, HoldError, LedgerError
from tests.edges.remotes import (
    GitDaemon,
    closed,
    git,
    make_clone,
    make_placement,
    make_record,
    make_remote,
    make_settings,
    repository_of,
    start_worker,
    state_of,
    subjects,
    wait_for,
)

LEDGER = "refs/heads/orchestrator/ledger"


pytestmark = pytest.mark.usefixtures("isolated_git")


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return make_remote(tmp_path)


@pytest.fixture
def clone(remote: Path, tmp_path: Path) -> Path:
    return make_clone(remote, tmp_path / "clone")


def files(remote: Path, ref: str = LEDGER) -> list[str]:
    return git(remote, "ls-tree", "-r", "--name-only", ref).splitlines()


def document(remote: Path, path: str, ref: str = LEDGER) -> Record:
    return parse_record(git(remote, "show", f"{ref}:{path}"))


def test_attempt_is_two_commits_that_people_can_read(remote: Path, clone: Path) -> None:
    record = make_record(ci={"name": "GitLab CI", "url": "https://ci.example.net/7"}, reasons=("urgent fix",))
    with state_of(clone, actor="ci@example.net") as state:
        opened = state.ledger.open(record)
        assert opened.problem is None
        assert files(remote) == ["README.md", "ledger.json", f"production/open/{record.id}.json"]
        assert document(remote, f"production/open/{record.id}.json") == record
        recorded = state.ledger.close(closed(record))
        assert recorded.commit == git(remote, "rev-parse", LEDGER)
    kept = ["production/deployed.json", "production/last.json", "production/state.json"]
    assert files(remote) == ["README.md", "ledger.json", *kept]
    assert document(remote, "production/last.json") == closed(record)
    assert subjects(remote) == [
        "production: 2.0.1 begins, 1 planned [skip ci]",
        "production: 2.0.1 success, 1 deployed [skip ci]",
    ]
    body = git(remote, "log", "-1", "--format=%b", LEDGER)
    assert "By ci@example.net (https://ci.example.net/7), commit 1111" in body
    assert "shop-site web1 2.0.0 → 2.0.1 deployed" in body
    assert "Reason: urgent fix" in body
    trailers = git(remote, "log", "-1", "--format=%(trailers:only)", LEDGER).split("\n")
    assert trailers[:3] == [f"Attempt-Id: {record.id}", "Environment: production", "Verdict: success"]
    assert git(remote, "log", "-1", "--format=%an <%ae>", LEDGER) == "ci@example.net <orchestrator@localhost>"


def test_what_was_asked_is_asked_again_when_the_ledger_has_moved_since_it_was_read(
    remote: Path, clone: Path, tmp_path: Path
) -> None:
    other = make_record("20261124T000000-00000002", environment="dev")
    asked: list[str] = []
    with state_of(clone) as state, state_of(make_clone(remote, tmp_path / "other")) as theirs:
        state.ledger.read_ahead()
        assert state.ledger.holds("production") == ()
        theirs.ledger.open(other)
        state.ledger.open(make_record(), again=lambda: asked.append("again"))
        assert asked == ["again"]
        assert {one.id for one in state.ledger.open_records("dev")} == {other.id}
        state.ledger.close(closed(make_record()))
    assert asked == ["again"]


def test_event_is_refused_by_what_is_asked_again(remote: Path, clone: Path, tmp_path: Path) -> None:
    def refuse() -> None:
        raise HoldError("it is held", resolution="wait")

    with state_of(clone) as state, state_of(make_clone(remote, tmp_path / "other")) as theirs:
        state.ledger.holds("production")
        theirs.ledger.open(make_record("20261124T000000-00000002", environment="dev"))
        with pytest.raises(HoldError):
            state.ledger.open(make_record(), again=refuse)
        assert state.ledger.open_records("production") == ()


def test_ledger_that_cannot_be_read_ahead_is_read_when_it_is_needed(remote: Path, clone: Path) -> None:
    away = remote.with_name("away")
    with state_of(clone) as state:
        remote.rename(away)
        state.ledger.read_ahead()
        ahead = state.ledger._ahead
        assert ahead is not None
        assert isinstance(ahead.exception(timeout=60), GitError)
        away.rename(remote)
        assert state.ledger.open(make_record()).problem is None


def test_configured_user_is_the_author(remote: Path, clone: Path) -> None:
    git(clone, "config", "user.name", "Robot")
    git(clone, "config", "user.email", "robot@example.net")
    with state_of(clone) as state:
        state.ledger.open(make_record())
    assert git(remote, "log", "-1", "--format=%an <%ae>", LEDGER) == "Robot <robot@example.net>"


def test_attempt_that_died_is_closed_by_the_next_one_with_a_higher_token(remote: Path, clone: Path) -> None:
    dead = make_record("20261124T000000-00000001", lock_token=3)
    unlocked = make_record("20261124T000000-00000002", no_lock_reason="remote was down")
    elsewhere = make_record("20261124T000000-00000003", lock_token=1, environment="dev")
    with state_of(clone) as state:
        for record in (dead, unlocked, elsewhere):
            state.ledger.open(record)
        later = make_record("20261124T000000-00000004", lock_token=4)
        recorded = state.ledger.open(later)
        assert [one.id for one in recorded.interrupted] == [dead.id]
        assert {one.id for one in state.ledger.open_records("production")} == {unlocked.id, later.id}
        assert {one.id for one in state.ledger.open_records("dev")} == {elsewhere.id}
    found = document(remote, "production/last.json")
    assert (found.id, found.verdict, found.commit, found.started) == (
        dead.id,
        "interrupted",
        dead.commit,
        dead.started,
    )
    assert [(one.result, one.version, one.from_version) for one in found.placements] == [
        ("unknown", None, "2.0.0")
    ]
    assert subjects(remote)[-2:] == [
        "production: 2.0.1 interrupted, 1 unknown [skip ci]",
        "production: 2.0.1 begins, 1 planned [skip ci]",
    ]


def test_opening_without_a_lock_closes_nobody(clone: Path) -> None:
    with state_of(clone) as state:
        state.ledger.open(make_record("a-1", lock_token=3))
        assert state.ledger.open(make_record("a-2", no_lock_reason="x")).interrupted == ()


def test_saying_a_thing_twice_is_saying_it_once(remote: Path, clone: Path, tmp_path: Path) -> None:
    record = make_record()
    other = make_clone(remote, tmp_path / "other")
    with state_of(clone) as first, state_of(other) as second:
        for state in (first, second):
            assert state.ledger.open(record).problem is None
        for state in (first, second):
            assert state.ledger.close(closed(record)).problem is None
        first.ledger.open(record)
    assert len(subjects(remote)) == 2


def test_late_close_of_an_attempt_that_was_taken_for_dead_is_kept(remote: Path, clone: Path) -> None:
    record = make_record(lock_token=1)
    with state_of(clone) as state:
        state.ledger.open(record)
        state.ledger.open(make_record("later-1", lock_token=2))
        state.ledger.close(closed(record))
        assert state.ledger.state("production").closed == (record.id,)
    assert [line.split()[2].rstrip(",") for line in subjects(remote)] == [
        "begins",
        "interrupted",
        "begins",
        "success",
    ]


def test_record_that_cannot_be_pushed_is_kept_and_pushed_once_by_the_next_command(
    remote: Path, clone: Path, tmp_path: Path
) -> None:
    record = make_record()
    away = tmp_path / "away.git"
    with open_state(repository_of(clone), make_settings(), outage_seconds=1) as state:
        assert state.ledger.open(record).problem is None
        remote.rename(away)
        recorded = state.ledger.close(closed(record))
        assert recorded.commit == ""
        assert isinstance(recorded.problem, LedgerError)
        assert recorded.pending in recorded.problem.resolution
    kept = Path(recorded.pending)
    assert kept == clone / ".git" / "orchestrator" / "pending" / f"0001+{record.id}.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert parse_record(kept.read_bytes()) == closed(record)
    away.rename(remote)
    for number in (2, 3):
        with state_of(clone) as state:
            state.ledger.open(make_record(f"next-{number}", environment="dev"))
        assert not kept.exists()
    assert [line.split(":")[0] for line in subjects(remote)] == ["production", "production", "dev", "dev"]
    assert document(remote, "production/last.json") == closed(record)
    assert f"production/open/{record.id}.json" not in files(remote)


def test_process_that_dies_before_its_push_leaves_the_record(
    remote: Path, clone: Path, tmp_path: Path
) -> None:
    hook = remote / "hooks" / "pre-receive"
    hook.write_text(f"#!/bin/sh\nwhile [ ! -e {tmp_path}/go ]; do sleep 0.1; done\n")
    hook.chmod(0o755)
    worker = start_worker(str(clone), "append", "x", "1")
    pending = clone / ".git" / "orchestrator" / "pending" / "0001+x-0.json"
    try:
        wait_for(pending.exists)
    finally:
        worker.kill()
        worker.communicate()
    hook.unlink()
    with state_of(clone) as state:
        state.ledger.open(make_record("y-0"))
        (tmp_path / "go").touch()
        assert {one.id for one in state.ledger.open_records("production")} == {"x-0", "y-0"}
    assert not pending.exists()


def test_broken_file_among_the_pending_is_put_aside(remote: Path, clone: Path) -> None:
    pending = clone / ".git" / "orchestrator" / "pending"
    pending.mkdir(parents=True)
    (pending / "x.json").write_text("{")
    with state_of(clone) as state:
        assert state.ledger.open(make_record()).problem is None
    assert (pending / "x.broken").exists()


def test_outage_of_a_few_seconds_is_waited_for(tmp_path: Path) -> None:
    remote = make_remote(tmp_path)
    daemon = GitDaemon(tmp_path)
    try:
        clone = make_clone(daemon.url("remote.git"), tmp_path / "clone")
        record = make_record()
        with state_of(clone) as state:
            state.ledger.open(record)
            daemon.kill()
            timer = threading.Timer(2, daemon.start)
            timer.start()
            recorded = state.ledger.close(closed(record))
            timer.join()
            assert recorded.problem is None
    finally:
        daemon.kill()
    assert len(subjects(remote)) == 2


def test_close_releases_the_lock_in_the_same_push(remote: Path, clone: Path, tmp_path: Path) -> None:
    pushes = remote / "pushes"
    hook = remote / "hooks" / "post-receive"
    hook.write_text(f"#!/bin/sh\nsed 's/.* //' | tr '\\n' ' ' >> {pushes}\necho >> {pushes}\n")
    hook.chmod(0o755)
    with state_of(clone) as state:
        with state.lock("production", this_process(repository_of(clone))).acquire(timeout_seconds=0) as held:
            record = make_record(lock_token=held.token)
            state.ledger.open(record)
            assert state.ledger.close(closed(record), held, fenced=True).lock_released
        again = state.lock("production", this_process(repository_of(clone))).acquire(timeout_seconds=0)
        again.release(fenced=True)
    assert [sorted(line.split()) for line in pushes.read_text().splitlines()] == [
        ["refs/heads/orchestrator/lock/production"],
        [LEDGER],
        [LEDGER, "refs/heads/orchestrator/lock/production"],
        ["refs/heads/orchestrator/lock/production"],
        ["refs/heads/orchestrator/lock/production"],
    ]


def test_server_without_atomic_pushes_gets_two(remote: Path, clone: Path) -> None:
    git(remote, "config", "receive.advertiseAtomic", "false")
    with state_of(clone) as state:
        with state.lock("production", this_process(repository_of(clone))).acquire(timeout_seconds=0) as held:
            record = make_record(lock_token=held.token)
            state.ledger.open(record)
            recorded = state.ledger.close(closed(record), held)
            assert recorded.problem is None
            assert not recorded.lock_released
        found = state.lock("production", this_process(repository_of(clone))).show()
        assert found is not None
        assert not found.held
    assert len(subjects(remote)) == 2


def test_close_after_the_lock_was_broken_records_and_leaves_the_lock(remote: Path, clone: Path) -> None:
    with state_of(clone) as state:
        holder = this_process(repository_of(clone), actor="one", run="r1")
        other = this_process(repository_of(clone), actor="two", run="r2")
        held = state.lock("production", holder).acquire(timeout_seconds=0)
        record = make_record(lock_token=held.token)
        state.ledger.open(record)
        state.lock("production", other).break_("stalled")
        mine = state.lock("production", other).acquire(timeout_seconds=0)
        recorded = state.ledger.close(closed(record), held)
        assert (recorded.problem, recorded.lock_released) == (None, False)
        assert mine.is_still_ours()
        assert not held.is_still_ours()
        held.stop()
        mine.release(fenced=False)
    assert len(subjects(remote)) == 2


def test_protected_branch_is_said_at_once_with_what_to_do(remote: Path, clone: Path) -> None:
    hook = remote / "hooks" / "update"
    hook.write_text("#!/bin/sh\necho 'GH006: Protected branch update failed' >&2\nexit 1\n")
    hook.chmod(0o755)
    with state_of(clone) as state:
        recorded = state.ledger.open(make_record())
    assert recorded.problem is not None
    assert "does not allow a push to orchestrator/ledger" in recorded.problem.brief
    assert "GH006" in " ".join(recorded.problem.details)
    assert "[ledger] repository" in recorded.problem.resolution
    assert Path(recorded.pending).exists()


def test_branch_that_is_no_ledger_is_not_touched(remote: Path, clone: Path) -> None:
    before = git(remote, "rev-parse", "dev")
    with state_of(clone, '[ledger]\nref = "dev"') as state:
        recorded = state.ledger.open(make_record())
        assert recorded.problem is not None
        assert "is no ledger" in recorded.problem.brief
        with pytest.raises(LedgerError):
            state.ledger.state("production")
    assert git(remote, "rev-parse", "dev") == before


def test_another_repository_and_ref(remote: Path, clone: Path, tmp_path: Path) -> None:
    other = tmp_path / "records.git"
    git(tmp_path, "init", "--quiet", "--bare", str(other))
    settings = f'[ledger]\nrepository = "{other}"\nref = "deployments"'
    with open_state(repository_of(clone / "shop"), make_settings(settings)) as state:
        state.ledger.open(make_record())
        held = state.lock("production", this_process(repository_of(clone))).acquire(timeout_seconds=0)
        held.release(fenced=False)
    assert git(other, "for-each-ref", "--format=%(refname)").splitlines() == [
        "refs/heads/deployments--shop",
        "refs/heads/orchestrator/lock/production--shop",
    ]
    assert git(remote, "for-each-ref", "--format=%(refname)") == "refs/heads/dev"


@pytest.mark.parametrize("how", ["git", "settings"])
def test_commits_are_signed_when_there_is_a_key(remote: Path, clone: Path, tmp_path: Path, how: str) -> None:
    key = tmp_path / "key"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ci@example.net", "-f", str(key)], check=True
    )
    (tmp_path / "allowed").write_text(f"ci@example.net {key.with_suffix('.pub').read_text()}")
    settings = ""
    if how == "git":
        git(clone, "config", "user.signingkey", str(key))
        git(clone, "config", "gpg.format", "ssh")
    else:
        settings = f'[ledger]\nsigning_key = "{key}"'
    record = make_record(lock_token=1)
    with state_of(clone, settings) as state:
        assert state.ledger.open(record).problem is None
        assert state.ledger.close(closed(record)).problem is None
    for commit in git(remote, "rev-list", LEDGER).split():
        verified = ("-c", "gpg.format=ssh", "-c", f"gpg.ssh.allowedSignersFile={tmp_path / 'allowed'}")
        git(remote, *verified, "verify-commit", commit)
    key.unlink()
    with state_of(clone, settings) as state:
        recorded = state.ledger.open(make_record("unsigned-1"))
    assert recorded.problem is not None
    assert "signing_key" in recorded.problem.resolution
    assert Path(recorded.pending).exists()


def test_what_is_live_is_known_without_the_hosts(clone: Path) -> None:
    one = make_record("a-1", lock_token=1)
    two = replace(
        make_record("a-2", lock_token=2),
        placements=(make_placement(host="web2"), make_placement(host="web1", to_version="2.0.2")),
    )
    with state_of(clone) as state:
        state.ledger.close(closed(one))
        state.ledger.close(closed(two))
        state.ledger.close(closed(make_record("a-3", lock_token=1)))
        observed = observed_from_state(state.ledger.state("production"), ["web1", "web2", "web3"])
    assert {name: host.status for name, host in observed.items()} == {
        "web1": "observed",
        "web2": "observed",
        "web3": "unasked",
    }
    found = observed["web1"].placements["shop-site", "/srv/shop-site"]
    assert (found.version, found.state, found.release) == ("2.0.2", "healthy", "2.0.2-abc")
    assert isinstance(observed["web3"], ObservedHost)


def test_eight_clones_lose_no_record(remote: Path, tmp_path: Path) -> None:
    clones = [make_clone(remote, tmp_path / f"clone{number}") for number in range(8)]
    workers = [
        start_worker(str(clone), "append", f"runner{number}", "3") for number, clone in enumerate(clones)
    ]
    results = []
    for worker in workers:
        output, errors = worker.communicate(timeout=200)
        assert worker.returncode == 0, errors
        results += [json.loads(line) for line in output.splitlines()]
    assert [one["problem"] for one in results] == [""] * 48
    ids = git(remote, "log", "--format=%(trailers:key=Attempt-Id,valueonly,separator=)", LEDGER).split()
    assert sorted(ids) == sorted(one["run"] for one in results)
    assert not [path for path in files(remote) if "/open/" in path]
