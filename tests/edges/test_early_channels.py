"""Connections that are made while ansible starts, and how the action takes them over."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from controller_program import orchestrator as asking
from controller_program.channel import Command
from controller_program.fleet import Link, take_over
from controller_program.program import MARK, command_line, first_line
from host_program import receipts

from orchestrator.edges import early_channels
from orchestrator.edges.credentials import ControllerSecrets
from orchestrator.edges.early_channels import FRESH_SECONDS, EarlyChannels, open_early
from orchestrator.edges.playbook_server import PlaybookServer
from orchestrator.edges.preparing import SOCKET_VARIABLE
from tests.core.values import make_host
from tests.edges.host import Host
from tests.edges.remotes import wait_for

OBSERVATION = {"phase": "observe", "identity": "shop/dev", "verify": False, "placements": [], "run": {}}
READY = f"echo {early_channels.READY.decode()}"
CONTENT = Path(__file__).resolve().parents[2]
Open = Callable[..., EarlyChannels]


@pytest.fixture
def opened(host: Host) -> Iterator[Open]:
    """Channels to programs of this machine, each started by the given words, or by those of the host program."""
    made: list[EarlyChannels] = []

    def open_channels(words: Sequence[str] = (), names: Sequence[str] = ("a",)) -> EarlyChannels:
        usual = ("sh", "-c", f"{READY}; {command_line(sys.executable)}")
        environment = {**os.environ, "ORCHESTRATOR_STATE_DIRECTORY": receipts.state_root()}
        commands = dict.fromkeys(names, tuple(words) or usual)
        made.append(EarlyChannels(commands, first_line(), environment, 4, MARK))
        return made[-1]

    yield open_channels
    for channels in made:
        channels.close()


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[EarlyChannels], None]]:
    server = PlaybookServer(tmp_path / "socket")
    server.start()
    monkeypatch.setenv(SOCKET_VARIABLE, str(server.path))

    def admit(channels: EarlyChannels) -> None:
        server.admit(ControllerSecrets({}), (), channels)

    yield admit
    server.close()


def make_link(name: str, script: str) -> Link:
    command = Command(
        words=("sh", "-c", script), cwd=None, python="python3", become=None, password="", timeout_seconds=5.0
    )
    return Link(lambda: command, first_line(), keeps=True, take=lambda: take_over(name))


def test_action_asks_the_program_that_was_started_early(opened: Open, serve: Any) -> None:
    serve(opened())
    link = make_link("a", "echo >&2 this one is not needed; exit 255")
    assert link.ask(OBSERVATION, ())["observed"] == []
    assert link.ask(OBSERVATION, ())["observed"] == []
    link.close(wait=True)


def test_channel_that_has_died_since_is_made_again_by_the_action(
    opened: Open, serve: Any, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads the program and ends at the first request, as a connection that breaks in between."""
    serve(opened(("sh", "-c", f"{READY}; read line; read line; exit 255")))
    working = f"ORCHESTRATOR_STATE_DIRECTORY={receipts.state_root()} {command_line(sys.executable)}"
    link = make_link("a", working)
    assert link.ask(OBSERVATION, ())["observed"] == []
    link.close(wait=True)


def test_program_that_crashes_in_a_phase_is_not_asked_the_same_again(opened: Open, serve: Any) -> None:
    """Whoever knows how it ended says so; a connection that broke (255) would be made once more."""
    answers_once = "read program; read line; echo 'ORCHESTRATOR-ANSWER {}'; read line; exit 137"
    serve(opened(("sh", "-c", f"{READY}; {answers_once}")))
    link = make_link("a", "echo >&2 this one is not started; exit 255")
    assert link.ask(OBSERVATION, ()) == {}
    answer = link.ask(OBSERVATION, ())
    assert answer["problem"]["kind"] == "host"
    assert "ended with 137" in answer["problem"]["message"]
    link.close(wait=True)


def test_why_a_host_cannot_be_reached_is_said_by_the_action(opened: Open, serve: Any, tmp_path: Path) -> None:
    serve(opened(("sh", "-c", "exit 255")))
    link = make_link("a", f"echo >> {tmp_path}/tries; echo 'no route to host' >&2; exit 255")
    with pytest.raises(AnsibleConnectionFailure, match="no route to host"):
        link.ask(OBSERVATION, ())
    assert (tmp_path / "tries").read_text() == "\n"  # the second attempt of two


