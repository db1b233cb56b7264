"""What keeps an artifact out of an environment for now: holds, and rules about where it has to have been before.

Both go by the artifact's SHA-256, not by its version: other bytes under the same name are another thing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from orchestrator.core.hidden_text import one_line
from orchestrator.core.record import FORWARD, Record, RecordPlacement

HOLD, UNHOLD, ROLLBACK = "hold", "unhold", "rollback"
GOOD = ("deployed", "unchanged")
Purpose = Literal["deploy", "promote"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Somebody does not want changes for now.

    Attributes:
        id: of the record that set it, with a number behind it where that set several.
        application: empty: all of the environment.
        purpose: `deploy` or `promote`; empty: both.
        at: ISO 8601 in UTC.
        sha256: it is about these bytes only, and lapses once git asks for others; empty: about any.
        version: what these bytes are called.
    """

    id: str
    application: str = ""
    purpose: str = ""
    reason: str = ""
    by: str = ""
    at: str = ""
    sha256: str = ""
    version: str = ""

    def blocks(self, application: str, purpose: Purpose, sha256: str) -> bool:
        """Whether it forbids that for that application with these bytes."""
        return (
            self.application in ("", application)
            and self.purpose in ("", purpose)
            and self.sha256 in ("", sha256)
        )

    def describe(self, environment: str) -> str:
        """Who, since when, why, and what lifts it: one sentence."""
        what = " ".join(filter(None, (self.application or environment, self.version)))
        bytes_ = f" (sha256 {self.sha256[:12]})" if self.sha256 else ""
        purpose = f" for {self.purpose}" if self.purpose else ""
        unhold = " ".join(filter(None, ("orchestrator unhold", environment, self.application)))
        lapses = "another version in git, or " if self.sha256 else ""
        return one_line(
            f"{what}{bytes_} is held{purpose} since {self.at} by {self.by}: {self.reason}; "
            f"{lapses}`{unhold}` lifts it"
        )


def parse_holds(values: Iterable[Mapping[str, Any]]) -> tuple[Hold, ...]:
    """Return the holds that a ledger has; what is none is left out."""
    names = {one.name for one in fields(Hold)}
    found = []
    for value in values:
        known = {name: text for name, text in value.items() if name in names and isinstance(text, str)}
        if known.get("id"):
            found.append(Hold(**known))
    return tuple(found)


def hold_document(hold: Hold) -> dict[str, str]:
    """Return the hold as the ledger has it."""
    return asdict(hold)


def fold_holds(holds: Iterable[Mapping[str, Any]], record: Record) -> tuple[Mapping[str, Any], ...]:
    """Return the holds in force after a closed attempt.

    A record of kind `unhold` lifts those that it names; any other adds its own. One that is bound to bytes lapses when
    a deployment made others live.
    """
    before = [hold for hold in holds if isinstance(hold, Mapping)]
    if record.kind == UNHOLD:
        lifted = {hold.get("id") for hold in record.holds}
        return tuple(hold for hold in before if hold.get("id") not in lifted)
    new = {hold.get("id") for hold in record.holds}
    replaced = {_subject(hold) for hold in record.holds if hold.get("sha256")}
    kept = [
        hold
        for hold in before
        if hold.get("id") not in new and _subject(hold) not in replaced and not _lapses(hold, record)
    ]
    return (*kept, *record.holds)


def rollback_holds(record: Record, left: Mapping[tuple[str, str], str]) -> tuple[Mapping[str, Any], ...]:
    """Return the holds that a rollback sets: on the bytes that it went away from.

    Args:
        record: one that has begun may come to set all of them.
        left: (application, SHA-256) → version, of what was live where it switched.
    """
    changed = {one.application for one in record.placements if record.is_open or one.result == "deployed"}
    reason = "; ".join(record.reasons) or "rolled back"
    return tuple(
        hold_document(
            Hold(
                id=f"{record.id}.{number}",
                application=application,
                reason=reason,
                by=record.actor,
                at=record.started,
                sha256=sha256,
                version=version,
            )
        )
        for number, ((application, sha256), version) in enumerate(sorted(left.items()), 1)
        if application in changed
    )


