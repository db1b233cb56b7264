"""What reports say about one run besides its plan and its outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """One attempt, as its reports name it.

    Attributes:
        branch: empty when a commit was named.
        time: when it began, ISO 8601.
        url: the CI's job; empty: none.
        record: its id in the ledger; empty: none was written.
        error: the sentence that the run ended with; empty when it ended well.
        details: what was seen, one line each.
        resume: the command that goes on, status: the one that shows what is true now.
        placement_seconds: (application, host, deployment path) → how long it took, where that is known.
    """

    environment: str
    branch: str
    commit: str
    actor: str
    time: str
    duration_seconds: float
    resume: str
    status: str
    url: str = ""
    record: str = ""
    check: bool = False
    error: str = ""
    details: tuple[str, ...] = ()
    placement_seconds: Mapping[tuple[str, str, str], float] = field(default_factory=dict)
