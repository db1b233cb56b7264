"""From the ledger's entries, newest first, to what readers ask: which attempts, and what was live when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from orchestrator.core.history_index import Indexed
from orchestrator.core.ledger_entry import Entry
from orchestrator.core.lock_state import LockState
from orchestrator.core.record import Record, RecordPlacement

Said = TypeVar("Said", Entry, Indexed)
SECONDS = len("2026-11-24T05:38:50")


def latest_entries(entries: Iterable[Said]) -> Iterator[Said]:
    """Each attempt once, by the last that was said of it.

    Args:
        entries: newest first.
    """
    seen: set[tuple[str, str]] = set()
    for entry in entries:
        key = (entry.environment, entry.id)
        if key not in seen:
            seen.add(key)
            yield entry


def in_turn(attempts: Iterable[Indexed]) -> list[Indexed]:
    """Return the attempts in the order in which they had their turns, the first first; no clock is asked.

    That is the order in which the ledger was told of them first. Only one that it was told of after another had got the
    same lock since comes before that one: tokens of a lock do nothing but grow.
    """
    earliest: dict[str, int] = {}
    turns = []
    for one in sorted(attempts, key=lambda one: (one.lock_token or 0, one.place), reverse=True):
        token, turn = one.lock_token or 0, one.place
        if token:
            turn = earliest[one.environment] = min(turn, earliest.get(one.environment, turn))
        turns.append(((turn, token, one.place), one))
    return [one for _, one in sorted(turns, key=lambda turn: turn[0])]


def is_before(one: str, other: str) -> bool:
    """Whether the moment `one` is before `other`; both ISO 8601 in UTC, to the second.

    For what is asked by time on purpose: moments are those of the clocks of runners, and order no attempts.
    """
    return one[:SECONDS] < other[:SECONDS]


def verdict_of(attempt: Record | Indexed, lock: LockState | None, word: str) -> str:
    """The verdict; of an open attempt, whether it may still run.

    Args:
        lock: of its environment; None when it cannot be asked.
        word: what `LockState.word` says of that lock.
    """
    if not attempt.is_open:
        return attempt.verdict
    if attempt.lock_token is None or lock is None:
        return "open"
    if not lock.held or lock.token != attempt.lock_token:
        return "interrupted?"
    return {"dead": "interrupted (dead)", "expired": "open (expired)"}.get(word, "running")


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A time in which one version was live on one host, by the clocks of the runners that began and ended it.

    Attributes:
        since, since_record: the attempt after which it was.
        until, until_record: the attempt after which it was not; empty: it still is.
        next_version: what came then; None: nobody can say; empty: nothing.
    """

    environment: str
    host: str
    region: str
    deployment_path: str
    since: str
    since_record: str
    until: str = ""
    until_record: str = ""
    next_version: str | None = ""

    @property
    def is_live(self) -> bool:
        """Whether it still is, as far as the ledger knows."""
        return not self.until


def live_intervals(records: Iterable[Record], application: str, version: str) -> tuple[Interval, ...]:
    """When and where `version` was live, oldest first for each host.

    What a run says that had lost its lock by then is not what is live: a later one has been there.

    Args:
        records: closed attempts, in the order in which the ledger was told how they ended.
    """
    current: dict[tuple[str, str, str], Interval] = {}
    tokens: dict[tuple[str, str, str], int] = {}
    found: list[Interval] = []
    for record in records:
        for one in record.placements:
            if one.application != application or (one.version is None and one.result != "unknown"):
                continue
            key = (record.environment, one.host, one.deployment_path)
            token = tokens.get(key, 0) if record.lock_token is None else record.lock_token
            if token < tokens.get(key, 0):
                continue
            tokens[key] = token
            running = current.get(key)
            if running is None and one.version == version:
                current[key] = _begin(record, one)
            elif running is not None and one.version != version:
                end = replace(running, until=record.ended, until_record=record.id, next_version=one.version)
                found.append(end)
                del current[key]
    found.extend(current.values())
    return tuple(sorted(found, key=lambda one: (one.environment, one.host, one.deployment_path)))


def _begin(record: Record, one: RecordPlacement) -> Interval:
    return Interval(
        environment=record.environment,
        host=one.host,
        region=one.region,
        deployment_path=one.deployment_path,
        since=record.ended,
        since_record=record.id,
    )