def test_host_that_does_not_let_us_become_another_user_is_left_to_the_action(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sudo that hangs is not waited for without end: ssh itself has long taken what we had to say."""
    monkeypatch.setattr(early_channels, "CONNECT_SECONDS", 0.1)
    monkeypatch.setattr(early_channels, "BECOMING_SECONDS", 0.3)
    channels = opened(("sh", "-c", "cat > /dev/null"))
    assert channels.take("a") is None
    assert not channels.failed("a")


def test_program_answers_before_it_is_taken_over(opened: Open, serve: Any) -> None:
    channels, accepted = opened(), list[str]()

    def accept(answer: str) -> bool:
        accepted.append(answer)
        return True

    request = json.dumps(OBSERVATION).encode() + b"\n"
    answer = channels.ask("a", request, accept).result(timeout=30)
    assert answer is not None
    assert ([answer], json.loads(answer)["observed"]) == (accepted, [])
    serve(channels)
    link = make_link("a", "echo >&2 this one is not needed; exit 255")
    assert link.ask(OBSERVATION, ())["observed"] == []
    link.close(wait=True)


def test_program_that_has_observed_and_then_crashes_is_not_asked_the_same_again(
    opened: Open, serve: Any
) -> None:
    """It did not die of the way to it: it has answered over that already."""
    answers_once = f"read program; read line; echo '{MARK}{{}}'; read line; exit 139"
    channels = opened(("sh", "-c", f"{READY}; {answers_once}"))
    assert channels.ask("a", b"{}\n", lambda answer: True).result(timeout=30) == "{}"
    serve(channels)
    link = make_link("a", "echo >&2 this one is not started; exit 255")
    answer = link.ask(OBSERVATION, ())
    assert "ended with 139" in answer["problem"]["message"]
    link.close(wait=True)


@pytest.mark.parametrize(
    "script", ["read program; exit 1", "read program; read line; echo nothing; exit 0", "exit 255"]
)
def test_program_that_does_not_answer_is_not_taken_over(opened: Open, script: str) -> None:
    channels = opened(("sh", "-c", f"{READY}; {script}"))
    assert channels.ask("a", b"{}\n", lambda answer: True).result(timeout=30) is None
    assert channels.take("a") is None


def test_answer_that_is_refused_ends_the_program(opened: Open) -> None:
    """It may be in the middle of something: whoever asks next begins with a fresh one."""
    channels = opened()
    request = json.dumps(OBSERVATION).encode() + b"\n"
    assert channels.ask("a", request, lambda answer: False).result(timeout=30) is None
    wait_for(lambda: channels._processes[0].poll() is not None)
    assert channels.take("a") is None
    assert channels.ask("b", request, lambda answer: True).result(timeout=30) is None


def test_question_without_an_answer_ends_when_channels_are_closed(opened: Open) -> None:
    channels = opened(("sh", "-c", f"{READY}; read program; read line; exec sleep 600"))
    asked = channels.ask("a", b"{}\n", lambda answer: True)
    wait_for(lambda: bool(channels._processes))
    began = time.monotonic()
    channels.close()
    assert time.monotonic() - began < 30
    assert asked.cancelled() or asked.exception() is not None or asked.result() is None


def test_channels_that_nobody_takes_are_not_kept(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deployment that waits for another's lock leaves no session on its hosts."""
    monkeypatch.setattr(early_channels, "FRESH_SECONDS", 2.0)
    channels = opened()
    wait_for(lambda: bool(channels._processes) and channels._processes[0].poll() is not None)
    assert channels.take("a") is None


def test_ends_of_many_busy_hosts_are_waited_for_together(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(early_channels, "ENDING_SECONDS", 0.5)
    busy = ("sh", "-c", f"{READY}; read line; exec sleep 600")
    names = [f"h{number}" for number in range(12)]
    channels = opened(busy, names)
    files = [channels.take(name) for name in names]
    assert None not in files
    began = time.monotonic()
    channels.close()
    assert time.monotonic() - began < 4
    assert all(one.returncode is not None for one in channels._processes)


def test_what_hosts_do_when_they_have_answered_is_not_waited_for(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(early_channels, "ENDING_SECONDS", 600.0)
    channels = opened(("sh", "-c", f"{READY}; read line; exec sleep 600"))
    assert channels.take("a") is not None
    channels.let_go()
    began = time.monotonic()
    channels.close()
    assert time.monotonic() - began < 60
    assert all(one.returncode is not None for one in channels._processes)


def test_host_that_nobody_connected_to_has_no_channel(opened: Open, serve: Any) -> None:
    serve(opened())
    assert asking.take_channel("b") == ((), False, False)
    taken = asking.take_channel("a")
    assert (len(taken.descriptors), taken.failed, taken.proved) == (3, False, False)
    assert asking.take_channel("a") == ((), False, False)
    for descriptor in taken.descriptors:
        os.close(descriptor)


def test_channel_that_nobody_took_for_long_is_not_trusted(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    channels = opened()
    wait_for(lambda: all(one.done() for one in channels._opening.values()))
    later = time.monotonic() + FRESH_SECONDS + 1
    monkeypatch.setattr(early_channels.time, "monotonic", lambda: later)
    assert channels.take("a") is None


def test_program_that_cannot_be_started_is_no_channel(opened: Open) -> None:
    assert opened(("/no/such/ssh",)).take("a") is None


def test_nothing_is_left_of_channels_that_nobody_took(opened: Open) -> None:
    """Neither of one that waits for requests, nor of one that hangs before it reads its program."""
    channels = opened(("sh", "-c", "sleep 600"))
    more = opened()
    wait_for(lambda: len(channels._processes) == len(more._processes) == 1)
    began = time.monotonic()
    channels.close()
    more.close()
    assert time.monotonic() - began < 30
    assert all(one.returncode is not None for one in (*channels._processes, *more._processes))
    assert more.take("a") is None


def test_only_hosts_that_ssh_reaches_without_a_password_are_connected_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = tmp_path / "tried"
    ssh = tmp_path / "ssh"
    ssh.write_text(f'#!/bin/sh\nfor last; do :; done\necho "$*" >> {tried}\n')
    ssh.chmod(0o755)
    hosts = (
        make_host("by-ssh", address="192.0.2.7"),
        make_host("local", connection="local"),
        make_host("asks", become=True, become_password={"env": "SUDO"}),
    )
    channels = open_early(
        hosts,
        everybody=hosts,
        content=CONTENT,
        config=tmp_path / "config",
        environment={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        at_once=4,
    )
    try:
        assert channels.take("by-ssh") is None  # it ends at once
        assert channels.take("local") is channels.take("asks") is None
        assert tried.read_text().count("192.0.2.7") == 1
    finally:
        channels.close()
