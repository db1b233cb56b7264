"""Asking a URL until it is healthy or its time is over."""

from __future__ import annotations

import contextlib
import socketserver
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from controller_program.checks import normalise_check
from host_program.health import check_all, check_health, for_version

from tests.edges.servers import Reply, make_certificate, serving


def make_check(url: str = "", **settings: Any) -> dict[str, Any]:
    timing = {"retries": 0, "interval_seconds": 0.05, "timeout_seconds": 2, "deadline_seconds": 5}
    return normalise_check({"url": url, **timing, **settings})


def took(check: dict[str, Any]) -> tuple[bool, str, float]:
    """What is found, and after how many seconds."""
    began = time.monotonic()
    healthy, message = check_health(check)
    return healthy, message, time.monotonic() - began


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


def for_ever(stopped: threading.Event, piece: bytes) -> Callable[[], Iterator[bytes]]:
    def pieces() -> Iterator[bytes]:
        while not stopped.wait(0.02):
            yield piece

    return pieces


@contextmanager
def raw_server(pieces: Sequence[bytes], pause_seconds: float = 0.0) -> Iterator[int]:
    """A server that says these pieces to whoever connects, with pauses, then nothing; its port."""
    stopped = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                for piece in pieces:
                    self.request.sendall(piece)
                    stopped.wait(pause_seconds)
                stopped.wait()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            stopped.set()
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("settings", [{"body": "UP"}, {"json": {"a": 1}}])
def test_answer_that_never_ends_is_over_at_the_deadline(settings: dict[str, Any]) -> None:
    stopped = threading.Event()
    with dripping(for_ever(stopped, b"data: still here\n\n")) as url:
        healthy, message, seconds = took(make_check(url, deadline_seconds=0.5, **settings))
        stopped.set()
    assert not healthy
    assert seconds < 1.5
    assert "answered 200 without an end within 0.5 s" in message


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [bytes([one]) for one in b"HTTP/1.1 200 OK\r\nX-Slow: yes\r\n"] * 20,
        [b"HTTP/1.1 200 OK\r\n", *[b"X-Slow: yes\r\n"] * 90],
    ],
    ids=["nothing", "status line", "headers"],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_server_that_says_a_byte_now_and_then_does_not_move_the_deadline(
    scheme: str, pieces: list[bytes]
) -> None:
    with raw_server(pieces, 0.1) as port:
        check = make_check(f"{scheme}://127.0.0.1:{port}/", deadline_seconds=1, retries=5)
        healthy, message, seconds = took(check)
    assert not healthy
    assert seconds < 2.5
    assert scheme == "https" or "did not answer within" in message


