"""Everything that this machine can run: `python -m tests.run [lint|unit|fleet|molecule]`.

Ends with a list of what ran and what was skipped and why. ORCHESTRATOR_REQUIRE_ALL=1 turns a skip into a
failure; CI sets it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
# What to look at first when this takes too long.
SLOWEST = ("--durations", "15")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One command of a group."""

    group: str
    name: str
    command: tuple[str, ...]
    needs_fleet: bool = False


def python(*arguments: str) -> tuple[str, ...]:
    """A command of this interpreter."""
    return (sys.executable, *arguments)


CHECKS = (
    Check(group="lint", name="ruff format", command=(str(BIN / "ruff"), "format", "--check", ".")),
    Check(group="lint", name="ruff", command=(str(BIN / "ruff"), "check", ".")),
    Check(group="lint", name="role READMEs", command=python("-m", "tests.role_docs", "--check")),
    Check(group="lint", name="mypy", command=(str(BIN / "mypy"),)),
    Check(
        group="lint",
        name="ansible-lint",
        command=(
            str(BIN / "ansible-lint"),
            "--offline",
            "--profile",
            "production",
            "-q",
            "playbooks",
            "roles",
        ),
    ),
    Check(
        group="unit",
        name="core, with coverage of branches",
        command=python(
            "-m", "pytest", "-q", "tests/core", "--cov=orchestrator/core", "--cov-branch", "--cov-report=term"
        ),
    ),
    Check(
        group="unit",
        name="edges",
        command=python("-m", "pytest", "-q", "tests/edges", "-n", "3", "--dist", "loadfile", *SLOWEST),
    ),
    Check(
        group="fleet",
        name="fleet",
        # Each of the two has hosts of its own.
        command=python(
            "-m", "pytest", "-q", "tests/fleet", "tests/molecule", "-n", "2", "--dist", "worksteal", *SLOWEST
        ),
        needs_fleet=True,
    ),
    Check(group="molecule", name="molecule", command=python("-m", "tests.molecule.run"), needs_fleet=True),
)


def main() -> int:
    """Runs the groups that are named, all of them by default."""
    groups = set(sys.argv[1:]) or {check.group for check in CHECKS}
    required = os.environ.get("ORCHESTRATOR_REQUIRE_ALL") == "1"
    environment = {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "ANSIBLE_HOME": str(ROOT / ".ansible"),
        "ANSIBLE_ROLES_PATH": str(ROOT / "roles"),
    }
    rows, failed = [], False
    for check in CHECKS:
        if check.group not in groups:
            continue
        reason = _unavailable() if check.needs_fleet else None
        if reason is not None:
            rows.append((f"SKIPPED ({reason})", check.name, 0.0))
            failed = failed or required
            continue
        sys.stdout.write(f"\n== {check.name}\n")
        sys.stdout.flush()
        began = time.monotonic()
        code = subprocess.run(check.command, cwd=ROOT, env=environment, check=False).returncode
        rows.append(("passed" if code == 0 else f"FAILED ({code})", check.name, time.monotonic() - began))
        failed = failed or code != 0
    sys.stdout.write("\n")
    for result, name, seconds in rows:
        sys.stdout.write(f"{result:10} {name} ({seconds:.0f} s)\n")
    if required and any(result.startswith("SKIPPED") for result, _, _ in rows):
        sys.stdout.write("a skip counts as a failure here (ORCHESTRATOR_REQUIRE_ALL=1)\n")
    passed = sum(result == "passed" for result, _, _ in rows)
    sys.stdout.write(f"{passed} passed, {sum(row[0].startswith('FAILED') for row in rows)} failed\n")
    return 1 if failed else 0


def _unavailable() -> str | None:
    from tests.fleet.hosts import unavailable_reason

    return unavailable_reason()


if __name__ == "__main__":
    sys.exit(main())
