"""The CI around this process: who set it off, and its log."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from orchestrator.core.ci import CiName, CiRun, parse_ci
from orchestrator.core.ci_log import can_nest, group_end, group_start, has_groups, neutralise
from orchestrator.core.forge_location import pull_request_number
from orchestrator.edges.streams import StreamBefore

MAX_EVENT_BYTES = 16 * 1024 * 1024


def detect_ci(environ: Mapping[str, str]) -> CiRun:
    """The job that this process runs in; `plain` where no CI is known."""
    event = _read_event(environ.get("GITHUB_EVENT_PATH", "")) if "GITHUB_EVENT_PATH" in environ else {}
    return parse_ci(environ, event)


def pull_request_of(environ: Mapping[str, str]) -> int | None:
    """The number of the pull request that this job is about, where its CI tells it."""
    event = _read_event(environ.get("GITHUB_EVENT_PATH", "")) if "GITHUB_EVENT_PATH" in environ else {}
    return pull_request_number(environ, event)


def is_of_a_fork(environ: Mapping[str, str]) -> bool:
    """Whether this job's pull request comes from another repository: its token may write nothing then."""
    event: Any = _read_event(environ.get("GITHUB_EVENT_PATH", "")) if "GITHUB_EVENT_PATH" in environ else {}
    sides = []
    for side in ("head", "base"):
        found = event
        for key in ("pull_request", side, "repo", "full_name"):
            found = found.get(key) if isinstance(found, dict) else None
        sides.append(found)
    head, base = sides
    return bool(head != base)


class GuardedStream(StreamBefore):
    """A stream to a CI's log whose lines command nothing: every line passes `neutralise`.

    Commands of our own go through `write_command`. Lines are handed on as they end, so that standard output
    and standard error keep their order in the log.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._unfinished = ""
        self._flushed = 0
        self._shown = ""

    def write(self, text: str) -> int:
        """Hands on the lines that end in `text`; the rest waits for its end, or for `flush`."""
        if not isinstance(text, str):
            raise TypeError(f"a text stream takes str, not {type(text).__name__}")
        *lines, rest = (self._unfinished + text).split("\n")
        for line in lines:
            self._unfinished = line
            self._show("\n")
            self._unfinished, self._flushed, self._shown = "", 0, ""
        self._unfinished = rest
        if lines:
            self.beneath.flush()
        return len(text)

    def flush(self) -> None:
        """What was written is in the log, the beginning of a line too."""
        if len(self._unfinished) > self._flushed:
            self._show("")
        self.beneath.flush()

    def write_command(self, line: str) -> None:
        """Writes a line that the CI is meant to obey, on a line of its own."""
        if self._unfinished:
            self.write("\n")
        self.beneath.write(line + "\n")
        self.beneath.flush()

    def _show(self, end: str) -> None:
        plain = neutralise(self._unfinished)
        if plain.startswith(self._shown):
            text = plain[len(self._shown) :]
        else:
            # The line's beginning is in the log already and turned out to be a command's: a space breaks it.
            text = " " + neutralise(self._unfinished[self._flushed :])
        self._flushed, self._shown = len(self._unfinished), self._shown + text
        self.beneath.write(text + end)


@contextlib.contextmanager
def guarded_output(name: CiName) -> Iterator[None]:
    """Standard output and error command no CI while the context is open; nothing changes outside of a CI.

    Standard output that goes to a file of its own (`> plan.md`) is no log, and stays as it is.
    """
    if name == "plain":
        yield
        return
    before = sys.stdout, sys.stderr
    if not _goes_to_a_file():
        sys.stdout = GuardedStream(sys.stdout)
    sys.stderr = GuardedStream(sys.stderr)
    try:
        yield
    finally:
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before


class LogGroups:
    """Groups of lines in a CI's log; nothing at all where the CI has none.

    Args:
        stream: where the job's lines go; None: standard output, as it is when a group begins.
        clock: seconds since the epoch.
    """

    def __init__(
        self, name: CiName, stream: TextIO | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._name = name
        self._stream = stream
        self._clock = clock
        self._count = 0
        self._open = 0

    @contextlib.contextmanager
    def group(self, title: str, *, collapsed: bool = False) -> Iterator[None]:
        """Lines fold under `title` while the context is open. Inside another group only GitLab's do."""
        if not has_groups(self._name) or (self._open and not can_nest(self._name)):
            yield
            return
        self._count += 1
        number = self._count
        self._write(
            group_start(
                self._name, title, number=number, time_seconds=int(self._clock()), collapsed=collapsed
            )
        )
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1
            self._write(group_end(self._name, title, number=number, time_seconds=int(self._clock())))

    def _write(self, line: str) -> None:
        stream = self._stream or sys.stdout
        sys.stderr.flush()
        write = getattr(stream, "write_command", None)
        if write is not None:
            write(line)
        else:
            stream.write(line + "\n")
            stream.flush()


def _goes_to_a_file() -> bool:
    """Whether standard output is a file that standard error is not: Jenkins' log is a file for both."""
    try:
        output, error = os.fstat(sys.stdout.fileno()), os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(output.st_mode) and not os.path.samestat(output, error)


def _read_event(path: str) -> dict[str, Any]:
    """The payload of the event; nothing where there is no readable one."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_EVENT_BYTES + 1)
        event = json.loads(content) if len(content) <= MAX_EVENT_BYTES else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return event if isinstance(event, dict) else {}
