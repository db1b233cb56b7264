"""What resolving an artifact in its repository gives: exact place, size and SHA-256."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from orchestrator.core.model import Credentials

DigestSource = Literal["manifest pin", "repository API", "sha256 file", "download", "not resolved"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedArtifact:
    """One application's artifact, found.

    Attributes:
        application: the application's name.
        delivery: `host`: each host downloads `location` itself; `controller`: the controller sends the
            file at `location` (repositories of type `directory`).
        location: an absolute URL without credentials, or an absolute path on the controller.
        size_bytes: None when not resolved (`--offline`).
        sha256: 64 lower-case hex digits; empty when not resolved and not pinned.
        digest_source: where the SHA-256 comes from.
        credentials: what `location`'s origin asks for, as references.
    """

    application: str
    delivery: Literal["host", "controller"]
    location: str
    size_bytes: int | None
    sha256: str
    digest_source: DigestSource
    credentials: Credentials | None
