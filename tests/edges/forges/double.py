"""What the doubles have in common: a real HTTP server, a state, a log of requests, and faults on demand."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Self
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "forge-t0ken-of-the-test"
HEAD, MERGED = "a" * 40, "b" * 40
Reply = tuple[int, dict[str, str], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request to a forge."""

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(slots=True, kw_only=True)
class Pull:
    """A pull request as all forges know it."""

    number: int
    source: str
    target: str
    title: str = "Promote"
    body: str = ""
    author: str = "bot"
    state: str = "open"
    head: str = HEAD
    merge_commit: str = ""
    fork: bool = False
    reviewers: list[str] = field(default_factory=list)
    comments: list[dict[str, Any]] = field(default_factory=list)
    reviews: list[dict[str, Any]] = field(default_factory=list)
    pushed_at: str = "2026-11-01T10:00:00Z"


class RefusedError(Exception):
    """The forge answers with that status and message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class Double:
    """A forge with the project `shop/deploy`; use as a context manager.

    Attributes:
        fault: answers instead of the forge when it returns something.
    """

    PROJECT = "shop/deploy"
    prefix: ClassVar[str]

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.pulls: dict[int, Pull] = {}
        self.statuses: list[dict[str, Any]] = []
        self.deployments: list[dict[str, Any]] = []
        self.users = ["bot", "ada", "bob", "eve"]
        self.writers = ["bot", "ada", "bob"]
        self.me = "bot"
        self.page_size = 100
        self.is_paginated = True
        self.fault: Callable[[Asked], Reply | None] = lambda _: None
        self.url = ""
        self._ids = 1000

    def __enter__(self) -> Self:
        double = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, headers, body = double._serve(self)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

            def log_message(self, format: str, *arguments: object) -> None:
                """Nothing is printed."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that hangs up is no error."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def pull(self, source: str, target: str, **more: Any) -> Pull:
        """A pull request that is there."""
        pull = Pull(number=len(self.pulls) + 1, source=source, target=target, **more)
        self.pulls[pull.number] = pull
        return pull

    def writes(self) -> list[str]:
        """Every request that changes something, in order."""
        return [str(one) for one in self.asked if one.method != "GET" and "graphql" not in one.path]

    def next_id(self) -> int:
        self._ids += 1
        return self._ids

    def token_of(self, headers: dict[str, str]) -> str:
        """What the request authenticates with."""
        return headers.get("authorization", "").partition(" ")[2]

    def route(self, asked: Asked) -> Any:
        """The answer as JSON; a list is paginated."""
        raise NotImplementedError

    def _serve(self, handler: BaseHTTPRequestHandler) -> Reply:
        parts = urlsplit(handler.path)
        length = int(handler.headers.get("Content-Length") or 0)
        raw = handler.rfile.read(length)
        asked = Asked(
            method=handler.command,
            path=unquote(parts.path),
            query={name: values[-1] for name, values in parse_qs(parts.query).items()},
            headers={name.lower(): value for name, value in handler.headers.items()},
            body=json.loads(raw) if raw else None,
        )
        self.asked.append(asked)
        fault = self.fault(asked)
        if fault is not None:
            return fault
        if self.token_of(asked.headers) != TOKEN:
            return reply(401, {"message": "Bad credentials"})
        if not asked.path.startswith(self.prefix):
            return reply(404, {"message": "Not Found"})
        try:
            answer = self.route(asked)
        except RefusedError as refused:
            return reply(refused.status, {"message": refused.message})
        if isinstance(answer, list) and self.is_paginated:
            return self._paginated(asked, handler.path, answer)
        created = asked.method == "POST" and asked.path != "/api/graphql"
        return reply(201 if created else 204 if answer is None else 200, answer)

    def _paginated(self, asked: Asked, target: str, answer: list[Any]) -> Reply:
        size = min(int(asked.query.get("per_page") or asked.query.get("limit") or 30), self.page_size)
        page = int(asked.query.get("page", "1"))
        headers = {"X-Page": str(page), "X-Per-Page": str(size), "X-Total": str(len(answer))}
        if page * size < len(answer):
            base, _, query = target.partition("?")
            pairs = [one for one in query.split("&") if one and not one.startswith("page=")]
            following = "&".join([*pairs, f"page={page + 1}"])
            headers["Link"] = f'<{self.url}{base}?{following}>; rel="next"'
            headers["X-Next-Page"] = str(page + 1)
        return reply(200, answer[(page - 1) * size : page * size], headers)


def reply(status: int, document: Any, headers: dict[str, str] | None = None) -> Reply:
    """An answer in JSON."""
    body = b"" if document is None else json.dumps(document).encode()
    return status, {"Content-Type": "application/json; charset=utf-8", **(headers or {})}, body


def slow(seconds: float) -> Reply | None:
    """The forge takes its time."""
    time.sleep(seconds)
    return None
