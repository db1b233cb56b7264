"""Real servers that answer what a test wants, over http or https."""

from __future__ import annotations

import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.edges.programs import require

Reply = tuple[int, dict[str, str], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]

    def __str__(self) -> str:
        return f"{self.method} {self.target}"


@dataclass(slots=True)
class Served:
    """Where the server is, and every request so far."""

    url: str
    requests: list[Seen] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    reply: Callable[[str, str], Reply]
    requests: list[Seen]

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.requests.append(Seen(method=self.command, target=self.path, headers=headers))
        status, headers, body = self.reply(self.command, self.path)
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_POST = do_GET

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing is printed."""


class _Server(ThreadingHTTPServer):
    """A client that hangs up, or that does not like our certificate, is no error."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing is printed."""


@contextmanager
def serving(
    reply: Callable[[str, str], Reply], certificate: Path | None = None, address: str = "127.0.0.1"
) -> Iterator[Served]:
    """A server that answers `reply(method, target)`, by https with a certificate of `make_certificate`."""
    served = Served(url="")
    handler = type("Bound", (_Handler,), {"reply": staticmethod(reply), "requests": served.requests})
    server = _Server((address, 0), handler)
    scheme = "http"
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        # The handshake is made by the thread of the connection, not by the one that accepts.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        scheme = "https"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    served.url = f"{scheme}://{address}:{server.server_address[1]}"
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def make_certificate(directory: Path, *, days: int = 2) -> Path:
    """A self-signed certificate for 127.0.0.1, its key beside it."""
    require("openssl")
    path = directory / "certificate.pem"
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
            ),
            *("-keyout", str(path.with_suffix(".key")), "-out", str(path), "-days", str(days)),
            *("-subj", "/CN=nexus.example.net", "-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    return path
