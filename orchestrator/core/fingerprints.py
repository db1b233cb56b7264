"""What lets a changed secret be noticed without showing it, see `docs/decisions/010-noticing-changed-secrets.md`.

This module is also `controller_program.fingerprints` of the role `placement` (a link): it imports nothing but
the standard library.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

_COST = 2**14
_BLOCK = 8


def fingerprint(identity: str, application: str, secrets: Mapping[str, str]) -> str:
    """Different for other values, the same for the same; guessing a value from it is slow.

    Args:
        identity: whose placement it is: the same secrets elsewhere have another fingerprint.
        secrets: values by name; without any the fingerprint is empty.
    """
    if not secrets:
        return ""
    made = hashlib.scrypt(
        json.dumps(secrets, sort_keys=True).encode(),
        salt=f"gitops-orchestrator\0{identity}\0{application}".encode(),
        n=_COST,
        r=_BLOCK,
        p=1,
        dklen=32,
    )
    return f"scrypt:{made.hex()}"
