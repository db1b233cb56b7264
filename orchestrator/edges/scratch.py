"""Private directories below the system's temporary one, swept by the next command where the owner was killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from orchestrator.edges.process_identity import is_gone, this_process_identity

PREFIX, OWNER = "orch-", "owner"


def make_scratch() -> Path:
    """A new directory that is ours alone, with a file that says whose; the caller removes it in the end."""
    remove_abandoned(Path(tempfile.gettempdir()))
    path = Path(tempfile.mkdtemp(prefix=PREFIX))
    write_private(path / OWNER, this_process_identity())
    return path


def remove_abandoned(parent: Path) -> None:
    """Private directories there whose commands were killed on this machine are gone, with nobody else's."""
    for owner in parent.glob(f"{PREFIX}*/{OWNER}"):
        with contextlib.suppress(OSError):
            if owner.stat().st_uid == os.getuid() and is_gone(owner.read_text(encoding="utf-8")):
                shutil.rmtree(owner.parent, ignore_errors=True)


def write_private(path: Path, content: str) -> None:
    """A file that only we can read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
