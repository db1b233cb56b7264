"""Deployment windows and freezes: when an environment may be deployed to. The time is handed in.

A window is written as

- `always`;
- weekly: days and hours, each may be left out: `mon-fri 09:00-17:00`, `fri 15:00-24:00`, `sat,sun`, `22:00-06:00`
  (hours that end before they begin go on into the next day, and belong to the one on which they begin);
- dates: `2026-12-20..2027-01-02` (whole days, both included) or `2026-12-20 18:00..2027-01-02 06:00`.

Hours are those of the window's time zone. `deny` beats `allow`; where nothing is allowed by name, everything is that is
not denied.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from orchestrator.core.violations import Path, Report, quote

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LOOKED_AHEAD_DAYS = 400
_DAY_MINUTES = 24 * 60
_WEEKLY = re.compile(r"(?P<days>[a-z][a-z,-]*)?(?:(?:^| )(?P<start>[0-9:]{5})-(?P<end>[0-9:]{5}))?")
_DATES = re.compile(
    r"(?P<first>[0-9-]{10})(?: (?P<start>[0-9:]{5}))?\.\.(?P<last>[0-9-]{10})(?: (?P<end>[0-9:]{5}))?"
)
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00")
_EXAMPLES = 'such as "mon-fri 09:00-17:00", "sat,sun", "22:00-06:00", "2026-12-20..2027-01-02" or "always"'

Span = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One entry of `windows`.

    Attributes:
        text: as it was written.
        timezone: IANA name.
        days: 0 is Monday; on these it begins at `start_minute` and ends `length_minutes` later. Empty: `dates` is set.
        dates: begin and end, naive, in the window's time zone.
    """

    effect: Literal["allow", "deny"]
    text: str
    timezone: str = "UTC"
    reason: str = ""
    days: tuple[int, ...] = ()
    start_minute: int = 0
    length_minutes: int = _DAY_MINUTES
    dates: tuple[datetime, datetime] | None = None

    def __str__(self) -> str:
        why = f" ({self.reason})" if self.reason else ""
        return f"{self.effect} {self.text} {self.timezone}{why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowState:
    """Whether an environment may be deployed to at some moment.

    Attributes:
        why: why it may not, one sentence.
        opens: when it may next; None: not within a year, or it may now.
    """

    is_open: bool
    why: str = ""
    opens: datetime | None = None

    @property
    def opening(self) -> str:
        """When it opens, for people."""
        return f"{self.opens:%Y-%m-%d %H:%M} UTC" if self.opens else "not within a year"


def parse_windows(raw: Sequence[Mapping[str, Any] | None], report: Report, path: Path) -> tuple[Window, ...]:
    """Return the windows, which fit the schema as far as they are not None; what is wrong goes to `report`."""
    found = []
    for index, entry in enumerate(raw):
        window = _parse_window(entry, report, (*path, index)) if entry is not None else None
        if window is not None:
            found.append(window)
    return tuple(found)


def judge_windows(windows: Sequence[Window], now: datetime) -> WindowState:
    """Return whether `now`, which knows its time zone, is inside; else why not, and when that changes."""
    now = now.astimezone(UTC)
    why = _closed(windows, now)
    if not why:
        return WindowState(is_open=True)
    moments = sorted(
        {moment for window in windows for span in _spans(window, now) for moment in span if moment > now}
    )
    opens = next((moment for moment in moments if not _closed(windows, moment)), None)
    return WindowState(is_open=False, why=why, opens=opens)


def _closed(windows: Sequence[Window], at: datetime) -> str:
    """Why nothing may be deployed at that moment; empty when it may."""
    allowed = [window for window in windows if window.effect == "allow"]
    for window in windows:
        if window.effect == "deny" and _contains(window, at):
            return f"it is denied by the window {window}"
    if allowed and not any(_contains(window, at) for window in allowed):
        return f"it is outside of {', '.join(str(window) for window in allowed)}"
    return ""


