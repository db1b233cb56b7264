"""The lock in git: one holder at a time, tokens that only grow, nothing taken or given back that is another's."""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.core.lock_state import LockState
from orchestrator.core.state_refs import lock_ref
from orchestrator.edges import git_process
from orchestrator.edges.clock import moment
from orchestrator.edges.clone import read_clone
from orchestrator.edges.held_lock import HeldLock
from orchestrator.edges.process_identity import this_process_identity
from orchestrator.edges.state import open_state, this_process
from orchestrator.edges.state_repositories import StateRepositories
from orchestrator.errors import GitError, LockError
from tests.edges.remotes import (
    git,
    lock_of,
    lock_states,
    make_clone,
    make_remote,
    make_settings,
    repository_of,
    start_worker,
    state_of,
    wait_for,
)

REF = lock_ref("production", "")
pytestmark = pytest.mark.usefixtures("isolated_git")


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return make_remote(tmp_path)


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
    said = lock_states(remote)
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


@pytest.mark.parametrize("known", ["free", "held"])
def test_what_was_known_of_the_lock_a_moment_ago_is_not_believed(
    remote: Path, tmp_path: Path, known: str
) -> None:
    """A free one that was taken since is waited for, a held one that was released since is taken at once."""
    one, other = make_clone(remote, tmp_path / "a"), make_clone(remote, tmp_path / "b")
    with state_of(one) as first, StateRepositories(read_clone(other), actor="two") as repositories:
        lock = lock_of(one, first)
        held = lock.acquire(timeout_seconds=0)
        if known == "free":
            held.release(fenced=False)
        with open_state(repository_of(other), make_settings(), repositories=repositories) as second:
            assert repositories.at().fetch(REF, ahead=(REF,))
            waited: list[LockState] = []
            if known == "free":
                with lock.acquire(timeout_seconds=0), pytest.raises(LockError):
                    lock_of(other, second, "two").acquire(timeout_seconds=0, on_wait=waited.append)
            else:
                held.release(fenced=False)
                lock_of(other, second, "two").acquire(timeout_seconds=0, on_wait=waited.append).release(
                    fenced=False
                )
            assert waited == []


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
        wait_for(lambda: len(lock_states(remote)) >= 3)
        said = lock_states(remote)
        assert [one["token"] for one in said] == [1] * len(said)
        assert said[-1]["expires"] > said[0]["expires"]  # type: ignore[operator]
        held.release(fenced=False)
    assert lock_states(remote)[-1]["state"] == "free"


def test_expired_lock_is_never_taken(remote: Path, tmp_path: Path) -> None:
    one, other = make_clone(remote, tmp_path / "a"), make_clone(remote, tmp_path / "b")
    settings = "[lock]\nexpiry_seconds = 5"
    with state_of(one, settings) as first, state_of(other, settings) as second:
        held = lock_of(one, first).acquire(timeout_seconds=0)
        held.stop()
        expires = str(lock_states(remote)[-1]["expires"])
        wait_for(lambda: moment() >= expires)
        with pytest.raises(LockError) as caught:
            lock_of(other, second, "two").acquire(timeout_seconds=60)
        assert f"expired at {expires}" in caught.value.brief
        assert "orchestrator lock break production --reason" in caught.value.resolution
        assert len(lock_states(remote)) == 1
        # Its owner, late but alive, may still give it back itself.
        held.release(fenced=False)
    assert lock_states(remote)[-1]["state"] == "free"


