"""How requests get to a forge, the same under every library: to its API and nowhere else, bounded, and understood.

The libraries make requests and read answers; in between, this module sees to it that the token goes to one origin
only (a redirect is refused, not followed), that no answer is waited for without end, that what is busy is asked
again, and that every failure is one kind of error. So no library's own idea of redirects and retries counts.
"""

from __future__ import annotations

import json
import os
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx
import requests
from requests.adapters import HTTPAdapter

from orchestrator import __version__
from orchestrator.core.forge_answers import ForgeAnswer, retry_pause, wait_seconds
from orchestrator.core.forge_location import ForgeLocation
from orchestrator.core.hidden_text import one_line
from orchestrator.core.urls import origin_of, url_problem
from orchestrator.edges.credentials import redact
from orchestrator.errors import ForgeError

CONNECT_SECONDS, READ_SECONDS, ANSWER_SECONDS = 5.0, 10.0, 20.0
MAX_BYTES = 16 * 1024 * 1024
USER_AGENT = f"gitops-orchestrator/{__version__}"
_SAID_CHARACTERS = 300


class ForgeAnswerError(ForgeError):
    """The forge answered, and not with success; `status` is that of HTTP."""

    def __init__(self, brief: str, *, status: int, details: tuple[str, ...], resolution: str) -> None:
        super().__init__(brief, details=details, resolution=resolution)
        self.status = status


