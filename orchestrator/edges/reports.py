"""Reports as files."""

from __future__ import annotations

import os
from pathlib import Path

from orchestrator.errors import UsageError


def check_report_path(path: str, option: str) -> None:
    """A report can be written there: known before a deployment begins, not after it.

    Args:
        option: of the command line, for the message.

    Raises:
        UsageError: it cannot.
    """
    file = Path(path)
    if not file.parent.is_dir():
        raise _refused(path, option, f"there is no directory {file.parent}")
    if file.is_dir():
        raise _refused(path, option, "it is a directory")
    if not os.access(file if file.exists() else file.parent, os.W_OK):
        raise _refused(path, option, "permission denied")


def write_report(path: str, text: str, option: str, *, append: bool = False) -> None:
    """The report is in that file.

    Args:
        append: behind what is there, as a CI's own summary file wants it.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        with open(path, "a" if append else "w", encoding="utf-8", errors="replace", newline="\n") as file:
            file.write(text)
    except OSError as error:
        raise _refused(path, option, error.strerror or "it failed") from None


def _refused(path: str, option: str, why: str) -> UsageError:
    return UsageError(f"{path} cannot be written: {why}", resolution=f"correct {option}")
