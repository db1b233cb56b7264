"""An artifact server that tells the controller the truth, and hosts what a test wants."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any

from orchestrator.demo.artifact_server import ArtifactServer, Handler, Log

PAGE = b"<html><body>Please log in to go on.</body></html>"


@dataclass(slots=True)
class Lies:
    """What is done to downloads.

    Attributes:
        how: `stalls` (half of it, and no end), `truncates` (half of it, and the end), `page` (an error page with
            status 200), `other` (other bytes); empty: the truth.
        to: the addresses that are lied to.
        left: how many downloads are still lied about.
        told: how many were.
    """

    how: str = ""
    to: tuple[str, ...] = ()
    left: int = 1_000_000
    told: int = 0
    over: threading.Event = field(default_factory=threading.Event)


class LyingServer(ArtifactServer):
    """Takes the arguments of `ArtifactServer`; lies as `lies` says."""

    def __init__(self, root: Path, **arguments: Any) -> None:
        self.lies = Lies()
        super().__init__(root, **arguments)

    def handler(self, root: Path, expected: str, log: Log) -> type[Handler]:
        """The handler of every connection."""
        values = {"root": root, "expected": expected, "log": log, "lies": self.lies}
        return type("BoundHandler", (LyingHandler,), values)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.lies.over.set()
        super().__exit__(kind, error, trace)


class LyingHandler(Handler):
    """One connection."""

    lies: Lies

    def _send_file(self) -> None:
        lies = self.lies
        lied = lies.how and lies.left > 0 and self.client_address[0] in lies.to and self.command == "GET"
        if not lied:
            super()._send_file()
            return
        lies.left -= 1
        lies.told += 1
        self.close_connection = True
        content = (self.root / self.path.removeprefix("/repository/")).read_bytes()
        if lies.how == "page":
            self._start(HTTPStatus.OK, {"Content-Type": "text/html"}, len(PAGE))
            self.wfile.write(PAGE)
            return
        if lies.how == "other":
            content = content[:-1] + bytes([content[-1] ^ 1])
        self._start(HTTPStatus.OK, {"ETag": '"of the lie"'}, len(content))
        self.wfile.write(content if lies.how == "other" else content[: len(content) // 2])
        if lies.how == "stalls":
            self.wfile.flush()
            lies.over.wait(60)
