"""What a host said, while the run goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class HostReport:
    """What one task on one host ended with.

    Attributes:
        phase: `stage`, `once`, `activate`, `smoke`, `settle`, `undo`, `prune`, `observe` or `probe`.
        status: `started`, `ok`, `failed` or `unreachable`.
        result: the task's result; `placements` as the host program writes them.
    """

    host: str
    phase: str
    status: Literal["started", "ok", "failed", "unreachable"]
    result: Mapping[str, Any]
