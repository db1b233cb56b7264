"""Asking a URL until it is healthy or its time is over. The controller uses this module too."""

from __future__ import annotations

import http.client
import socket
import time
import urllib.error
import urllib.request

BODY_BYTES = 1 << 20
PIECE_BYTES = 1 << 16


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, request, file, code, message, headers, new_url):
        return None


class _WebRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, request, file, code, message, headers, new_url):
        if not new_url.startswith(("http://", "https://")):
            return None
        return super().redirect_request(request, file, code, message, headers, new_url)


def check_health(check, clock=time.monotonic, sleep=time.sleep):
    """Whether the URL got healthy, and what the last attempt saw.

    Args:
        check: `url`, `retries`, `interval_seconds`, `timeout_seconds`, `deadline_seconds`, `status` (list,
            empty: any 2xx after redirects), `body` (text that has to be there, or empty).

    Returns:
        (healthy, one sentence).
    """
    started, attempt, seen = clock(), 0, ""
    while True:
        attempt += 1
        left = check["deadline_seconds"] - (clock() - started)
        healthy, seen = _ask(check, max(0.1, min(check["timeout_seconds"], left)), clock)
        took = clock() - started
        summary = "{} {} after {} attempt{}, {:.1f} s".format(
            check["url"], seen, attempt, "" if attempt == 1 else "s", took
        )
        if healthy:
            return True, summary
        if attempt > check["retries"] or took + check["interval_seconds"] >= check["deadline_seconds"]:
            return False, summary
        sleep(check["interval_seconds"])


def _ask(check, timeout_seconds, clock):
    until = clock() + timeout_seconds
    try:
        return _request(check, timeout_seconds, lambda: clock() < until)
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, (TimeoutError, socket.timeout)):
            return False, "did not answer within {:.1f} s".format(timeout_seconds)
        return False, "does not answer: {}".format(reason)


def _request(check, timeout_seconds, is_time_left):
    redirects = any(300 <= status < 400 for status in check["status"])
    handlers = [urllib.request.ProxyHandler({}), _NoRedirects() if redirects else _WebRedirects()]
    request = urllib.request.Request(check["url"], headers={"User-Agent": "gitops-orchestrator"})
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=timeout_seconds) as response:
            return _judge(check, response.status, response, is_time_left)
    except urllib.error.HTTPError as error:
        with error:
            return _judge(check, error.code, error, is_time_left)


def _judge(check, status, response, is_time_left):
    expected = check["status"]
    if status not in expected if expected else not 200 <= status < 300:
        return False, "answered {}".format(status)
    if check["body"] and not _holds(response, check["body"].encode(), is_time_left):
        return False, "answered {} without the expected text".format(status)
    return True, "answered {}".format(status)


def _holds(response, text, is_time_left):
    """Whether the text comes, of a response that may never end."""
    body = b""
    while len(body) < BODY_BYTES and is_time_left():
        piece = response.read1(PIECE_BYTES)
        if not piece:
            return False
        body += piece
        if text in body[-len(piece) - len(text) :]:
            return True
    return False
