"""Record: what happened is kept, whatever happened."""

from __future__ import annotations

import time
from dataclasses import asdict

from orchestrator import __version__
from orchestrator.core.inventory import Run
from orchestrator.core.outcome import Outcome
from orchestrator.core.plan import Plan
from orchestrator.edges.ledger import LocalLedger
from orchestrator.intent import Intent


def record(intent: Intent, plan: Plan, outcome: Outcome, run: Run, *, started: float) -> str:
    """The attempt is in the record; returns where."""
    from importlib.metadata import version

    return LocalLedger(intent.repository.state_directory).append(
        {
            "id": run.id,
            "time": run.time,
            "actor": run.actor,
            "environment": str(plan.identity.environment),
            "repository": plan.identity.repository,
            "stack": plan.identity.stack,
            "branch": intent.revision.branch,
            "commit": plan.commit,
            "manifest_version": plan.manifest_version,
            "intent_id": plan.intent_id,
            "plan_id": plan.plan_id,
            "verdict": outcome.verdict,
            "duration_seconds": round(time.monotonic() - started, 3),
            "placements": [asdict(one) for one in outcome.placements],
            "tools": {
                "orchestrator": __version__,
                "ansible-core": version("ansible-core"),
                "ansible-runner": version("ansible-runner"),
            },
        }
    )
