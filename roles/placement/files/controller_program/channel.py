"""A host program that stays: one process on a host answers all requests of a run, over one pipe.

What is started is the command that ansible itself would have run for a task there; see `reach.py`.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from controller_program.program import MARK

PIECE_BYTES = 1 << 16
ENDING_SECONDS = 5.0
LINGER_SECONDS = 0.5
SSH_FAILED = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """How the program is started.

    Attributes:
        words: the local process.
        cwd: where; None: here.
        python: the interpreter on the host, for messages.
        become: ansible's plugin, or None; `password` is what it may ask for, empty for none.
        timeout_seconds: how long becoming may be silent.
    """

    words: Sequence[bytes | str]
    cwd: bytes | str | None
    python: str
    become: Any
    password: str
    timeout_seconds: float


class LostError(Exception):
    """The program ended, or never began.

    Attributes:
        done: `rc`, `stdout`, `stdout_lines`, `stderr` of the process, as `answers.read_answer` takes it.
        refused: what becoming another user met, one sentence; empty when that is not what happened.
    """

    def __init__(self, done: dict[str, Any], refused: str = "") -> None:
        super().__init__(refused or done["stderr"])
        self.done, self.refused = done, refused

    @property
    def is_unreachable(self) -> bool:
        """Whether ssh itself failed, which another attempt may get past."""
        return bool(self.done["rc"] == SSH_FAILED and not self.refused)


class Waiting:
    """A program that somebody else has started, as far as `Channel` needs to know of its process.

    Args:
        descriptors: its standard input, output and error.
        code: asks whoever has started it for its exit code, once it has ended.
        is_proved: it has answered somebody.
    """

    def __init__(
        self, descriptors: Sequence[int], code: Callable[[], int | None], *, is_proved: bool = False
    ) -> None:
        self.is_proved = is_proved
        written, *read = descriptors
        self._code = code
        self.stdin: IO[bytes] = os.fdopen(written, "wb", buffering=0)
        self.stdout, self.stderr = (os.fdopen(descriptor, "rb", buffering=0) for descriptor in read)

    def poll(self) -> None:
        """Nobody here knows whether it has ended."""

    def wait(self, seconds: float) -> int | None:
        """Its exit code, where we have to know; None when nobody knows it."""
        return self._code() if seconds else None

    def kill(self) -> None:
        """It ends when its pipes are closed."""


class Channel:
    """One running program.

    Args:
        program: what it reads first.
        waiting: one that has read it already, and is taken over; None: it is started.

    Attributes:
        is_untried: it was taken over and has not answered anybody yet: what it dies of may be the way to it.

    Raises:
        LostError: it did not begin.
        OSError: the local process cannot be started.
    """

    def __init__(self, command: Command, program: bytes, waiting: Waiting | None = None) -> None:
        self._command, self.is_untried = command, waiting is not None and not waiting.is_proved
        self._out, self._err, self._ended = bytearray(), bytearray(), False
        self._prompted = False
        self._process = waiting or subprocess.Popen(
            command.words,
            cwd=command.cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._input = self._process.stdin
        self._selector = selectors.DefaultSelector()
        for file, kept in ((self._process.stdout, self._out), (self._process.stderr, self._err)):
            os.set_blocking(file.fileno(), False)
            self._selector.register(file, selectors.EVENT_READ, kept)
        self.used = time.monotonic()
        if waiting is not None:
            return
        try:
            self._become()
            self._send(program)
        except BaseException:
            self.close()
            raise

    def ask(self, request: bytes, uploads: Sequence[Path] = ()) -> str:
        """The answer to a request: the line without its mark.

        Args:
            request: one line.
            uploads: files whose bytes follow it.

        Raises:
            LostError: the program ended without an answer.
        """
        self._out.clear()
        self._err.clear()
        self._send(request)
        for path in uploads:
            with path.open("rb") as file:
                while piece := file.read(PIECE_BYTES):
                    self._send(piece)
        answer = self._wait_for(self._take_answer, None)
        self.used = time.monotonic()
        if answer is None:
            raise self._lost()
        self.is_untried = False
        return answer

    def is_open(self) -> bool:
        """Whether the program still listens, as far as can be told without asking it."""
        assert self._process.stdout is not None
        try:
            while os.read(self._process.stdout.fileno(), PIECE_BYTES):
                pass
        except BlockingIOError:
            return self._process.poll() is None
        return False

    def close(self, *, wait: bool = False) -> int | None:
        """The program ends once it has done what it is doing.

        Args:
            wait: for some seconds at most until it has; otherwise nobody waits for it.

        Returns:
            Its exit code, where it is known.
        """
        self._selector.close()
        for file in (self._process.stdin, self._process.stdout, self._process.stderr):
            with contextlib.suppress(OSError):
                if file is not None:
                    file.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(ENDING_SECONDS if wait else 0)
        return None

    def _become(self) -> None:
        """Another user runs the program, as ansible's plugin does it: wait for its prompt, or for its success."""
        become = self._command.become
        if become is None or not become.success:
            return
        while True:
            seen = self._wait_for(self._look_at_becoming, self._command.timeout_seconds)
            if seen == "prompt":
                self._prompted = True
                self._send(self._command.password.encode() + b"\n")
                continue
            if seen == "success":
                return
            if seen in ("incorrect", "missing"):
                self.close(wait=True)
                raise LostError(self._done(None), f"{seen.capitalize()} {become.name} password")
            raise self._lost()

    def _look_at_becoming(self) -> str | None:
        become = self._command.become
        for line in (*self._out.splitlines(keepends=True), *self._err.splitlines(keepends=True)):
            text = bytes(line)
            if become.check_success(text):
                return "success"
            if not self._prompted and become.expect_prompt() and become.check_password_prompt(text):
                return "prompt"
            if become.check_incorrect_password(text):
                return "incorrect"
            if become.check_missing_password(text):
                return "missing"
        return None

    def _send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                written = self._input.write(view)
            except BrokenPipeError:
                return  # why it ended is read where the answer should be
            view = view[written or 0 :]

    def _take_answer(self) -> str | None:
        """The first whole line of an answer."""
        end = self._out.rfind(b"\n")
        if end < 0:
            return None
        for line in bytes(self._out[:end]).split(b"\n"):
            if line.startswith(MARK.encode()):
                return line.decode("utf-8", "replace").rstrip("\r")[len(MARK) :]
        return None

    def _wait_for(self, look: Callable[[], str | None], seconds: float | None) -> str | None:
        """What `look` finds in what came; None at the end of it, or after so many seconds of silence."""
        while True:
            found = look()
            if found is not None:
                return found
            if not self._selector.get_map():
                return None
            # What the program has started may hold standard error open.
            events = self._selector.select(LINGER_SECONDS if self._ended else seconds)
            if not events:
                return None
            for key, _ in events:
                piece = os.read(key.fd, PIECE_BYTES)
                if piece:
                    key.data.extend(piece)
                else:
                    self._selector.unregister(key.fileobj)
                    self._ended = self._ended or key.data is self._out

    def _lost(self) -> LostError:
        silent = not self._ended
        if silent:
            self._process.kill()
        code = self.close(wait=True)
        if silent:
            self._err += b"timeout (%ds) waiting for privilege escalation" % self._command.timeout_seconds
            code = SSH_FAILED
        return LostError(self._done(code))

    def _done(self, code: int | None) -> dict[str, Any]:
        out = self._out.decode("utf-8", "replace")
        lines = out.splitlines()
        return {
            "rc": code,
            "stdout": out,
            "stdout_lines": lines,
            "stderr": self._err.decode("utf-8", "replace"),
        }
