"""Run the roles' molecule scenarios on real hosts: `python -m tests.molecule.run [--keep] [-v] [SCENARIO …]`.

Hosts are created once, one for each scenario; every scenario runs to its end whatever the others do; the hosts are
destroyed at the end, after a failure and Ctrl-C too. Ends with a table; 1 when a scenario failed.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from tests.fleet.hosts import FleetError, ensure_image, remove, unavailable_reason
from tests.molecule.scenarios import REPOSITORY, Scenario, find_scenarios, session, state_directory

REQUIRE = "ORCHESTRATOR_REQUIRE_FLEET"
_STEP = re.compile(r"^\S+\s+\S*\s*\S+ ➜ (?P<step>[a-z_]+): Execut", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How one scenario ended. `step` is the one that failed, or empty."""

    scenario: str
    seconds: float
    failed: bool
    step: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run them; 0 when all passed or hosts cannot be had, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m tests.molecule.run", description="Run molecule's scenarios.")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="default: all")
    parser.add_argument("--keep", action="store_true", help="leave the hosts, for another look")
    parser.add_argument("-v", "--verbose", action="store_true", help="show molecule's output as it comes")
    options = parser.parse_args(arguments)
    try:
        wanted = _select(find_scenarios(), options.scenarios)
    except ValueError as error:
        parser.error(str(error))
    reason = _reason()
    if reason is not None:
        required = os.environ.get(REQUIRE) == "1"
        _say(f"molecule: {len(wanted)} scenarios {'cannot run' if required else 'SKIPPED'}: {reason}")
        return 1 if required else 0
    if not wanted:
        _say("molecule: no role has a scenario")
        return 0
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _run_all(wanted, keep=options.keep, verbose=options.verbose)
    except KeyboardInterrupt:
        _say("molecule: interrupted")
        return 130
