"""Images of registries: pinned by digest, so that nobody has to be asked; hosts pull and verify them."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.core.artifacts import ResolvedArtifact
from orchestrator.core.model import Artifact


def split_images(
    artifacts: Iterable[tuple[str, Artifact]],
) -> tuple[list[tuple[str, Artifact]], dict[str, ResolvedArtifact]]:
    """Return the artifacts that repositories have, and the images, resolved, by application."""
    files, images = [], {}
    for application, artifact in artifacts:
        if not artifact.image:
            files.append((application, artifact))
            continue
        images[application] = ResolvedArtifact(
            application=application,
            delivery="host",
            location=artifact.image,
            size_bytes=None,
            sha256=artifact.sha256 or "",
            digest_source="manifest pin",
            credentials=None,
        )
    return files, images