def find_hold(holds: Iterable[Hold], application: str, purpose: Purpose, sha256: str) -> Hold | None:
    """Return the first hold that forbids it; None: none does."""
    return next((hold for hold in holds if hold.blocks(application, purpose, sha256)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What an environment asks of an artifact before it may go there.

    Attributes:
        require_deployed_in: it was live and healthy in each of these.
        soak_minutes: for so long.
    """

    require_deployed_in: tuple[str, ...] = ()
    soak_minutes: int = 0

    def and_(self, other: Rules) -> Rules:
        """What both ask for."""
        names = dict.fromkeys((*self.require_deployed_in, *other.require_deployed_in))
        return Rules(
            require_deployed_in=tuple(names), soak_minutes=max(self.soak_minutes, other.soak_minutes)
        )


def judge_rules(
    rules: Rules,
    records: Mapping[str, Iterable[Record]],
    application: str,
    sha256: str,
    now: datetime,
) -> str:
    """Return why the artifact may not go there, and what would satisfy the rule; nothing: it may.

    Args:
        records: closed attempts of each environment that is required, in the order of their turns, the first first.
        sha256: empty: not known.
    """
    problems = []
    for name in rules.require_deployed_in:
        problem = _judge_one(name, records.get(name, ()), application, sha256, rules.soak_minutes, now)
        if problem:
            problems.append(problem)
    return "; ".join(problems)


def was_deployed(records: Iterable[Record], application: str, sha256: str) -> bool:
    """Return whether it was ever live and healthy on every host that is known to have had the application."""
    stay = _stay(records, application, sha256)
    return stay.since is not None or stay.longest is not None


def _judge_one(
    environment: str,
    records: Iterable[Record],
    application: str,
    sha256: str,
    soak_minutes: int,
    now: datetime,
) -> str:
    if not sha256:
        return f"it has to have been in {environment}, but its SHA-256 is not known; pin it, or make it known"
    stay = _stay(records, application, sha256)
    if stay.since is None and stay.longest is None:
        return f"it was never live and healthy in {environment} (sha256 {sha256[:12]}); deploy it there first"
    if stay.rolled_back:
        return f"it was rolled back in {environment}; deploy it there again, or another version"
    wanted = timedelta(minutes=soak_minutes)
    running = max(now - stay.since, timedelta()) if stay.since is not None else timedelta()
    if max(running, stay.longest or timedelta()) >= wanted:
        return ""
    if stay.since is None:
        return (
            f"it was in {environment} for less than {soak_minutes} minutes; deploy it there again, and wait"
        )
    minutes = int(running.total_seconds() // 60)
    return (
        f"it has been in {environment} for {minutes} of {soak_minutes} minutes; wait until "
        f"{stay.since + wanted:%Y-%m-%dT%H:%M:%SZ}"
    )


@dataclass(slots=True)
class _Stay:
    """How long some bytes were live and healthy.

    Attributes:
        since: they are, since then.
        longest: of the times that are over.
        rolled_back: the last one ended in a rollback.
    """

    since: datetime | None = None
    longest: timedelta | None = None
    rolled_back: bool = False


def _stay(records: Iterable[Record], application: str, sha256: str) -> _Stay:
    """How long, by the moments that runners have recorded; their order is that of the records, whatever they say.

    Args:
        records: in the order of their turns, the first first.
    """
    live: dict[tuple[str, str], tuple[str, str]] = {}
    stay = _Stay()
    for record in records:
        touched = [one for one in record.placements if one.application == application]
        for one in touched:
            _fold(live, one)
        if not touched:
            continue
        everywhere = bool(live) and all(found == sha256 for _, found in live.values())
        when = _moment(record.ended)
        if when is None:
            stay.since = None
        elif everywhere:
            stay.rolled_back = False
            stay.since = stay.since or when
        elif stay.since is not None:
            stay.longest = max(stay.longest or timedelta(), when - stay.since)
            stay.since, stay.rolled_back = None, record.kind == ROLLBACK
    return stay


def _fold(live: dict[tuple[str, str], tuple[str, str]], one: RecordPlacement) -> None:
    """What is live and healthy there now, as (version, SHA-256); no SHA-256: nobody can say that it is."""
    key = (one.host, one.deployment_path)
    if one.version == "":
        live.pop(key, None)
    elif one.result in GOOD:
        live[key] = (one.version or "", one.artifact_sha256)
    elif key not in live or live[key][0] != one.version:
        live[key] = (one.version or "", "")


def _moment(text: str) -> datetime | None:
    """None: it is none, and proves nothing."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def _subject(hold: Mapping[str, Any]) -> tuple[Any, Any]:
    return (hold.get("application"), hold.get("sha256"))


def _lapses(hold: Mapping[str, Any], record: Record) -> bool:
    """Whether a deployment has made other bytes live than those that are held."""
    if not hold.get("sha256") or record.kind not in FORWARD:
        return False
    return any(
        one.application == hold.get("application")
        and one.result in GOOD
        and one.artifact_sha256 not in ("", hold["sha256"])
        for one in record.placements
    )
