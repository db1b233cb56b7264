"""What roles of the deployment repository are handed, and what their failures mean for a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

BACK = ("switched_back", "removed")


def items_for(
    entry: str,
    placements: Sequence[Mapping[str, Any]],
    said: Mapping[str, Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """One item for each placement whose role has something to do at that entry point.

    Args:
        entry: `stage`, `activate`, `rollback` or `absent`.
        said: application → what the host said of it: when it staged, when it went live, or when it was switched back.
    """
    items = []
    for placement in placements:
        role, about = placement.get("role"), said.get(placement["application"])
        if not role or about is None:
            continue
        if entry == "activate" and not about.get("own"):
            continue  # it did not go live: its host could not be drained, or a hook failed
        runs, version = entry, placement["version"]
        if entry == "rollback":
            if about.get("result") not in BACK:
                continue
            gone = about["result"] == "removed"
            version = "" if gone else str(about.get("version", ""))
            # Without a way back of its own the release before is activated as any other.
            runs = "absent" if gone else ("rollback" if "rollback" in role["entries"] else "activate")
        if runs not in role["entries"]:
            continue
        items.append(
            {**_common(placement, role), **_paths(entry, placement, about, version), "tasks_from": runs}
        )
    return items


def _common(placement: Mapping[str, Any], role: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "role": role["name"],
        "application": placement["application"],
        "deployment_path": placement["deployment_path"],
        "variables": role.get("variables") or {},
        "secrets": role.get("secrets") or {},
    }


def _paths(
    entry: str, placement: Mapping[str, Any], about: Mapping[str, Any], version: str
) -> dict[str, Any]:
    """Versions and places: `current` is the release that the entry point is about, once it is live."""
    current = f"{placement['deployment_path']}/current"
    path = about.get("release_path", "") if entry == "stage" else current if version else ""
    artifact = placement.get("artifact") or {}
    single = artifact.get("packing") == "file" and path
    before = placement["role"] if entry == "stage" else about
    previous = placement["version"] if entry == "rollback" else str(before.get("from_version") or "")
    return {
        "version": version,
        "previous_version": previous,
        "release_path": path,
        "artifact_path": f"{path}/{artifact['filename']}" if single else path,
    }


def with_failures(
    hosts: Mapping[str, Sequence[dict[str, Any]] | None], proved: Mapping[str, Any], group: int
) -> dict[str, Sequence[dict[str, Any]] | None]:
    """What activation said, with why what a role activated is not healthy, where that is so.

    Args:
        proved: host → what its task of phase `prove` said.
    """
    found: dict[str, Sequence[dict[str, Any]] | None] = {}
    for name, placements in hosts.items():
        said = proved.get(name) or {}
        failures = said.get("failures") or {}
        silent = said.get("unreachable") or said.get("group") != group
        found[name] = placements and [
            one if not one.get("own") else {**one, "failed_because": _why(one, failures, silent)}
            for one in placements
        ]
    return found


def _why(one: Mapping[str, Any], failures: Mapping[str, str], silent: bool) -> str:
    if silent:
        return "its own role did not end: the host does not answer any more"
    return failures.get(one["application"], "")
