"""Roles of the deployment repository itself, by which applications are deployed that no kind fits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

ENTRY_POINTS = ("stage", "activate", "rollback", "absent")
OURS = frozenset(
    {
        "artifact",
        "container",
        "haproxy",
        "healthcheck",
        "package",
        "placement",
        "release",
        "service",
        "smoke",
    }
)
FOLDER = "roles"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnRole:
    """A role below `roles/` at the deployed commit.

    Attributes:
        digest: git's id of its directory, which its content follows from; empty for a work tree.
        entries: which of the entry points it has.
    """

    name: str
    digest: str
    entries: tuple[str, ...]


def read_roles(lines: Iterable[str], folder: str) -> dict[str, OwnRole]:
    """Return the roles by name.

    Args:
        lines: of `git ls-tree -r -t COMMIT -- FOLDER`, such as `040000 tree ID<TAB>roles/billing`.
        folder: where the roles are, without a slash at its end.
    """
    digests: dict[str, str] = {}
    files: set[str] = set()
    for line in lines:
        about, _, path = line.partition("\t")
        _, kind, identity = about.split(" ")
        inside = path.removeprefix(f"{folder}/")
        if kind == "tree" and "/" not in inside and inside != path:
            digests[inside] = identity
        elif kind == "blob":
            files.add(inside)
    return {name: make_role(name, digest, files) for name, digest in sorted(digests.items())}


def make_role(name: str, digest: str, files: Iterable[str]) -> OwnRole:
    """Return the role; `files` are paths such as `billing/tasks/activate.yml`."""
    there = set(files)
    entries = tuple(
        entry for entry in ENTRY_POINTS if {f"{name}/tasks/{entry}.yml", f"{name}/tasks/{entry}.yaml"} & there
    )
    return OwnRole(name=name, digest=digest, entries=entries)


def role_problem(name: str, roles: Mapping[str, OwnRole]) -> str:
    """Return what is wrong with the name of a role, or nothing."""
    if name in OURS:
        return f"{name} is a role of the orchestrator; give yours another name"
    if name not in roles:
        there = f"; there is {', '.join(sorted(roles))}" if roles else ""
        return f"there is no role {FOLDER}/{name} at this commit{there}; commit it, or correct the name"
    if "activate" not in roles[name].entries:
        return f"the role has no {FOLDER}/{name}/tasks/activate.yml, which makes a release live; add it"
    return ""
