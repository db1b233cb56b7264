"""What happens right now: a live view per host on a terminal, plain lines elsewhere."""

from __future__ import annotations

import collections
import contextlib
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any

from orchestrator.cli.tables import make_console
from orchestrator.core.drain_plan import drains_in
from orchestrator.core.host_report import HostReport

DOING = {
    "observe": "observing",
    "probe": "looking",
    "stage": "staging",
    "once": "running once",
    "activate": "activating",
    "smoke": "testing",
    "settle": "settling",
    "undo": "switching back",
    "prune": "removing",
    "drain": "draining",
    "undrain": "putting back",
    "own": "failing",
}
DONE = {
    "observe": "observed",
    "probe": "looked at",
    "stage": "staged",
    "once": "ran once",
    "activate": "activated",
    "smoke": "tested",
    "settle": "settled",
    "undo": "switched back",
    "prune": "removed",
    "drain": "drained",
    "undrain": "put back",
    "own": "failed",
}
SHOWN_HOSTS = 30


class Progress:
    """Call it with each report while the context is open.

    Args:
        hosts: who takes part.
        quiet: print nothing for hosts that answer well.
    """

    def __init__(self, hosts: Iterable[str], *, quiet: bool = False) -> None:
        self._console = make_console(error=True)
        self._states: dict[str, tuple[str, str, float]] = dict.fromkeys(hosts, ("waiting", "dim", 0.0))
        self._quiet = quiet
        self._said: dict[str, set[str]] = {}
        self._live: Any = None

    def __enter__(self) -> Progress:
        self._start()
        return self

    def expect(self, hosts: Iterable[str]) -> None:
        """These hosts take part in what follows; others have nothing more to do."""
        self._states = {host: self._states.get(host, ("waiting", "dim", 0.0)) for host in hosts}

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """The live view is away while the context is open, so that something lasting can be printed."""
        self._stop()
        try:
            yield
        finally:
            self._start()

    def _start(self) -> None:
        if self._console.is_terminal and self._live is None:
            from rich.live import Live

            self._live = Live(
                console=self._console, get_renderable=self._render, refresh_per_second=8, transient=True
            )
            self._live.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _note_drains(self, report: HostReport) -> None:
        """One task of one host speaks for all hosts of a group."""
        for one in drains_in(report):
            word = DONE[report.phase] if one["ok"] else "failed"
            self._states[one["host"]] = (word, "green" if one["ok"] else "red", 0.0)
            quiet = report.phase == "undrain" and one["ok"] and not one["changed"]
            if self._live is None and not quiet:
                self._console.print(f"{report.phase:9}{one['host']}: {one['message']}", soft_wrap=True)

    def __call__(self, report: HostReport) -> None:
        if report.phase in ("drain", "undrain"):
            self._note_drains(report)
            return
        if report.status == "started":
            self._states[report.host] = (DOING[report.phase], "yellow", time.monotonic())
            return
        problem = report.result.get("problem")
        word = DONE[report.phase] if report.status == "ok" and not problem else report.status
        if problem and report.status == "ok":
            word = "not healthy" if problem.get("kind") == "health" else "failed"
        good = word == DONE[report.phase]
        self._states[report.host] = (word, "green" if good else "red", 0.0)
        if self._live is None and not (good and (self._quiet or report.phase == "observe")):
            said = "; ".join(self._news(report))
            self._console.print(
                f"{report.phase:9}{report.host}: {word}{f' ({said})' if said else ''}", soft_wrap=True
            )

    def _news(self, report: HostReport) -> list[str]:
        """What the host says of its placements, else of the task; what it has said before is left out."""
        told = self._said.setdefault(report.host, set())
        said = {one["message"]: f"{one['application']}: " for one in report.result.get("placements") or ()}
        said = said or {" ".join(str(report.result.get("msg", "")).split()): ""}
        news = [prefix + message for message, prefix in said.items() if message and message not in told]
        told.update(said)
        return news

    def _render(self) -> Any:
        from rich.console import Group
        from rich.spinner import Spinner
        from rich.table import Table
        from rich.text import Text

        if not self._states:
            return Text("")
        counts = collections.Counter(word for word, _, _ in self._states.values())
        summary = ", ".join(f"{count} {word}" for word, count in counts.items())
        table = Table.grid(padding=(0, 2))
        for host, (word, style, since) in list(self._states.items())[:SHOWN_HOSTS]:
            waited = f"{time.monotonic() - since:.0f} s" if since else ""
            mark: Any = Spinner("dots") if since else Text("•", style=style)
            table.add_row(mark, host, Text(word, style=style), waited)
        if len(self._states) > SHOWN_HOSTS:
            table.add_row("", f"… and {len(self._states) - SHOWN_HOSTS} more hosts", "", "")
        return Group(Text(f"{len(self._states)} hosts: {summary}", style="bold"), table)
