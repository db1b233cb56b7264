"""Packages that would go back to an older version: refused unless the environment allows it."""

from __future__ import annotations

from orchestrator.core.model import Desired
from orchestrator.core.packages import is_older_version
from orchestrator.core.plan import Plan
from orchestrator.errors import ConflictError


def check_package_downgrades(plan: Plan, desired: Desired) -> None:
    """Whether no package goes back where the environment does not allow it. Rollbacks are not asked.

    Hosts look at the installed version as well, while they stage.

    Raises:
        ConflictError: one would; no host was touched.
    """
    settled = {
        (one.application.name, one.host.name): one.package for one in desired.placements if one.package
    }
    refused = []
    for step in plan.changes:
        package = settled.get((step.application, step.host))
        if step.action != "install" or package is None or package.allow_downgrade or not step.from_version:
            continue
        if is_older_version(step.to_version, step.from_version):
            refused.append(f"{step.application} on {step.host}: {step.from_version} → {step.to_version}")
    if refused:
        raise ConflictError(
            "a package would go back to an older version, and every host is left as it was",
            details=tuple(refused),
            resolution='set "package": {"allow_downgrade": true} for that application, or run `orchestrator '
            "rollback`, which may go back",
        )
