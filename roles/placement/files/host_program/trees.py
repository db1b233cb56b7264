"""What every file of a release has to be, and whether it still is."""

from __future__ import annotations

import hashlib
import json
import os
import stat

CHUNK_BYTES = 1 << 20
FIELDS = {"directory": {"mode"}, "file": {"mode", "size", "sha256"}, "link": {"target"}}


def make_root(path):
    """An empty directory is there that everybody may read, whatever the umask says."""
    os.mkdir(path, 0o755)
    os.chmod(path, 0o755)


def tree_digest(entries):
    """One SHA-256 for a whole tree: paths, kinds, modes and contents."""
    return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()


def read_entries(path):
    """What every file of a release has to be, as it was recorded; None when the record is gone or broken."""
    try:
        with open(path, encoding="utf-8") as file:
            entries = json.load(file)
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(entries, dict) or not entries:
        return None
    for entry in entries.values():
        fields = FIELDS.get(entry.get("type")) if isinstance(entry, dict) else None
        if fields is None or not fields <= set(entry):
            return None
    return entries


def compare_tree(root, entries):
    """What differs from the record, one sentence each; an empty list when nothing does.

    Args:
        entries: as `read_entries` returns them.
    """
    if entries is None:
        return ["the record of what its files have to be is lost"]
    found, differences = {}, []
    for folder, directories, files in os.walk(root):
        for name in directories + files:
            path = os.path.join(folder, name)
            found[os.path.relpath(path, root)] = path
    for path in sorted(set(found) - set(entries)):
        differences.append("{} was added".format(shown(path)))
    for path, entry in sorted(entries.items()):
        if path not in found:
            differences.append("{} is gone".format(shown(path)))
            continue
        try:
            if not _is(found[path], entry):
                differences.append("{} was changed".format(shown(path)))
        except OSError as error:
            differences.append("{} cannot be read: {}".format(shown(path), error.strerror))
    return differences


def shown(path):
    """The path as every terminal and reader can take it; names of files may be any bytes."""
    return path if path.isprintable() else ascii(path)


def _is(path, entry):
    status = os.lstat(path)
    if entry.get("uid", status.st_uid) != status.st_uid or entry.get("gid", status.st_gid) != status.st_gid:
        return False
    if entry["type"] == "link":
        return stat.S_ISLNK(status.st_mode) and os.readlink(path) == entry["target"]
    if entry["type"] == "directory":
        return stat.S_ISDIR(status.st_mode) and stat.S_IMODE(status.st_mode) == entry["mode"]
    return (
        stat.S_ISREG(status.st_mode)
        and stat.S_IMODE(status.st_mode) == entry["mode"]
        and status.st_size == entry["size"]
        and file_sha256(path) == entry["sha256"]
    )


def file_sha256(path):
    """The SHA-256 of a file's content."""
    hasher = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while True:
            chunk = file.read(CHUNK_BYTES)
            if not chunk:
                return hasher.hexdigest()
            hasher.update(chunk)


def sync_file_system(path):
    """Everything written to that path's file system survives a power cut; one call for a whole tree."""
    import ctypes

    descriptor = os.open(path, os.O_RDONLY)
    try:
        try:
            syncfs = ctypes.CDLL(None, use_errno=True).syncfs
        except (AttributeError, OSError):
            os.sync()
            return
        if syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
    finally:
        os.close(descriptor)