@pytest.mark.parametrize(
    ("body", "words"),
    [(b"x" * (3 << 20), "with more than 1048576 bytes"), (b"[" * 200_000, "which is no JSON")],
)
def test_no_more_than_a_bound_of_an_answer_is_kept_or_parsed(body: bytes, words: str) -> None:
    with serving(lambda method, target: (200, {}, body)) as served:
        healthy, message = check_health(make_check(served.url, json={"a": 1}))
        tracemalloc.start()
        check_health(make_check(served.url, json={"a": 1}))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert not healthy
    assert words in message
    assert peak < 12 << 20


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
        ((302, {"Location": "http://[::"}, b""), {}, False, "does not answer: "),
        ((302, {}, b""), {}, False, "answered 302"),
        ((302, {"Location": "/elsewhere"}, b""), {"method": "POST"}, False, "answered 302"),
        ((200, {"X-Version": "2.0"}, b""), {"header": {"x-version": "2.0"}}, True, "answered 200"),
        ((200, {"X-V": "1\x1b[31m" + "9" * 200}, b""), {"header": {"X-V": "2"}}, False, "with X-V: 1?[31m99"),
        ((200, {}, b""), {"header": {"X-V": "2.0"}}, False, "with no header X-V, expected 2.0"),
        ((200, {}, b'{"v": "2"}'), {"json": {"v": "2"}}, True, "answered 200"),
        ((200, {}, b'{"a": {"b": [1, {"c": null}]}}'), {"json": {"a.b.1.c": None, "a.b.0": 1}}, True, "200"),
        ((200, {}, b'{"a.b": {"c.d": true}}'), {"json": {"a.b": 1}}, False, '{"c.d": true}, expected 1'),
        ((200, {}, b'{"a": {"c.d": true}}'), {"json": {"a.c.d": True}}, True, "answered 200"),
        ((200, {}, b'{"v": 2}'), {"json": {"v": "2"}}, False, 'with v 2, expected "2"'),
        ((200, {}, b'{"v": 1}'), {"json": {"v": True}}, False, "with v 1, expected true"),
        ((200, {}, b'{"v": 1.0}'), {"json": {"v": 1}}, True, "answered 200"),
        ((200, {}, b"[]"), {"json": {"0": 1}}, False, "without 0 in its JSON"),
        ((200, {}, b'{"v": 1}'), {"json": {"v.w": 1}}, False, "without v.w in its JSON"),
        ((200, {}, b"<html>"), {"json": {"v": 1}}, False, "which is no JSON"),
        ((200, {}, b"\xff\xfe"), {"json": {"v": 1}}, False, "which is no JSON"),
        ((200, {}, b'{"v": 1}'), {"json": {"v": 1}, "body": "UP"}, False, "without the expected text"),
        ((200, {}, b'{"v": 1} '), {"json": {"v": 1}, "body": '"v"'}, True, "answered 200"),
    ],
)
def test_status_and_text_decide(reply: Reply, settings: dict[str, Any], healthy: bool, words: str) -> None:
    with serving(lambda method, target: reply) as served:
        found, message = check_health(make_check(f"{served.url}/health", **settings))
    assert found is healthy
    assert words in message


def test_redirect_is_followed_with_our_headers_to_the_same_origin_only() -> None:
    with serving(lambda method, target: (200, {}, b"")) as other:
        places = {"/": "/two", "/two": f"{other.url}/three?x=1"}
        answers: dict[str, Reply] = {at: (302, {"Location": to}, b"") for at, to in places.items()}
        with serving(lambda method, target: answers[target]) as first:
            healthy, message = check_health(make_check(f"{first.url}/", headers={"Host": "shop", "X-A": "b"}))
    assert healthy, message
    assert [one.headers["host"] for one in first.requests] == ["shop", "shop"]
    assert [one.headers["x-a"] for one in first.requests] == ["b", "b"]
    assert [str(one) for one in other.requests] == ["GET /three?x=1"]
    assert "x-a" not in other.requests[0].headers


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_method_and_user_agent_are_sent_and_one_can_be_replaced(method: str) -> None:
    with serving(lambda method, target: (200, {}, b"")) as served:
        assert check_health(make_check(served.url, method=method))[0]
        check_health(make_check(served.url, method=method, headers={"user-agent": "ours"}))
    assert [one.method for one in served.requests] == [method, method]
    assert [one.headers["user-agent"] for one in served.requests] == ["gitops-orchestrator", "ours"]


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


