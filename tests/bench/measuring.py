"""One command of the benchmark, run by `meter.py`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

METER = Path(__file__).with_name("meter.py")
TIMEOUT_SECONDS = 1800


class BenchError(Exception):
    """A command of the benchmark failed, or did not do what it was asked for; the numbers would mean nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one command cost.

    Attributes:
        seconds: until the command ended.
        cpu_seconds: user and system time of the command and all its descendants on the controller, connections that
            it left open included.
        memory_bytes: peak of all these processes together (proportional set size); 0 when nobody asked.
        largest_process_bytes: peak of the one that had most.
        started: program → second in which the first process of it was there.
        lines: what was printed, with the second of each line.
    """

    seconds: float
    cpu_seconds: float
    memory_bytes: int = 0
    largest_process_bytes: int = 0
    started: Mapping[str, float]
    lines: tuple[tuple[float, str], ...]


def measure(
    command: Sequence[str], *, environment: Mapping[str, str], directory: Path, memory: bool = False
) -> Measured:
    """What the command cost; it has succeeded, and nothing of it is left.

    Raises:
        BenchError: it failed.
    """
    os.sync()  # what the command before has written is not this one's to wait for
    result = directory / "measured.json"
    options = ["--memory"] if memory else []
    meter = [sys.executable, "-I", "-S", str(METER), str(result), *options, "--", *command]
    subprocess.run(meter, cwd=directory, env=dict(environment), check=False, timeout=TIMEOUT_SECONDS)
    found = json.loads(result.read_text())
    result.unlink()
    if found["code"] != 0:
        said = "\n".join(line for _, line in found["lines"][-40:])
        raise BenchError(f"{' '.join(command[:4])} … ended with {found['code']}:\n{said}")
    return Measured(
        seconds=found["seconds"],
        cpu_seconds=found["cpu_seconds"],
        memory_bytes=found["memory_bytes"],
        largest_process_bytes=found["largest_process_bytes"],
        started=found["started"],
        lines=tuple((second, line) for second, line in found["lines"]),
    )
