"""Artifacts on an HTTP server: what all kinds of them have in common, and plain ones altogether."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from orchestrator.core.model import Repository
from orchestrator.edges.credentials import SecretSource, credential_headers
from orchestrator.edges.repositories.answers import Answer, problem_of
from orchestrator.edges.repositories.locations import artifact_location
from orchestrator.edges.repositories.protocol import Found
from orchestrator.edges.repositories.session import Exchange, HttpSession, with_body
from orchestrator.errors import OrchestratorError, RepositoryError

_SIDECAR_LIMIT_BYTES: Final = 1 << 16
_JSON_LIMIT_BYTES: Final = 1 << 24
_CONTENT_RANGE: Final = re.compile(r"bytes (?:\d+-\d+|\*)/(\d+)")
_PAGES: Final = ("text/html", "application/xhtml+xml")
_PAGE_SUFFIXES: Final = (".html", ".htm", ".xhtml")


class HttpRepository:
    """A repository of type `http`: `<url>/<path>`, nothing but files.

    Raises:
        CredentialsError: a credential cannot be read or sent.
    """

    delivery: Literal["host", "controller"] = "host"

    def __init__(self, repository: Repository, session: HttpSession, secrets: SecretSource) -> None:
        self._repository = repository
        self._session = session
        self._credentials, self._secrets = credential_headers(
            repository.credentials, f"repository {repository.name}", secrets
        )

    def location(self, path: str) -> str:
        """Return the URL of the artifact, before any redirect."""
        return artifact_location(self._repository, path, Path())

    def find(self, path: str, *, archive: bool) -> Found:
        """Return the size by HEAD, or by a GET of one byte where HEAD is refused or does not say it.

        A URL signed for GET fails on HEAD, and the answer to HEAD carries no error message: so every
        failure of HEAD is asked again by GET.
        """
        url = self.location(path)
        answer = self._ask("HEAD", url)
        size_bytes = _size(answer) if answer.status == 200 else None
        if not size_bytes:
            answer = self._ask("GET", url, headers={"Range": "bytes=0-0"})
            size_bytes = _size(answer)
            if answer.status not in (200, 206) and not (answer.status == 416 and size_bytes == 0):
                raise self._problem(answer)
        if _is_page(answer, path, archive=archive):
            raise RepositoryError(
                f"{answer.place} (repository {self._repository.name}): the server answers with a web page, "
                "an error or login page, instead of the artifact",
                resolution="open the address in a browser; check the repository's `url` and `credentials`",
            )
        return Found(size_bytes=size_bytes, sha256=self._header_sha256(answer))

    def published_sha256(self, path: str, found: Found) -> str | None:
        """Return what came with the headers; a plain server keeps no other record."""
        return found.sha256

    def read_sidecar(self, path: str) -> bytes | None:
        """Return the beginning of the `.sha256` file; None where there is none, or a page in its place."""
        try:
            answer = self._ask("GET", self.location(f"{path}.sha256"), limit_bytes=_SIDECAR_LIMIT_BYTES)
        except RepositoryError:
            return None
        return answer.body if answer.status == 200 and answer.content_type not in _PAGES else None

    def read(self, path: str, consume: Callable[[bytes], object], restart: Callable[[], object]) -> None:
        """Hand the bytes to `consume` as they come; memory stays flat."""

        def transfer(exchange: Exchange) -> None:
            if exchange.answer.status != 200:
                raise self._problem(with_body(exchange))
            restart()
            for piece in exchange.pieces:
                consume(piece)

        self._session.request("GET", self.location(path), transfer, credentials=self._credentials)

    def _header_sha256(self, answer: Answer) -> str | None:
        """Return the digest that came in the headers, if this kind of server sends one."""
        return None

    def _ask(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, limit_bytes: int = 0
    ) -> Answer:
        """Return the answer with the body of an error, or the first `limit_bytes` of any other."""

        def take(exchange: Exchange) -> Answer:
            if exchange.answer.status >= 400:
                return with_body(exchange)
            return with_body(exchange, limit_bytes) if limit_bytes else exchange.answer

        return self._session.request(method, url, take, credentials=self._credentials, headers=headers)

    def _ask_json(self, url: str) -> Any:
        """Return the JSON at an API's URL, or None when the API is not there, not allowed or out of order."""
        try:
            answer = self._ask(
                "GET", url, headers={"Accept": "application/json"}, limit_bytes=_JSON_LIMIT_BYTES
            )
            return json.loads(answer.body) if answer.status == 200 else None
        except (RepositoryError, ValueError, RecursionError):
            return None

    def _problem(self, answer: Answer) -> OrchestratorError:
        return problem_of(answer, self._repository.name, self._secrets)


def _size(answer: Answer) -> int | None:
    if answer.status in (206, 416):
        total = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
        return int(total[1]) if total else None
    length = answer.headers.get("content-length", "")
    return int(length) if answer.status == 200 and length.isdecimal() else None


def _is_page(answer: Answer, path: str, *, archive: bool) -> bool:
    if answer.content_type not in _PAGES:
        return False
    name = path.rpartition("/")[2].lower()
    return archive or ("." in name and not name.endswith(_PAGE_SUFFIXES))