def test_lock_of_the_living_is_not_broken_for_the_dead_who_held_it_before(
    remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two wait for a dead one of this machine; the slower one meets the lock of the quicker one."""
    one, other = make_clone(remote, tmp_path / "a"), make_clone(remote, tmp_path / "b")
    with state_of(one) as first, state_of(other) as second:
        quick, slow = lock_of(one, first, "one"), lock_of(other, second, "two")
        place, namespace, _, _ = this_process_identity().split(":")
        dead = replace(quick._branch.holder, actor="dead", process=f"{place}:{namespace}:999999:1")
        first.lock("production", dead).acquire(timeout_seconds=0).stop()
        breaking, got = slow.break_, list[HeldLock]()

        def break_late(reason: str, *, token: int | None = None) -> LockState:
            got.append(quick.acquire(timeout_seconds=5))
            return breaking(reason, token=token)

        monkeypatch.setattr(slow, "break_", break_late)
        with pytest.raises(LockError, match="still locked"):
            slow.acquire(timeout_seconds=0)
        assert got[0].is_still_ours()
        got[0].release(fenced=False)
    assert [one["token"] for one in lock_states(remote)] == [1, 1, 2, 2]


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
    assert lock_states(remote)[-1]["state"] == "free"
    assert "job 7 was killed" in git(remote, "log", "--format=%s", REF)


def test_linked_work_tree_is_as_good_as_its_clone(remote: Path, tmp_path: Path) -> None:
    clone = make_clone(remote, tmp_path / "clone")
    git(clone, "worktree", "add", "--quiet", "--detach", str(tmp_path / "tree"))
    with state_of(tmp_path / "tree") as state:
        assert len(list((clone / ".git" / "orchestrator" / ".scratch").iterdir())) == 1
        with lock_of(clone, state).acquire(timeout_seconds=0) as held:
            assert held.token == 1
    assert lock_states(remote)[-1]["state"] == "free"


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
    assert lock_states(remote)[-1]["state"] == "free"


def test_clone_without_a_remote_locks_itself(remote: Path, tmp_path: Path) -> None:
    clone = make_clone(remote, tmp_path / "clone")
    git(clone, "remote", "remove", "origin")
    with state_of(clone) as state, lock_of(clone, state).acquire(timeout_seconds=0):
        assert lock_states(clone)[-1]["state"] == "held"
    assert lock_states(clone)[-1]["state"] == "free"
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
    assert [one["state"] for one in lock_states(remote)] == ["held", "free"]


def test_another_repository_is_used_when_settings_name_one(remote: Path, tmp_path: Path) -> None:
    other = tmp_path / "locks.git"
    git(tmp_path, "init", "--quiet", "--bare", str(other))
    clone = make_clone(remote, tmp_path / "clone")
    with (
        state_of(clone, '[lock]\nrepository = "../locks.git"') as state,
        lock_of(clone, state).acquire(timeout_seconds=0),
    ):
        assert lock_states(other)[-1]["state"] == "held"
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


@pytest.mark.parametrize("noticed_by", ["release", "renewal"])
def test_release_that_was_not_answered_is_found_out(remote: Path, tmp_path: Path, noticed_by: str) -> None:
    clone = make_clone(remote, tmp_path / "clone")
    with state_of(clone, "[lock]\nexpiry_seconds = 5") as state:
        held = lock_of(clone, state).acquire(timeout_seconds=0)
        with held.unchanging():
            pushed = held.branch.repository.push(held.releasing(fenced=False))
            assert pushed.verdict == "done"
        # The answer got lost, so to say: nothing here knows that the push was done.
        if noticed_by == "renewal":
            wait_for(lambda: not held.is_renewing)
        held.release(fenced=False)
        held.release(fenced=False)
        assert not held.lost.is_set()
    assert [one["state"] for one in lock_states(remote)][-1] == "free"


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
    assert not scratch.exists()
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
        assert lock_states(remote)[-1]["state"] == "held"
    (tmp_path / "ci.config").write_text('[http]\n\tproxy = "http://127.0.0.1:1"\n')
    with state_of(clone) as state, pytest.raises(GitError) as caught:
        lock_of(clone, state).acquire(timeout_seconds=0)
    assert "hunter2" not in f"{caught.value.brief} {caught.value.details}"


def test_environment_of_git_is_the_one_at_the_start(
    remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = make_clone(remote, tmp_path / "clone")
    with state_of(clone) as state:
        lock = lock_of(clone, state)
        monkeypatch.setenv("PATH", "/nowhere")
        with lock.acquire(timeout_seconds=0) as held:
            assert held.token == 1
    assert git_process.base_environment({"GIT_DIR": "/elsewhere", "A": "b"})["A"] == "b"
    assert "GIT_DIR" not in git_process.base_environment({"GIT_DIR": "/elsewhere"})


def _snapshot(clone: Path) -> tuple[str, str, str]:
    shallow = clone / ".git" / "shallow"
    return (
        git(clone, "for-each-ref"),
        shallow.read_text() if shallow.exists() else "",
        git(clone, "rev-parse", "HEAD"),
    )
