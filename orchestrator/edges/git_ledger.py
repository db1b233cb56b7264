"""The ledger: a branch of the remote that only grows, one commit for each event."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from orchestrator.core.ledger_state import LedgerState
from orchestrator.core.record import Record
from orchestrator.edges.git_process import GitFailureError
from orchestrator.edges.held_lock import HeldLock
from orchestrator.edges.ledger_tree import MARK, LedgerTree, read_tree
from orchestrator.edges.lock_branch import pause, short
from orchestrator.edges.pending import PendingRecords
from orchestrator.edges.state_repository import Move, Pushed, StateRepository
from orchestrator.errors import GitError, LedgerError

RACE_SECONDS = 120.0
OUTAGE_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """Where an event is now.

    Attributes:
        commit: of the ledger's branch; empty when it could not be pushed.
        interrupted: attempts of runs before that had not ended and never will; closed with it.
        pending: the file that keeps it for the next command; empty when it was pushed, or cannot be kept.
        problem: why it was not pushed.
        lock_released: the lock was released by the same push.
    """

    commit: str = ""
    interrupted: tuple[Record, ...] = ()
    pending: str = ""
    problem: LedgerError | None = None
    lock_released: bool = False


@dataclass(slots=True, kw_only=True)
class _Push:
    """Events on their way.

    Attributes:
        waited: see `fold_record`.
        again: called before another attempt; it may raise what is to be raised.
        interrupted: attempts that were found dead with them.
    """

    records: tuple[Record, ...]
    waited: bool = False
    lock: HeldLock | None = None
    fenced: bool = False
    again: Callable[[], object] = lambda: None
    interrupted: tuple[Record, ...] = ()
    lock_released: bool = False


class GitLedger:
    """One branch of one repository.

    Args:
        ref: as `orchestrator.core.state_refs` names it.
        outage_seconds: how long a remote that cannot be reached is waited for.
    """

    def __init__(
        self,
        repository: StateRepository,
        ref: str,
        pending: PendingRecords,
        *,
        outage_seconds: float = OUTAGE_SECONDS,
    ) -> None:
        self._outage_seconds = outage_seconds
        self._repository = repository
        self._ref = ref
        self._pending = pending
        self._tree: LedgerTree | None = None
        self._ahead: Future[LedgerTree] | None = None
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")

    @property
    def tip(self) -> str:
        """The commit of the branch that was read or written last; empty where there was none."""
        return self._tree.tip if self._tree is not None else ""

    def close_reading(self) -> None:
        """Nothing is read ahead any more."""
        self._pool.shutdown(cancel_futures=True)

    def read_ahead(self) -> None:
        """The branch is read from now on; who needs it next, for `holds` or for an event, gets what it was then."""
        self._ahead = self._pool.submit(read_tree, self._repository, self._ref)

    def remember(self, record: Record) -> None:
        """This clone knows that the attempt has begun; if it is killed now, the next command here says so."""
        with contextlib.suppress(OSError):
            self._pending.keep(record)

    def open(self, record: Record, *, again: Callable[[], object] = lambda: None) -> Recorded:
        """The attempt is known to have begun; open ones whose lock had a lower token are closed as interrupted.

        Args:
            again: called when the branch has moved since it was read, or has got what waited in this clone: whatever
                was asked of it is to be asked anew.

        Raises:
            OrchestratorError: what `again` raises.
        """
        if not record.is_open:
            raise ValueError(f"{record.id} has ended already")
        return self._append(record, _Push(records=(record,), again=again))

    def close(self, record: Record, lock: HeldLock | None = None, *, fenced: bool = False) -> Recorded:
        """The attempt is known to have ended.

        Args:
            lock: released by the same push where the server can do that; `lock.release` does it otherwise.
            fenced: as for `lock.release`.
        """
        if record.is_open:
            raise ValueError(f"{record.id} has no verdict")
        shared = lock is not None and lock.branch.repository is self._repository
        return self._append(record, _Push(records=(record,), lock=lock if shared else None, fenced=fenced))

    def state(self, environment: str) -> LedgerState:
        """What is live there as far as the ledger knows.

        Raises:
            GitError: the remote cannot be reached.
            LedgerError: the branch is no ledger.
        """
        self._tree = read_tree(self._repository, self._ref)
        if self._tree.is_foreign:
            raise self._foreign()
        return self._tree.state(environment)

    def holds(self, *environments: str) -> tuple[Mapping[str, Any], ...]:
        """What is held there, by whichever of these names; a short outage of the remote is waited for.

        An attempt that has not ended, and perhaps never will, holds what it may be about to leave.

        Raises:
            GitError: the remote cannot be reached.
            LedgerError: the branch is no ledger.
        """
        began = time.monotonic()
        while True:
            try:
                self._tree = self._taken_ahead() or read_tree(self._repository, self._ref)
                break
            except GitError:
                if time.monotonic() - began >= self._outage_seconds:
                    raise
                pause(0.2, 1.0)
        if self._tree.is_foreign:
            raise self._foreign()
        found: list[Mapping[str, Any]] = []
        for name in environments:
            found += self._tree.state(name).holds
            found += (hold for record in self._tree.open_records(name) for hold in record.holds)
        return tuple(found)

    def open_records(self, environment: str) -> tuple[Record, ...]:
        """The attempts there that have begun and not ended.

        Raises:
            GitError: the remote cannot be reached.
        """
        self._tree = read_tree(self._repository, self._ref)
        return tuple(self._tree.open_records(environment))

    def check(self, environment: str) -> None:
        """The ledger can be read and, as far as the server tells without a push, written.

        Raises:
            GitError, LedgerError: it cannot.
        """
        self.state(environment)
        pushed = self._repository.try_push(self._ref)
        if pushed.verdict != "done":
            raise self._refused(pushed)

    def _taken_ahead(self) -> LedgerTree | None:
        ahead, self._ahead = self._ahead, None
        if ahead is None:
            return None
        try:
            return ahead.result()
        except GitError:
            return None

    def _append(self, record: Record, push: _Push) -> Recorded:
        with self._pending.exclusively():
            # Kept first: whatever ends this process now, a later command of this clone pushes it.
            kept = self._keep(record)
            try:
                self._push_waiting(record, push)
                commit = self._deliver(push)
            except LedgerError as error:
                return _not_pushed(error, kept)
        return Recorded(commit=commit, interrupted=push.interrupted, lock_released=push.lock_released)

    def _push_waiting(self, record: Record, push: _Push) -> None:
        """The branch has what waited here before the record: whatever was asked of it did not know that."""
        waiting = tuple(one for one in self._pending.read() if one.id != record.id)
        if waiting:
            self._deliver(_Push(records=waiting, waited=True))
            push.again()

    def _deliver(self, push: _Push) -> str:
        """The branch has the events, and this clone keeps them no more."""
        commit = self._push_until_done(push)
        for record in push.records:
            self._pending.remove(record)
        return commit

    def _push_until_done(self, push: _Push) -> str:
        began, outage, moved = time.monotonic(), 0.0, False
        while True:
            details: tuple[str, ...] = ()
            try:
                if moved:
                    push.again()
                before = self._tree or self._taken_ahead() or read_tree(self._repository, self._ref)
                self._tree = before
                if before.is_foreign:
                    raise self._foreign()
                after = self._extend(before, push)
                if after.tip == before.tip:
                    return after.tip
                pushed = self._push(Move(ref=self._ref, expected=before.tip, commit=after.tip), push)
                if pushed.verdict == "done":
                    self._tree = after
                    return after.tip
                if pushed.verdict == "refused":
                    raise self._refused(pushed)
                details, raced = pushed.details, pushed.verdict == "raced"
            except GitError as error:
                details, raced = error.details, False
            self._tree, moved = None, True
            now = time.monotonic()
            outage = 0.0 if raced else outage or now
            if now - began > RACE_SECONDS or (outage and now - outage >= self._outage_seconds):
                self._outage_seconds = 0.0  # once is enough for one command
                raise self._unreachable(details)
            spread = min(2.0, 0.1 + (now - began) / 10)
            pause(0.01, spread if raced else 2 * spread)

    def _extend(self, tree: LedgerTree, push: _Push) -> LedgerTree:
        try:
            for record in push.records:
                tree, push.interrupted = tree.append(record, waited=push.waited)
        except GitFailureError as error:
            raise LedgerError(
                "the record cannot be committed or signed",
                details=error.details,
                resolution="see `[ledger] signing_key` in orchestrator.toml, and git's user.signingkey and "
                "gpg.format",
            ) from None
        return tree

    def _push(self, move: Move, push: _Push) -> Pushed:
        """The event alone, or together with the lock's release."""
        lock = push.lock
        if lock is None or lock.lost.is_set():
            return self._repository.push(move)
        with lock.unchanging():
            release = lock.releasing(fenced=push.fenced)
            pushed = self._repository.push(move, release)
            if pushed.verdict == "done":
                lock.released(release)
                push.lock_released = True
                return pushed
            if pushed.verdict == "unreachable" or (pushed.verdict == "raced" and _is_ours(lock)):
                return pushed
        # The lock was lost, or the server cannot push both at once: the event goes alone.
        push.lock = None
        return self._repository.push(move)

    def _keep(self, record: Record) -> str | OSError:
        try:
            return str(self._pending.keep(record))
        except OSError as error:
            return error

    def _refused(self, pushed: Pushed) -> LedgerError:
        return LedgerError(
            f"{self._repository.shown} does not allow a push to {short(self._ref)}",
            details=pushed.details,
            resolution="allow this account to push to `orchestrator/**` there (write access, no protection "
            'of these branches), or name another repository in orchestrator.toml: [ledger] repository = "..."',
        )

    def _unreachable(self, details: tuple[str, ...]) -> LedgerError:
        return LedgerError(
            f"the record could not be pushed to {short(self._ref)} of {self._repository.shown}",
            details=details,
            resolution="check the network and your access to it",
        )

    def _foreign(self) -> LedgerError:
        return LedgerError(
            f"the branch {short(self._ref)} of {self._repository.shown} is no ledger: it has no {MARK}",
            resolution='name another branch in orchestrator.toml: [ledger] ref = "..."; if it was one, restore '
            "its last good commit by a further commit",
        )


def _is_ours(lock: HeldLock) -> bool:
    """Whether the lock is still ours, as far as can be found out."""
    try:
        return lock.is_still_ours()
    except GitError:
        return True


def _not_pushed(error: LedgerError, kept: str | OSError) -> Recorded:
    if isinstance(kept, str):
        what, path = f"it is kept in {kept}; the next command that writes to the ledger pushes it", kept
    else:
        what, path = f"it cannot be kept here either ({kept.strerror}): keep what is printed", ""
    resolution = f"{error.resolution}; {what}"
    return Recorded(
        pending=path, problem=LedgerError(error.brief, details=error.details, resolution=resolution)
    )
