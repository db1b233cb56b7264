"""Artifacts in Sonatype Nexus Repository 3, raw and Maven, by exact path.

Source: the "Search API" page of its manual, `GET /service/rest/v1/search/assets`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlencode

from orchestrator.edges.repositories.http_repository import HttpRepository
from orchestrator.edges.repositories.protocol import Found
from orchestrator.edges.repositories.sha256 import sha256_or_none

_MAX_PAGES: Final = 50


class NexusRepository(HttpRepository):
    """A repository of type `nexus`: `<url>/repository/<repository>/<path>`."""

    def published_sha256(self, path: str, found: Found) -> str | None:
        """Return what the search API says for exactly this path.

        The index lags behind uploads and a group lists the members' copies: an entry of another size is an
        old one, and entries that contradict each other say nothing.
        """
        for query in _queries(path):
            digests = {
                sha256_or_none(checksums.get("sha256"))
                for item in self._search(query)
                if _is_it(item, path, found) and isinstance(checksums := item.get("checksum"), dict)
            } - {None}
            if digests:
                return digests.pop() if len(digests) == 1 else None
        return None

    def _search(self, query: dict[str, str]) -> Iterator[dict[str, Any]]:
        """Yield the assets of all pages; a page may be empty and still have a successor."""
        base = f"{self._repository.url.rstrip('/')}/service/rest/v1/search/assets"
        parameters = {"repository": self._repository.repository, **query}
        seen: set[str] = set()
        while len(seen) < _MAX_PAGES:
            match self._ask_json(f"{base}?{urlencode(parameters)}"):
                case {"items": [*items], **rest}:
                    yield from (item for item in items if isinstance(item, dict))
                case _:
                    return
            match rest.get("continuationToken"):
                case str(token) if token and token not in seen:
                    seen.add(token)
                    parameters["continuationToken"] = token
                case _:
                    return


def _queries(path: str) -> Iterator[dict[str, str]]:
    # A raw asset's name begins with a slash since 3.88, and did not before.
    yield {"name": f"/{path}"}
    yield {"name": path}
    *group, artifact, version, filename = ["", "", "", *path.split("/")]
    if any(group) and filename.startswith(f"{artifact}-{version}"):
        yield {"group": ".".join(part for part in group if part), "name": artifact, "version": version}


def _is_it(item: dict[str, Any], path: str, found: Found) -> bool:
    if str(item.get("path", "")).removeprefix("/") != path:
        return False
    size = item.get("fileSize")
    return size is None or found.size_bytes is None or size == found.size_bytes
