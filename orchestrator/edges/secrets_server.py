"""Secrets for the running playbook, handed out over a private socket.

ansible-runner writes variables, arguments and environment of its process to disk, so secrets are none of
these: an action asks for a reference here when it needs the value. Only references that belong to the run
are answered.
"""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from orchestrator.core.model import Reference
from orchestrator.edges.credentials import SecretSource


class SecretsServer:
    """Serves the values of some references at a Unix socket while the context is open."""

    def __init__(self, path: Path, secrets: SecretSource, references: Iterable[Reference]) -> None:
        self.path = path
        values = {str(reference): secrets.value(reference) for reference in references}

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                try:
                    reference = json.loads(self.rfile.readline(65536)).get("reference")
                except (ValueError, AttributeError):
                    return
                answer = {"value": values[reference]} if reference in values else {"error": "not allowed"}
                self.wfile.write(json.dumps(answer).encode() + b"\n")

        self._server = socketserver.ThreadingUnixStreamServer(str(path), Handler)
        self._server.daemon_threads = True
        path.chmod(0o600)

    def __enter__(self) -> SecretsServer:
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.path.unlink(missing_ok=True)
