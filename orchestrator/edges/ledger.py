"""The record of deployments. For now a directory beside the clone; the interface is the ledger's."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

FORMAT = 1


class Ledger(Protocol):
    """An append-only record: one JSON document for each attempt."""

    def append(self, record: Mapping[str, Any]) -> str:
        """The record is kept; returns where."""
        ...


class LocalLedger:
    """Keeps each record as a file of its own; a record is there whole or not at all."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "ledger"

    def append(self, record: Mapping[str, Any]) -> str:
        """Writes `<id>.json`, synced; `record["id"]` sorts by time."""
        self._directory.mkdir(parents=True, exist_ok=True)
        target = self._directory / f"{record['id']}.json"
        temporary = target.with_suffix(".new")
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump({"format": FORMAT, **record}, file, indent=2, sort_keys=True)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(target)
        return str(target)
