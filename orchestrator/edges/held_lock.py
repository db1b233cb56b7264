"""A lock while it is ours: renewed by a thread, released by our own hand only, or found lost."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from types import TracebackType

from orchestrator.core.lock_state import LockState, release_lock, renew_lock
from orchestrator.edges.clock import moment
from orchestrator.edges.lock_branch import LockBranch, pause
from orchestrator.edges.state_repository import Move
from orchestrator.errors import GitError, LockError

RELEASE_SECONDS = 60.0
RENEWAL_SECONDS = 30.0
JOIN_SECONDS = 5.0


class HeldLock:
    """A lock that is ours until it is released, or lost because somebody broke it.

    Use as a context manager, or call `release`.

    Attributes:
        token: greater than that of every run before.
        fence: a lock before was broken: every host has to be shown `token` before anything else.
        lost: set when the branch says that the lock is not ours any more.
    """

    def __init__(self, branch: LockBranch, tip: str, state: LockState, *, expiry_seconds: int) -> None:
        self.token = state.token
        self.fence = state.fence
        self.lost = threading.Event()
        self._branch = branch
        self._expiry_seconds = expiry_seconds
        self._tip = tip
        self._state = state
        self._releases: set[str] = set()
        self._given_up = False
        self._changing = threading.RLock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name=f"lock {branch.environment}", daemon=True)
        self._thread.start()

    def __enter__(self) -> HeldLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and not self._given_up:
            self.release(fenced=False)
            return
        with contextlib.suppress(GitError, LockError):
            self.release(fenced=False, patient=not self._given_up)

    @property
    def branch(self) -> LockBranch:
        """Where it is kept."""
        return self._branch

    @property
    def is_renewing(self) -> bool:
        """Whether the thread still renews it: neither released, nor lost, nor stopped."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """It is not renewed any more, and not released either."""
        self._ended.set()
        if self._thread is not threading.current_thread():
            self._thread.join(JOIN_SECONDS)

    def release(self, *, fenced: bool, patient: bool = True) -> None:
        """The lock is free, by our own hand. What is not ours any more is left alone; twice is as once.

        Args:
            fenced: every host of the environment has seen our token.
            patient: a remote that is away is waited for a little.

        Raises:
            LockError: it was broken; `lost` is set.
            GitError: the remote cannot be reached; the lock expires, and has to be broken then.
        """
        self._ended.set()
        deadline = time.monotonic() + (RELEASE_SECONDS if patient else 0)
        with self._changing:
            while self._state.held and not self.lost.is_set():
                move = self.releasing(fenced=fenced)
                pushed = self._branch.repository.push(move)
                if pushed.verdict == "refused":
                    raise self._branch.refused(pushed)
                if pushed.verdict == "done":
                    self.released(move)
                    break
                with contextlib.suppress(GitError):
                    self._take_over_or_lose()
                if self.lost.is_set() or not self._state.held:
                    break
                if time.monotonic() >= deadline:
                    self._given_up = True
                    raise GitError(
                        f"the lock of {self._branch.environment} could not be released",
                        details=pushed.details,
                        resolution=f"it expires at {self._state.expires}; then `orchestrator lock break "
                        f"{self._branch.environment} --reason '...'` frees it",
                    )
                pause(0.2, 1.0)
        self.stop()
        if self.lost.is_set():
            raise self.error()

    def error(self) -> LockError:
        """The error for a run that lost its lock."""
        environment = self._branch.environment
        return LockError(
            f"this run lost the lock of {environment} (token {self.token}): it was broken, and may be another's",
            details=self._what_is_there(),
            resolution=f"see `orchestrator history {environment}` for who has deployed since, and `orchestrator "
            f"status --environment {environment}`; hosts that saw a later run refuse this one",
        )

    @contextlib.contextmanager
    def unchanging(self) -> Iterator[None]:
        """No renewal happens inside: the branch's tip stays what it is."""
        with self._changing:
            yield

    def releasing(self, *, fenced: bool) -> Move:
        """The push that would release the lock; when it was done, `released` has to be called."""
        free = release_lock(self._state, fenced=fenced)
        commit = self._branch.commit(free, parent=self._tip, what=f"released by {self._branch.holder.actor}")
        self._releases.add(commit)
        return Move(ref=self._branch.ref, expected=self._tip, commit=commit)

    def released(self, move: Move) -> None:
        """That push was done: the lock is not ours any more, as we wanted."""
        self._ended.set()
        self._tip = move.commit
        self._state = release_lock(self._state, fenced=False)

    def is_lost(self, *, look: bool) -> bool:
        """Whether the lock is another's.

        Args:
            look: at the branch first, since hosts may have said so before it was looked at.
        """
        if look:
            with contextlib.suppress(GitError):
                self.is_still_ours()
        return self.lost.is_set()

    def is_still_ours(self) -> bool:
        """Whether the branch says so now; sets `lost` when it does not.

        Raises:
            GitError: the remote cannot be reached.
        """
        with self._changing:
            if not self.lost.is_set() and self._branch.repository.tip(self._branch.ref) != self._tip:
                self._take_over_or_lose()
            return not self.lost.is_set()

    def _renew(self) -> None:
        """Every third of the expiry the branch gets a new one; what fails is tried again soon."""
        interval = self._expiry_seconds / 3
        wait = interval
        while not self._ended.wait(wait):
            with self._changing:
                if self._ended.is_set() or not self._state.held:
                    return
                try:
                    done = self._renew_once(min(RENEWAL_SECONDS, max(5.0, interval)))
                except Exception:  # no network, no disk, no process: the next try may work
                    done = False
            if self.lost.is_set():
                return
            wait = interval if done else min(interval, max(1.0, interval / 5))

    def _renew_once(self, seconds: float) -> bool:
        renewed = renew_lock(self._state, expires=moment(self._expiry_seconds))
        commit = self._branch.commit(renewed, parent=self._tip, what="renewed")
        move = Move(ref=self._branch.ref, expected=self._tip, commit=commit)
        pushed = self._branch.repository.push(move, seconds=seconds)
        if pushed.verdict == "done":
            self._tip, self._state = commit, renewed
        elif pushed.verdict == "raced":
            self._take_over_or_lose()
        return pushed.verdict == "done"

    def _take_over_or_lose(self) -> None:
        """Goes on from the branch's tip when that says that we hold the lock, or released it; else sets `lost`."""
        try:
            tip, state = self._branch.read()
        except LockError:
            tip, state = "", None
        ours = state is not None and (state.token, state.holder) == (self.token, self._branch.holder)
        if state is not None and ours and (state.held or tip in self._releases):
            self._tip, self._state = tip, state
        else:
            self.lost.set()

    def _what_is_there(self) -> tuple[str, ...]:
        try:
            state = self._branch.read()[1]
        except (GitError, LockError) as error:
            return (error.brief,)
        return (state.describe(moment()),) if state else ("its branch is gone",)
