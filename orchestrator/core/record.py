"""One attempt to change an environment, as the ledger keeps it: when it begins, and when it has ended."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

FORMAT = 1
PLANNED = "planned"
INTERRUPTED = "interrupted"
# The kinds of attempts that bring hosts to what git asks for.
FORWARD = ("deploy", "adopt")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPlacement:
    """One application on one host in one attempt.

    Attributes:
        result: `planned` while the attempt is open; afterwards as in `orchestrator.core.outcome`.
        from_version: None: nobody knows; empty: nothing was live.
        version: what is live now; None: nobody can say.
        release: the directory's name of what is live, as far as is known.
        artifact_sha256, configuration_digest: of what is live, as far as is known.
        kind: the kind of problem, empty without one.
    """

    application: str
    host: str
    region: str = ""
    deployment_path: str
    result: str
    from_version: str | None
    to_version: str
    version: str | None
    release: str = ""
    artifact_sha256: str = ""
    configuration_digest: str = ""
    kind: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One attempt. Times are ISO 8601 in UTC.

    Attributes:
        id: sorts by time, by the clock of its runner; the order that counts is `orchestrator.core.history.in_turn`.
        kind: `deploy`, `rollback`, ...
        ci: `name`, `url` and more of the CI job; None outside CI.
        ended: empty while the attempt is open, as `verdict`.
        phases: seconds by phase.
        lock_token: None: it ran without a lock, for `no_lock_reason`.
        reasons: why, in the words of who asked for it.
        holds: those that it sets; one of kind `unhold` lifts them.
        verdict: `success`, `partial`, `failed`, `unknown`, `cancelled`, `superseded` or `interrupted`.
        error: the sentence that it ended with; empty when it did what it was to do.
        protection: the rules that were checked: where they came from, and each with its result; empty: none were.
        hooks: each hook that ran: `application`, `host`, `event`, `command`, `exit` (None: not started, or its time was
            over), `seconds`; never what it wrote.
        tests: each smoke test that ran: `application`, `host`, `name`, `on`, `once`, `passed`, `message`, `seconds`.
        tools: versions by name.
    """

    id: str
    kind: str = "deploy"
    actor: str
    ci: Mapping[str, str] | None = None
    started: str
    ended: str = ""
    duration_seconds: float = 0.0
    phases: Mapping[str, float] = field(default_factory=dict)
    environment: str
    repository: str = ""
    stack: str = ""
    branch: str = ""
    commit: str = ""
    manifest_version: str = ""
    intent_id: str = ""
    plan_id: str = ""
    lock_token: int | None = None
    no_lock_reason: str | None = None
    allow_older_reason: str | None = None
    reasons: tuple[str, ...] = ()
    holds: tuple[Mapping[str, Any], ...] = ()
    verdict: str = ""
    error: str = ""
    placements: tuple[RecordPlacement, ...] = ()
    hooks: tuple[Mapping[str, Any], ...] = ()
    tests: tuple[Mapping[str, Any], ...] = ()
    protection: Mapping[str, Any] = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether it has begun and not ended, as far as the ledger knows."""
        return not self.verdict

    def counts(self) -> dict[str, int]:
        """How many placements there are of each result."""
        counts: dict[str, int] = {}
        for one in self.placements:
            counts[one.result] = counts.get(one.result, 0) + 1
        return counts


def interrupt_record(record: Record, *, ended: str) -> Record:
    """Return an open attempt that will never close itself: what it was about to change is unknown now."""
    message = "the run ended before it said what it did here"
    placements = tuple(
        replace(one, result="unknown", version=None, kind=INTERRUPTED, message=message)
        if one.result == PLANNED
        else one
        for one in record.placements
    )
    return replace(record, verdict=INTERRUPTED, ended=ended, placements=placements)


def record_document(record: Record) -> dict[str, Any]:
    """Return the record as JSON has it."""
    document: dict[str, Any] = {"format": FORMAT, "state": "open" if record.is_open else "closed"}
    for name in Record.__dataclass_fields__:
        document[name] = getattr(record, name)
    return {
        **document,
        "ci": None if record.ci is None else dict(record.ci),
        "ended": record.ended or None,
        "verdict": record.verdict or None,
        "phases": dict(record.phases),
        "protection": dict(record.protection),
        "reasons": list(record.reasons),
        "holds": [dict(hold) for hold in record.holds],
        "hooks": [dict(hook) for hook in record.hooks],
        "tests": [dict(test) for test in record.tests],
        "placements": [
            {name: getattr(one, name) for name in RecordPlacement.__dataclass_fields__}
            for one in record.placements
        ],
        "tools": dict(record.tools),
    }


def render_record(record: Record) -> bytes:
    """Return the record's document: a line for each field and each placement, as `git diff` shows them best."""
    lines = []
    for name, value in sorted(record_document(record).items()):
        if name in ("placements", "hooks", "tests") and value:
            items = ",\n  ".join(_line(one) for one in value)
            lines.append(f' "{name}": [\n  {items}\n ]')
        else:
            lines.append(f" {_line(name)}: {_line(value)}")
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def parse_record(content: bytes | str) -> Record:
    """Return the record in a document; keys that are not known are skipped.

    Raises:
        ValueError: it is none; the message says why.
    """
    return read_record(json.loads(content))


