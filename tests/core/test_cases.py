"""Golden cases, see `tests/cases/__init__.py`."""

from __future__ import annotations

import pytest

from tests.cases.case import Case, all_cases


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: case.name)
def test_case_comes_out_as_recorded(case: Case) -> None:
    assert case.outputs() == case.recorded(), "if this is meant: `make cases`, then review the diff"
