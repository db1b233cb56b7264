"""The lock when runners race, stall, and lose their server."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from orchestrator.core.lock_state import LockState
from orchestrator.edges.clock import moment
from orchestrator.edges.held_lock import HeldLock
from orchestrator.edges.lock import EnvironmentLock
from orchestrator.errors import LockError
from tests.edges.remotes import (
    GitDaemon,
    closed,
    git,
    lock_of,
    lock_states,
    make_clone,
    make_record,
    make_remote,
    serve_http,
    start_worker,
    state_of,
    wait_for,
)

pytestmark = pytest.mark.usefixtures("isolated_git")


def test_renewal_survives_an_outage(tmp_path: Path) -> None:
    remote = make_remote(tmp_path)
    daemon = GitDaemon(tmp_path)
    try:
        clone = make_clone(daemon.url("remote.git"), tmp_path / "clone")
        with state_of(clone, "[lock]\nexpiry_seconds = 5") as state:
            held = lock_of(clone, state).acquire(timeout_seconds=0)
            daemon.kill()
            before = len(lock_states(remote))
            expired = str(lock_states(remote)[-1]["expires"])
            wait_for(lambda: moment() > expired)
            daemon.start()
            wait_for(lambda: len(lock_states(remote)) > before)
            assert not held.lost.is_set()
            held.release(fenced=False)
    finally:
        daemon.kill()
    assert lock_states(remote)[-1]["state"] == "free"


def test_waiter_bears_a_short_outage(tmp_path: Path) -> None:
    remote = make_remote(tmp_path)
    daemon = GitDaemon(tmp_path)
    try:
        one = make_clone(remote, tmp_path / "a")
        other = make_clone(daemon.url("remote.git"), tmp_path / "b")
        with state_of(one) as first, state_of(other) as second:
            held = lock_of(one, first).acquire(timeout_seconds=0)
            timer = threading.Timer(2, daemon.start)

            def interrupt(state: LockState) -> None:
                daemon.kill()
                held.release(fenced=False)
                timer.start()

            with lock_of(other, second, "two").acquire(timeout_seconds=60, on_wait=interrupt) as mine:
                assert mine.token == 2
            timer.join()
    finally:
        daemon.kill()


def test_runner_that_was_stopped_finds_its_lock_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = make_remote(tmp_path)
    settings = "[lock]\nexpiry_seconds = 5"
    monkeypatch.setenv("WORKER_SETTINGS", settings)
    stalled, other = make_clone(remote, tmp_path / "a"), make_clone(remote, tmp_path / "b")
    worker = start_worker(str(stalled), "hold")
    assert worker.stdout is not None
    assert json.loads(worker.stdout.readline())["token"] == 1
    worker.send_signal(signal.SIGSTOP)
    expires = str(lock_states(remote)[-1]["expires"])
    wait_for(lambda: moment() >= expires)
    with state_of(other, settings) as state:
        lock_of(other, state, "operator").break_("runner is gone")
        with lock_of(other, state, "two").acquire(timeout_seconds=0) as held:
            assert held.token == 2
            worker.send_signal(signal.SIGCONT)
            output, errors = worker.communicate("go\n", timeout=60)
            assert worker.returncode == 0, errors
            said = json.loads(output.splitlines()[-1])
            assert said["lost"]
            assert not said["released"]
            found = lock_of(other, state).show()
            assert found is not None
            assert (found.held, found.token, found.holder.actor) == (True, 2, "two")


@contextmanager
def served(kind: str, directory: Path) -> Iterator[Callable[[str], str]]:
    if kind == "path":
        yield lambda name: str(directory / name)
    elif kind == "http":
        with serve_http(directory) as url:
            yield lambda name: f"{url}/{name}"
    else:
        daemon = GitDaemon(directory)
        try:
            yield daemon.url
        finally:
            daemon.kill()


@pytest.mark.parametrize("kind", ["path", "http", "daemon"])
def test_eight_runners_never_interleave_and_lose_no_record(tmp_path: Path, kind: str) -> None:
    remote = make_remote(tmp_path)
    journal = tmp_path / "journal"
    with served(kind, tmp_path) as url:
        clones = [make_clone(url("remote.git"), tmp_path / f"clone{number}") for number in range(8)]
        workers = [start_worker(str(clone), "deploy", str(journal), "2") for clone in clones]
        results = []
        for worker in workers:
            output, errors = worker.communicate(timeout=300)
            assert worker.returncode == 0, errors
            results += [json.loads(line) for line in output.splitlines()]
    assert [one["problem"] for one in results] == [""] * 16
    assert sorted(one["token"] for one in results) == list(range(1, 17))
    lines = [line.split() for line in journal.read_text().splitlines()]
    for begin, end in zip(lines[0::2], lines[1::2], strict=True):
        assert (begin[0], end[0]) == ("begin", "end")
        assert begin[1:] == end[1:]
    assert [int(line[1]) for line in lines[0::2]] == list(range(1, 17))
    said = lock_states(remote)
    assert [one["state"] for one in said] == ["held", "free"] * 16
    log = git(remote, "log", "--reverse", "--format=%s", "refs/heads/orchestrator/ledger").splitlines()
    assert [line.split()[2].rstrip(",") for line in log] == ["begins", "success"] * 16
    ids = git(
        remote, "log", "--format=%(trailers:key=Attempt-Id,valueonly,separator=)", "orchestrator/ledger"
    )
    assert sorted(ids.split()) == sorted([one["run"] for one in results] * 2)


def take(lock: EnvironmentLock) -> HeldLock:
    """The lock, from a dead runner too: its last push may arrive after it."""
    for _ in range(3):
        try:
            return lock.acquire(timeout_seconds=2)
        except LockError:
            with suppress(LockError):
                lock.break_("killed")
    raise AssertionError("it cannot be had")


def test_runners_killed_at_any_instant_leave_a_record_of_every_attempt(tmp_path: Path) -> None:
    remote = make_remote(tmp_path)
    clones = [make_clone(remote, tmp_path / f"clone{number}") for number in range(2)]
    journal = tmp_path / "journal"
    chance = random.Random(20261124)
    said: list[str] = []
    for number in range(14):
        clone = clones[number % 2]
        worker = start_worker(str(clone), "deploy", str(journal), "3")
        with suppress(subprocess.TimeoutExpired):
            worker.wait(chance.uniform(0.3, 1.2))
        worker.kill()
        output, errors = worker.communicate()
        assert errors == ""
        said += [json.loads(line)["run"] for line in output.splitlines() if line.endswith("}")]
        with state_of(clone) as state, suppress(LockError):
            lock_of(clone, state, "operator").break_("killed")
    for clone in clones:
        with state_of(clone) as state, take(lock_of(clone, state, "last")) as held:
            record = make_record(f"last-{clone.name}", lock_token=held.token)
            assert state.ledger.open(record).problem is None
            assert state.ledger.close(closed(record), held).problem is None
    with state_of(clones[0]) as state:
        assert state.ledger.open_records("production") == ()
    entries: dict[str, list[str]] = {}
    keys = "%(trailers:key=Attempt-Id,valueonly,separator=) %(trailers:key=Verdict,valueonly,separator=)"
    for line in git(remote, "log", "--reverse", f"--format={keys}", "orchestrator/ledger").splitlines():
        run, verdict = line.split()
        entries.setdefault(run, []).append(verdict)
    begun = [line.split() for line in journal.read_text().splitlines() if line.startswith("begin")]
    assert {run for _, _, run in begun} <= entries.keys()
    assert [int(token) for _, token, _ in begun] == sorted({int(token) for _, token, _ in begun})
    assert {run for run in said if entries[run][-1] == "success"} == set(said)
    assert {tuple(verdicts) for verdicts in entries.values()} <= {
        ("open", "success"),
        ("open", "interrupted"),
        ("open", "interrupted", "success"),
    }
    assert not list((tmp_path / "clone0" / ".git" / "orchestrator").rglob("pending/*.json"))
