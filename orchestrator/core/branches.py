"""Which branches are environments. A push to any other is nothing to deploy."""

from __future__ import annotations

from collections.abc import Collection

from orchestrator.core.settings import (
    Settings,
    branch_for_environment,
    environment_file_candidates,
    environment_for_branch,
    environment_names,
)
from orchestrator.core.violations import Violations

OWN_BRANCHES = "orchestrator/"
"""Branches below this name hold the ledger and locks."""


def is_environment_branch(
    settings: Settings,
    branch: str,
    files_at_commit: Collection[str],
    environments_in_manifest: Collection[str],
) -> str | None:
    """Return the environment that `branch` is aligned with and that exists at its commit; None without one.

    Args:
        files_at_commit: paths relative to orchestrator.toml; those in its directory and in `inventories/`
            suffice, and every `file` of the settings.
        environments_in_manifest: names under `environments` of manifest.json.
    """
    environment = None if branch.startswith(OWN_BRANCHES) else environment_for_branch(settings, branch)
    if environment is None or environment in settings.environments:
        return environment
    if any(path in files_at_commit for path in environment_file_candidates(settings, environment)):
        return environment
    names = environment_names(environment)
    return environment if any(name in environments_in_manifest for name in names) else None


def explain_no_environment(settings: Settings, branch: str, environments: Collection[str]) -> str:
    """Return one sentence for a branch that is no environment, with the name that was probably meant.

    Args:
        environments: every one that the commit has.
    """
    if branch.startswith(OWN_BRANCHES):
        return f"{branch} holds the orchestrator's own records; nothing to deploy"
    branches = {branch_for_environment(settings, name): name for name in sorted(environments)}
    near = Violations().near_miss(branch, {*branches, *branches.values()})
    known = ", ".join(
        name if name == aligned else f"{name} (environment {aligned})" for name, aligned in branches.items()
    )
    return f"{branch} is no environment's branch{near}; nothing to deploy. Environments' branches: {known or 'none'}"
