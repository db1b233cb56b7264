"""Whether a plan may be carried out as far as holds and `require_deployed_in` go; what a rollback holds."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from orchestrator.core.observed import ObservedHost
from orchestrator.core.plan import Plan
from orchestrator.core.promotion_rules import Hold, find_hold, judge_rules, parse_holds
from orchestrator.core.settings import Settings, environment_names
from orchestrator.edges.git import DeploymentRepository, Revision
from orchestrator.edges.state import State, open_state
from orchestrator.errors import (
    DocumentError,
    GitError,
    HoldError,
    LedgerError,
    OrchestratorError,
    PromotionError,
)
from orchestrator.intent import Intent, read_settings
from orchestrator.ledger_source import read_records, rules_of, settings_of
from orchestrator.signed_proofs import Proofs


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What stands in the way of a plan.

    Attributes:
        holds: those in force in the environment, whatever they are about.
        held: why something that would change is held.
        unproven: why something that would be installed has not proven itself elsewhere.
    """

    environment: str
    holds: tuple[Hold, ...] = ()
    held: tuple[str, ...] = ()
    unproven: tuple[str, ...] = ()

    @property
    def blocked(self) -> tuple[str, ...]:
        """All of it."""
        return (*self.held, *self.unproven)

    def error(self) -> OrchestratorError | None:
        """What refuses the deployment; None: nothing does."""
        if self.held:
            return HoldError(
                f"{self.environment} is held: nothing was deployed",
                details=self.blocked,
                resolution="do what is said there; --application deploys what is not held",
            )
        if self.unproven:
            return PromotionError(
                f"{self.environment} does not take what has not proven itself elsewhere: nothing was deployed",
                details=self.unproven,
                resolution="do what is said there; --application deploys what has",
            )
        return None


def judge_plan(
    repository: DeploymentRepository, settings: Iterable[Settings], plan: Plan, holds: tuple[Hold, ...]
) -> Gate:
    """What stands in the way of the plan.

    Args:
        settings: orchestrator.toml wherever it counts; the first says where the ledger is. All their rules count.

    Raises:
        GitError, LedgerError: a rule asks for a ledger that cannot be read.
    """
    settings = tuple(settings)
    environment = plan.identity.environment
    changes = dict.fromkeys(
        (step.application, step.artifact_sha256, step.to_version) for step in plan.changes
    )
    held = []
    for application, sha256, _ in changes:
        hold = find_hold(holds, application, "deploy", sha256)
        if hold is not None:
            held.append(hold.describe(environment))
    rules, unproven = rules_of(settings, environment), []
    if rules.require_deployed_in and changes:
        location = settings_of(settings[0], environment).deployed_in_ledger
        proofs = Proofs(
            settings=settings[1:] or settings,  # a commit does not bring the keys that vouch for it
            environment=environment,
            digests=frozenset(sha256 for _, sha256, _ in changes),
        )
        records = {
            name: read_records(repository, settings[0], name, location=location, proofs=proofs)
            for name in rules.require_deployed_in
        }
        now = datetime.now(UTC)
        installs = {step.application for step in plan.changes if step.action in ("install", "adopt")}
        for application, sha256, version in changes:
            problem = judge_rules(rules, records, application, sha256, now)
            if application in installs and problem:
                unproven.append(f"{application} {version}: {problem}")
    return Gate(
        environment=environment, holds=holds, held=tuple(dict.fromkeys(held)), unproven=tuple(unproven)
    )


def gate_of(intent: Intent, plan: Plan, state: State, trusted: Settings | None = None) -> Gate:
    """What stands in the way of that plan of that intent.

    The rules are those of the commit and of what was there before it: a commit does not free itself from a rule.

    Args:
        trusted: orchestrator.toml of where the protection's rules come from: the last deployed commit, or a policy.

    Raises:
        GitError, LedgerError: the ledger cannot be read.
    """
    holds = read_holds_of(state, intent.desired.environment)
    return judge_plan(intent.repository, _settings_of(intent, trusted), plan, holds)


def read_holds_of(state: State, environment: str) -> tuple[Hold, ...]:
    """The holds that are in force in the environment.

    Raises:
        GitError, LedgerError: the ledger cannot be read.
    """
    return parse_holds(state.ledger.holds(*environment_names(environment)))


def look_at_gate(
    intent: Intent, plan: Plan, *, trusted: Settings | None = None
) -> tuple[Gate | None, tuple[str, ...]]:
    """For a plan that is only shown: what stands in its way, and what to say about it."""
    try:
        with open_state(intent.repository, intent.settings, outage_seconds=0.0) as state:
            gate = gate_of(intent, plan, state, trusted)
    except (GitError, LedgerError) as error:
        return None, (f"whether something is held is not known: {error.brief}",)
    return gate, gate_notes(gate)


def gate_notes(gate: Gate) -> tuple[str, ...]:
    """What a reader of the plan should know, one sentence each."""
    others = (hold.describe(gate.environment) for hold in gate.holds)
    return (
        *(f"a deployment would be refused: {text}" for text in gate.blocked),
        *(text for text in others if text not in gate.blocked),
    )


def check_gate(
    intent: Intent,
    plan: Plan,
    state: State,
    *,
    is_rollback: bool,
    may_be_offline: bool,
    trusted: Settings | None = None,
    note: Callable[[str], None],
) -> None:
    """The plan may be carried out. A rollback goes on in spite of holds, and says so.

    Args:
        may_be_offline: without the ledger nothing is held; a rule that asks it is kept all the same.

    Raises:
        HoldError, PromotionError: it may not.
        LedgerError: the ledger cannot be read.
    """
    try:
        if is_rollback:
            gate = Gate(
                environment=intent.desired.environment, holds=read_holds_of(state, intent.desired.environment)
            )
        else:
            gate = gate_of(intent, plan, state, trusted)
    except (GitError, LedgerError) as error:
        asks = rules_of(_settings_of(intent, trusted), intent.desired.environment).require_deployed_in
        if not may_be_offline or (asks and not is_rollback):
            raise LedgerError(
                f"the ledger does not say whether {intent.desired.environment} is held: {error.brief}",
                details=error.details,
                resolution=error.resolution,
            ) from None
        note(f"whether something is held is not known: {error.brief}")
        return
    if is_rollback:
        for hold in gate.holds:
            if not hold.sha256:
                note(f"a rollback goes on all the same: {hold.describe(gate.environment)}")
        return
    refusal = gate.error()
    if refusal is not None:
        raise refusal


def left_behind(plan: Plan, observed: Mapping[str, ObservedHost]) -> dict[tuple[str, str], str]:
    """What is live where the plan changes it: (application, SHA-256) → version."""
    left = {}
    for step in plan.changes:
        found = observed[step.host].placements.get((step.application, step.deployment_path))
        if found is not None and found.artifact_sha256 not in ("", step.artifact_sha256):
            left[step.application, found.artifact_sha256] = found.version
    return left


def _settings_of(intent: Intent, trusted: Settings | None) -> tuple[Settings, ...]:
    """orchestrator.toml of the commit, of its first parent, which was the branch's before, and of what is trusted."""
    more = () if trusted is None else (trusted,)
    commit = intent.revision.commit
    parent = intent.repository.known_commit(f"{commit}^1") if commit else None
    if parent is not None:
        with contextlib.suppress(DocumentError, GitError):
            return (intent.settings, read_settings(intent.repository, Revision(commit=parent)), *more)
    return (intent.settings, *more)
