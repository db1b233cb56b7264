"""Asking a URL until it is healthy or its time is over. The controller uses this module too."""

from __future__ import annotations

import http.client
import socket
import time
import urllib.error
import urllib.request

BODY_BYTES = 1 << 20


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, request, file, code, message, headers, new_url):
        return None


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
        healthy, seen = _ask(check, max(0.1, min(check["timeout_seconds"], left)))
        took = clock() - started
        summary = "{} {} after {} attempt{}, {:.1f} s".format(
            check["url"], seen, attempt, "" if attempt == 1 else "s", took
        )
        if healthy:
            return True, summary
        if attempt > check["retries"] or took + check["interval_seconds"] >= check["deadline_seconds"]:
            return False, summary
        sleep(check["interval_seconds"])


def _ask(check, timeout_seconds):
    handlers = [urllib.request.ProxyHandler({})]
    wanted = check["status"]
    if any(300 <= status < 400 for status in wanted):
        handlers.append(_NoRedirects())
    request = urllib.request.Request(check["url"], headers={"User-Agent": "gitops-orchestrator"})
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=timeout_seconds) as response:
            return _judge(check, response.status, response)
    except urllib.error.HTTPError as error:
        with error:
            return _judge(check, error.code, error)
    except (urllib.error.URLError, OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, (TimeoutError, socket.timeout)):
            return False, "did not answer within {:.1f} s".format(timeout_seconds)
        return False, "does not answer: {}".format(reason)


def _judge(check, status, response):
    expected = check["status"]
    if status not in expected if expected else not 200 <= status < 300:
        return False, "answered {}".format(status)
    if check["body"] and check["body"].encode() not in response.read(BODY_BYTES):
        return False, "answered {} without the expected text".format(status)
    return True, "answered {}".format(status)
