"""What a tree on a host looks like, exactly enough to prove that nothing in it changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields

LOGIN_TRACES = ("/var/log/wtmp", "/var/log/lastlog", "/var/log/btmp", "/var/lib/sudo")
"""What an SSH login or sudo itself leaves behind; to be excluded when `/` is compared around one."""

PROGRAM = r"""
import hashlib, json, os, stat, sys

tops, excluded = json.load(sys.stdin)
found = {}
KINDS = {stat.S_IFDIR: "directory", stat.S_IFREG: "file", stat.S_IFLNK: "link", stat.S_IFIFO: "fifo",
         stat.S_IFSOCK: "socket", stat.S_IFCHR: "device", stat.S_IFBLK: "device"}


def digest(path):
    total = hashlib.sha256()
    with open(path, "rb") as stream:
        while chunk := stream.read(1 << 20):
            total.update(chunk)
    return total.hexdigest()


def record(path, device):
    if path in excluded:
        return
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        found[path] = ["missing", 0, 0, 0, 0, 0, 0, "", ""]
        return
    kind = KINDS[stat.S_IFMT(status.st_mode)]
    if kind == "directory" and device not in (None, status.st_dev):
        return
    found[path] = [
        kind, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, status.st_size, status.st_mtime_ns,
        status.st_ino, os.readlink(path) if kind == "link" else "", digest(path) if kind == "file" else "",
    ]
    if kind == "directory":
        for name in sorted(os.listdir(path)):
            record(os.path.join(path, name), status.st_dev)


for top in tops:
    record(top, None)
json.dump(found, sys.stdout, ensure_ascii=True)
"""
"""Runs on the host. Reads `[paths, excluded paths]`; leaves out what is mounted below them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One path. `kind` is `missing` when asked for and not there; `sha256` is of regular files only."""

    kind: str
    mode: int
    uid: int
    gid: int
    size_bytes: int
    mtime_ns: int
    inode: int
    target: str
    sha256: str


Snapshot = dict[str, Entry]


def parse_snapshot(text: str) -> Snapshot:
    """Return the snapshot that `PROGRAM` printed."""
    names = [field.name for field in fields(Entry)]
    return {path: Entry(**dict(zip(names, row, strict=True))) for path, row in json.loads(text).items()}


def changes(before: Mapping[str, Entry], after: Mapping[str, Entry]) -> list[str]:
    """Return one line for each difference, for `assert changes(before, after) == []`."""
    lines = []
    for path in sorted({*before, *after}):
        old, new = before.get(path), after.get(path)
        if old is None or new is None:
            lines.append(f"{path}: {'appeared' if old is None else 'disappeared'}")
            continue
        for field in fields(Entry):
            was, now = getattr(old, field.name), getattr(new, field.name)
            if was != now:
                lines.append(f"{path}: {field.name} {was!r} -> {now!r}")
    return lines
