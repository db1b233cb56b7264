"""An embedded artifact server: a double of a Nexus Repository 3 raw repository with basic authentication.

Written from the documented behaviour of Nexus, not from its code: exact paths below
`/repository/<repository>/`, uploads by PUT, 401 without credentials, single ranges answered with 206 (no
`Accept-Ranges` header is sent), several ranges with a full 200, and the search API for assets by name, which
pages: what a page shows of the index need not match, so that it may be empty and still have a successor.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
import re
import sys
import threading
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_PIECE_BYTES = 1 << 20
_PAGE_ASSETS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as the server saw it; header values are not kept."""

    method: str
    path: str
    headers: tuple[str, ...]
    status: int


@dataclass(slots=True)
class Log:
    """Every request so far."""

    requests: list[Request] = field(default_factory=list)


class ArtifactServer:
    """Serves the files below `root/<repository>/` while the context is open.

    Args:
        root: created when it is missing.
        username: asked for, with `password`, on every path; empty: nobody is asked.
        port: 0 takes a free one.
        page_assets: how many assets of the index one page of the search API looks at.
    """

    def __init__(
        self,
        root: Path,
        *,
        username: str = "",
        password: str = "",
        address: str = "127.0.0.1",
        port: int = 0,
        page_assets: int = _PAGE_ASSETS,
    ) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.log = Log()
        expected = base64.b64encode(f"{username}:{password}".encode()).decode() if username else ""
        handler = self.handler(root.resolve(), expected, self.log)
        handler.page_assets = page_assets
        self._server = _Server((address, port), handler)
        host, bound = self._server.server_address[:2]
        self.url = f"http://{host!s}:{bound}"

    def handler(self, root: Path, expected: str, log: Log) -> type[Handler]:
        """The request handler's class; tests derive servers with faults from it."""
        return type("BoundHandler", (Handler,), {"root": root, "expected": expected, "log": log})

    def __enter__(self) -> ArtifactServer:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    """Threads end with the process; many hosts may connect at once; a client that hangs up is no error."""

    daemon_threads = True
    request_queue_size = 128

    def server_bind(self) -> None:
        # The parent's asks the DNS for this machine's name, which may take seconds.
        TCPServer.server_bind(self)
        host, self.server_port = self.server_address[:2]
        self.server_name = str(host)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    # Headers and body are written apart; with Nagle's algorithm each answer would wait for an ACK, 40 ms.
    disable_nagle_algorithm = True
    server_version = "Nexus-double"
    root: Path
    expected: str
    log: Log
    page_assets = _PAGE_ASSETS

    def do_GET(self) -> None:
        """Artifacts, the search API, the status API."""
        if not self._authenticated():
            return
        parts = urlsplit(self.path)
        if parts.path == "/service/rest/v1/status":
            self._answer(HTTPStatus.OK, b"")
        elif parts.path == "/service/rest/v1/search/assets":
            self._search(parse_qs(parts.query))
        else:
            self._send_file()

    do_HEAD = do_GET

    def do_PUT(self) -> None:
        """An upload; the file is there whole or not at all."""
        length = int(self.headers.get("Content-Length", "0"))
        content = self.rfile.read(length)
        if not self._authenticated():
            return
        target = self._target()
        if target is None:
            self._answer(HTTPStatus.BAD_REQUEST, b"")
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.upload")
        temporary.write_bytes(content)
        temporary.replace(target)
        self._answer(HTTPStatus.CREATED, b"")

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing is printed."""

    def _authenticated(self) -> bool:
        given = self.headers.get("Authorization", "").removeprefix("Basic ")
        if not self.expected or hmac.compare_digest(given.encode(), self.expected.encode()):
            return True
        challenge = {"WWW-Authenticate": 'BASIC realm="Sonatype Nexus Repository Manager"'}
        self._answer(HTTPStatus.UNAUTHORIZED, b"", challenge)
        return False

    def _target(self) -> Path | None:
        path = unquote(urlsplit(self.path).path)
        if not path.startswith("/repository/") or "\0" in path:
            return None
        target = (self.root / path.removeprefix("/repository/")).resolve()
        return target if target.is_relative_to(self.root) and target != self.root else None

    def _send_file(self) -> None:
        target = self._target()
        if target is None or not target.is_file():
            self._answer(HTTPStatus.NOT_FOUND, b"404 - Not Found: the path is not in the repository")
            return
        size, modified = target.stat().st_size, target.stat().st_mtime
        tag = f'"{size:x}-{target.stat().st_mtime_ns:x}"'
        headers = {"ETag": tag, "Last-Modified": formatdate(modified, usegmt=True)}
        first, last = 0, size - 1
        status = HTTPStatus.OK
        found = _RANGE.fullmatch(self.headers.get("Range", ""))
        if found and size and self.headers.get("If-Range", tag) == tag and any(found.groups()):
            start, end = found.groups()
            first = int(start) if start else max(0, size - int(end))
            last = min(int(end), size - 1) if start and end else size - 1
            if first > last:
                unsatisfied = {"Content-Range": f"bytes */{size}"}
                self._answer(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, b"", unsatisfied)
                return
            status = HTTPStatus.PARTIAL_CONTENT
            headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        self._start(status, {**headers, "Content-Type": "application/octet-stream"}, last - first + 1)
        if self.command == "HEAD":
            return
        with target.open("rb") as file:
            file.seek(first)
            left = last - first + 1
            while left > 0 and (piece := file.read(min(_PIECE_BYTES, left))):
                self.wfile.write(piece)
                left -= len(piece)

    def _search(self, query: dict[str, list[str]]) -> None:
        repository, name = query.get("repository", [""])[0], query.get("name", [""])[0]
        token = query.get("continuationToken", ["0"])[0]
        if not token.isdecimal():
            self._answer(HTTPStatus.NOT_ACCEPTABLE, b"")
            return
        index = self._index(repository)
        first, end = int(token), int(token) + self.page_assets
        items = [
            _asset(self.root / repository, repository, path) for path in index[first:end] if path == name
        ]
        page = {"items": items, "continuationToken": str(end) if end < len(index) else None}
        self._answer(HTTPStatus.OK, json.dumps(page).encode(), {"Content-Type": "application/json"})

    def _index(self, repository: str) -> list[str]:
        """The repository's assets as a raw one names them: with a leading slash, uploads left out."""
        folder = (self.root / repository.replace("\0", "")).resolve()
        if not repository or not folder.is_relative_to(self.root) or not folder.is_dir():
            return []
        files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".upload")
        inside = (path for path in files if path.resolve().is_relative_to(self.root))
        return sorted(f"/{path.relative_to(folder).as_posix()}" for path in inside)

    def _answer(self, status: HTTPStatus, body: bytes, headers: dict[str, str] | None = None) -> None:
        self._start(status, headers or {}, len(body))
        if self.command != "HEAD":
            self.wfile.write(body)

    def _start(self, status: HTTPStatus, headers: dict[str, str], length: int) -> None:
        request = Request(
            method=self.command, path=self.path, headers=tuple(self.headers), status=int(status)
        )
        self.log.requests.append(request)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()


@functools.lru_cache(maxsize=1000)
def _checksums(file: Path, size_bytes: int, modified_ns: int) -> dict[str, str]:
    """Computed once for each content: Nexus too has them from the upload, and does not read the file to answer."""
    hashers = {"sha1": hashlib.sha1(usedforsecurity=False), "sha256": hashlib.sha256()}
    with file.open("rb") as content:
        while piece := content.read(_PIECE_BYTES):
            for hasher in hashers.values():
                hasher.update(piece)
    return {name: hasher.hexdigest() for name, hasher in hashers.items()}


def _asset(folder: Path, repository: str, path: str) -> dict[str, Any]:
    file = folder / path.lstrip("/")
    found = file.stat()
    return {
        "path": path,
        "repository": repository,
        "fileSize": found.st_size,
        "checksum": _checksums(file, found.st_size, found.st_mtime_ns),
    }
