"""What a command starts before it imports and reads anything, so that both take place at once."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.edges.runner import Workspace


@contextlib.contextmanager
def starting_ansible(
    playbook: str, *, check: bool = False, diff: bool = False, forks: int | None = None
) -> Iterator[Workspace]:
    """Ansible starts with that playbook, and waits; it takes half a second, as do our own imports and documents."""
    from orchestrator.edges.runner import Workspace

    with Workspace.open() as workspace:
        workspace.prepare(playbook, check=check, diff=diff, forks=forks)
        yield workspace
