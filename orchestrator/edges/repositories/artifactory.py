"""Artifacts in JFrog Artifactory.

Sources: "Retrieve Artifact" (checksum headers on GET and HEAD) and "File Info"
(`GET /api/storage/{repository}/{path}`) of its REST API.
"""

from __future__ import annotations

from orchestrator.edges.repositories.answers import Answer
from orchestrator.edges.repositories.http_repository import HttpRepository
from orchestrator.edges.repositories.protocol import Found
from orchestrator.edges.repositories.sha256 import sha256_or_none


class ArtifactoryRepository(HttpRepository):
    """A repository of type `artifactory`: `<url>/<repository>/<path>`."""

    def published_sha256(self, path: str, found: Found) -> str | None:
        """Return `X-Checksum-Sha256` if it came along, else what the storage API says."""
        if found.sha256 is not None:
            return found.sha256
        base = self._repository.url.rstrip("/")
        match self._ask_json(f"{base}/api/storage{self.location(path).removeprefix(base)}"):
            case {"checksums": {"sha256": digest}, "size": size} if _agrees(size, found):
                return sha256_or_none(digest)
            case _:
                return None

    def _header_sha256(self, answer: Answer) -> str | None:
        # Only Artifactory's own answers count, not those of the store that it redirects to.
        return sha256_or_none(answer.own_headers.get("x-checksum-sha256"))


def _agrees(size: object, found: Found) -> bool:
    return found.size_bytes is None or str(size) == str(found.size_bytes)
