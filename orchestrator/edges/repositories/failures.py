"""Why a request got no answer, in words."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx

from orchestrator.errors import RepositoryError


def connection_problem(error: Exception, url: str, timeout_seconds: float) -> RepositoryError:
    """Return what an error of httpx means to a user, by the system's error beneath it."""
    parts = urlsplit(url)
    server = f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
    causes = tuple(_causes(error))
    for cause in causes:
        match cause:
            case ssl.SSLCertVerificationError():
                return RepositoryError(
                    f"{server}: its certificate is not accepted",
                    details=(cause.verify_message or str(cause),),
                    resolution="let this machine trust the issuer (system store or SSL_CERT_FILE)",
                )
            case ssl.SSLError():
                return RepositoryError(
                    f"{server}: no TLS connection can be made",
                    details=(str(cause),),
                    resolution="check that the port speaks TLS, and the proxies before it",
                )
            case socket.gaierror():
                return RepositoryError(
                    f"{server}: the host name cannot be resolved",
                    details=(cause.strerror or str(cause),),
                    resolution="check the repository's `url` and this machine's DNS",
                )
            case ConnectionRefusedError():
                return RepositoryError(
                    f"{server}: the connection is refused",
                    resolution="check that the server runs, and the repository's `url` and port",
                )
    if isinstance(error, httpx.ProxyError):
        return RepositoryError(
            f"{server}: the proxy does not let the request through",
            details=(str(error),),
            resolution="check HTTPS_PROXY, HTTP_PROXY and NO_PROXY",
        )
    if isinstance(error, httpx.ConnectTimeout):
        return RepositoryError(
            f"{server}: no connection could be made in time",
            resolution="check the repository's `url`, firewalls, and whether a proxy is needed",
        )
    if isinstance(error, httpx.TimeoutException):
        return RepositoryError(
            f"{server}: the server was silent for {timeout_seconds:g} s",
            resolution="try again later, or look at the server's load and log",
        )
    return RepositoryError(
        f"{server}: the connection broke or its answer is not HTTP",
        details=(str(error) or type(error).__name__,),
        resolution="try again; if it stays so, check the server and the proxies before it",
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
