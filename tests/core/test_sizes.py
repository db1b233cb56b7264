"""Sizes as people read them."""

from __future__ import annotations

import pytest

from orchestrator.core.sizes import human_bytes


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (10_000_000, "10.0 MB"), (5 * 10**12, "5000.0 GB")],
)
def test_size_has_its_unit(size: int, text: str) -> None:
    assert human_bytes(size) == text
