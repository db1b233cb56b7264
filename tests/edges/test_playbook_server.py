"""What a playbook asks its orchestrator, at the end of a run."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from orchestrator.edges.playbook_server import PlaybookServer, Rollout
from tests.edges.remotes import wait_for


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PlaybookServer]:
    started = PlaybookServer(tmp_path / "socket")
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


def test_question_of_a_playbook_that_was_killed_is_no_defect(
    server: PlaybookServer, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        asking = ask(server, "plan")
        with asking:
            asking.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    server.close()
    wait_for(lambda: not [one for one in threading.enumerate() if "process_request" in one.name], 10)
    assert capfd.readouterr().err == ""


def test_report_is_taken_while_the_run_lasts(tmp_path: Path) -> None:
    """What an action is told decides whether it begins: nobody would hear of what comes after the end."""
    told: list[Mapping[str, object]] = []
    lasts = [True, True, False]

    def take(said: Mapping[str, object]) -> bool:
        told.append(said)
        return lasts.pop(0)

    started = PlaybookServer(tmp_path / "socket", take)
    started.start()
    answers = []
    for _ in range(3):
        with ask(started, "report") as asking, asking.makefile("rb") as answer:
            answers.append(json.loads(answer.readline()))
    started.close()
    assert [one.get("error", "") for one in answers] == ["", "", "the orchestrator has ended"]
    assert len(told) == 3