def _contains(window: Window, at: datetime) -> bool:
    zone = ZoneInfo(window.timezone)
    if window.dates is not None:
        first, last = _fixed(window.dates, zone)
        return first <= at < last
    today = at.astimezone(zone).date()
    candidates = (_weekly(window, today + timedelta(days=days), zone) for days in (-1, 0))
    return any(span is not None and span[0] <= at < span[1] for span in candidates)


def _spans(window: Window, now: datetime) -> Iterator[Span]:
    """When it begins and ends, from yesterday on."""
    zone = ZoneInfo(window.timezone)
    if window.dates is not None:
        yield _fixed(window.dates, zone)
        return
    today = now.astimezone(zone).date()
    for days in range(-1, LOOKED_AHEAD_DAYS):
        span = _weekly(window, today + timedelta(days=days), zone)
        if span is not None:
            yield span


def _fixed(dates: tuple[datetime, datetime], zone: ZoneInfo) -> Span:
    first, last = dates
    return first.replace(tzinfo=zone).astimezone(UTC), last.replace(tzinfo=zone).astimezone(UTC)


def _weekly(window: Window, day: date, zone: ZoneInfo) -> Span | None:
    """When the window that begins on that day is, by that day's wall clock."""
    if day.weekday() not in window.days:
        return None
    midnight = datetime(day.year, day.month, day.day)
    start = midnight + timedelta(minutes=window.start_minute)
    return _fixed((start, start + timedelta(minutes=window.length_minutes)), zone)


def _parse_window(raw: Mapping[str, Any], report: Report, path: Path) -> Window | None:
    effects = [key for key in ("allow", "deny") if key in raw or (*path, key) in report.bad]
    if len(effects) != 1:
        report.add(path, "a window has exactly one of `allow` and `deny`")
        return None
    effect: Any = effects[0]
    zone = raw.get("timezone", "UTC")
    if not _is_zone(zone):
        report.add((*path, "timezone"), f"{quote(zone)} is no time zone; write one such as Europe/Berlin")
    text = raw.get(effect)
    if text is None:
        return None
    fields = _parse_text(text)
    if fields is None:
        report.add((*path, effect), f"{quote(text)} is no window; write one {_EXAMPLES}")
        return None
    return Window(effect=effect, text=text, timezone=zone, reason=raw.get("reason", ""), **fields)


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _parse_text(text: str) -> dict[str, Any] | None:
    lower = text.lower()
    if lower == "always":
        return {"days": tuple(range(7))}
    if found := _DATES.fullmatch(lower):
        return _parse_dates(found)
    found = _WEEKLY.fullmatch(lower)
    days = _parse_days(found["days"]) if found and found["days"] else tuple(range(7))
    if not found or not lower or not days:
        return None
    if found["start"] is None:
        return {"days": days}
    start, end = _minutes(found["start"]), _minutes(found["end"])
    if start is None or end is None or start in (end, _DAY_MINUTES):
        return None
    length = end - start if end > start else end + _DAY_MINUTES - start
    return {"days": days, "start_minute": start, "length_minutes": length}


def _parse_days(text: str) -> tuple[int, ...]:
    """Days as numbers; nothing when the text is wrong."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if first not in DAYS or (last or first) not in DAYS or bool(dash) != bool(last):
            return ()
        begin, end = DAYS.index(first), DAYS.index(last or first)
        found.update(number % 7 for number in range(begin, end + 1 if end >= begin else end + 8))
    return tuple(sorted(found))


def _parse_dates(found: re.Match[str]) -> dict[str, Any] | None:
    start, end = _minutes(found["start"] or "00:00"), _minutes(found["end"] or "24:00")
    try:
        first, last = datetime.fromisoformat(found["first"]), datetime.fromisoformat(found["last"])
    except ValueError:
        return None
    if start is None or end is None:
        return None
    dates = (first + timedelta(minutes=start), last + timedelta(minutes=end))
    return {"dates": dates} if dates[0] < dates[1] else None


def _minutes(clock: str) -> int | None:
    found = _CLOCK.fullmatch(clock)
    if found is None:
        return None
    return _DAY_MINUTES if found[1] is None else int(found[1]) * 60 + int(found[2])
