"""One value, one text, one digest."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any


def canonical_json(value: Any) -> bytes:
    """Return the only JSON text of a value: keys sorted, no spaces, UTF-8.

    Args:
        value: what JSON can hold; no NaN, no infinity, no lone surrogates.

    Raises:
        ValueError: the value is none that JSON can hold.
        TypeError: it holds an object of another type.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def digest(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON, 64 lower-case hex digits."""
    return sha256(canonical_json(value)).hexdigest()
