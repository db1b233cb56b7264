"""A file system for each host, as real hosts have: on one that all share, they wait for each other.

ext4 looks at every inode that was deleted in the last minutes before it takes one, and a sync waits for what others have
written. Without loop devices the hosts share this machine's file system, and the page says so.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

SIZE = "2G"
PLACES = {"/srv": "srv", "/var/lib/gitops-orchestrator": "state"}


@contextlib.contextmanager
def own_disks(names: list[str], directory: Path) -> Iterator[Mapping[str, Mapping[str, Path]]]:
    """Host → mount point → directory of its own ext4; empty where this machine has no loop devices."""
    disks: dict[str, dict[str, Path]] = {}
    try:
        try:
            for name in names:
                disks[name] = _mount(directory / f"{name}.img", directory / f"{name}.disk")
        except (subprocess.CalledProcessError, OSError) as error:
            if disks:
                raise
            sys.stderr.write(f"the hosts share this machine's file system: {error}\n")
        yield disks
    finally:
        for name in disks:
            subprocess.run(["umount", str(directory / f"{name}.disk")], check=False)


def _mount(image: Path, place: Path) -> dict[str, Path]:
    place.mkdir()
    _run("truncate", "-s", SIZE, str(image))
    _run("mkfs.ext4", "-q", "-F", str(image))
    _run("mount", "-o", "loop", str(image), str(place))
    for below in PLACES.values():
        (place / below).mkdir(mode=0o755)
    return {point: place / below for point, below in PLACES.items()}


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)