class Gate:
    """What every request has to pass on its way out, and every answer on its way in.

    Args:
        token: never shown, whatever a server says.
        clock, sleep: seconds since the epoch, and a pause.
    """

    def __init__(
        self,
        location: ForgeLocation,
        token: str,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._location, self._token = location, token
        self._origin = origin_of(location.api_url)
        self._clock, self._sleep = clock, sleep

    @property
    def origin(self) -> str:
        """The only origin that requests go to."""
        return self._origin

    def check_target(self, url: str) -> None:
        """Whether the request stays where the token may go.

        Raises:
            ForgeError: it would not.
        """
        if url_problem(url, query=True) or origin_of(url) != self._origin:
            raise ForgeError(
                f"{self._location.label} sends on to another address than its API at {self._origin}",
                resolution="the token is sent there only; correct `url` in [forge], or the forge's own address",
            )

    def exchange(
        self, method: str, send: Callable[[], tuple[int, Mapping[str, str], Iterable[bytes]]]
    ) -> Answer:
        """What the forge answers in the end, when that is a success with JSON or nothing in it.

        Args:
            send: makes the request; names of headers in lower case; the body comes in pieces.

        Raises:
            ForgeAnswerError: it refuses, redirects or limits; ForgeError: it says no JSON, too much or too slowly.
        """
        began = self._clock()
        attempt = 0
        while True:
            attempt += 1
            status, headers, pieces = send()
            answer = ForgeAnswer(method=method, status=status, headers=headers)
            body = self._read(pieces)
            now = self._clock()
            pause = retry_pause(answer, attempt=attempt, elapsed_seconds=now - began, now_seconds=now)
            if pause is None:
                return self._judge(answer, body)
            self._sleep(pause)

    def unreachable(self, error: Exception) -> ForgeError:
        """The error for a request that got no answer."""
        slow = isinstance(error, requests.Timeout | httpx.TimeoutException)
        what = "does not answer in time" if slow else "cannot be reached"
        return ForgeError(
            f"{self._location.label} {what}",
            details=self._said(str(error)),
            resolution=f"check {self._origin} and the network from this machine",
        )

    def _read(self, pieces: Iterable[bytes]) -> bytes:
        began, body = self._clock(), bytearray()
        for piece in pieces:
            body += piece
            if len(body) > MAX_BYTES:
                raise self._odd(f"with more than {MAX_BYTES >> 20} MiB")
            if self._clock() - began > ANSWER_SECONDS:
                raise self._odd(f"for longer than {ANSWER_SECONDS:g} seconds")
        return bytes(body)

    def _judge(self, answer: ForgeAnswer, body: bytes) -> Answer:
        status = answer.status
        if 300 <= status < 400:
            raise ForgeAnswerError(
                f"{self._location.label} redirects (HTTP {status}) instead of answering",
                status=status,
                details=(),
                resolution="a redirect is not followed with a token; name the forge's (and the project's) "
                "present address in [forge], or in the git remote",
            )
        try:
            document = json.loads(body) if body.strip() else None
        except (ValueError, RecursionError):
            document = _NO_JSON
        if status >= 400 or status < 200:
            raise self._refusal(answer, document)
        if document is _NO_JSON or status == 202:  # PyGithub would ask again without end
            raise self._odd("with something that is no JSON")
        return Answer(status=status, headers=dict(answer.headers), body=body)

    def _refusal(self, answer: ForgeAnswer, document: Any) -> ForgeAnswerError:
        status, label = answer.status, self._location.label
        said = self._said(_message(document))
        if answer.is_rate_limit:
            pause = wait_seconds(answer, now_seconds=self._clock())
            then = f"in {pause:.0f} seconds" if pause is not None else "later"
            brief, remedy = f"{label} takes no more requests for now (HTTP {status})", f"run it again {then}"
        elif status == 401:
            brief, remedy = f"{label} refuses the token", "check that it is valid and has not expired"
        elif status == 403:
            brief, remedy = (
                f"{label} does not allow this to the token",
                "give it the permission, see docs/forges.md",
            )
        elif status == 404:
            brief = f"{label}: there is no such thing, or the token may not see it (HTTP 404)"
            remedy = "check `project` in [forge], and what the token may read"
        elif status >= 500:
            brief, remedy = f"{label} fails (HTTP {status})", "run it again when it is well"
        else:
            brief, remedy = f"{label} refuses the request (HTTP {status})", "see what it says above"
        return ForgeAnswerError(brief, status=status, details=said, resolution=remedy)

    def _odd(self, how: str) -> ForgeError:
        return ForgeError(
            f"{self._location.label} answers {how}",
            resolution=f"check that its API is at {self._location.api_url}; a proxy or a login page may be in the way",
        )

    def _said(self, text: str) -> tuple[str, ...]:
        plain = one_line(redact(text, (self._token,)))[:_SAID_CHARACTERS]
        return (f"it says: {plain}",) if plain else ()


class Answer:
    """A successful answer whose body has been read."""

    def __init__(self, *, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body


class GatedSession(requests.Session):
    """For libraries that use requests."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self._gate = gate
        self.mount("http://", HTTPAdapter(max_retries=0))
        self.mount("https://", HTTPAdapter(max_retries=0))

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """See `Gate`."""
        self._gate.check_target(request.url or "")
        options.update(allow_redirects=False, stream=True, timeout=(CONNECT_SECONDS, READ_SECONDS))
        if options.get("verify") is True:
            options["verify"] = trusted_certificates()
        last: list[requests.Response] = []

        def ask() -> tuple[int, Mapping[str, str], Iterable[bytes]]:
            for response in last:
                response.close()
            response = super(GatedSession, self).send(request, **options)
            last[:] = [response]
            headers = {name.lower(): value for name, value in response.headers.items()}
            return response.status_code, headers, response.iter_content(1 << 16)

        try:
            answer = self._gate.exchange(request.method or "", ask)
        except (requests.RequestException, OSError) as error:
            raise self._gate.unreachable(error) from None
        finally:
            for response in last:
                response.close()
        response = last[0]
        response._content, response._content_consumed = answer.body, True
        return response


class GatedTransport(httpx.BaseTransport):
    """For libraries that use httpx."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._inner = httpx.HTTPTransport(verify=_context(), proxy=_proxy(gate.origin))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """See `Gate`."""
        self._gate.check_target(str(request.url))
        request.extensions["timeout"] = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS).as_dict()
        last: list[httpx.Response] = []

        def ask() -> tuple[int, Mapping[str, str], Iterable[bytes]]:
            for response in last:
                response.close()
            response = self._inner.handle_request(request)
            response.request = request
            last[:] = [response]
            return response.status_code, dict(response.headers), response.iter_bytes()

        try:
            answer = self._gate.exchange(request.method, ask)
        except httpx.HTTPError as error:
            raise self._gate.unreachable(error) from None
        finally:
            for response in last:
                response.close()
        headers = {
            name: value
            for name, value in answer.headers.items()
            if name not in ("content-encoding", "content-length", "transfer-encoding")
        }
        return httpx.Response(answer.status, headers=headers, content=answer.body, request=request)

    def close(self) -> None:
        """Connections are closed."""
        self._inner.close()


def trusted_certificates() -> bool | str:
    """What this machine trusts, as everywhere else (SSL_CERT_FILE and requests' own variables included)."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if os.environ.get(name):
            return os.environ[name]
    paths = ssl.get_default_verify_paths()
    return paths.cafile or paths.capath or True


def _proxy(origin: str) -> str | None:
    """The proxy of the environment for that origin, as httpx and requests choose it themselves."""
    parts, proxies = urlsplit(origin), getproxies()
    return None if proxy_bypass(parts.netloc) else proxies.get(parts.scheme) or proxies.get("all")


def _context() -> ssl.SSLContext:
    paths = ssl.get_default_verify_paths()
    return ssl.create_default_context() if paths.cafile or paths.capath else httpx.create_ssl_context()


def _message(document: Any) -> str:
    """What a forge says of a failure; a page in HTML is not shown."""
    if not isinstance(document, dict):
        return ""
    parts = []
    for name in ("message", "error", "errors"):
        value = document.get(name)
        if value:
            parts.append(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return "; ".join(parts)


_NO_JSON = object()
