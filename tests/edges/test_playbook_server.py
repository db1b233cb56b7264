"""What a playbook asks its orchestrator, at the end of a run."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.edges.credentials import ControllerSecrets
from orchestrator.edges.playbook_server import PlaybookServer, Rollout


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PlaybookServer]:
    started = PlaybookServer(tmp_path / "socket", ControllerSecrets({}), ())
    started.start()
    yield started
    started.close()


def ask(server: PlaybookServer, what: str) -> socket.socket:
    """A question whose answer nobody reads, as of a playbook that was killed."""
    asking = socket.socket(socket.AF_UNIX)
    asking.connect(str(server.path))
    asking.sendall(json.dumps({"ask": what}).encode() + b"\n")
    return asking


def test_wait_for_an_approval_is_over_before_the_run_is(server: PlaybookServer) -> None:
    """Else the run ends while its approval branch still says that it waits, and somebody approves it."""
    began, cleaned_up = threading.Event(), threading.Event()

    def wait(ended: Callable[[], bool]) -> bool:
        began.set()
        while not ended():
            time.sleep(0.01)
        time.sleep(0.3)  # as a push to a remote takes
        cleaned_up.set()
        return False

    server.decide(Rollout(wait=wait))
    with ask(server, "wait"):
        assert began.wait(10)
        server.close()
        assert cleaned_up.is_set()


def test_server_that_nobody_asks_closes_at_once_and_twice(server: PlaybookServer) -> None:
    server.close()
    server.close()
    assert not server.path.exists()
