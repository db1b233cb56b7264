"""Forges: what opens pull requests. None is known to this version."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.core.settings import Settings
    from orchestrator.edges.forges.protocol import Forge


def open_forge(repository: str, settings: Settings) -> Forge | None:
    """Return the forge of that repository; None: git alone has to do.

    Args:
        repository: the git remote's address.
    """
    return None
