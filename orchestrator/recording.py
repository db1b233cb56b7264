"""Record: what happened is kept, whatever happened."""

from __future__ import annotations

from dataclasses import asdict, replace
from importlib.metadata import version
from typing import TYPE_CHECKING

from orchestrator import __version__
from orchestrator.core.inventory import Run
from orchestrator.core.outcome import Outcome, PlacementOutcome
from orchestrator.core.plan import Plan, Step
from orchestrator.core.record import PLANNED, Record, RecordPlacement, interrupt_record
from orchestrator.edges.clock import moment
from orchestrator.edges.held_lock import HeldLock
from orchestrator.errors import OrchestratorError
from orchestrator.intent import Intent

if TYPE_CHECKING:
    from orchestrator.attempt import Order

PROVEN = ("deployed", "unchanged", "unproven")


def opened_record(
    intent: Intent, run: Run, order: Order, lock: HeldLock | None, plan: Plan | None = None
) -> Record:
    """The attempt as it begins: with a plan, what it is about to change."""
    ci = order.ci
    steps = () if plan is None else plan.steps
    return Record(
        id=run.id,
        kind="deploy" if order.rollback is None else "rollback",
        reasons=() if order.rollback is None else (order.rollback.reason(),),
        actor=run.actor,
        ci=None if ci.name == "plain" else {"name": ci.name, "url": ci.url, "actor": ci.actor},
        started=run.time,
        environment=intent.desired.environment,
        repository=intent.identity.repository,
        stack=intent.identity.stack,
        branch=intent.revision.branch,
        commit=intent.revision.commit,
        manifest_version=intent.desired.manifest_version,
        intent_id="" if plan is None else plan.intent_id,
        plan_id="" if plan is None else plan.plan_id,
        lock_token=None if lock is None else lock.token,
        no_lock_reason=order.no_lock_reason or None,
        allow_older_reason=order.allow_older_reason or None,
        placements=tuple(_planned(step) for step in steps),
        tools={
            "orchestrator": __version__,
            "ansible-core": version("ansible-core"),
            "ansible-runner": version("ansible-runner"),
        },
    )


def closed_record(opened: Record, plan: Plan, outcome: Outcome) -> Record:
    """The attempt as it ended."""
    steps = {(step.application, step.host, step.deployment_path): step for step in plan.steps}
    placements = tuple(
        _ended(steps[(one.application, one.host, one.deployment_path)], one) for one in outcome.placements
    )
    return replace(opened, verdict=outcome.verdict, placements=placements)


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
