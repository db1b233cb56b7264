"""Asking a URL until it is healthy or its time is over."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from host_program.health import check_health

from tests.edges.servers import Reply, make_certificate, serving


def make_check(url: str, **settings: Any) -> dict[str, Any]:
    check = {"url": url, "origin": "host", "retries": 0, "interval_seconds": 0.05, "timeout_seconds": 2}
    return {**check, "deadline_seconds": 5, "status": [], "body": "", **settings}


@contextmanager
def dripping(pieces: Callable[[], Iterator[bytes]]) -> Iterator[str]:
    """A server that sends its body in pieces, as long as somebody listens."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            try:
                for piece in pieces():
                    self.wfile.write(piece)
                    self.wfile.flush()
            except ConnectionError:
                pass

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing is printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_answer_that_never_ends_is_over_at_the_deadline() -> None:
    stopped = threading.Event()

    def for_ever() -> Iterator[bytes]:
        while not stopped.wait(0.02):
            yield b"data: still here\n\n"

    with dripping(for_ever) as url:
        began = time.monotonic()
        healthy, message = check_health(make_check(url, body="UP", deadline_seconds=0.5))
        took = time.monotonic() - began
        stopped.set()
    assert not healthy
    assert took < 3
    assert "without the expected text" in message


def test_expected_text_is_found_as_soon_as_it_is_there_and_across_pieces() -> None:
    stopped = threading.Event()

    def late() -> Iterator[bytes]:
        yield from (b"status: U", b"P and ")
        while not stopped.wait(0.02):
            yield b"more"

    with dripping(late) as url:
        began = time.monotonic()
        healthy, _ = check_health(make_check(url, body="UP"))
        took = time.monotonic() - began
        stopped.set()
    assert healthy
    assert took < 2


@pytest.mark.parametrize(
    ("reply", "settings", "healthy", "words"),
    [
        ((204, {}, b""), {}, True, "answered 204"),
        ((500, {}, b"UP"), {"body": "UP"}, False, "answered 500"),
        ((500, {}, b"UP"), {"status": [500], "body": "UP"}, True, "answered 500"),
        ((200, {}, b""), {"status": [204]}, False, "answered 200"),
        ((200, {}, "größer".encode()), {"body": "größer"}, True, "answered 200"),
        ((302, {"Location": "/elsewhere"}, b""), {"status": [302]}, True, "answered 302"),
        ((302, {"Location": "file:///etc/passwd"}, b""), {}, False, "answered 302"),
        ((302, {"Location": "ftp://127.0.0.1:9/x"}, b""), {}, False, "answered 302"),
        ((302, {"Location": "/round"}, b""), {}, False, "answered 302"),
    ],
)
def test_status_and_text_decide(reply: Reply, settings: dict[str, Any], healthy: bool, words: str) -> None:
    with serving(lambda method, target: reply) as served:
        found, message = check_health(make_check(f"{served.url}/health", **settings))
    assert found is healthy
    assert words in message


def test_every_attempt_is_made_and_counted() -> None:
    with serving(lambda method, target: (503, {}, b"")) as served:
        healthy, message = check_health(make_check(f"{served.url}/health", retries=2))
    assert not healthy
    assert len(served.requests) == 3
    assert "after 3 attempts" in message


@pytest.mark.parametrize("status", [200, 500])
def test_body_that_breaks_off_is_not_healthy(status: int) -> None:
    reply: Reply = (status, {"Content-Length": "100"}, b"almost")
    with serving(lambda method, target: reply) as served:
        healthy, message = check_health(make_check(served.url, status=[status], body="UP"))
    assert not healthy
    assert served.url in message


def test_certificate_that_is_not_accepted_is_named(tmp_path: Path) -> None:
    with serving(lambda method, target: (200, {}, b""), make_certificate(tmp_path)) as served:
        healthy, message = check_health(make_check(f"{served.url}/health"))
    assert not healthy
    assert "certificate" in message
