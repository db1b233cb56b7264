"""The lock in git: one holder at a time, tokens that only grow, nothing taken or given back that is another's."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from orchestrator.core.lock_state import LockState
from orchestrator.core.state_refs import lock_ref
from orchestrator.edges import git_process
from orchestrator.edges.clock import moment
from orchestrator.edges.lock import EnvironmentLock
from orchestrator.edges.state import State, open_state, this_process
from orchestrator.errors import GitError, LockError
from tests.edges.remotes import (
    ISOLATED,
    GitDaemon,
    git,
    make_clone,
    make_remote,
    make_settings,
    repository_of,
    serve_http,
    start_worker,
    wait_for,
)

REF = lock_ref("production", "")


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ISOLATED.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return make_remote(tmp_path)


@contextmanager
def state_of(clone: Path, text: str = "") -> Iterator[State]:
    with open_state(repository_of(clone), make_settings(text)) as state:
        yield state


def lock_of(clone: Path, state: State, actor: str = "one", run: str = "r1") -> EnvironmentLock:
    holder = this_process(repository_of(clone), actor=actor, run=run, ci_url="https://ci.example.net/7")
    return state.lock("production", holder)


def states(remote: Path, ref: str = REF) -> list[dict[str, object]]:
    """What the branch said, oldest first."""
    commits = git(remote, "rev-list", "--reverse", ref).split()
    return [json.loads(git(remote, "show", f"{commit}:lock.json")) for commit in commits]


def test_tokens_grow_and_every_step_is_on_the_branch(remote: Path, tmp_path: Path) -> None:
    clone = make_clone(remote, tmp_path / "clone")
    with state_of(clone) as state:
        lock = lock_of(clone, state)
        assert lock.show() is None
        for token in (1, 2):
            with lock.acquire(timeout_seconds=0) as held:
                assert (held.token, held.fence) == (token, False)
                found = lock.show()
                assert isinstance(found, LockState)
                assert found.held
                assert found.holder.pid == os.getpid()
    said = states(remote)
    assert [(one["token"], one["state"]) for one in said] == [
        (1, "held"),
        (1, "free"),
        (2, "held"),
        (2, "free"),
    ]
    assert all(line.endswith("[skip ci]") for line in git(remote, "log", "--format=%s", REF).splitlines())


def test_waiting_says_once_for_whom_and_gives_up_in_time(remote: Path, tmp_path: Path) -> None:
    one, other = make_clone(remote, tmp_path / "a"), make_clone(remote, tmp_path / "b")
    with state_of(one) as first, state_of(other) as second:
        waited: list[LockState] = []
        with lock_of(one, first).acquire(timeout_seconds=0):
            with pytest.raises(LockError) as caught:
                lock_of(other, second, "two").acquire(timeout_seconds=3, on_wait=waited.append)
            assert [state.holder.actor for state in waited] == ["one"]
            assert "https://ci.example.net/7" in " ".join(caught.value.details)
            assert "lock break production" in caught.value.resolution
        assert lock_of(other, second, "two").acquire(timeout_seconds=0).token == 2


def test_waiter_gets_the_lock_when_it_is_released(remote: Path, tmp_path: Path) -> None:
    one, other = make_clone(remote, tmp_path / "a"), make_clone(remote, tmp_path / "b")
    with state_of(one) as first, state_of(other) as second:
        held = lock_of(one, first).acquire(timeout_seconds=0)
        waiting = threading.Event()
        tokens: list[int] = []

        def wait() -> None:
            with lock_of(other, second, "two").acquire(
                timeout_seconds=60, on_wait=lambda state: waiting.set()
            ) as mine:
                tokens.append(mine.token)

        thread = threading.Thread(target=wait)
        thread.start()
        assert waiting.wait(30)
        held.release(fenced=False)
        thread.join(30)
        assert tokens == [2]


def test_waiting_can_be_cancelled(remote: Path, tmp_path: Path) -> None:
    clone = make_clone(remote, tmp_path / "clone")
    with state_of(clone) as state, lock_of(clone, state).acquire(timeout_seconds=0):
        cancelled = threading.Event()
        with pytest.raises(KeyboardInterrupt):
            lock_of(clone, state, "two").acquire(
                timeout_seconds=60, on_wait=lambda found: cancelled.set(), cancelled=cancelled.is_set
            )


def test_lock_is_renewed_while_it_is_held(remote: Path, tmp_path: Path) -> None:
    clone = make_clone(remote, tmp_path / "clone")
    with state_of(clone, "[lock]\nexpiry_seconds = 5") as state:
        held = lock_of(clone, state).acquire(timeout_seconds=0)
        wait_for(lambda: len(states(remote)) >= 3)
        said = states(remote)
        assert [one["token"] for one in said] == [1] * len(said)
        assert said[-1]["expires"] > said[0]["expires"]  # type: ignore[operator]
        held.release(fenced=False)
    assert states(remote)[-1]["state"] == "free"


def test_renewal_survives_an_outage(tmp_path: Path) -> None:
    remote = make_remote(tmp_path)
    daemon = GitDaemon(tmp_path)
    try:
        clone = make_clone(daemon.url("remote.git"), tmp_path / "clone")
        with state_of(clone, "[lock]\nexpiry_seconds = 5") as state:
            held = lock_of(clone, state).acquire(timeout_seconds=0)
            daemon.kill()
            before = len(states(remote))
            expired = str(states(remote)[-1]["expires"])
            wait_for(lambda: moment() > expired)
            daemon.start()
            wait_for(lambda: len(states(remote)) > before)
            assert not held.lost.is_set()
            held.release(fenced=False)
    finally:
        daemon.kill()
    assert states(remote)[-1]["state"] == "free"


def test_expired_lock_is_never_taken(remote: Path, tmp_path: Path) -> None:
    one, other = make_clone(remote, tmp_path / "a"), make_clone(remote, tmp_path / "b")
    settings = "[lock]\nexpiry_seconds = 5"
    with state_of(one, settings) as first, state_of(other, settings) as second:
        held = lock_of(one, first).acquire(timeout_seconds=0)
        held.stop()
        expires = str(states(remote)[-1]["expires"])
        wait_for(lambda: moment() >= expires)
        with pytest.raises(LockError) as caught:
            lock_of(other, second, "two").acquire(timeout_seconds=60)
        assert f"expired at {expires}" in caught.value.brief
        assert "orchestrator lock break production --reason" in caught.value.resolution
        assert len(states(remote)) == 1
        # Its owner, late but alive, may still give it back itself.
        held.release(fenced=False)
    assert states(remote)[-1]["state"] == "free"


def test_broken_lock_is_recorded_and_fences_until_every_host_was_shown_a_token(
    remote: Path, tmp_path: Path
) -> None:
    clone = make_clone(remote, tmp_path / "clone")
    with state_of(clone) as state:
        lock = lock_of(clone, state)
        with pytest.raises(LockError):
            lock.break_("nothing to break")
        dead = lock.acquire(timeout_seconds=0)
        broken = lock_of(clone, state, "operator").break_("job 7 was killed")
        assert broken.broken is not None
        assert (broken.broken.reason, broken.broken.by) == ("job 7 was killed", "operator")
        assert broken.broken.holder.actor == "one"
        for fenced, expected in ((False, True), (True, True), (False, False)):
            held = lock_of(clone, state, "next").acquire(timeout_seconds=0)
            assert held.fence is expected
            held.release(fenced=fenced)
        with pytest.raises(LockError) as caught:
            dead.release(fenced=False)
        assert dead.lost.is_set()
        assert "lost the lock" in caught.value.brief
    assert states(remote)[-1]["state"] == "free"
    assert "job 7 was killed" in git(remote, "log", "--format=%s", REF)


def test_runner_that_was_stopped_finds_its_lock_lost(
    remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = "[lock]\nexpiry_seconds = 5"
    monkeypatch.setenv("WORKER_SETTINGS", settings)
    stalled, other = make_clone(remote, tmp_path / "a"), make_clone(remote, tmp_path / "b")
    worker = start_worker(str(stalled), "hold")
    assert worker.stdout is not None
    assert json.loads(worker.stdout.readline())["token"] == 1
    worker.send_signal(signal.SIGSTOP)
    expires = str(states(remote)[-1]["expires"])
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


@pytest.mark.parametrize("arguments", [("--depth=1",), ("--no-checkout",), ("--bare",)])
def test_any_kind_of_clone_will_do(remote: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    clone = make_clone(f"file://{remote}", tmp_path / "clone", *arguments)
    if "--bare" not in arguments:
        git(clone, "checkout", "--quiet", "--detach", "origin/dev")
        git(clone, "branch", "--quiet", "-D", "dev")
    before = _snapshot(clone)
    with state_of(clone) as state, lock_of(clone, state).acquire(timeout_seconds=0) as held:
        assert held.token == 1
    assert _snapshot(clone) == before
    assert states(remote)[-1]["state"] == "free"


def test_clone_without_a_remote_locks_itself(remote: Path, tmp_path: Path) -> None:
    clone = make_clone(remote, tmp_path / "clone")
    git(clone, "remote", "remove", "origin")
    with state_of(clone) as state, lock_of(clone, state).acquire(timeout_seconds=0):
        assert states(clone)[-1]["state"] == "held"
    assert states(clone)[-1]["state"] == "free"
    assert git(clone, "status", "--porcelain") == ""


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_object_format_is_that_of_the_remote(tmp_path: Path, object_format: str) -> None:
    (tmp_path / "x").mkdir()
    remote = make_remote(tmp_path / "x", object_format="sha256")
    here = make_remote(tmp_path, object_format=object_format)
    clone = make_clone(here, tmp_path / "clone")
    with (
        state_of(clone, f'[lock]\nrepository = "{remote}"') as state,
        lock_of(clone, state).acquire(timeout_seconds=0) as held,
    ):
        assert held.token == 1
    assert [one["state"] for one in states(remote)] == ["held", "free"]


def test_another_repository_is_used_when_settings_name_one(remote: Path, tmp_path: Path) -> None:
    other = tmp_path / "locks.git"
    git(tmp_path, "init", "--quiet", "--bare", str(other))
    clone = make_clone(remote, tmp_path / "clone")
    with (
        state_of(clone, '[lock]\nrepository = "../locks.git"') as state,
        lock_of(clone, state).acquire(timeout_seconds=0),
    ):
        assert states(other)[-1]["state"] == "held"
    assert git(remote, "for-each-ref", "--format=%(refname)") == "refs/heads/dev"


def test_unreachable_remote_is_no_lock(remote: Path, tmp_path: Path) -> None:
    clone = make_clone(remote, tmp_path / "clone")
    remote.rename(tmp_path / "gone.git")
    with state_of(clone) as state, pytest.raises(GitError, match="cannot be reached"):
        lock_of(clone, state).acquire(timeout_seconds=60)


def test_protected_branch_is_told_from_a_race(remote: Path, tmp_path: Path) -> None:
    hook = remote / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'GL-HOOK-ERR: this branch is protected' >&2\nexit 1\n")
    hook.chmod(0o755)
    clone = make_clone(remote, tmp_path / "clone")
    with state_of(clone) as state, pytest.raises(LockError) as caught:
        lock_of(clone, state).acquire(timeout_seconds=60)
    assert "does not allow a push to orchestrator/lock/production" in caught.value.brief
    assert "this branch is protected" in " ".join(caught.value.details)
    assert "[lock] repository" in caught.value.resolution


def test_branch_in_the_way_is_no_race(remote: Path, tmp_path: Path) -> None:
    git(remote, "branch", "orchestrator", "dev")
    clone = make_clone(remote, tmp_path / "clone")
    with state_of(clone) as state, pytest.raises(LockError, match="does not allow"):
        lock_of(clone, state).acquire(timeout_seconds=60)


def test_branch_that_is_no_lock_is_not_touched(remote: Path, tmp_path: Path) -> None:
    git(remote, "branch", "orchestrator/lock/production", "dev")
    before = git(remote, "rev-parse", REF)
    clone = make_clone(remote, tmp_path / "clone")
    with state_of(clone) as state, pytest.raises(LockError, match="not a lock that can be read"):
        lock_of(clone, state).acquire(timeout_seconds=60)
    assert git(remote, "rev-parse", REF) == before


def test_release_that_was_not_answered_is_found_out(remote: Path, tmp_path: Path) -> None:
    clone = make_clone(remote, tmp_path / "clone")
    with state_of(clone) as state:
        held = lock_of(clone, state).acquire(timeout_seconds=0)
        with held.unchanging():
            move = held.releasing(fenced=False)
            state_of_remote = held.branch.repository.push(move)
            assert state_of_remote.verdict == "done"
        # The answer got lost, so to say: nothing here knows that the push was done.
        held.release(fenced=False)
        assert not held.lost.is_set()
        held.release(fenced=False)
    assert [one["state"] for one in states(remote)] == ["held", "free"]


def test_stacks_and_environments_have_locks_of_their_own(remote: Path, tmp_path: Path) -> None:
    clone = make_clone(remote, tmp_path / "clone")
    with (
        open_state(repository_of(clone), make_settings()) as whole,
        open_state(repository_of(clone / "shop"), make_settings()) as stack,
        ExitStack() as held,
    ):
        holder = this_process(repository_of(clone), actor="one")
        for state, environment in ((whole, "production"), (whole, "dev"), (stack, "production")):
            held.enter_context(state.lock(environment, holder).acquire(timeout_seconds=0))
        assert sorted(whole.locks(holder)) == ["dev", "production"]
        assert sorted(stack.locks(holder)) == ["production"]
    refs = git(remote, "for-each-ref", "--format=%(refname)", "refs/heads/orchestrator").splitlines()
    assert refs == [
        "refs/heads/orchestrator/lock/dev",
        "refs/heads/orchestrator/lock/production",
        "refs/heads/orchestrator/lock/production--shop",
    ]


def test_nothing_of_a_command_stays(remote: Path, tmp_path: Path) -> None:
    clone = make_clone(remote, tmp_path / "clone")
    scratch = clone / ".git" / "orchestrator" / ".scratch"
    with state_of(clone):
        assert len(list(scratch.iterdir())) == 1
    assert list(scratch.iterdir()) == []
    worker = start_worker(str(clone), "hold")
    assert worker.stdout is not None
    worker.stdout.readline()
    worker.kill()
    worker.communicate()
    assert len(list(scratch.iterdir())) == 1
    with state_of(clone):
        assert len(list(scratch.iterdir())) == 1


def test_settings_of_the_clone_are_used_and_no_secret_is_shown(
    remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a CI checkout has it: credentials in a file behind includeIf, the address rewritten."""
    clone = make_clone(remote, tmp_path / "clone")
    (tmp_path / "ci.config").write_text(
        f'[url "{remote}"]\n\tinsteadOf = https://bot:hunter2@git.example.net/shop.git\n'
    )
    git(clone, "config", f"includeIf.gitdir:{clone}/.git.path", str(tmp_path / "ci.config"))
    git(clone, "remote", "set-url", "origin", "https://bot:hunter2@git.example.net/shop.git")
    with state_of(clone) as state, lock_of(clone, state).acquire(timeout_seconds=0):
        assert states(remote)[-1]["state"] == "held"
    (tmp_path / "ci.config").write_text('[http]\n\tproxy = "http://127.0.0.1:1"\n')
    with state_of(clone) as state, pytest.raises(GitError) as caught:
        lock_of(clone, state).acquire(timeout_seconds=0)
    assert "hunter2" not in f"{caught.value.brief} {caught.value.details}"


