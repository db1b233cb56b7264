"""Somebody else's command, bounded in its time and in what it says."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.sizes import human_bytes

_PIECE_BYTES = 1 << 16
_ERRORS_BYTES = 1 << 16
_CLOSING_SECONDS = 5


class BoundError(Exception):
    """It goes beyond its bounds; the text is a predicate, such as `does not end within 60 s`.

    Attributes:
        errors: the end of what it wrote to stderr until then.
    """

    def __init__(self, what: str, errors: bytes = b"") -> None:
        super().__init__(what)
        self.errors = errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended, its standard output, and the end of what it wrote to stderr."""

    code: int
    output: bytes
    errors: bytes


def run_bounded(
    command: tuple[str, ...],
    *,
    directory: Path,
    variables: Mapping[str, str],
    seconds: float,
    limit_bytes: int,
) -> Ended:
    """What the command said, once it has ended and nobody holds its output any more.

    One that goes beyond its bounds is killed with its process group, which is its own.

    Args:
        variables: its whole environment.
        limit_bytes: how much it may print.

    Raises:
        OSError, ValueError: it cannot be started.
        BoundError: it goes on for too long, or says too much.
    """
    process = subprocess.Popen(
        list(command),
        cwd=directory,
        env=dict(variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        try:
            return _read(process, time.monotonic() + seconds, seconds, limit_bytes)
        except BaseException:
            # One that runs as somebody else (sudo) cannot be killed, and is not waited for either.
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(_CLOSING_SECONDS)
            raise


def _read(process: subprocess.Popen[bytes], deadline: float, seconds: float, limit_bytes: int) -> Ended:
    output, errors = bytearray(), b""
    with selectors.DefaultSelector() as ready:
        ready.register(process.stdout or 0, selectors.EVENT_READ, "output")
        ready.register(process.stderr or 0, selectors.EVENT_READ, "errors")
        while ready.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                raise BoundError(f"does not end within {seconds:g} s", errors)
            for key, _ in ready.select(left):
                piece = os.read(key.fd, _PIECE_BYTES)
                if not piece:
                    ready.unregister(key.fileobj)
                elif key.data == "errors":
                    errors = (errors + piece)[-_ERRORS_BYTES:]
                elif len(output) + len(piece) > limit_bytes:
                    raise BoundError(f"prints more than {human_bytes(limit_bytes)}", errors)
                else:
                    output += piece
    try:
        code = process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise BoundError(f"does not end within {seconds:g} s", errors) from None
    return Ended(code=code, output=bytes(output), errors=errors)
