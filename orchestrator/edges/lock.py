"""The lock of an environment: a branch of the remote that only ever moves forward, by compare-and-swap.

Taken by a commit that says `held`, given back by one that says `free`. An expired lock is never taken: somebody
has to look, and break it. That of a process which was killed on this very machine is broken, aloud.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from orchestrator.core.lock_state import LockState, acquire_lock, break_lock
from orchestrator.edges.clock import moment
from orchestrator.edges.held_lock import HeldLock
from orchestrator.edges.lock_branch import LockBranch, pause
from orchestrator.edges.process_identity import is_gone
from orchestrator.edges.state_repository import Move
from orchestrator.errors import GitError, LockError

POLL_SECONDS = (0.5, 2.0)
OUTAGE_SECONDS = 60.0


class EnvironmentLock:
    """The lock of one environment.

    Args:
        expiry_seconds: how long it holds without being renewed.
    """

    def __init__(self, branch: LockBranch, *, expiry_seconds: int) -> None:
        self._branch = branch
        self._environment = branch.environment
        self._expiry_seconds = expiry_seconds

    def show(self) -> LockState | None:
        """What the branch says now; None when the environment was never locked.

        Raises:
            GitError: the remote cannot be reached.
            LockError: the branch holds something else.
        """
        return self._branch.read()[1]

    def check(self) -> str:
        """The lock can be read and, as far as the server tells without a push, taken; returns who holds it.

        Raises:
            GitError, LockError: it cannot, or it has expired.
        """
        state = self.show()
        pushed = self._branch.repository.try_push(self._branch.ref)
        if pushed.verdict != "done":
            raise self._branch.refused(pushed)
        if state is None:
            return f"{self._environment} was never locked"
        if state.is_expired(moment()):
            raise self._expired(state)
        return state.describe(moment())

    def acquire(
        self,
        *,
        timeout_seconds: float,
        on_wait: Callable[[LockState], None] = lambda state: None,
        on_dead: Callable[[LockState, str], None] = lambda state, why: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> HeldLock:
        """The lock is ours, and is renewed until it is released.

        Args:
            on_wait: called once for each holder that is waited for.
            on_dead: called when the lock is taken from a process of this machine that is certainly over.
            cancelled: asked while waiting.

        Raises:
            LockError: it did not get free in time, or has expired.
            GitError: the remote cannot be reached.
            KeyboardInterrupt: cancelled.
        """
        deadline = time.monotonic() + timeout_seconds
        announced = 0
        tip, state = self._branch.read_ahead()
        if state is not None and state.held:  # a free one that has been taken since, the push finds out
            tip, state = self._branch.read()
        while True:
            if cancelled():
                raise KeyboardInterrupt
            if state is None or not state.held:
                held = self._try(tip, state)
                if held is not None:
                    return held
                pause(0.02, 0.3)
                tip, state = self._branch.read()
                continue
            if is_gone(state.holder.process):
                self._break_for_the_dead(state, on_dead)
                tip, state = self._branch.read()
                continue
            if state.is_expired(moment()):
                raise self._expired(state)
            if time.monotonic() >= deadline:
                raise self._still_held(state, timeout_seconds)
            if announced != state.token:
                announced = state.token
                on_wait(state)
            _wait(deadline, cancelled)
            tip, state = self._look_again(cancelled)

    def break_(self, reason: str, *, token: int | None = None) -> LockState:
        """The lock is free by force, and the branch says why and by whom.

        Args:
            token: of the holder that is meant; None: whoever holds it now.

        Raises:
            LockError: nobody holds it, or it changed hands meanwhile.
            GitError: the remote cannot be reached.
        """
        tip, state = self._branch.read()
        if token is None:
            token = state.token if state is not None else 0
        by = self._branch.holder.actor
        while state is not None and state.held:
            if state.token != token:
                raise LockError(
                    f"the lock of {self._environment} changed hands while it was to be broken",
                    details=(state.describe(moment()),),
                    resolution="look again with `orchestrator lock show`",
                )
            broken = break_lock(state, reason=reason, by=by, now=moment())
            commit = self._branch.commit(broken, parent=tip, what=f"broken by {by}: {reason}")
            if self._branch.push(Move(ref=self._branch.ref, expected=tip, commit=commit)):
                return broken
            pause(0.02, 0.3)
            tip, state = self._branch.read()
        raise LockError(
            f"nobody holds the lock of {self._environment}", resolution="there is nothing to break"
        )

    def _break_for_the_dead(self, state: LockState, on_dead: Callable[[LockState, str], None]) -> None:
        """Its holder was killed on this machine: nobody can go on with it, so it is broken, and said so."""
        reason = f"process {state.holder.pid} of {state.holder.actor} on this machine is over and never released it"
        try:
            self.break_(reason, token=state.token)
        except LockError:  # another one was quicker
            return
        on_dead(state, f"the lock of {self._environment} is broken: {reason}")

    def _try(self, tip: str, state: LockState | None) -> HeldLock | None:
        ours = acquire_lock(
            state,
            self._branch.holder,
            environment=self._environment,
            stack=self._branch.stack,
            now=moment(),
            expires=moment(self._expiry_seconds),
        )
        commit = self._branch.commit(ours, parent=tip, what=f"held by {self._branch.holder.actor}")
        if self._branch.push(Move(ref=self._branch.ref, expected=tip, commit=commit)):
            return HeldLock(self._branch, commit, ours, expiry_seconds=self._expiry_seconds)
        return None

    def _look_again(self, cancelled: Callable[[], bool]) -> tuple[str, LockState | None]:
        """What the branch says; an outage of the server is waited for a little, too."""
        deadline = time.monotonic() + OUTAGE_SECONDS
        while True:
            try:
                return self._branch.look_again()
            except GitError:
                if time.monotonic() >= deadline or cancelled():
                    raise
                _wait(deadline, cancelled)

    def _expired(self, state: LockState) -> LockError:
        return LockError(
            f"the lock of {self._environment} expired at {state.expires} and was not released: its run is "
            "dead, or stalled and may go on",
            details=(state.describe(moment()),),
            resolution=f"make sure that the run is over{_at(state)}, then `orchestrator lock break "
            f"{self._environment} --reason '...'` and run this command again",
        )

    def _still_held(self, state: LockState, timeout_seconds: float) -> LockError:
        return LockError(
            f"{self._environment} is still locked after {timeout_seconds:g} s",
            details=(state.describe(moment()),),
            resolution=f"wait for that run{_at(state)}, or raise --lock-timeout; when it is dead, "
            f"`orchestrator lock break {self._environment} --reason '...'`",
        )


def _wait(deadline: float, cancelled: Callable[[], bool]) -> None:
    """It is time to look again, or late, or cancelled."""
    end = min(time.monotonic() + random.uniform(*POLL_SECONDS), deadline)
    while (left := end - time.monotonic()) > 0 and not cancelled():
        time.sleep(min(left, 0.1))


def _at(state: LockState) -> str:
    return f" ({state.holder.ci_url})" if state.holder.ci_url else ""
