"""docs/security.md names a test for each attack, and a setting that exists for each defence."""

from __future__ import annotations

import re
from pathlib import Path

from orchestrator.core.protection_rules import Rules

ROOT = Path(__file__).resolve().parent.parent.parent
TEXT = (ROOT / "docs" / "security.md").read_text()


def test_every_attack_names_a_test_that_exists() -> None:
    named = re.findall(r"`(tests/\S+?\.py)::(test_\w+)`", TEXT)
    rows = [line for line in TEXT.splitlines() if line.startswith("| ") and "tests/" in line]
    assert len(named) == len(rows) >= 30
    for file, test in named:
        assert re.search(rf"^def {test}\(", (ROOT / file).read_text(), re.MULTILINE), f"{file}::{test}"


def test_every_rule_has_its_rationale_and_a_command_to_audit_it() -> None:
    for rule in Rules.__dataclass_fields__:
        (row,) = [line for line in TEXT.splitlines() if line.startswith(f"| `{rule}` |")]
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert len(cells) == 4
        assert all(cells), row
        assert cells[3].startswith("`")