def read_record(document: Any) -> Record:
    """Return the record in a document that is parsed already.

    Raises:
        ValueError: it is none; the message says why.
    """
    check_record(document)
    values: dict[str, Any] = {"actor": ""}
    for name, allowed in _RECORD_TYPES.items():
        if name in document:
            value = values[name] = document[name]
            if type(value) not in allowed:
                raise ValueError(f"its {name} has the wrong type")
    values["reasons"] = tuple(map(str, values.get("reasons", ())))
    for name in ("holds", "hooks", "tests"):
        values[name] = tuple(one for one in values.get(name, ()) if isinstance(one, dict))
    values["placements"] = tuple(map(_read_placement, values.get("placements", ())))
    for name in ("ended", "verdict"):
        values[name] = values.get(name) or ""
    return Record(**values)


def check_record(document: Any) -> None:
    """Whether a JSON value is a record at all, without a look at every field.

    Raises:
        ValueError: it is none; the message says why.
    """
    if not isinstance(document, dict):
        raise ValueError("it is no JSON object")
    if (version := document.get("format")) != FORMAT:
        raise ValueError(f"it has format {version!r}, this version reads format {FORMAT}")
    for name in ("id", "environment"):
        value = document.get(name)
        if not isinstance(value, str) or not _NAME.fullmatch(value):
            raise ValueError(f"it has no valid {name}")
    if not isinstance(document.get("started"), str):
        raise ValueError("it does not say when it started")
    placements = document.get("placements", [])
    if not isinstance(placements, list) or not all(isinstance(one, dict) for one in placements):
        raise ValueError("its placements are no list of objects")


def _read_placement(value: Mapping[str, Any]) -> RecordPlacement:
    values = {name: value.get(name, default) for name, default in _PLACEMENT_DEFAULTS.items()}
    if tuple(map(type, values.values())) not in _PLACEMENT_TYPES:
        raise ValueError("a field of a placement has the wrong type")
    return RecordPlacement(**values)


def _line(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


_TEXT, _MAYBE, _MAP, _LIST = (str,), (str, type(None)), (dict,), (list,)
_RECORD_TYPES: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(
        ("id", "kind", "actor", "started", "environment", "repository", "stack", "branch", "commit", "error"),
        _TEXT,
    ),
    **dict.fromkeys(("manifest_version", "intent_id", "plan_id"), _TEXT),
    **dict.fromkeys(("no_lock_reason", "allow_older_reason", "ended", "verdict"), _MAYBE),
    "ci": (dict, type(None)),
    "duration_seconds": (int, float),
    "lock_token": (int, type(None)),
    **dict.fromkeys(("phases", "protection", "tools"), _MAP),
    **dict.fromkeys(("reasons", "holds", "hooks", "tests", "placements"), _LIST),
}
_UNKNOWABLE = ("from_version", "version")
_PLACEMENT_DEFAULTS: Mapping[str, str | None] = {
    name: None if name in _UNKNOWABLE else "" for name in RecordPlacement.__dataclass_fields__
}
# The types that the fields of a placement may have, all together: one look for each placement.
_PLACEMENT_TYPES = frozenset(
    product(*(_MAYBE if name in _UNKNOWABLE else _TEXT for name in _PLACEMENT_DEFAULTS))
)
