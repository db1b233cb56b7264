"""The branch of one environment's lock: what its tip says, commits that say something else, and pushing them."""

from __future__ import annotations

import random
import time

from orchestrator.core.lock_state import Holder, LockState, parse_lock_state, render_lock
from orchestrator.edges.state_repository import Move, Pushed, StateRepository
from orchestrator.errors import GitError, LockError

FILE = "lock.json"
CONFIRM_SECONDS = 15.0


class LockBranch:
    """One environment's branch.

    Args:
        ref: as `orchestrator.core.state_refs` names it.
        holder: in whose name this process acts.
    """

    def __init__(
        self, repository: StateRepository, ref: str, *, environment: str, stack: str, holder: Holder
    ) -> None:
        self.repository = repository
        self.ref = ref
        self.environment = environment
        self.stack = stack
        self.holder = holder
        self._known: tuple[str, LockState | None] = ("", None)

    def read(self) -> tuple[str, LockState | None]:
        """The branch's tip and what it says; empty and None when the environment was never locked.

        Raises:
            GitError: the remote cannot be reached.
            LockError: the branch holds something else.
        """
        tip = self.repository.fetch(self.ref)
        self._known = (tip, self._parse(tip) if tip else None)
        return self._known

    def read_ahead(self) -> tuple[str, LockState | None]:
        """What the branch said a moment ago, where it was fetched together with something else; else as `read`.

        Raises:
            GitError, LockError: as `read`.
        """
        tip = self.repository.fetched_ahead(self.ref)
        if not tip:
            return self.read()
        self._known = (tip, self._parse(tip))
        return self._known

    def look_again(self) -> tuple[str, LockState | None]:
        """As `read`, without fetching where the tip is the one that is known."""
        return self._known if self.repository.tip(self.ref) == self._known[0] else self.read()

    def commit(self, state: LockState, *, parent: str, what: str) -> str:
        """A commit with that state, not pushed yet."""
        text = " ".join("".join(one if one.isprintable() else " " for one in what).split())
        message = f"{self.environment}: lock {text[:200]} [skip ci]\n\nToken {state.token}, {state.holder}\n"
        blob = self.repository.write(render_lock(state))
        return self.repository.commit({FILE: blob}, parent=parent, message=message)

    def push(self, move: Move) -> bool:
        """Whether the branch was moved by us; False: somebody was quicker, nothing was changed.

        When the connection breaks during the push nobody knows: then the branch is looked at.

        Raises:
            GitError: the remote cannot be reached.
            LockError: the server does not allow it.
        """
        pushed = self.repository.push(move)
        match pushed.verdict:
            case "done":
                return True
            case "raced":
                return False
            case "refused":
                raise self.refused(pushed)
        deadline = time.monotonic() + CONFIRM_SECONDS
        while True:
            try:
                if self.repository.tip(move.ref) == move.commit:
                    return True
            except GitError:
                if time.monotonic() < deadline:
                    pause(0.5, 1.0)
                    continue
            raise self.repository.unreachable(pushed.details)

    def refused(self, pushed: Pushed) -> LockError:
        """The error for a server that does not let us write the branch."""
        return LockError(
            f"{self.repository.shown} does not allow a push to {short(self.ref)}",
            details=pushed.details,
            resolution="allow this account to push to `orchestrator/**` there (write access, no protection "
            'of these branches), or name another repository in orchestrator.toml: [lock] repository = "..."',
        )

    def _parse(self, tip: str) -> LockState:
        blob = self.repository.files(tip).get(FILE)
        try:
            if blob is None:
                raise ValueError(f"it has no {FILE}")
            return parse_lock_state(self.repository.read(blob))
        except ValueError as error:
            raise LockError(
                f"the branch {short(self.ref)} of {self.repository.shown} is not a lock that can be read",
                details=(str(error),),
                resolution=f"see `git log` of that branch and restore its last good {FILE} by a further commit; "
                "do not delete it: tokens would begin anew, and hosts refuse them",
            ) from None


def short(ref: str) -> str:
    """A branch as people call it."""
    return ref.removeprefix("refs/heads/")


def pause(least: float, most: float) -> None:
    """Some time has passed, not the same for everybody who waits."""
    time.sleep(random.uniform(least, most))
