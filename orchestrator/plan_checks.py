"""Whether a plan that was made may be carried out now: silent hosts, windows, holds, and proofs from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from orchestrator.core.observed import ObservedHost
from orchestrator.core.plan import Plan
from orchestrator.core.settings import Settings
from orchestrator.core.windows import judge_windows
from orchestrator.edges.failures import error_for_hosts
from orchestrator.edges.state import State
from orchestrator.errors import WindowError
from orchestrator.intent import Intent
from orchestrator.order import Order
from orchestrator.promotion_gate import check_gate, look_at_gate


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanChecks:
    """The checks of one attempt, none of which touches a host.

    Attributes:
        note: tells a reader something.
        trusted: orchestrator.toml of where the protection's rules come from; None: there is none.
    """

    order: Order
    intent: Intent
    note: Callable[[str], None]
    trusted: Settings | None = None

    def check_answers(self, plan: Plan, observed: Mapping[str, ObservedHost]) -> None:
        """Enough hosts have answered.

        Raises:
            OrchestratorError: more than `max_unreachable` have not.
        """
        if len(plan.unknown_hosts) > plan.strategy.max_unreachable:
            raise error_for_hosts(observed[name] for name in plan.unknown_hosts)

    def check_windows(self) -> tuple[str, ...]:
        """The environment is open, or somebody says why it cannot wait; returns that for the record.

        Raises:
            WindowError: it is closed.
        """
        desired, reason = self.intent.desired, self.order.override_window_reason
        state = judge_windows(desired.windows, datetime.now(UTC))
        if state.is_open:
            return ()
        if not self.order.check and not reason:
            raise WindowError(
                f"{desired.environment} is closed for deployments: {state.why}",
                details=(f"it opens {state.opening}",),
                resolution="deploy then, or say why it cannot wait: --override-window REASON, which is recorded",
            )
        closed = f"{desired.environment} is closed: {state.why}; it opens {state.opening}"
        self.note(f"{closed}; overridden: {reason}" if reason else closed)
        return (f"window overridden ({state.why}): {reason}",) if reason else ()

    def check_gate(self, state: State, plan: Plan) -> None:
        """Nothing that the plan changes is held, or has to prove itself elsewhere first.

        Raises:
            HoldError, PromotionError, LedgerError: as `orchestrator.promotion_gate.check_gate`.
        """
        check_gate(
            self.intent,
            plan,
            state,
            is_rollback=self.order.rollback is not None,
            may_be_offline=bool(self.order.no_lock_reason),
            trusted=self.trusted,
            note=self.note,
        )

    def show_gate(self, plan: Plan) -> None:
        """Of a dry run: what would refuse the deployment is said."""
        if plan.changes and self.order.rollback is None:
            for text in look_at_gate(self.intent, plan, trusted=self.trusted)[1]:
                self.note(text)
