"""Record: what happened is kept, whatever happened."""

from __future__ import annotations

import functools
from dataclasses import asdict, replace
from importlib.metadata import version

from orchestrator import __version__
from orchestrator.core.inventory import Run
from orchestrator.core.observed import Identity
from orchestrator.core.outcome import Outcome, PlacementOutcome
from orchestrator.core.plan import Plan, Step
from orchestrator.core.record import PLANNED, Record, RecordPlacement, interrupt_record
from orchestrator.edges.clock import moment
from orchestrator.edges.failures import error_for_outcome
from orchestrator.edges.git import Revision
from orchestrator.edges.held_lock import HeldLock
from orchestrator.errors import OrchestratorError
from orchestrator.intent import Intent
from orchestrator.order import Order

PROVEN = ("deployed", "unchanged", "unproven")
TOOLS = ("ansible-core", "ansible-runner")


def begun_record(
    identity: Identity, revision: Revision, run: Run, order: Order, lock: HeldLock | None = None
) -> Record:
    """The attempt as far as it is known without its documents."""
    ci = order.ci
    return Record(
        id=run.id,
        kind="rollback" if order.is_rollback else "adopt" if order.adopt else "deploy",
        reasons=() if order.rollback is None else (order.rollback.reason(),),
        actor=run.actor,
        ci=None if ci.name == "plain" else {"name": ci.name, "url": ci.url, "actor": ci.actor},
        started=run.time,
        environment=identity.environment,
        repository=identity.repository,
        stack=identity.stack,
        branch=revision.branch,
        commit=revision.commit,
        lock_token=None if lock is None else lock.token,
        no_lock_reason=order.no_lock_reason or None,
        allow_older_reason=order.allow_older_reason or None,
        tools=dict(_tools()),
    )


@functools.cache
def _tools() -> tuple[tuple[str, str], ...]:
    """What carries it out, and its version."""
    return ("orchestrator", __version__), *((name, version(name)) for name in TOOLS)


def opened_record(
    intent: Intent, run: Run, order: Order, lock: HeldLock | None, plan: Plan | None = None
) -> Record:
    """The attempt as it begins: with a plan, what it is about to change."""
    begun = begun_record(intent.identity, intent.revision, run, order, lock)
    return replace(
        begun,
        manifest_version=intent.desired.manifest_version,
        intent_id="" if plan is None else plan.intent_id,
        plan_id="" if plan is None else plan.plan_id,
        placements=() if plan is None else tuple(_planned(step) for step in plan.steps),
    )


def closed_record(opened: Record, plan: Plan, outcome: Outcome) -> Record:
    """The attempt as it ended."""
    steps = {(step.application, step.host, step.deployment_path): step for step in plan.steps}
    placements = tuple(
        _ended(steps[(one.application, one.host, one.deployment_path)], one) for one in outcome.placements
    )
    tests = tuple(
        {"application": one.application, "host": one.host, **asdict(test)}
        for one in outcome.placements
        for test in one.tests
    )
    hooks = tuple(
        {"application": one.application, "host": one.host, **asdict(hook)}
        for one in outcome.placements
        for hook in one.hooks
    )
    error = None if outcome.verdict == "cancelled" else error_for_outcome(outcome)
    said = "" if error is None else error.brief
    return replace(
        opened, verdict=outcome.verdict, placements=placements, hooks=hooks, tests=tests, error=said
    )


def failed_record(opened: Record, plan: Plan | None, error: OrchestratorError) -> Record:
    """An attempt that ended before any host was changed, and why."""
    said = f"{error.brief}: {'; '.join(error.details)}" if error.details else error.brief
    placements = tuple(
        replace(
            one,
            result="unchanged" if one.result == "unchanged" else "not started",
            version=one.from_version,
            message="nothing was done there",
        )
        for one in opened.placements
    )
    return replace(opened, verdict="failed", placements=placements, error=said[:2000])


def abandoned_record(opened: Record) -> Record:
    """An attempt that a defect of ours ended."""
    return interrupt_record(opened, ended=moment())


def _planned(step: Step) -> RecordPlacement:
    return RecordPlacement(
        application=step.application,
        host=step.host,
        region=step.region,
        deployment_path=step.deployment_path,
        result=PLANNED if step.changes else "unchanged" if step.action == "skip" else "left out",
        from_version=step.from_version,
        to_version=step.to_version,
        version=step.from_version,
        message=step.reason,
    )


def _ended(step: Step, one: PlacementOutcome) -> RecordPlacement:
    proven = one.result in PROVEN
    facts = {
        name: value for name, value in asdict(one).items() if name in RecordPlacement.__dataclass_fields__
    }
    return RecordPlacement(
        **facts,
        region=step.region,
        release=step.release if proven else "",
        artifact_sha256=step.artifact_sha256 if proven else "",
        configuration_digest=step.configuration_digest if proven else "",
    )
