"""Sizes as people read them."""

from __future__ import annotations


def human_bytes(size: int) -> str:
    """A size with its unit, such as `10.0 MB`."""
    amount = float(size)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"
