"""Artifacts behind HTTP: plain servers, Nexus Repository 3 and Artifactory."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from typing import Any, Final, Literal, TypeVar
from urllib.parse import quote

from orchestrator.core.model import Reference, Repository
from orchestrator.edges.credentials import SecretSource
from orchestrator.edges.repositories.answers import Answer, problem_of
from orchestrator.edges.repositories.locations import artifact_location
from orchestrator.edges.repositories.protocol import Found
from orchestrator.edges.repositories.session import Exchange, HttpSession, with_body
from orchestrator.errors import OrchestratorError, RepositoryError

T = TypeVar("T")

_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")
_ASKED_OTHERWISE: Final = frozenset({403, 405, 501})
_MAX_PAGES: Final = 20
_SIDECAR_LIMIT_BYTES: Final = 1 << 16
_API_LIMIT_BYTES: Final = 4 << 20


class HttpRepository:
    """A repository of type `http`: files below a URL."""

    delivery: Literal["host", "controller"] = "host"

    def __init__(self, repository: Repository, session: HttpSession, secrets: SecretSource) -> None:
        from pathlib import Path

        self._repository = repository
        self._session = session
        self._nowhere = Path("/")
        self._credentials, self._secret_values = _headers_of(repository, secrets)

    def location(self, path: str) -> str:
        """Return the exact URL of the artifact."""
        return artifact_location(self._repository, path, self._nowhere)

    def find(self, path: str, *, archive: bool) -> Found:
        """Return size and what the answer tells; see `ArtifactRepository.find`."""
        url = self.location(path)
        answer = self._ask("HEAD", url, with_body)
        if answer.status in _ASKED_OTHERWISE:
            answer = self._ask("GET", url, lambda exchange: exchange.answer, {"Range": "bytes=0-0"})
        if answer.status not in (200, 206):
            if answer.status == 416:
                return Found(size_bytes=0)
            problem_answer = answer if answer.body else self._ask("GET", url, with_body)
            failing = problem_answer if problem_answer.status >= 400 else answer
            raise self._problem(failing)
        if archive and answer.content_type == "text/html":
            raise RepositoryError(
                f"{answer.place} (repository {self._repository.name}): a web page is there, no archive",
                resolution="a login page or a proxy answers instead of the repository; check its `url`",
            )
        return Found(size_bytes=_size_of(answer), sha256=self._sha256_of(answer))

    def published_sha256(self, path: str, found: Found) -> str | None:
        """Return None: a plain server computes no digests."""
        return found.sha256

    def read_sidecar(self, path: str) -> bytes | None:
        """Return the content of the `.sha256` file beside it, or None."""
        try:
            answer = self._ask(
                "GET",
                self.location(f"{path}.sha256"),
                lambda exchange: with_body(exchange, _SIDECAR_LIMIT_BYTES),
            )
        except OrchestratorError:
            return None
        return answer.body if answer.status == 200 and answer.content_type != "text/html" else None

    def read(self, path: str, consume: Callable[[bytes], object], restart: Callable[[], object]) -> None:
        """Hand all bytes to `consume`."""

        def work(exchange: Exchange) -> Answer:
            if exchange.answer.status != 200:
                return with_body(exchange)
            restart()
            for piece in exchange.pieces:
                consume(piece)
            return exchange.answer

        answer = self._ask("GET", self.location(path), work)
        if answer.status != 200:
            raise self._problem(answer)

    def _ask(
        self,
        method: str,
        url: str,
        consume: Callable[[Exchange], T],
        headers: dict[str, str] | None = None,
    ) -> T:
        return self._session.request(method, url, consume, credentials=self._credentials, headers=headers)

    def _problem(self, answer: Answer) -> OrchestratorError:
        return problem_of(answer, self._repository.name, self._secret_values)

    def _sha256_of(self, answer: Answer) -> str | None:
        return None


class NexusRepository(HttpRepository):
    """Nexus Repository 3; its search knows the digest of an exact path."""

    def published_sha256(self, path: str, found: Found) -> str | None:
        """Return what the search API has for that path; None where it may not be asked or knows nothing."""
        for name in (f"/{path}", path):
            for asset in self._search(name):
                if not isinstance(asset, dict) or str(asset.get("path", "")).lstrip("/") != path:
                    continue
                size = asset.get("fileSize")
                if isinstance(size, int) and found.size_bytes not in (None, size):
                    continue
                checksums = asset.get("checksum")
                stated = checksums.get("sha256", "") if isinstance(checksums, dict) else ""
                if _SHA256.fullmatch(str(stated)):
                    return str(stated).lower()
        return None

    def _search(self, name: str) -> list[Any]:
        base = f"{self._repository.url.rstrip('/')}/service/rest/v1/search/assets"
        query = f"repository={quote(self._repository.repository, safe='')}&name={quote(name, safe='')}"
        items: list[Any] = []
        token = ""
        for _ in range(_MAX_PAGES):
            url = f"{base}?{query}" + (f"&continuationToken={quote(token, safe='')}" if token else "")
            try:
                answer = self._ask("GET", url, lambda exchange: with_body(exchange, _API_LIMIT_BYTES))
                page = json.loads(answer.body) if answer.status == 200 else {}
            except (OrchestratorError, ValueError):
                return items
            if not isinstance(page, dict):
                return items
            found = page.get("items")
            items += found if isinstance(found, list) else []
            token = str(page.get("continuationToken") or "")
            if not token:
                return items
        return items


class ArtifactoryRepository(HttpRepository):
    """Artifactory; it sends the digest along with every artifact."""

    def published_sha256(self, path: str, found: Found) -> str | None:
        """Return the digest of the answer's headers, else what the storage API has for that path."""
        return found.sha256 or self._stored(path, found)

    def _stored(self, path: str, found: Found) -> str | None:
        base, name = self._repository.url.rstrip("/"), quote(self._repository.repository, safe="")
        tail = "/".join(quote(segment, safe="") for segment in path.split("/"))
        try:
            answer = self._ask(
                "GET",
                f"{base}/api/storage/{name}/{tail}",
                lambda exchange: with_body(exchange, _API_LIMIT_BYTES),
            )
            document = json.loads(answer.body) if answer.status == 200 else {}
        except (OrchestratorError, ValueError):
            return None
        if not isinstance(document, dict) or not isinstance(document.get("checksums"), dict):
            return None
        if found.size_bytes is not None and str(document.get("size")) != str(found.size_bytes):
            return None
        stated = str(document["checksums"].get("sha256", ""))
        return stated.lower() if _SHA256.fullmatch(stated) else None

    def _sha256_of(self, answer: Answer) -> str | None:
        stated = answer.own_headers.get("x-checksum-sha256", "")
        return stated.lower() if _SHA256.fullmatch(stated) else None


def _size_of(answer: Answer) -> int | None:
    total = answer.headers.get("content-range", "").rpartition("/")[2]
    if answer.status == 206:
        return int(total) if total.isdecimal() else None
    length = answer.headers.get("content-length", "")
    return int(length) if length.isdecimal() else None


def _headers_of(repository: Repository, secrets: SecretSource) -> tuple[dict[str, str], tuple[str, ...]]:
    wanted = repository.credentials
    if wanted is None:
        return {}, ()
    if wanted.token is not None:
        token = secrets.value(wanted.token)
        return {"Authorization": f"Bearer {token}"}, (token,)
    name = wanted.username
    user = secrets.value(name) if isinstance(name, Reference) else name or ""
    password = secrets.value(wanted.password) if wanted.password is not None else ""
    pair = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}, tuple(filter(None, (password, pair)))
