"""Our double of a Nexus behaves like one where the orchestrator looks."""

from __future__ import annotations

import http.client
import socket
import struct
from pathlib import Path

import httpx
import pytest

from orchestrator.demo.artifact_server import ArtifactServer
from tests.edges.lookups import CONTENT, SHA, make_repository, resolve


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


def test_search_pages_and_a_page_may_be_empty(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    for number in range(5):
        (tmp_path / "raw" / f"a-{number}.zip").write_bytes(b"other")
    (tmp_path / "raw" / "site-1.zip").write_bytes(CONTENT)
    with ArtifactServer(tmp_path, page_assets=2) as server:
        pages, token = [], ""
        while True:
            query = {"repository": "raw", "name": "/site-1.zip"} | (
                {"continuationToken": token} if token else {}
            )
            page = httpx.get(f"{server.url}/service/rest/v1/search/assets", params=query).json()
            pages.append([item["path"] for item in page["items"]])
            token = page["continuationToken"]
            if token is None:
                break
        assert pages == [[], [], ["/site-1.zip"]]
        wrong = {"repository": "raw", "name": "/site-1.zip", "continuationToken": "nonsense"}
        assert httpx.get(f"{server.url}/service/rest/v1/search/assets", params=wrong).status_code == 406


def test_resolving_follows_the_pages(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    for number in range(5):
        (tmp_path / "raw" / f"a-{number}.zip").write_bytes(b"other")
    (tmp_path / "raw" / "site-1.zip").write_bytes(CONTENT)
    with ArtifactServer(tmp_path, page_assets=2) as server:
        (found,) = resolve(make_repository("nexus", server.url))
        asked = [one.path for one in server.log.requests if "/search/assets" in one.path]
    assert (found.sha256, found.digest_source) == (SHA, "repository API")
    assert len(asked) == 3
