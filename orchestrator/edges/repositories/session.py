"""HTTP requests to artifact repositories: redirects, retries, timeouts, translated errors.

Importing this module imports httpx and stamina; `resolve` does so only when there is something to ask.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final, Self, TypeVar

import httpx
import stamina

from orchestrator import __version__
from orchestrator.edges.repositories.answers import Answer
from orchestrator.edges.repositories.failures import connection_problem
from orchestrator.errors import RepositoryError

T = TypeVar("T")

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_BUSY: Final = frozenset({429, 502, 503})
_MAX_REDIRECTS: Final = 5
_ATTEMPTS: Final = 4
_PATIENCE_SECONDS: Final = 7.0
_CONNECT_SECONDS: Final = 5.0
_ERROR_BODY_BYTES: Final = 1 << 16

# A retry is told by the error that ends it; without a handler, logging itself would print to stderr.
logging.getLogger("stamina").addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """An answer whose body is still to be read from `pieces`."""

    answer: Answer
    pieces: Iterator[bytes]


class _BusyError(Exception):
    """The server asks to come back later."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class HttpSession:
    """Connections to any number of servers, shared by threads; use as a context manager.

    Args:
        timeout_seconds: how long a server may stay silent.
    """

    def __init__(self, *, timeout_seconds: float) -> None:
        self._client = httpx.Client(
            verify=_trust(),
            timeout=httpx.Timeout(timeout_seconds, connect=min(_CONNECT_SECONDS, timeout_seconds)),
            # A session cookie is a credential, and cookies know no ports: none are kept.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            headers={"User-Agent": f"gitops-orchestrator/{__version__}", "Accept-Encoding": "identity"},
        )
        self._timeout_seconds = timeout_seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def request(
        self,
        method: str,
        url: str,
        consume: Callable[[Exchange], T],
        *,
        credentials: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
    ) -> T:
        """Return what `consume` makes of the answer; it runs again when the connection breaks under it.

        A server that is busy (429, 502, 503) or cannot be connected to is asked up to four times, within
        some seconds; then its last answer is what `consume` gets. `Retry-After` is honoured while it
        fits in.

        Args:
            credentials: headers for the origin of `url`, dropped for good by a redirect to another one.

        Raises:
            RepositoryError: no answer, or redirects that must not be followed.
        """
        began = time.monotonic()

        def backoff(error: Exception) -> bool | float:
            return retry_wait(error, elapsed_seconds=time.monotonic() - began)

        attempts = stamina.retry_context(
            on=backoff, attempts=_ATTEMPTS, timeout=None, wait_initial=0.2, wait_max=2.0, wait_jitter=0.3
        )
        try:
            for attempt in attempts:
                with attempt, self._open(method, url, headers or {}, credentials) as exchange:
                    if exchange.answer.status in _BUSY:
                        raise _BusyError(with_body(exchange))
                    return consume(exchange)
        except _BusyError as busy:
            return consume(Exchange(answer=busy.answer, pieces=iter((busy.answer.body,))))
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise connection_problem(error, url, self._timeout_seconds) from error
        raise AssertionError("the last attempt returns or raises")

    @contextmanager
    def _open(
        self, method: str, url: str, headers: Mapping[str, str], credentials: Mapping[str, str]
    ) -> Iterator[Exchange]:
        target = httpx.URL(url)
        first = _origin(target)
        own_headers: dict[str, str] = {}
        own = True
        for _ in range(_MAX_REDIRECTS + 1):
            sent = {**headers, **credentials} if own else dict(headers)
            request = self._client.build_request(method, target, headers=sent)
            # An explicit empty auth: httpx would otherwise take one from the URL.
            with closing(self._client.send(request, auth=httpx.Auth(), stream=True)) as response:
                if _origin(target) == first:
                    own_headers.update(response.headers)
                if response.status_code not in _REDIRECTS or "location" not in response.headers:
                    answer = Answer(
                        method=method,
                        place=_place(target),
                        status=response.status_code,
                        reason=response.reason_phrase,
                        headers=dict(response.headers),
                        own_headers=own_headers,
                        own_origin=own,
                    )
                    yield Exchange(answer=answer, pieces=response.iter_raw())
                    return
                target = _redirect_target(target, response.headers["location"])
            own = own and _origin(target) == first
        raise RepositoryError(
            f"{_place(httpx.URL(url))}: the server redirects more than {_MAX_REDIRECTS} times",
            resolution="check the repository's `url`; a login page or a proxy may be in the way",
        )


def with_body(exchange: Exchange, limit_bytes: int = _ERROR_BODY_BYTES) -> Answer:
    """Return the answer together with the beginning of its body."""
    body = bytearray()
    for piece in exchange.pieces:
        body += piece
        if len(body) >= limit_bytes:
            break
    answer = exchange.answer
    return Answer(
        method=answer.method,
        place=answer.place,
        status=answer.status,
        reason=answer.reason,
        headers=answer.headers,
        own_headers=answer.own_headers,
        own_origin=answer.own_origin,
        body=bytes(body[:limit_bytes]),
    )


def retry_wait(error: Exception, *, elapsed_seconds: float) -> bool | float:
    """Return whether to try again: True (after the usual pause), False, or after so many seconds.

    Asking again has to fit into the patience of 7 seconds; a server that wants a longer pause is not asked.
    """
    if elapsed_seconds > _PATIENCE_SECONDS:
        return False
    match error:
        case _BusyError(answer=answer):
            after = answer.headers.get("retry-after", "")
            if not after.isdecimal():
                return True
            return float(after) if elapsed_seconds + float(after) <= _PATIENCE_SECONDS else False
        case httpx.ConnectError():
            return not _has_cause(error, ssl.SSLCertVerificationError)
        case httpx.ConnectTimeout() | httpx.ReadError() | httpx.WriteError() | httpx.RemoteProtocolError():
            return True
        case _:
            return False


def _has_cause(error: BaseException, kind: type[BaseException]) -> bool:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, kind):
        cause = cause.__cause__ or cause.__context__
    return cause is not None


def _redirect_target(current: httpx.URL, location: str) -> httpx.URL:
    try:
        target = current.join(location).copy_with(userinfo=b"", fragment=None)
    except httpx.InvalidURL as error:
        raise RepositoryError(
            f"{_place(current)}: the server redirects to something that is no URL",
            resolution="check the server and the proxies before it",
        ) from error
    if target.scheme not in ("http", "https") or not target.host:
        raise RepositoryError(
            f"{_place(current)}: the server redirects to a `{target.scheme}:` address",
            resolution="check the server and the proxies before it",
        )
    if current.scheme == "https" and target.scheme == "http":
        raise RepositoryError(
            f"{_place(current)}: the server redirects from https to http ({_place(target)}), which is refused",
            resolution="correct the server's base URL, or the headers that its proxy sets",
        )
    return target


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


def _place(url: httpx.URL) -> str:
    return str(url.copy_with(query=None, fragment=None, userinfo=b""))


def _trust() -> ssl.SSLContext:
    """Return a context that trusts what this machine trusts (SSL_CERT_FILE included), as the hosts do."""
    paths = ssl.get_default_verify_paths()
    if not (paths.cafile or paths.capath):
        return httpx.create_ssl_context()
    return ssl.create_default_context()
