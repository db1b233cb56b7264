"""Points in time as people write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from orchestrator.errors import UsageError

_AGO = re.compile(r"([0-9]{1,6})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def parse_moment(text: str, *, end_of_day: bool = False) -> str:
    """The moment as records have it: ISO 8601 in UTC, to the second, with `Z`.

    Args:
        text: `2026-11-24`, `2026-11-24T05:38:50+01:00` (UTC where no zone is said), or how long ago: `7d`, `12h`.
        end_of_day: a date alone means its last second.

    Raises:
        UsageError: it is neither.
    """
    if found := _AGO.fullmatch(text):
        try:
            return _render(datetime.now(UTC) - timedelta(**{_UNITS[found[2]]: int(found[1])}))
        except OverflowError:
            return "0001-01-01T00:00:00Z"
    try:
        when = datetime.fromisoformat(text)
        if _DATE.fullmatch(text) and end_of_day:
            when += timedelta(days=1, seconds=-1)
        return _render(when.astimezone(UTC) if when.tzinfo else when)
    except (ValueError, OverflowError):
        raise UsageError(
            f"{text!r} is no point in time",
            resolution="write a date (2026-11-24), a time (2026-11-24T05:38) in UTC, or how long ago: 12h, 7d",
        ) from None


def _render(when: datetime) -> str:
    return f"{when:%Y-%m-%dT%H:%M:%S}Z"
