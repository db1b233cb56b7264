"""Whether a deployment will find nothing to do, guessed before anything is read.

Ansible starts first where there will be work for it, and takes half a second of CPU. A guess that is wrong costs
that time and nothing else: what is done is decided by what hosts say.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

FILE = "converged.json"
KEPT = 20
# Ours, which every attempt moves.
STATE_BRANCHES = "orchestrator"


def expects_nothing(directory: str, asked: Mapping[str, Any]) -> bool:
    """Whether the same has converged from this clone already, and no branch that it knows has moved since.

    Args:
        directory: in the clone.
        asked: what is to be deployed, by option.
    """
    repository = _git_directory(directory)
    if repository is None:
        return False
    return _read(repository).get(_key(directory, asked)) == _stamp(repository)


def remember_converged(directory: str, asked: Mapping[str, Any]) -> None:
    """It has converged now. Where that cannot be kept nothing is remembered."""
    repository = _git_directory(directory)
    if repository is None:
        return
    key = _key(directory, asked)
    known = {name: stamp for name, stamp in _read(repository).items() if name != key}
    kept = dict([*known.items(), (key, _stamp(repository))][-KEPT:])
    with contextlib.suppress(OSError):
        folder = repository / "orchestrator"
        folder.mkdir(mode=0o700, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=folder, prefix=f".{FILE}")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(kept, file)
        Path(name).replace(folder / FILE)


def _read(repository: Path) -> dict[str, str]:
    try:
        found = json.loads((repository / "orchestrator" / FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _key(directory: str, asked: Mapping[str, Any]) -> str:
    text = json.dumps([str(Path(directory).resolve()), sorted(asked.items())], default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _git_directory(directory: str) -> Path | None:
    """Of an ordinary clone; None for what is none, such as a linked work tree."""
    here = Path(directory).resolve()
    found = next((one / ".git" for one in (here, *here.parents) if (one / ".git").exists()), None)
    return found if found is not None and found.is_dir() else None


def _stamp(repository: Path) -> str:
    """Changes with every branch of the clone, its own and the remote's as it last saw them."""
    hasher = hashlib.sha256()
    for path in _refs(repository):
        with contextlib.suppress(OSError):
            hasher.update(os.fsencode(path) + b"\0" + path.read_bytes() + b"\0")
    return hasher.hexdigest()


def _refs(repository: Path) -> Iterator[Path]:
    yield repository / "HEAD"
    yield repository / "packed-refs"
    for kind in ("heads", "remotes"):
        for folder, folders, names in os.walk(repository / "refs" / kind):
            folders[:] = sorted(name for name in folders if name != STATE_BRANCHES)
            yield from (Path(folder) / name for name in sorted(names))
