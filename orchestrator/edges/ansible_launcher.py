"""`ansible-playbook` as the orchestrator starts it, run by its path: the same, with less to do before it begins.

Half a second goes by before Ansible begins. Some of it is for nothing: garbage collection finds nothing in what has
just been imported; paramiko, imported where it happens to be installed, is for a connection plugin that we never use;
and the redirections of ansible.builtin are 370 KB of YAML that say the same each time, so they are kept as JSON.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

COLLECT_AFTER = 100_000
WORTH_KEEPING_BYTES = 50_000
Parse = Callable[[Any, Any], Any]


def main() -> None:
    """Ansible runs, and ends the process."""
    gc.set_threshold(COLLECT_AFTER)
    sys.modules["paramiko"] = None  # type: ignore[assignment]
    sys.argv[0] = "ansible-playbook"
    keep_metadata()
    from ansible.cli.playbook import main as run

    try:
        run()
    except SystemExit as ended:
        leave(ended.code)


def leave(code: object) -> None:
    """The process ends here: to take apart what it has imported takes another while, and is for nothing."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def keep_metadata() -> None:
    """Ansible's function that parses metadata of collections, made to be replaced by one that caches, is one."""
    with contextlib.suppress(ImportError, AttributeError, RuntimeError):  # the last: no home
        from ansible.utils.collection_loader import _collection_finder as finder

        finder._meta_yml_to_dict = kept(finder._meta_yml_to_dict, cache_directory())


def cache_directory() -> Path:
    """Of this user, as the XDG specification has it."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "gitops-orchestrator"


def kept(parse: Parse, directory: Path) -> Parse:
    """The same function, which reads what it made of a long text before; a directory that is of no use does no harm."""

    def read(text: Any, content: Any) -> Any:
        data = text.encode() if isinstance(text, str) else bytes(text)
        if len(data) < WORTH_KEEPING_BYTES:
            return parse(text, content)
        if not _is_ours(directory):
            return parse(text, content)
        path = directory / f"metadata-{hashlib.sha256(data).hexdigest()}.json"
        with contextlib.suppress(OSError, ValueError):
            found = json.loads(path.read_bytes())
            if isinstance(found, dict):
                return found
        made = parse(text, content)
        with contextlib.suppress(OSError, TypeError, ValueError):
            whole = json.dumps(made)
            descriptor, name = tempfile.mkstemp(prefix="metadata-", dir=directory)
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    file.write(whole)
                Path(name).replace(path)
            except OSError:
                Path(name).unlink(missing_ok=True)
        return made

    return read


def _is_ours(directory: Path) -> bool:
    """Whether the directory is there now, and nobody else can write to it."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = directory.stat()
    except OSError:
        return False
    return status.st_uid == os.getuid() and not status.st_mode & 0o022


if __name__ == "__main__":
    main()