def test_certificate_is_accepted_by_ca_file_or_when_nothing_is_verified(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    with serving(lambda method, target: (200, {}, b""), certificate) as served:
        assert check_health(make_check(served.url, ca_file=str(certificate)))[0]
        assert check_health(make_check(served.url, insecure=True))[0]
        healthy, message = check_health(make_check(served.url, ca_file=str(tmp_path / "none.pem")))
        elsewhere = served.url.replace("127.0.0.1", "localhost")
        assert not check_health(make_check(elsewhere, ca_file=str(certificate)))[0]
    assert not healthy
    assert "none.pem cannot be used" in message


def test_redirect_from_https_to_http_is_not_followed(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    with serving(lambda method, target: (200, {}, b"")) as plain:
        reply: Reply = (302, {"Location": plain.url}, b"")
        with serving(lambda method, target: reply, certificate) as served:
            healthy, message = check_health(make_check(served.url, insecure=True))
    assert not healthy
    assert "answered 302" in message
    assert plain.requests == []


def test_port_is_healthy_when_it_accepts_connections() -> None:
    with raw_server([]) as port:
        healthy, message = check_health(make_check(type="tcp", host="127.0.0.1", port=port, url=None))
        assert healthy
        assert f"127.0.0.1 port {port} accepts connections after 1 attempt" in message
    healthy, message = check_health(make_check(type="tcp", host="127.0.0.1", port=port, url=None))
    assert not healthy
    assert "Connection refused" in message


def test_all_checks_are_asked_at_once_and_what_failed_is_said() -> None:
    replies: dict[str, Reply] = {"/good": (200, {}, b""), "/bad": (500, {}, b""), "/worse": (501, {}, b"")}
    with serving(lambda method, target: replies[target]) as served:
        good, bad, worse = (make_check(served.url + path) for path in replies)
        slow = make_check(type="command", url=None, command=["sleep", "1"])
        assert check_all([])[0]
        assert check_all([good])[0]
        began = time.monotonic()
        healthy, message = check_all([slow, good, slow, slow])
        assert healthy
        assert "/good answered 200" in message
        assert time.monotonic() - began < 2.5
        healthy, message = check_all([bad, good, worse])
    assert not healthy
    assert "answered 500" in message
    assert "answered 501" in message
    assert "/good" not in message


def test_version_is_filled_in_wherever_a_check_has_text() -> None:
    texts = {"body": "v{version}", "json": {"a": "{version}", "b": 1}, "header": {"X": "{version}"}}
    made = for_version(make_check("http://h/{version}", headers={"Y": "{version}{x}"}, **texts), "2.0")
    assert made["url"] == "http://h/2.0"
    assert (made["body"], made["json"]) == ("v2.0", {"a": "2.0", "b": 1})
    assert (made["header"], made["headers"]) == ({"X": "2.0"}, {"Y": "2.0{x}"})
    command = make_check(type="command", url=None, command=["check", "{version}"])
    assert for_version(command, "2.0")["command"] == ["check", "2.0"]


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now, self.sleeps = 0.0, list[float]()

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.sleeps.append(seconds)


@pytest.mark.parametrize(
    ("statuses", "settings", "healthy", "asked", "words"),
    [
        ([500, 500, 200], {"retries": 2}, True, 3, "answered 200 after 3 attempts"),
        ([500, 500, 200], {"retries": 1}, False, 2, "answered 500 after 2 attempts"),
        ([200, 200, 200], {"successes": 3}, True, 3, "after 3 attempts"),
        ([200, 500, 200, 200], {"successes": 2, "retries": 1}, True, 4, "after 4 attempts"),
        (
            [200] * 9,
            {"successes": 9, "deadline_seconds": 5},
            False,
            5,
            "answered 200, only 5 of 9 times in a row",
        ),
        ([200, 200, 200, 500], {"stays_healthy_seconds": 2}, True, 3, "after 3 attempts"),
        ([200, 200, 500], {"stays_healthy_seconds": 2}, False, 3, "answered 500, 2.0 s after it was healthy"),
        ([200, 500], {"stays_healthy_seconds": 0.5, "retries": 9}, False, 2, "0.5 s after it was healthy"),
        ([200] * 9, {"stays_healthy_seconds": 0.35, "interval_seconds": 0}, True, 5, "after 5 attempts"),
        ([500] * 9, {"retries": 99, "deadline_seconds": 4}, False, 4, "after 4 attempts"),
        ([500] * 9, {"retries": 99, "initial_delay_seconds": 3}, False, 2, "after 2 attempts"),
    ],
)
def test_attempts_follow_the_settings(
    statuses: list[int], settings: dict[str, Any], healthy: bool, asked: int, words: str
) -> None:
    answers, clock = iter(statuses), Clock()
    with serving(lambda method, target: (next(answers), {}, b"")) as served:
        check = make_check(served.url, **{"interval_seconds": 1, **settings})
        found, message = check_health(check, clock, clock.sleep)
    assert found is healthy, message
    assert len(served.requests) == asked
    assert words in message


def test_initial_delay_comes_first() -> None:
    clock = Clock()
    with serving(lambda method, target: (200, {}, b"")) as served:
        check_health(make_check(served.url, initial_delay_seconds=3), clock, clock.sleep)
    assert clock.sleeps == [3]
