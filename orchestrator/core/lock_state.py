"""What the tip of a lock's branch says: who holds the environment, with which token, until when.

The branch is never deleted: its token only grows, so that hosts can refuse a run that lost its lock.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

FORMAT = 1
MAX_TEXT = 500
Word = Literal["free", "held", "expired", "dead"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who runs.

    Attributes:
        process: tells it from every other process of its machine; empty where that cannot be told.
        run: the attempt's id, as in the ledger.
        ci_url: the CI job's page; empty outside CI.
    """

    actor: str
    host: str
    pid: int
    process: str = ""
    run: str = ""
    ci_name: str = ""
    ci_url: str = ""

    def __str__(self) -> str:
        where = self.ci_url or f"process {self.pid} on {self.host}"
        return f"{self.actor} ({where})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaking:
    """That a lock was taken away from its holder."""

    reason: str
    by: str
    at: str
    holder: Holder


@dataclass(frozen=True, slots=True, kw_only=True)
class LockState:
    """The lock of one environment.

    Attributes:
        token: of the last acquisition; each has one more than the one before.
        holder: the present one, or the last one when the lock is free.
        since: when it was acquired, ISO 8601 in UTC, to the second, with `Z` (as all times here).
        expires: until when it holds unless it is renewed.
        fence: the lock was broken, and no run since has shown every host a higher token.
        broken: how that was; None once `fence` is lifted.
    """

    environment: str
    stack: str = ""
    token: int
    held: bool
    holder: Holder
    since: str
    expires: str
    fence: bool = False
    broken: Breaking | None = None

    def is_expired(self, now: str) -> bool:
        """Whether it is held by somebody who has not renewed it in time."""
        return self.held and self.expires <= now

    def word(self, now: str, *, is_gone: bool) -> Word:
        """What is known of it.

        Args:
            is_gone: the holder's process is certainly over.
        """
        if not self.held:
            return "free"
        return "dead" if is_gone else "expired" if self.is_expired(now) else "held"

    def describe(self, now: str) -> str:
        """One sentence for people."""
        broken = f"; it was broken by {self.broken.by}: {self.broken.reason}" if self.broken else ""
        if not self.held:
            return f"{self.environment} is free{broken}"
        text = f"{self.environment} is held by {self.holder} since {self.since}"
        if self.is_expired(now):
            return f"{text}; it expired at {self.expires} and was not renewed"
        return f"{text}, expires {self.expires} unless renewed"


def acquire_lock(
    state: LockState | None, holder: Holder, *, environment: str, stack: str, now: str, expires: str
) -> LockState:
    """Return the state with a new holder and the next token; `state` is free, or None at the first time."""
    fresh = LockState(
        environment=environment,
        stack=stack,
        token=1,
        held=True,
        holder=holder,
        since=now,
        expires=expires,
    )
    if state is None:
        return fresh
    return replace(fresh, token=state.token + 1, fence=state.fence, broken=state.broken)


def renew_lock(state: LockState, *, expires: str) -> LockState:
    """Return the state with another expiry."""
    return replace(state, expires=expires)


def release_lock(state: LockState, *, fenced: bool) -> LockState:
    """Return the state without holder.

    Args:
        fenced: every host of the environment has seen this token.
    """
    kept = state if not fenced else replace(state, fence=False, broken=None)
    return replace(kept, held=False)


def break_lock(state: LockState, *, reason: str, by: str, now: str) -> LockState:
    """Return the state free by force: the next run shows its token to every host first."""
    breaking = Breaking(reason=reason, by=by, at=now, holder=state.holder)
    return replace(state, held=False, fence=True, broken=breaking)


def render_lock(state: LockState) -> bytes:
    """Return lock.json."""
    document = {"format": FORMAT, **asdict(state), "state": "held" if state.held else "free"}
    del document["held"]
    return (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()


def parse_lock_state(content: bytes) -> LockState:
    """Return what lock.json says.

    Raises:
        ValueError: it is none; the message says why.
    """
    document = json.loads(content)
    if not isinstance(document, dict):
        raise ValueError("it is no JSON object")
    version = document.get("format")
    if version != FORMAT:
        raise ValueError(f"it has format {version!r}, this version reads format {FORMAT}")
    broken = document.get("broken")
    token, state = document.get("token"), document.get("state")
    if type(token) is not int or token < 1 or state not in ("held", "free"):
        raise ValueError("it has no valid token and state")
    return LockState(
        environment=_text(document, "environment"),
        stack=_text(document, "stack"),
        token=token,
        held=state == "held",
        holder=_holder(document.get("holder")),
        since=_text(document, "since"),
        expires=_text(document, "expires"),
        fence=bool(document.get("fence")),
        broken=None if broken is None else _breaking(broken),
    )


def _breaking(value: Any) -> Breaking:
    found = _object(value, "broken")
    return Breaking(
        reason=_text(found, "reason"),
        by=_text(found, "by"),
        at=_text(found, "at"),
        holder=_holder(found.get("holder")),
    )


def _holder(value: Any) -> Holder:
    found = _object(value, "holder")
    pid = found.get("pid")
    return Holder(
        actor=_text(found, "actor"),
        host=_text(found, "host"),
        pid=pid if type(pid) is int else 0,
        process=_text(found, "process"),
        run=_text(found, "run"),
        ci_name=_text(found, "ci_name"),
        ci_url=_text(found, "ci_url"),
    )


def _object(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"its {name} is no object")
    return value


def _text(found: Mapping[str, Any], name: str) -> str:
    """A string that can be shown: one line, without control characters, of bounded length."""
    value = found.get(name, "")
    if not isinstance(value, str):
        raise ValueError(f"its {name} is no text")
    return "".join(one if one.isprintable() else " " for one in value)[:MAX_TEXT]
