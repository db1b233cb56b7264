"""Holds: set and lifted by records of the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestrator import workflow
from orchestrator.core.inventory import Run
from orchestrator.core.promotion_rules import HOLD, UNHOLD, Hold, hold_document
from orchestrator.core.record import Record
from orchestrator.core.violations import Violations, quote
from orchestrator.edges.state import State, open_state
from orchestrator.errors import UsageError
from orchestrator.intent import Intent, Target, read_intent
from orchestrator.promotion_gate import read_holds_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A hold that is in force now."""

    environment: str
    hold: Hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifted:
    """What was lifted, and what else holds the environment."""

    environment: str
    lifted: tuple[Hold, ...]
    kept: tuple[Hold, ...]


def hold(directory: str, environment: str, application: str, *, reason: str, purpose: str) -> Held:
    """The environment, or that application there, is held.

    Raises:
        UsageError: there is no such application.
        GitError, LedgerError, RevisionError, DocumentError.
    """
    intent = read_intent(Target(directory=Path(directory), environment=environment))
    _check_application(intent, application)
    run = workflow.new_run(intent.repository)
    made = Hold(id=run.id, application=application, purpose=purpose, reason=reason, by=run.actor, at=run.time)
    with open_state(intent.repository, intent.settings, actor=run.actor) as state:
        _record(state, intent, kind=HOLD, holds=(made,), reason=reason, run=run)
    return Held(environment=intent.desired.environment, hold=made)


def unhold(directory: str, environment: str, application: str, *, everything: bool, reason: str) -> Lifted:
    """The environment, or that application there, is held no more.

    Raises:
        GitError, LedgerError, RevisionError, DocumentError, UsageError.
    """
    intent = read_intent(Target(directory=Path(directory), environment=environment))
    run = workflow.new_run(intent.repository)
    with open_state(intent.repository, intent.settings, actor=run.actor) as state:
        holds = read_holds_of(state, intent.desired.environment)
        lifted = tuple(one for one in holds if everything or one.application == application)
        if not lifted and application and all(one.application != application for one in holds):
            _check_application(intent, application)
        if lifted:
            _record(state, intent, kind=UNHOLD, holds=lifted, reason=reason, run=run)
    kept = tuple(one for one in holds if one not in lifted)
    return Lifted(environment=intent.desired.environment, lifted=lifted, kept=kept)


def _check_application(intent: Intent, application: str) -> None:
    names = {placement.application.name for placement in intent.desired.placements}
    if application and application not in names:
        near = Violations().near_miss(application, names)
        raise UsageError(
            f"{intent.desired.environment} has no application {quote(application)}{near}",
            resolution=f"it has {', '.join(sorted(names))}",
        )


def _record(
    state: State, intent: Intent, *, kind: str, holds: tuple[Hold, ...], reason: str, run: Run
) -> None:
    """The ledger has it, or it is an error: a hold that only this clone knows of holds nobody."""
    recorded = state.ledger.close(
        Record(
            id=run.id,
            kind=kind,
            actor=run.actor,
            started=run.time,
            ended=run.time,
            environment=intent.desired.environment,
            repository=intent.identity.repository,
            stack=intent.identity.stack,
            branch=intent.revision.branch,
            commit=intent.revision.commit,
            manifest_version=intent.desired.manifest_version,
            reasons=(reason,) if reason else (),
            holds=tuple(hold_document(hold) for hold in holds),
            verdict="success",
        )
    )
    if recorded.problem is not None:
        raise recorded.problem
