"""Records that could not be pushed yet: files of this clone, until a later command pushes them."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from orchestrator.core.record import Record, parse_record, render_record


class PendingRecords:
    """One file for each attempt, with the last that is to be said of it: `<number>+<id>.json`.

    The numbers are the order in which the attempts began here; no clock is asked.

    Args:
        directory: made when it is needed.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @contextlib.contextmanager
    def exclusively(self) -> Iterator[None]:
        """No other process of this clone pushes or keeps records inside."""
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:  # a checkout that we may not write to holds none either
            yield
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def read(self) -> list[Record]:
        """What waits, oldest first. A file that is no record is put aside."""
        if not self._directory.is_dir():
            return []
        records = []
        for path in sorted(self._directory.glob("*.json"), key=_turn):
            try:
                records.append(parse_record(path.read_bytes()))
            except ValueError:
                with contextlib.suppress(OSError):
                    path.rename(path.with_suffix(".broken"))
        return records

    def keep(self, record: Record) -> Path:
        """The record is in its file, whole and synced.

        Raises:
            OSError: it cannot be written.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path(record)
        temporary = path.with_suffix(".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(render_record(record))
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
        return path

    def remove(self, record: Record) -> None:
        """Nothing of that attempt waits any more; a file that stays is pushed again, which changes nothing."""
        with contextlib.suppress(OSError):
            self._path(record).unlink(missing_ok=True)

    def _path(self, record: Record) -> Path:
        """The attempt's file; where it has none, one after all the others."""
        others = sorted(self._directory.glob("*.json"), key=_turn)
        for path in others:
            if path.stem.rpartition("+")[2] == record.id:
                return path
        number = _turn(others[-1])[0] + 1 if others else 1
        return self._directory / f"{number:04}+{record.id}.json"


def _turn(path: Path) -> tuple[int, str]:
    """What files are sorted by; those that earlier versions wrote have no number, and come first."""
    number, plus, _ = path.stem.partition("+")
    return (int(number) if plus and number.isdecimal() else 0, path.name)
