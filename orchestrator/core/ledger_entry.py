"""One commit of the ledger's branch: a message that people read with `git log`, and that says where its document is."""

from __future__ import annotations

import re
from dataclasses import dataclass

from orchestrator.core.record import Record

OPEN = "open"
SHOWN_PLACEMENTS = 50
SUBJECT_CHARACTERS = 200
_FIRST = "Attempt-Id: "
_ENTRY = re.compile(
    r"Attempt-Id: (?P<id>[A-Za-z0-9._-]{1,100})\n"
    r"Environment: (?P<environment>[A-Za-z0-9._-]{1,64})\n"
    r"Verdict: (?P<verdict>[a-z]{1,40})\n"
    r"Document: (?P<document>[0-9a-f]{64}|[0-9a-f]{40})\n*"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One event: an attempt has begun (`verdict` is `open`) or has ended.

    Attributes:
        document: git's name of the record's blob.
    """

    commit: str
    id: str
    environment: str
    verdict: str
    document: str

    @property
    def is_open(self) -> bool:
        """Whether it says that the attempt has begun."""
        return self.verdict == OPEN


def render_message(record: Record, document: str) -> str:
    """Return the commit's message. `[skip ci]` keeps the git host from starting pipelines."""
    lines = [_subject(record), "", _who(record)]
    if record.no_lock_reason is not None:
        lines.append(f"Without a lock: {_plain(record.no_lock_reason)}")
    if record.allow_older_reason is not None:
        lines.append(f"An older commit on purpose: {_plain(record.allow_older_reason)}")
    lines += [f"Reason: {_plain(reason)}" for reason in record.reasons]
    lines.append("")
    for one in record.placements[:SHOWN_PLACEMENTS]:
        before = "unknown" if one.from_version is None else one.from_version or "nothing"
        move = f"{before} → {one.to_version}" if before != one.to_version else one.to_version
        problem = f" ({_plain(one.message)})" if one.kind else ""
        lines.append(f"{_plain(f'{one.application} {one.host} {move} {one.result}')}{problem}")
    if len(record.placements) > SHOWN_PLACEMENTS:
        lines.append(f"and {len(record.placements) - SHOWN_PLACEMENTS} more")
    if record.placements:
        lines.append("")
    lines += [
        f"Attempt-Id: {record.id}",
        f"Environment: {record.environment}",
        f"Verdict: {record.verdict or OPEN}",
        f"Document: {document}",
    ]
    return "\n".join(lines) + "\n"


def parse_entry(commit: str, message: str) -> Entry | None:
    """Return what a commit of the branch says; None when it is none of ours."""
    found = _ENTRY.fullmatch(message, max(message.rfind(_FIRST), 0))
    return None if found is None else Entry(commit=commit, **found.groupdict())


def _subject(record: Record) -> str:
    what = "" if record.kind == "deploy" else f"{record.kind} "
    counts = ", ".join(f"{count} {result}" for result, count in sorted(record.counts().items()))
    said = record.verdict or "begins"
    version = record.manifest_version or record.commit[:10] or record.id
    text = _plain(f"{record.environment}: {what}{version} {said}{', ' if counts else ''}{counts}")
    return f"{text[:SUBJECT_CHARACTERS]} [skip ci]"


def _who(record: Record) -> str:
    ci = f" ({record.ci['url']})" if record.ci and record.ci.get("url") else ""
    branch = f" of {record.branch}" if record.branch else ""
    text = f"By {record.actor}{ci}, commit {record.commit or 'none'}{branch}, started {record.started}"
    if not record.is_open:
        text += f", took {record.duration_seconds:.1f} s"
    return _plain(text)


def _plain(text: str) -> str:
    """One line."""
    return "".join(one if one.isprintable() else " " for one in text)[:500]
