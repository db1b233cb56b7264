"""The time as locks and records have it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def moment(seconds: float = 0) -> str:
    """Now, or that many seconds later: ISO 8601 in UTC, to the second, with `Z`."""
    return f"{datetime.now(UTC) + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"
