"""Standard streams as a command may rely on them: open, without a character that fails, and failing by one name."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import TextIO

import click

from orchestrator.cli.lasting_output import LastingStream, send_nowhere
from orchestrator.edges.streams import StreamBefore
from orchestrator.errors import OutputError

# As a process that SIGPIPE has ended, in a shell.
READER_GONE = 141


class CheckedStream(StreamBefore):
    """Standard output; what comes after its failure goes nowhere.

    Raises:
        OutputError: it cannot be written, such as on a disk that is full.
        Exit: who has read it has gone, which is no error.
    """

    def write(self, text: str) -> int:
        """What was written is on its way."""
        with self._named_failures():
            self.beneath.write(text)
        return len(text)

    def flush(self) -> None:
        """What was written is there."""
        with self._named_failures():
            self.beneath.flush()

    @contextlib.contextmanager
    def _named_failures(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            send_nowhere(self.beneath)
            raise click.exceptions.Exit(READER_GONE) from None
        except OSError as error:
            send_nowhere(self.beneath)
            raise OutputError(f"standard output cannot be written: {error.strerror}") from None


@contextlib.contextmanager
def standard_streams() -> Iterator[None]:
    """While the context is open standard output fails by name, and standard error, where that would be said, never."""
    _open_closed()
    for stream in (sys.stdout, sys.stderr):
        _write_every_character(stream)
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = CheckedStream(sys.stdout), LastingStream(sys.stderr)
    try:
        yield
    finally:
        flush_what_is_left()
        sys.stdout, sys.stderr = before


def flush_what_is_left() -> None:
    """What an error has left unwritten is written, where that can be: the error is the one to tell of."""
    with contextlib.suppress(OutputError, click.exceptions.Exit):
        sys.stdout.flush()
    sys.stderr.flush()


def _open_closed() -> None:
    """Streams that the caller has closed go nowhere: else the next file that is opened would take their number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(descriptor, True)
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8", closefd=False))


def _write_every_character(stream: TextIO) -> None:
    """One that the stream's encoding does not have is written as an escape."""
    if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
        stream.reconfigure(errors="backslashreplace")
