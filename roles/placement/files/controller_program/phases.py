"""What the action `placement_phase` may be asked to do."""

from __future__ import annotations

PHASES = (
    "observe",
    "probe",
    "plan",
    "rollout",
    "survey",
    "stage",
    "once_elect",
    "once",
    "once_verdict",
    "activate",
    "verdict",
    "smoke",
    "smoke_verdict",
    "smoke_report",
    "wait",
    "settle",
    "rollback",
    "absent",
    "fetch",
    "check",
)
