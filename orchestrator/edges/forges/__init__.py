"""Forges (GitHub, GitLab, Gitea, Forgejo): found, opened and spoken to through `protocol.Forge`.

Importing this imports no library of a forge; opening one does.
"""

from __future__ import annotations

from orchestrator.edges.forges.opening import open_forge, require_forge
from orchestrator.edges.forges.protocol import Approval, Forge, PostedComment, PullRequest

__all__ = ["Approval", "Forge", "PostedComment", "PullRequest", "open_forge", "require_forge"]
