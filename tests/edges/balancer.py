"""A real HAProxy in front of applications that drop connections while they change, and clients that count failures."""

from __future__ import annotations

import contextlib
import http.client
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.edges.remotes import wait_for

HAPROXY = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin")
RESTART_SECONDS = 0.5
CONFIGURATION = """\
global
  stats socket {socket} mode 600 level admin
  stats socket {reading} mode 600 level user
  maxconn 200
defaults
  mode http
  retries 0
  timeout connect 2s
  timeout client 20s
  timeout server 20s
frontend in
  bind 127.0.0.1:{port}
  default_backend web
backend web
  option httpchk GET /
  default-server check inter 100ms fall 2 rise 1
"""


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Application:
    """Serves the version that is live; when another one goes live it drops its requests and is away for a while.

    Attributes:
        sick: versions that answer 500. `/slow` is answered when the application ends.
    """

    def __init__(self, live: Callable[[], str]) -> None:
        self.port, self.sick = free_port(), set[str]()
        self._live, self._version, self._ended = live, live(), threading.Event()
        self._server = self._listen()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def close(self) -> None:
        """It is gone."""
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.01):
            version = self._live()
            if version and version != self._version:
                self._version = version
                self._stop()
                self._ended.wait(RESTART_SECONDS)
                self._server = self._listen()
        self._stop()

    def _stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _listen(self) -> ThreadingHTTPServer:
        application = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                version = application._version
                application._ended.wait(120 if self.path == "/slow" else 0.02)
                if version != application._version:
                    self.close_connection = True
                    return
                self.send_response(500 if version in application.sick else 200)
                self.end_headers()
                self.wfile.write(version.encode())

            def log_message(self, format: str, *arguments: object) -> None:
                """Says nothing."""

        class Server(ThreadingHTTPServer):
            allow_reuse_address, daemon_threads, request_queue_size = True, True, 128

            def handle_error(self, request: object, client_address: object) -> None:
                """Says nothing: a client may have gone."""

        server = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return server


class Balancer:
    """HAProxy with a backend `web`, whose servers are named as hosts."""

    def __init__(self, directory: Path, servers: dict[str, int]) -> None:
        assert HAPROXY is not None, "install haproxy"
        self.socket, self.reading, self.port = directory / "h.sock", directory / "reading.sock", free_port()
        lines = [f"  server {name} 127.0.0.1:{port}\n" for name, port in servers.items()]
        file = directory / "haproxy.cfg"
        file.write_text(
            CONFIGURATION.format(socket=self.socket, reading=self.reading, port=self.port) + "".join(lines)
        )
        self._process = subprocess.Popen(
            [HAPROXY, "-db", "-f", str(file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(lambda: self.socket.exists() and all(self.status(name) == "UP" for name in servers))

    def close(self) -> None:
        """It is gone."""
        self._process.kill()
        self._process.wait()

    def ask(self, command: str) -> str:
        """What the runtime socket answers."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(self.socket))
            connection.sendall(command.encode() + b"\n")
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()

    def status(self, server: str) -> str:
        """`UP`, `DOWN`, `DRAIN`, `MAINT` or the like."""
        rows = [line.split(",") for line in self.ask("show stat").splitlines()]
        column = rows[0].index("status")
        return next((row[column] for row in rows if row[:2] == ["web", server]), "")

    @contextlib.contextmanager
    def clients(self, number: int = 3) -> Iterator[dict[str, int]]:
        """Clients that ask all the time while the context is open: `asked` and `failed` are what they counted."""
        counts, ended, lock = {"asked": 0, "failed": 0}, threading.Event(), threading.Lock()

        def work() -> None:
            while not ended.is_set():
                good = self._get()
                with lock:
                    counts["asked"] += 1
                    counts["failed"] += not good
                time.sleep(0.005)

        threads = [threading.Thread(target=work) for _ in range(number)]
        for thread in threads:
            thread.start()
        try:
            yield counts
        finally:
            ended.set()
            for thread in threads:
                thread.join()

    def open_slow_request(self) -> socket.socket:
        """A session that lasts until the socket is closed."""
        connection = socket.create_connection(("127.0.0.1", self.port))
        connection.sendall(b"GET /slow HTTP/1.0\r\n\r\n")
        return connection

    def _get(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
