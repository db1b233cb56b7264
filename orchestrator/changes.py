"""What `set` and `promote` share: artifacts looked up once, and the hand-over of a branch to the forge."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.core.artifacts import ResolvedArtifact
from orchestrator.core.hidden_text import one_line
from orchestrator.core.model import Artifact, Repository
from orchestrator.edges.credentials import SecretSource
from orchestrator.edges.repositories import resolve_artifacts

if TYPE_CHECKING:
    from orchestrator.core.settings import Settings
    from orchestrator.edges.forges.protocol import PullRequest

_REF_CHARACTERS = re.compile(r"[^A-Za-z0-9_+-]+")
_MAX_REF_CHARACTERS = 80


@dataclass(slots=True, kw_only=True)
class Lookup:
    """Artifacts that were looked up for this command; each once, however often others push meanwhile."""

    secrets: SecretSource
    directory: Path
    _found: dict[tuple[str, Artifact, Repository], ResolvedArtifact] = field(default_factory=dict)

    def resolve(
        self, wanted: Mapping[str, Artifact], repositories: Mapping[str, Repository]
    ) -> dict[str, ResolvedArtifact]:
        """Each application's artifact: it exists, and has this SHA-256.

        Raises:
            ArtifactNotFoundError, ChecksumError, CredentialsError, RepositoryError.
        """
        keys = {name: (name, one, repositories[one.repository]) for name, one in wanted.items()}
        missing = [(name, key[1]) for name, key in keys.items() if key not in self._found]
        if missing:
            found = resolve_artifacts(missing, repositories, secrets=self.secrets, directory=self.directory)
            self._found |= {keys[name]: one for name, one in found.items()}
        return {name: self._found[key] for name, key in keys.items()}


def branch_word(text: str) -> str:
    """Return the text as part of a branch's name; what does not fit in becomes a digest, so that no two are one."""
    word = _REF_CHARACTERS.sub("-", text).strip("-")
    if len(word) <= _MAX_REF_CHARACTERS and word:
        return word
    return f"{word[:_MAX_REF_CHARACTERS]}-{sha256(text.encode()).hexdigest()[:10]}".strip("-")


def trailers(values: Mapping[str, str]) -> str:
    """Return the last paragraph of a commit's message: `Key: value` lines, as git's trailers."""
    return "".join(f"{key}: {one_line(value)[:500]}\n" for key, value in values.items() if value)


def hand_over(
    remote: str,
    settings: Settings,
    *,
    source: str,
    target: str,
    title: str,
    body: str,
    reviewers: tuple[str, ...],
) -> PullRequest | None:
    """The forge has a pull request for that branch; None where there is no forge.

    Raises:
        OrchestratorError: the forge refuses it, or cannot be reached; the branch is pushed already.
    """
    from orchestrator.edges.forges import open_forge

    forge = open_forge(remote, settings)
    if forge is None:
        return None
    return forge.ensure_pull_request(
        source=source, target=target, title=title, body=body, reviewers=reviewers
    )
