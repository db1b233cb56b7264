"""What a deployment is asked for, and who is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from orchestrator.core.ci import CiRun
from orchestrator.core.host_report import HostReport
from orchestrator.core.lock_state import LockState
from orchestrator.core.observed import ObservedHost
from orchestrator.core.plan import Plan
from orchestrator.core.required_plan import RequiredPlan
from orchestrator.intent import Intent, Target
from orchestrator.rollback import RollbackOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What was asked for.

    Attributes:
        lock_timeout_seconds: how long to wait for the environment's lock.
        no_lock_reason: deploy without it, for that reason; empty: never.
        allow_older_reason: deploy another commit than the branch's tip, for that reason; empty: never.
        override_window_reason: deploy outside of the windows, for that reason; empty: never.
        prune: remove orphans, as `prune` in the environment does.
        adopt: take over what is live and not ours, and do nothing else.
        rollback: to releases that were good instead of where git says; None: deploy what git asks for.
        required: the plan that it has to amount to; None: any.
    """

    target: Target
    ci: CiRun = field(default_factory=lambda: CiRun(name="plain"))
    applications: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    check: bool = False
    diff: bool = False
    verify: bool = False
    forks: int | None = None
    lock_timeout_seconds: float = 900.0
    no_lock_reason: str = ""
    allow_older_reason: str = ""
    override_window_reason: str = ""
    prune: bool = False
    adopt: bool = False
    rollback: RollbackOrder | None = None
    required: RequiredPlan | None = None

    @property
    def is_rollback(self) -> bool:
        """Whether what is left behind is left because it is bad."""
        return self.rollback is not None and not self.rollback.last_good


class Listener(Protocol):
    """Who is told what happens."""

    def note(self, text: str) -> None:
        """Something that a reader should know."""

    def waiting(self, state: LockState) -> None:
        """The environment is another's; called once for each holder."""

    def planned(self, intent: Intent, plan: Plan, observed: Mapping[str, ObservedHost]) -> None:
        """The plan, before any host is touched; raises to stop the attempt."""

    def reported(self, report: HostReport) -> None:
        """A host has said something."""
