"""Holds: set and lifted by records of the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestrator import workflow
from orchestrator.core.inventory import Run
from orchestrator.core.observed import Identity
from orchestrator.core.promotion_rules import HOLD, UNHOLD, Hold, hold_document
from orchestrator.core.record import Record
from orchestrator.core.settings import Settings
from orchestrator.core.violations import Violations, quote
from orchestrator.edges.git import DeploymentRepository, Revision
from orchestrator.edges.state import State, open_state
from orchestrator.errors import DocumentError, ProviderError, UsageError
from orchestrator.intent import Target, choose_revision, read_intent_at, read_settings
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """The environment as far as it is known: documents that are broken are no reason not to hold it.

    Attributes:
        applications: None: nobody can say.
    """

    repository: DeploymentRepository
    settings: Settings
    revision: Revision
    identity: Identity
    manifest_version: str = ""
    applications: frozenset[str] | None = None

    def check_application(self, application: str) -> None:
        """It is there, as far as is known; empty is all of them."""
        names = self.applications
        if not application or names is None or application in names:
            return
        near = Violations().near_miss(application, names)
        raise UsageError(
            f"{self.identity.environment} has no application {quote(application)}{near}",
            resolution=f"it has {', '.join(sorted(names))}",
        )


def hold(directory: str, environment: str, application: str, *, reason: str, purpose: str) -> Held:
    """The environment, or that application there, is held.

    Raises:
        UsageError: there is no such application.
        GitError, LedgerError, RevisionError.
    """
    place = _read_place(Path(directory), environment)
    place.check_application(application)
    run = workflow.new_run(place.repository)
    made = Hold(id=run.id, application=application, purpose=purpose, reason=reason, by=run.actor, at=run.time)
    with open_state(place.repository, place.settings, actor=run.actor) as state:
        _record(state, place, kind=HOLD, holds=(made,), reason=reason, run=run)
    return Held(environment=place.identity.environment, hold=made)


def unhold(directory: str, environment: str, application: str, *, everything: bool, reason: str) -> Lifted:
    """The environment, or that application there, is held no more.

    Raises:
        UsageError: there is no such application.
        GitError, LedgerError, RevisionError.
    """
    place = _read_place(Path(directory), environment)
    run = workflow.new_run(place.repository)
    with open_state(place.repository, place.settings, actor=run.actor) as state:
        holds = read_holds_of(state, place.identity.environment)
        lifted = tuple(one for one in holds if everything or one.application == application)
        if lifted:
            _record(state, place, kind=UNHOLD, holds=lifted, reason=reason, run=run)
        else:
            place.check_application(application)
    kept = tuple(one for one in holds if one not in lifted)
    return Lifted(environment=place.identity.environment, lifted=lifted, kept=kept)


def _read_place(directory: Path, environment: str) -> _Place:
    repository = DeploymentRepository(directory)
    revision, _ = choose_revision(repository, Target(directory=directory, environment=environment))
    try:
        intent = read_intent_at(repository, revision, environment)
    except (DocumentError, ProviderError):
        settings = read_settings(repository, revision)  # has to be right: it says where the ledger is
        return _Place(
            repository=repository,
            settings=settings,
            revision=revision,
            identity=Identity(
                repository=settings.name or repository.name, stack=repository.stack, environment=environment
            ),
        )
    return _Place(
        repository=repository,
        settings=intent.settings,
        revision=revision,
        identity=intent.identity,
        manifest_version=intent.desired.manifest_version,
        applications=frozenset(one.application.name for one in intent.desired.placements),
    )


def _record(
    state: State, place: _Place, *, kind: str, holds: tuple[Hold, ...], reason: str, run: Run
) -> None:
    """The ledger has it, or it is an error: a hold that only this clone knows of holds nobody."""
    recorded = state.ledger.close(
        Record(
            id=run.id,
            kind=kind,
            actor=run.actor,
            started=run.time,
            ended=run.time,
            environment=place.identity.environment,
            repository=place.identity.repository,
            stack=place.identity.stack,
            branch=place.revision.branch,
            commit=place.revision.commit,
            manifest_version=place.manifest_version,
            reasons=(reason,) if reason else (),
            holds=tuple(hold_document(hold) for hold in holds),
            verdict="success",
        )
    )
    if recorded.problem is not None:
        raise recorded.problem
