"""What an answer of a forge's API means before anybody looks into it: go on, ask again, give up.

Sources: RFC 9110, GitHub "Rate limits for the REST API", GitLab "Rate limits" (429 with Retry-After, RateLimit-Reset).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ATTEMPTS = 3
PATIENCE_SECONDS = 8.0
_FIRST_PAUSE_SECONDS = 0.3
_SAFE_METHODS = frozenset({"GET", "HEAD"})
_UNDONE = frozenset({429, 503})
_PASSING = frozenset({500, 502, 504})


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgeAnswer:
    """Status and headers (names in lower case) of one answer."""

    method: str
    status: int
    headers: Mapping[str, str]

    @property
    def is_rate_limit(self) -> bool:
        """Whether the forge wants fewer requests."""
        if self.status == 429:
            return True
        spent = self.headers.get("x-ratelimit-remaining") == "0" or "retry-after" in self.headers
        return self.status == 403 and spent


def wait_seconds(answer: ForgeAnswer, *, now_seconds: float) -> float | None:
    """Return for how long the forge asks to wait; None: it does not say.

    Args:
        now_seconds: since the epoch, for limits that end at a moment.
    """
    after = answer.headers.get("retry-after", "")
    if after.isdecimal():
        return float(after)
    for name in ("x-ratelimit-reset", "ratelimit-reset"):
        reset = answer.headers.get(name, "")
        if answer.is_rate_limit and reset.isdecimal():
            return max(0.0, float(reset) - now_seconds)
    return None


def retry_pause(
    answer: ForgeAnswer, *, attempt: int, elapsed_seconds: float, now_seconds: float
) -> float | None:
    """Return after how many seconds to ask again; None: take the answer as it is.

    What may have been done already (a failed POST) is not asked for twice. A pause that is longer than the
    patience of 8 seconds is not waited for.

    Args:
        attempt: how many answers there were, this one counted.
    """
    passing = answer.status in _PASSING and answer.method in _SAFE_METHODS
    if attempt >= ATTEMPTS or not (answer.status in _UNDONE or answer.is_rate_limit or passing):
        return None
    pause = wait_seconds(answer, now_seconds=now_seconds)
    if pause is None:
        pause = _FIRST_PAUSE_SECONDS * 2 ** (attempt - 1)
    return pause if elapsed_seconds + pause <= PATIENCE_SECONDS else None
