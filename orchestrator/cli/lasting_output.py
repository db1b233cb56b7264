"""Standard output and error that never end what a command does: a pipe that closes, a disk that is full."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TextIO

import click

from orchestrator.edges.streams import StreamBefore
from orchestrator.errors import OutputError

# How a stream fails, and how `orchestrator.cli.standard_streams` names it.
FAILURES = (OSError, OutputError, click.exceptions.Exit)


class LastingStream(StreamBefore):
    """Hands everything on until that fails; from then on nobody reads it, and it goes nowhere."""

    def write(self, text: str) -> int:
        """What was written is on its way, or nobody wants it."""
        try:
            self.beneath.write(text)
        except FAILURES:
            send_nowhere(self.beneath)
        return len(text)

    def flush(self) -> None:
        """As `write`."""
        try:
            self.beneath.flush()
        except FAILURES:
            send_nowhere(self.beneath)

    def write_command(self, line: str) -> None:
        """A line that a CI obeys, see `orchestrator.edges.ci.GuardedStream`."""
        write = getattr(self.beneath, "write_command", None)
        try:
            if write is None:
                self.beneath.write(line + "\n")
            else:
                write(line)
        except FAILURES:
            send_nowhere(self.beneath)


def send_nowhere(stream: TextIO) -> None:
    """What the stream still holds, and what is written to it from now on, is dropped."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


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
