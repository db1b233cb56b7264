"""Our double of a Nexus behaves like one where the orchestrator looks."""

from __future__ import annotations

import http.client
import socket
import struct
from pathlib import Path

import pytest

from orchestrator.demo.artifact_server import ArtifactServer


def test_client_that_hangs_up_and_impossible_path_leave_the_server_quiet(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "raw").mkdir()
    with (tmp_path / "raw" / "big.bin").open("wb") as file:
        file.truncate(64 << 20)
    with ArtifactServer(tmp_path) as server:
        port = int(server.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET /repository/raw/big.bin HTTP/1.1\r\nHost: x\r\n\r\n")
            client.recv(100)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("GET", "/repository/raw/a%00b")
        assert connection.getresponse().status == 404
        connection.close()
    assert "Traceback" not in capfd.readouterr().err
