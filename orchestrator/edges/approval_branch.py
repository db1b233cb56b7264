"""The branch on which one environment's rollouts wait for an approval, and get it: from any clone of the repository."""

from __future__ import annotations

from orchestrator.core.approval import Approval, parse_approval, render_approval
from orchestrator.edges.push_answers import PushVerdict
from orchestrator.edges.state_repository import Move, StateRepository
from orchestrator.errors import GitError, LockError

FILE = "approval.json"
TRIES = 5


class ApprovalBranch:
    """One environment's branch.

    Args:
        ref: as `orchestrator.core.state_refs` names it.
    """

    def __init__(self, repository: StateRepository, ref: str, *, environment: str) -> None:
        self._repository, self._ref, self._environment = repository, ref, environment
        self._known: tuple[str, Approval | None] = ("", None)

    def read(self) -> Approval | None:
        """What the branch says now; None when there never was anything. Nothing is fetched where nothing is new.

        Raises:
            GitError: the remote cannot be reached.
            LockError: the branch holds something else.
        """
        if self._repository.tip(self._ref) != self._known[0]:
            tip = self._repository.fetch(self._ref)
            self._known = (tip, self._parse(tip) if tip else None)
        return self._known[1]

    def write(self, approval: Approval) -> bool:
        """Whether the branch says so now; False: it has changed since it was read.

        Raises:
            GitError: the remote cannot be reached.
            LockError: the server does not allow it.
        """
        tip = self._known[0]
        blob = self._repository.write(render_approval(approval))
        by = f" by {approval.by}" if approval.by else ""
        message = f"{self._environment}: rollout {approval.run} {approval.answer}{by}"[:200] + " [skip ci]\n"
        commit = self._repository.commit({FILE: blob}, parent=tip, message=message)
        if self._push(Move(ref=self._ref, expected=tip, commit=commit)) != "done":
            return False
        self._known = (commit, approval)
        return True

    def announce(self, approval: Approval) -> None:
        """The branch says that the rollout waits, whatever it said before.

        Raises:
            GitError, LockError: it cannot be said.
        """
        for _ in range(TRIES):
            self.read()
            if self.write(approval):
                return
        raise GitError(
            f"{self._ref} of {self._repository.shown} changes all the time",
            resolution="see who writes to it; only rollouts and `orchestrator continue` do",
        )

    def _push(self, move: Move) -> PushVerdict:
        pushed = self._repository.push(move)
        if pushed.verdict == "refused":
            raise LockError(
                f"{self._repository.shown} does not allow a push to {self._ref}",
                details=pushed.details,
                resolution="allow this account to push to `orchestrator/**` there (write access, no protection of "
                "these branches)",
            )
        if pushed.verdict == "unreachable":
            raise self._repository.unreachable(pushed.details)
        return pushed.verdict

    def _parse(self, tip: str) -> Approval:
        blob = self._repository.files(tip).get(FILE)
        try:
            if blob is None:
                raise ValueError(f"it has no {FILE}")
            return parse_approval(self._repository.read(blob))
        except ValueError as error:
            raise LockError(
                f"the branch {self._ref} of {self._repository.shown} is not an approval that can be read",
                details=(str(error),),
                resolution="delete that branch; the next rollout that waits makes it anew",
            ) from None
