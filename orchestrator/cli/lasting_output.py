"""Standard output and error that never end what a command does: a pipe that closes, a disk that is full."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from orchestrator.edges.streams import StreamBefore


class LastingStream(StreamBefore):
    """Hands everything on until that fails; from then on nobody reads it, and it goes nowhere."""

    def write(self, text: str) -> int:
        """What was written is on its way, or nobody wants it."""
        try:
            self.beneath.write(text)
        except OSError:
            self._give_up()
        return len(text)

    def flush(self) -> None:
        """As `write`."""
        try:
            self.beneath.flush()
        except OSError:
            self._give_up()

    def write_command(self, line: str) -> None:
        """A line that a CI obeys, see `orchestrator.edges.ci.GuardedStream`."""
        write = getattr(self.beneath, "write_command", None)
        try:
            if write is None:
                self.beneath.write(line + "\n")
            else:
                write(line)
        except OSError:
            self._give_up()

    def _give_up(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.beneath.fileno())


@contextlib.contextmanager
def lasting_output() -> Iterator[None]:
    """While the context is open no write to standard output or error fails."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = LastingStream(sys.stdout), LastingStream(sys.stderr)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before
