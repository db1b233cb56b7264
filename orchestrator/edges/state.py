"""What a deployment repository keeps in git beside its documents: locks and the ledger."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator

from orchestrator.core.lock_state import Holder, LockState
from orchestrator.core.settings import Settings, environment_names
from orchestrator.core.state_refs import approval_ref, is_lock_ref_of, ledger_ref, lock_ref
from orchestrator.core.state_settings import LOCK_PREFIX
from orchestrator.edges.approval_branch import ApprovalBranch
from orchestrator.edges.clone import read_clone
from orchestrator.edges.git import DeploymentRepository
from orchestrator.edges.git_ledger import OUTAGE_SECONDS, GitLedger
from orchestrator.edges.lock import EnvironmentLock
from orchestrator.edges.lock_branch import LockBranch
from orchestrator.edges.pending import PendingRecords
from orchestrator.edges.process_identity import this_process_identity
from orchestrator.edges.state_repositories import StateRepositories
from orchestrator.edges.state_repository import StateRepository


class State:
    """Lock and ledger of one stack, for one command. Made by `open_state`."""

    def __init__(
        self,
        settings: Settings,
        *,
        stack: str,
        ledger_repository: StateRepository,
        lock_repository: StateRepository,
        pending: PendingRecords,
        outage_seconds: float,
    ) -> None:
        self._settings = settings
        self._stack = stack
        self._lock_repository = lock_repository
        self.ledger = GitLedger(
            ledger_repository, ledger_ref(settings, stack), pending, outage_seconds=outage_seconds
        )

    def lock(self, environment: str, holder: Holder) -> EnvironmentLock:
        """The lock of that environment, for `holder`."""
        branch = LockBranch(
            self._lock_repository,
            lock_ref(environment, self._stack),
            environment=environment,
            stack=self._stack,
            holder=holder,
        )
        return EnvironmentLock(branch, expiry_seconds=self._settings.lock.expiry_seconds)

    def locked_as(self, environment: str, holder: Holder) -> str:
        """The name by which the environment has been locked: its documents may call `production` `prod`.

        Raises:
            GitError: the remote cannot be reached.
            LockError: a branch holds something else.
        """
        names = environment_names(environment)
        known = (name for name in names if len(names) > 1 and self.lock(name, holder).show() is not None)
        return next(known, environment)

    def approvals(self, environment: str) -> ApprovalBranch:
        """Where that environment's rollouts are approved."""
        ref = approval_ref(environment, self._stack)
        return ApprovalBranch(self._lock_repository, ref, environment=environment)

    def asked_approvals(self, environment: str) -> ApprovalBranch:
        """The same, by the name by which somebody was asked.

        Raises:
            GitError: the remote cannot be reached.
            LockError: a branch holds something else.
        """
        branches = [self.approvals(name) for name in environment_names(environment)]
        asked = (one for one in branches[1:] if branches[0].read() is None and one.read() is not None)
        return next(asked, branches[0])

    def locks(self, holder: Holder) -> dict[str, LockState]:
        """Every lock of this stack that was ever taken, by environment.

        Raises:
            GitError: the remote cannot be reached.
            LockError: a branch holds something else.
        """
        found = {}
        for ref in sorted(self._lock_repository.list_refs(LOCK_PREFIX)):
            if is_lock_ref_of(ref, self._stack):
                branch = LockBranch(
                    self._lock_repository, ref, environment="", stack=self._stack, holder=holder
                )
                state = branch.read()[1]
                if state is not None:
                    found[state.environment] = state
        return found


@contextlib.contextmanager
def open_state(
    repository: DeploymentRepository,
    settings: Settings,
    *,
    actor: str = "",
    repositories: StateRepositories | None = None,
    outage_seconds: float = OUTAGE_SECONDS,
) -> Iterator[State]:
    """Lock and ledger as `settings` place them; what git needs for that is removed afterwards.

    Locks that are still held have to be released inside.

    Args:
        actor: author of the commits where git knows none; empty: as the repository says.
        repositories: of the command; None: this has its own.
        outage_seconds: how long the ledger waits for a remote that cannot be reached.

    Raises:
        GitError: the clone cannot be read.
    """
    with contextlib.ExitStack() as opened:
        if repositories is None:
            clone = read_clone(repository.directory)
            repositories = opened.enter_context(StateRepositories(clone, actor=actor or repository.actor))
        ledger_repository = repositories.at(
            settings.ledger.repository, signing_key=settings.ledger.signing_key
        )
        lock_repository = ledger_repository
        if settings.lock.repository not in ("", settings.ledger.repository):
            lock_repository = repositories.at(settings.lock.repository)
        state = State(
            settings,
            stack=repository.stack,
            ledger_repository=ledger_repository,
            lock_repository=lock_repository,
            pending=PendingRecords(repository.state_directory / "pending"),
            outage_seconds=outage_seconds,
        )
        opened.callback(state.ledger.close_reading)
        yield state


def this_process(
    repository: DeploymentRepository, *, actor: str = "", run: str = "", ci_name: str = "", ci_url: str = ""
) -> Holder:
    """This process as the holder of a lock."""
    return Holder(
        actor=actor or repository.actor,
        host=socket.gethostname(),
        pid=os.getpid(),
        process=this_process_identity(),
        run=run,
        ci_name=ci_name,
        ci_url=ci_url,
    )
