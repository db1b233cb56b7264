"""Runs one command and says what it cost: `python meter.py RESULT [--memory] -- COMMAND …`.

The result is JSON: `seconds` until the command ended, `cpu_seconds` of all its descendants, `lines` that it printed
with the second of each, `started` with the second in which the first descendant of some programs was there, and with
`--memory` the peaks. A program of its own, because it adopts what the command leaves behind: an ssh master that goes
into the background has cost CPU too, and would give the next command a connection that it did not open. Whatever is
left when the command has ended is counted, then ended.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

PR_SET_CHILD_SUBREAPER = 36
POLL_SECONDS = 0.02
ENDING_SECONDS = 2
WATCHED = {"ansible-playbook": "ansible-playbook", "ansible_launcher.py": "ansible-playbook", "ssh": "ssh"}
PROGRAMS = len(set(WATCHED.values()))
TICKS = os.sysconf("SC_CLK_TCK")


def main(arguments: list[str]) -> int:
    """The command's exit code; the result is in the file."""
    options, command = arguments[: arguments.index("--")], arguments[arguments.index("--") + 1 :]
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    result = run(command, memory="--memory" in options)
    Path(options[0]).write_text(json.dumps(result))
    return int(result["code"])


def run(command: list[str], *, memory: bool) -> dict[str, Any]:
    """Costs of the command, which has ended, as have its descendants."""
    began, began_ticks = time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME)
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0
    )
    watch, output = Watch(began_ticks, memory=memory), Output(child.stdout, began)
    exit_of_child = os.pidfd_open(child.pid)
    with selectors.DefaultSelector() as selector:
        selector.register(exit_of_child, selectors.EVENT_READ)
        selector.register(output.file, selectors.EVENT_READ)
        while exit_of_child not in (ready := {key.fd for key, _ in selector.select(POLL_SECONDS)}):
            if ready and not output.read():
                selector.unregister(output.file)
            watch.look()
    seconds = time.monotonic() - began
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    os.close(exit_of_child)
    output.read()
    return {
        "code": child.returncode,
        "seconds": seconds,
        "cpu_seconds": usage.ru_utime + usage.ru_stime + end_descendants(),
        "memory_bytes": watch.peak,
        "largest_process_bytes": watch.largest,
        "started": watch.started,
        "lines": output.lines,
    }


class Output:
    """What the command prints, line by line, with the second of each."""

    def __init__(self, file: IO[bytes] | None, began: float) -> None:
        assert file is not None
        os.set_blocking(file.fileno(), False)
        self.file, self._began, self._rest = file, began, b""
        self.lines: list[tuple[float, str]] = []

    def read(self) -> bool:
        """Takes what is there; false at the end."""
        piece = self.file.read(1 << 20)
        now = round(time.monotonic() - self._began, 3)
        *whole, self._rest = (self._rest + (piece or b"")).split(b"\n")
        self.lines += [(now, line.decode(errors="replace")) for line in whole]
        return piece != b""


class Watch:
    """Looks at the descendants while the command runs; costs nothing once there is nothing left to see."""

    def __init__(self, began: float, *, memory: bool) -> None:
        self._began, self._memory = began, memory
        self.started: dict[str, float] = {}
        self.peak = self.largest = 0

    def look(self) -> None:
        """Notes new programs and, when asked, the memory that all descendants have together."""
        if not self._memory and len(self.started) == PROGRAMS:
            return
        together = 0
        for pid in descendants(os.getpid()):
            with contextlib.suppress(OSError, ValueError, IndexError):
                if len(self.started) < PROGRAMS:
                    self._note(pid)
                if self._memory:
                    size = proportional_bytes(pid)
                    together += size
                    self.largest = max(self.largest, size)
        self.peak = max(self.peak, together)

    def _note(self, pid: int) -> None:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        names = {Path(word).name for word in words[:3]}
        for program in {WATCHED[name] for name in names & set(WATCHED)}:
            if program not in self.started:
                after = int(stat(pid)[19]) / TICKS - self._began
                self.started[program] = round(max(0.0, after), 3)


def descendants(pid: int) -> list[int]:
    """Process ids of the children, theirs, and so on."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in task.read_text().split():
                found += [int(child), *descendants(int(child))]
    return found


def stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on, `man 5 proc`."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def proportional_bytes(pid: int) -> int:
    """Memory of a process, shared pages divided among those that share them."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def end_descendants() -> float:
    """CPU seconds of what the command left behind, which has ended afterwards."""
    total = 0.0
    for kill in (signal.SIGTERM, signal.SIGKILL):
        for pid in descendants(os.getpid()):
            with contextlib.suppress(OSError):
                os.kill(pid, kill)
        deadline = time.monotonic() + ENDING_SECONDS
        while time.monotonic() < deadline:
            spent = reap()
            if spent is None:
                return total
            total += spent
            time.sleep(POLL_SECONDS)
    return total


def reap() -> float | None:
    """CPU seconds of the children that have ended since; None when there is no child at all."""
    spent = 0.0
    try:
        pid, _, usage = os.wait4(-1, os.WNOHANG)
        while pid:
            spent += usage.ru_utime + usage.ru_stime
            pid, _, usage = os.wait4(-1, os.WNOHANG)
    except ChildProcessError:
        return spent or None
    return spent


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
