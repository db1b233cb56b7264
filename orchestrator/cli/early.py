"""What a command starts before it imports and reads anything, so that both take place at once."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.edges.runner import Workspace


@contextlib.contextmanager
def starting_ansible(
    playbook: str, *, check: bool = False, diff: bool = False, forks: int | None = None, expected: bool = True
) -> Iterator[Workspace]:
    """Ansible starts with that playbook, and waits; it takes half a second, as do our own imports and documents.

    Args:
        expected: whether there will be work for it, as far as can be guessed; else it starts when there is.
    """
    from orchestrator.edges.preparing import Wanted, prepare_ansible, private_directory

    with private_directory() as path, contextlib.ExitStack() as opened:
        wanted = Wanted(playbook=playbook, check=check, diff=diff, forks=forks)
        prepared = prepare_ansible(path, wanted) if expected else None
        if prepared is not None:
            opened.callback(prepared.close)
        from orchestrator.edges.runner import Workspace

        with Workspace(path, prepared).until_closed() as workspace:
            yield workspace
