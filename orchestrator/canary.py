"""What a rollout does after its canary: it pauses, or waits until somebody approves or rejects it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.core.approval import Approval
from orchestrator.core.inventory import Run
from orchestrator.core.model import Canary, Desired
from orchestrator.edges.approval_branch import ApprovalBranch
from orchestrator.edges.clock import moment
from orchestrator.edges.state import State
from orchestrator.errors import GitError, LockError, OrchestratorError

STEP_SECONDS = 0.2
ASK_SECONDS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whether a rollout goes on, and by whose word, one sentence."""

    goes_on: bool
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryWait:
    """The wait of one rollout; `decide` blocks until it is over.

    Attributes:
        branch: where `orchestrator continue` answers.
        say: prints one line for the reader.
        cancelled: whether the rollout is to end.
    """

    canary: Canary
    branch: ApprovalBranch
    environment: str
    run: str
    say: Callable[[str], None]
    cancelled: Callable[[], bool]

    def decide(self, what: str) -> Decision:
        """Return what comes of it.

        Args:
            what: what is live on which hosts, one sentence.
        """
        if self.canary.pause_seconds:
            until = moment(self.canary.pause_seconds)
            self.say(f"canary: {what}; the rollout goes on at {until}")
            self._pass(self.canary.pause_seconds, lambda: None)
            return self._over(Decision(goes_on=True, why=f"after a pause of {self.canary.pause_seconds} s"))
        until = moment(self.canary.approval_timeout_seconds)
        try:
            answer = self._wait_for_answer(what, until)
        except OrchestratorError as error:
            return Decision(goes_on=False, why=f"nobody could be asked for an approval: {error.brief}")
        why = f"nobody approved it within {self.canary.approval_timeout_seconds} s"
        return self._over(answer or Decision(goes_on=False, why=why))

    def _over(self, decision: Decision) -> Decision:
        if self.cancelled():
            return Decision(goes_on=False, why="it was cancelled while it waited")
        self.say(
            f"canary: {'the rollout goes on' if decision.goes_on else 'the rollout stops'}: {decision.why}"
        )
        return decision

    def _wait_for_answer(self, what: str, until: str) -> Decision | None:
        seconds = self.canary.approval_timeout_seconds
        if self.canary.approval_file:
            path, began = Path(self.canary.approval_file), time.time()
            self.say(f"canary: {what}; the rollout waits for the file {path} until {until}")
            return self._pass(seconds, lambda: _appeared(path, began))
        waiting = Approval(environment=self.environment, run=self.run, what=what, since=moment(), until=until)
        self.branch.announce(waiting)
        self.say(
            f"canary: {what}; the rollout waits for `orchestrator continue {self.environment}` "
            f"(or with --reject) until {until}"
        )
        asked = _Asking(self.branch, self.run)
        answer = self._pass(seconds, asked.ask)
        if answer is None:
            self._end(waiting)
        return answer

    def _end(self, waiting: Approval) -> None:
        """Nobody is asked any more; when that cannot be said, the deadline says it."""
        try:
            self.branch.write(replace(waiting, answer="ended"))
        except (GitError, LockError):
            return

    def _pass(self, seconds: float, look: Callable[[], Decision | None]) -> Decision | None:
        """Until the time is over, something was decided, or the rollout is to end."""
        deadline = time.monotonic() + seconds
        while not self.cancelled():
            decision = look()
            rest = deadline - time.monotonic()
            if decision is not None or rest <= 0:
                return decision
            time.sleep(min(STEP_SECONDS, rest))
        return None


def canary_wait(
    desired: Desired, state: State, run: Run, say: Callable[[str], None], cancelled: Callable[[], bool]
) -> CanaryWait:
    """Return the wait of that run's rollout, whose strategy has a canary."""
    assert desired.strategy.canary is not None
    return CanaryWait(
        canary=desired.strategy.canary,
        branch=state.approvals(desired.environment),
        environment=desired.environment,
        run=run.id,
        say=say,
        cancelled=cancelled,
    )


class _Asking:
    """Looks at the branch now and then; a remote that does not answer is asked again."""

    def __init__(self, branch: ApprovalBranch, run: str) -> None:
        self._branch, self._run, self._next = branch, run, 0.0

    def ask(self) -> Decision | None:
        if time.monotonic() < self._next:
            return None
        try:
            found = self._branch.read()
        except GitError:
            found = None
        self._next = time.monotonic() + ASK_SECONDS
        if found is None or found.run != self._run or found.answer == "waiting":
            return None
        reason = f": {found.reason}" if found.reason else ""
        return Decision(goes_on=found.answer == "approved", why=f"{found.answer} by {found.by}{reason}")


def _appeared(path: Path, began: float) -> Decision | None:
    """A file that was there before the wait began is of another rollout."""
    try:
        new = path.stat().st_mtime >= began - 1
    except OSError:
        return None
    return Decision(goes_on=True, why=f"the file {path} appeared") if new else None
