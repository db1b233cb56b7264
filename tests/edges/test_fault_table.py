"""The table of faults in `docs/reliability.md` names, for every row, a test that is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
_TEST = re.compile(r"`(tests/[a-z_/]+\.py)::(test_[a-z0-9_]+)`")


def rows() -> list[list[str]]:
    """The table's rows below its heading, as cells."""
    text = (ROOT / "docs" / "reliability.md").read_text("utf-8")
    _, _, section = text.partition("\n## Faults\n")
    table = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("|")]
    assert table[0] == "| Fault | Promise | Test |"
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def functions_of(path: Path) -> set[str]:
    """The names of the module's tests."""
    module = ast.parse(path.read_text("utf-8"))
    return {node.name for node in module.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_row_has_a_fault_a_promise_and_a_test_that_exists(row: list[str]) -> None:
    fault, promise, test = row
    assert fault
    assert promise
    named = _TEST.fullmatch(test)
    assert named, f"no test of the form `tests/….py::test_…`: {test!r}"
    assert named[2] in functions_of(ROOT / named[1])


def test_every_test_of_faults_is_in_the_table() -> None:
    named = {match[2] for row in rows() if (match := _TEST.fullmatch(row[2]))}
    for path in sorted((ROOT / "tests" / "fleet").glob("test_faults*.py")):
        assert {name for name in functions_of(path) if name.startswith("test_")} <= named, path.name
