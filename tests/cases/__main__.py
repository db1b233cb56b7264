"""`python -m tests.cases --write` records what comes out of every case; without it, says which differ."""

from __future__ import annotations

import sys

from tests.cases.case import all_cases


def main() -> int:
    """Writes, or compares; 1 when something differs."""
    cases = all_cases()
    if "--write" in sys.argv[1:]:
        for case in cases:
            case.write()
        sys.stdout.write(f"{len(cases)} cases written; review them with `git diff tests/cases`\n")
        return 0
    stale = [case.name for case in cases if case.recorded() != case.outputs()]
    for name in stale:
        sys.stdout.write(f"differs: {name}\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
