"""What a SHA-256 looks like in a server's answer."""

from __future__ import annotations

import re
from typing import Final

_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")


def sha256_or_none(value: object) -> str | None:
    """Return a SHA-256 as 64 lower-case hex digits, or None for anything else."""
    if isinstance(value, str) and _SHA256.fullmatch(value.strip()):
        return value.strip().lower()
    return None
