"""What hosts said in phases before, as the variables of a task have it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any


def activated_in(
    task_vars: dict[str, Any], group: int, before: Collection[str]
) -> dict[str, list[dict[str, Any]] | None]:
    """What activation of this group said on its hosts; those that failed `before` are not of it any more."""
    every = {
        name: task_vars["hostvars"][name].get("__release_activated")
        for name in task_vars.get("ansible_play_batch", [])
        if name not in before
    }
    return {name: activated_on(said) for name, said in every.items() if said and of_group(said, group)}


def of_group(said: dict[str, Any], group: int) -> bool:
    """Whether that is what activation said for this group; a connection that broke says nothing of groups."""
    return bool(said.get("unreachable")) or said.get("group") == group


def activated_on(said: dict[str, Any]) -> list[dict[str, Any]] | None:
    """What activation said on a host; None when the host vanished."""
    placements: list[dict[str, Any]] = said.get("placements") or []
    if said.get("unreachable") or (not placements and (said.get("failed") or "problem" in said)):
        return None
    return placements


def smoked_on(task_vars: dict[str, Any], variable: str) -> dict[str, list[dict[str, Any]] | None]:
    """What hosts said about their smoke tests; None for one that gave no answer."""
    found: dict[str, list[dict[str, Any]] | None] = {}
    for name in task_vars.get("ansible_play_batch", []):
        said = task_vars["hostvars"][name].get(variable)
        if said is not None:
            silent = said.get("unreachable") or said.get("placements") is None
            lost = silent or ("problem" in said and not said["placements"])
            found[name] = None if lost else said["placements"]
    return found
