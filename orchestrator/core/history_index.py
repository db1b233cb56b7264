"""What readers of a long ledger need to know of each attempt without opening its document: one line of a cache."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from orchestrator.core.ledger_entry import Entry
from orchestrator.core.record import check_record

_TIP = "tip"
_LAST_TIP = b'\n["tip",'


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexed:
    """One attempt, by the last that was said of it.

    Attributes:
        started: as its document says; empty when that cannot be read.
        place: that of what was said of it first, among all that the ledger was told, counted from nought.
        lock_token: as its document says; None: it had no lock, or that cannot be read.
        offset, length: where its document is in the cache, in bytes.
        problem: why its document cannot be read; empty when it can.
    """

    commit: str
    id: str
    environment: str
    verdict: str
    started: str
    applications: tuple[str, ...]
    place: int
    lock_token: int | None
    offset: int
    length: int
    problem: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it has not ended, as far as the ledger knows."""
        return self.verdict == "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """The attempts up to one commit of the ledger's branch.

    Attributes:
        tip: that commit; empty: nothing is indexed yet.
        entries: in the order in which they were said, the newest last; of two for an attempt the last counts.
        size: of the index, in bytes; what comes after is the rest of an update that did not end.
        documents_size: of the documents, in bytes.
        said: how many entries the ledger had up to that commit.
    """

    tip: str = ""
    entries: tuple[Indexed, ...] = ()
    size: int = 0
    documents_size: int = 0
    said: int = 0

    def places(self, said: Iterable[Entry]) -> dict[tuple[str, str], int]:
        """Where each attempt stands by what was said of it first.

        Args:
            said: what the ledger was told since, oldest first.
        """
        places: dict[tuple[str, str], int] = {}
        for known in self.entries:
            places.setdefault((known.environment, known.id), known.place)
        for place, entry in enumerate(said, self.said):
            places.setdefault((entry.environment, entry.id), place)
        return places


def index_entry(entry: Entry, document: bytes | None, *, place: int, offset: int) -> Indexed:
    """Return the line for an entry; a document that is none of that attempt is a problem of it."""
    started, problem = "", ""
    lock_token = None
    applications: tuple[str, ...] = ()
    try:
        found = json.loads((document or b"").decode("utf-8"))
        check_record(found)
        if (found["id"], found["environment"]) != (entry.id, entry.environment):
            raise ValueError("it is another attempt's")
        started, token = found["started"], found.get("lock_token")
        lock_token = token if type(token) is int else None
        names = {str(one.get("application", "")) for one in found.get("placements", ())}
        applications = tuple(sorted(names))
    except ValueError as error:
        problem = "its document is missing" if document is None else str(error)[:200]
    return Indexed(
        commit=entry.commit,
        id=entry.id,
        environment=entry.environment,
        verdict=entry.verdict,
        started=started,
        applications=applications,
        place=place,
        lock_token=lock_token,
        offset=offset,
        length=0 if problem else len(document or b""),
        problem=problem,
    )


def render_index(entries: Iterable[Indexed], *, tip: str, documents_size: int, said: int) -> bytes:
    """Return the lines to append: the entries, and up to where the index is complete with them."""
    lines = [
        [
            one.commit, one.id, one.environment, one.verdict, one.started, list(one.applications),
            one.place, one.lock_token, one.offset, one.length, one.problem,
        ]
        for one in entries
    ]  # fmt: skip
    text = [
        json.dumps(line, separators=(",", ":")) for line in [[], *lines, [_TIP, tip, documents_size, said]]
    ]
    return ("\n".join(text) + "\n").encode()


def parse_index(content: bytes) -> Index:
    """Return what the index says up to its last complete update; nothing when it is broken."""
    last = content.rfind(_LAST_TIP, 0, content.rfind(b"\n"))
    if last < 0:
        return Index()
    end = content.find(b"\n", last + 1) + 1
    try:
        lines = json.loads(b"[" + content[: end - 1].replace(b"\n", b",") + b"]")
        *_, (_, tip, documents_size, said) = lines
        entries = tuple(_read(line) for line in lines if line and line[0] != _TIP)
    except (ValueError, TypeError):
        return Index()
    return Index(tip=tip, entries=entries, size=end, documents_size=documents_size, said=said)


def _read(line: list[Any]) -> Indexed:
    commit, attempt, environment, verdict, started, applications, place, token, offset, length, problem = line
    return Indexed(
        commit=commit,
        id=attempt,
        environment=environment,
        verdict=verdict,
        started=started,
        applications=tuple(applications),
        place=place,
        lock_token=token,
        offset=offset,
        length=length,
        problem=problem,
    )
