"""Connections that are made while ansible starts: neither ssh's handshake nor the start of the host program needs it.

A channel is an ssh process whose pipes lead to a host program that has read itself and waits for requests. It is asked
here what the host has (`observing.py`); then the action that works on the hosts takes the pipes over, see
`controller_program.orchestrator.take_channel`. Where there is none (a sudo password, a host that does not answer) the
action connects by itself, as ansible does, and says what is wrong.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import select
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from orchestrator.core.inventory import DEFAULT_PYTHON
from orchestrator.core.model import Host
from orchestrator.core.ssh import CONNECT_SECONDS, render_ssh_command

# What was silent for longer may have been forgotten by something in between.
FRESH_SECONDS = 20.0
NEVER = float("-inf")
MOST_HOSTS = 200
ENDING_SECONDS = 2.0
# How long sudo may be silent, besides connecting.
BECOMING_SECONDS = 5.0
READY = b"ORCHESTRATOR-READY"
SSH_FAILED = 255
POLL_SECONDS = 0.1
PIECE_BYTES = 1 << 16


@dataclass(slots=True, kw_only=True)
class _Opened:
    """A channel, when something was last heard on it (monotonic seconds), and whether that was an answer."""

    process: subprocess.Popen[bytes]
    heard: float
    has_answered: bool = False


class EarlyChannels:
    """Channels that are being opened, from now until `close`.

    Args:
        commands: host → the words that start its program.
        program: what each program reads first.
        environment: of the ssh processes.
        at_once: how many are opened at a time.
        mark: what a program's answers begin with.

    Attributes:
        hosts: those that are being connected to.
    """

    def __init__(
        self,
        commands: Mapping[str, Sequence[str]],
        program: bytes,
        environment: Mapping[str, str],
        at_once: int,
        mark: str,
    ) -> None:
        self.hosts, self._mark = frozenset(commands), mark.encode()
        self._program, self._environment = program, dict(environment)
        self._lock, self._closed, self._patience = threading.Lock(), False, ENDING_SECONDS
        self._processes: list[subprocess.Popen[bytes]] = []
        self._taken: dict[str, subprocess.Popen[bytes]] = {}
        self._failed, self._proved = set[str](), set[str]()
        self._pool = ThreadPoolExecutor(max_workers=max(1, at_once), thread_name_prefix="connect")
        self._asking = ThreadPoolExecutor(max_workers=max(1, len(commands)), thread_name_prefix="ask")
        self._over = threading.Event()
        threading.Thread(target=self._expire, name="expire", daemon=True).start()
        self._opening: dict[str, Future[_Opened | None]] = {
            name: self._pool.submit(self._open, name, words) for name, words in commands.items()
        }

    def ask(self, host: str, request: bytes, accept: Callable[[str], bool]) -> Future[str | None]:
        """The answer of that host's program to a request, once it is there; None where there is none.

        Args:
            request: one line.
            accept: looks at the answer, in another thread; what it does not accept is none. A channel without an
                answer is not to be taken over any more.
        """
        return self._asking.submit(self._converse, host, request, accept)

    def take(self, host: str) -> tuple[IO[bytes], IO[bytes], IO[bytes]] | None:
        """Standard input, output and error of that host's program, once; whoever takes them closes them.

        Waits for a connection that is being made. None when there is none, or it is of no use; see `failed`.
        """
        with self._lock:
            opening = self._opening.pop(host, None)
        if opening is None or opening.cancel():
            return None
        try:
            opened = opening.result()
        except CancelledError:
            return None
        if opened is None or opened.process.poll() is not None:
            return None
        if time.monotonic() - opened.heard > FRESH_SECONDS:
            return None
        process = opened.process
        with self._lock:
            if self._closed:
                return None
            self._taken[host] = process
            if opened.has_answered:
                self._proved.add(host)
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        return process.stdin, process.stdout, process.stderr

    def failed(self, host: str) -> bool:
        """Whether ssh has tried that host and could not reach it."""
        return host in self._failed

    def proved(self, host: str) -> bool:
        """Whether the channel that was taken has been asked something and has answered."""
        return host in self._proved

    def code(self, host: str) -> int | None:
        """The exit code of a process whose channel was taken and has ended; None when it has not."""
        process = self._taken.get(host)
        if process is None:
            return None
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(ENDING_SECONDS)
        return None

    def let_go(self) -> None:
        """Hosts have answered everything: what they do now, such as deleting files, `close` does not wait for."""
        self._patience = 0.0

    def close(self) -> None:
        """No channel is open, and no process is left; those of taken ones have had a while to end by themselves."""
        with self._lock:
            self._closed = True
            processes, taken = list(self._processes), list(self._taken.values())
        self._over.set()
        for process in processes:
            if process not in taken:
                _end(process)
        self._pool.shutdown(cancel_futures=True)
        self._asking.shutdown(cancel_futures=True)
        deadline = time.monotonic() + self._patience
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
        for process in processes:
            _end(process)
            process.wait()
            for file in (process.stdin, process.stdout, process.stderr):
                if file is not None:
                    file.close()

    def _converse(self, host: str, request: bytes, accept: Callable[[str], bool]) -> str | None:
        opening = self._opening.get(host)
        opened = opening.result() if opening is not None else None
        if opened is None:
            return None
        answer = self._answer(opened.process, request)
        if answer is not None and accept(answer):
            opened.heard, opened.has_answered = time.monotonic(), True
            return answer
        opened.heard = NEVER
        _end(opened.process)
        return None

    def _answer(self, process: subprocess.Popen[bytes], request: bytes) -> str | None:
        """The next line with the mark, without it; None when the program ends before."""
        assert process.stdin is not None
        assert process.stdout is not None
        seen = bytearray()
        try:
            process.stdin.write(request)
            while piece := os.read(process.stdout.fileno(), PIECE_BYTES):
                seen += piece
                if not piece.endswith(b"\n"):
                    continue
                for line in seen.splitlines():
                    if line.startswith(self._mark):
                        return line[len(self._mark) :].decode("utf-8", "replace")
        except (OSError, ValueError):  # the latter: it was closed
            return None
        return None

    def _open(self, name: str, words: Sequence[str]) -> _Opened | None:
        with self._lock:
            if self._closed:
                return None
            try:
                process = subprocess.Popen(
                    words,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    bufsize=0,
                    env=self._environment,
                    start_new_session=True,  # a Ctrl-C is for us, who end in order
                )
            except OSError:
                return None
            self._processes.append(process)
        assert process.stdin is not None
        assert process.stdout is not None
        deadline = time.monotonic() + CONNECT_SECONDS + BECOMING_SECONDS
        if self._is_ready(process.stdout.fileno(), deadline) and self._tell(process.stdin.fileno(), deadline):
            os.set_blocking(process.stdin.fileno(), True)
            return _Opened(process=process, heard=time.monotonic())
        with contextlib.suppress(subprocess.TimeoutExpired):
            if process.wait(POLL_SECONDS) == SSH_FAILED:
                self._failed.add(name)
        _end(process)
        return None

    def _is_ready(self, descriptor: int, deadline: float) -> bool:
        """Whether the host has let us become who we have to be, and said so."""
        seen = b""
        while not self._closed and time.monotonic() < deadline:
            try:
                come = select.select((descriptor,), (), (), POLL_SECONDS)[0]
                piece = os.read(descriptor, PIECE_BYTES) if come else b""
            except (OSError, ValueError):  # the latter: too many files are open for `select`
                return False
            seen += piece
            if READY + b"\n" in seen:
                return True
            if come and not piece:
                return False
        return False

    def _tell(self, descriptor: int, deadline: float) -> bool:
        """Whether the program has been written there."""
        os.set_blocking(descriptor, False)
        rest = memoryview(self._program)
        while rest and not self._closed and time.monotonic() < deadline:
            try:
                if select.select((), (descriptor,), (), POLL_SECONDS)[1]:
                    rest = rest[os.write(descriptor, rest) :]
            except (OSError, ValueError):
                return False
        return not rest

    def _expire(self) -> None:
        """What nobody takes within the time in which it is of use is not kept: others wait for the lock for long."""
        if not self._over.wait(FRESH_SECONDS):
            with self._lock:
                self._closed = True
                processes = [one for one in self._processes if one not in self._taken.values()]
            for process in processes:
                _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """The process, unless it has ended already, and what it has started are gone."""
    if process.poll() is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def open_early(
    hosts: Iterable[Host],
    *,
    everybody: Iterable[Host],
    content: Path,
    config: Path,
    environment: Mapping[str, str],
    at_once: int,
) -> EarlyChannels:
    """Channels to those hosts that ssh reaches and that need no password for sudo; to none when they are too many.

    Args:
        everybody: the environment's hosts, which others may be reached through.
        content: where the role `placement` is.
        config: what ssh reads.
    """
    program, known = _program(content), {host.name: host for host in everybody}
    chosen = [host for host in hosts if host.connection == "ssh" and host.become_password is None]
    commands = {
        host.name: render_ssh_command(
            host,
            known,
            config=str(config),
            command=f"echo {READY.decode()}; {program.command_line(shlex.quote(host.python or DEFAULT_PYTHON))}",
        )
        for host in chosen
    }
    if not 0 < len(commands) <= MOST_HOSTS:
        return EarlyChannels({}, b"", environment, 1, program.MARK)
    at_once = min(at_once, len(commands))
    return EarlyChannels(commands, program.first_line(), environment, at_once, program.MARK)


def _program(content: Path) -> Any:
    """The role's module that knows how its host program travels."""
    path = content / "roles" / "placement" / "files" / "controller_program" / "program.py"
    spec = importlib.util.spec_from_file_location("orchestrator_host_program", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
