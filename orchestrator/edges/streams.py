"""Text streams that stand before standard output or error and look like them."""

from __future__ import annotations

from io import TextIOBase
from typing import TextIO


class StreamBefore(TextIOBase):
    """Looks like `stream`, which stays open when this one is closed; `write` and `flush` are its own."""

    def __init__(self, stream: TextIO) -> None:
        self.beneath = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The stream's own."""
        return self.beneath.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """The stream's own."""
        return self.beneath.errors

    def fileno(self) -> int:
        """The stream's own."""
        return self.beneath.fileno()

    def isatty(self) -> bool:
        """The stream's own."""
        return self.beneath.isatty()

    def writable(self) -> bool:
        """It is."""
        return True

    def close(self) -> None:
        """Flushes; the stream beneath stays open."""
        self.flush()