def test_environment_of_git_is_the_one_at_the_start(
    remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = make_clone(remote, tmp_path / "clone")
    with state_of(clone) as state:
        monkeypatch.setenv("PATH", "/nowhere")
        with lock_of(clone, state).acquire(timeout_seconds=0) as held:
            assert held.token == 1
    assert git_process.base_environment({"GIT_DIR": "/elsewhere", "A": "b"})["A"] == "b"
    assert "GIT_DIR" not in git_process.base_environment({"GIT_DIR": "/elsewhere"})


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
    said = states(remote)
    assert [one["state"] for one in said] == ["held", "free"] * 16
    log = git(remote, "log", "--reverse", "--format=%s", "refs/heads/orchestrator/ledger").splitlines()
    assert [line.split()[2].rstrip(",") for line in log] == ["begins", "success"] * 16
    ids = git(
        remote, "log", "--format=%(trailers:key=Attempt-Id,valueonly,separator=)", "orchestrator/ledger"
    )
    assert sorted(ids.split()) == sorted([one["run"] for one in results] * 2)


def _snapshot(clone: Path) -> tuple[str, str, str]:
    shallow = clone / ".git" / "shallow"
    return (
        git(clone, "for-each-ref"),
        shallow.read_text() if shallow.exists() else "",
        git(clone, "rev-parse", "HEAD"),
    )
