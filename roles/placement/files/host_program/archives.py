"""Unpacking: every member is checked before it is written, into a fresh directory of our own.

A member may be a directory, a regular file, or a link that stays inside the release. Modes become 0755 or
0644; owners, setuid bits and times of the archive are not taken over.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import stat
import struct
import subprocess
import tarfile
import zipfile
import zlib

from host_program.problems import Problem

MAX_MEMBERS = 500_000
MAX_RATIO = 200
RATIO_COUNTS_FROM_BYTES = 100 << 20
CHUNK_BYTES = 1 << 20
FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\]")
LOCAL_HEADER = struct.Struct("<4s22xHH")


class Tree:
    """Writes checked members below `root` and remembers what it wrote.

    Attributes:
        entries: path → `{"type", "mode", "size", "sha256"}` or `{"type": "link", "target"}`.

    Args:
        root: an existing, empty directory of ours; None checks members without writing anything.
        archive_bytes: the archive's own size, for the ratio.
        strip: leading directories dropped from every member.
    """

    def __init__(self, root, archive_bytes, strip):
        self.root, self._archive_bytes, self._strip = root, archive_bytes, strip
        self.entries, self.size_bytes, self._members = {}, 0, 0

    def path_of(self, name):
        """The member's path inside the release; None when strip_components drops it.

        Raises:
            Problem: the name would leave the release, or is no name.
        """
        self._members += 1
        if self._members > MAX_MEMBERS:
            raise _bad("has more than {} members".format(MAX_MEMBERS))
        if FORBIDDEN.search(name):
            raise _bad("has a member whose name holds a control character or a backslash: {!r}".format(name))
        if name.startswith("/"):
            raise _bad("has a member with an absolute path: {!r}".format(name))
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise _bad("has a member that leaves the release: {!r}".format(name))
        parts = parts[self._strip :]
        return "/".join(parts) or None

    def add_directory(self, path):
        known = self.entries.get(path)
        if known is not None:
            if known["type"] != "directory":
                raise _bad("has {!r} both as a directory and as something else".format(path))
            return
        self._enter_parent(path)
        self.entries[path] = {"type": "directory", "mode": 0o755}
        if self.root is not None:
            os.mkdir(os.path.join(self.root, path), 0o755)

    def add_file(self, path, mode, size_bytes, chunks):
        """Args: chunks: the content in pieces; their sum is held against `size_bytes`."""
        if path in self.entries:
            raise _bad("has {!r} twice".format(path))
        self._enter_parent(path)
        self.count(size_bytes)
        mode = 0o755 if mode & 0o111 else 0o644
        hasher, written = hashlib.sha256(), 0
        if self.root is None:
            for chunk in chunks:
                written += len(chunk)
        else:
            target = os.path.join(self.root, path)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(target, flags, mode)
            try:
                for chunk in chunks:
                    written += len(chunk)
                    if written > size_bytes:
                        break
                    hasher.update(chunk)
                    view = memoryview(chunk)
                    while view:
                        view = view[os.write(descriptor, view) :]
                os.fchmod(descriptor, mode)
            finally:
                os.close(descriptor)
        if written != size_bytes and (self.root is not None or written):
            raise _bad("says that {!r} has {} bytes, and it has others".format(path, size_bytes))
        self.entries[path] = {"type": "file", "mode": mode, "size": size_bytes, "sha256": hasher.hexdigest()}

    def add_link(self, path, target):
        if path in self.entries:
            raise _bad("has {!r} twice".format(path))
        inside = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        if not target or target.startswith("/") or inside == ".." or inside.startswith("../"):
            raise _bad("has a link that leaves the release: {!r} -> {!r}".format(path, target))
        self._enter_parent(path)
        self.entries[path] = {"type": "link", "target": target}

    def add_hard_link(self, path, target):
        known = self.entries.get(target)
        if known is None or known["type"] != "file" or path in self.entries:
            raise _bad("has a hard link to something that is no file before it: {!r}".format(path))
        self._enter_parent(path)
        if self.root is not None:
            os.link(os.path.join(self.root, target), os.path.join(self.root, path))
        self.entries[path] = dict(known)

    def finish(self):
        """Links are made last, so that nothing is ever written through one; each has to end inside."""
        links = [(path, entry["target"]) for path, entry in self.entries.items() if entry["type"] == "link"]
        if self.root is None:
            return
        for path, target in links:
            os.symlink(target, os.path.join(self.root, path))
        root = os.path.realpath(self.root)
        for path, target in links:
            real = os.path.realpath(os.path.join(self.root, path))
            if real != root and not real.startswith(root + "/"):
                raise _bad("has a link that leaves the release: {!r} -> {!r}".format(path, target))

    def count(self, size_bytes):
        """Raises a Problem when the archive unpacks to absurdly more than it is."""
        self.size_bytes += size_bytes
        bomb = self.size_bytes > RATIO_COUNTS_FROM_BYTES and self._archive_bytes
        if bomb and self.size_bytes > MAX_RATIO * self._archive_bytes:
            raise _bad("unpacks to more than {} times its size".format(MAX_RATIO))

    def _enter_parent(self, path):
        parent = posixpath.dirname(path)
        if parent:
            self.add_directory(parent)


def _bad(what):
    return Problem("archive", "the archive {}".format(what), "build it again; nothing of it was made live")


def unpack_zip(file, tree):
    """Every member of the zip behind the binary `file` is in the tree."""
    try:
        with zipfile.ZipFile(file) as archive:
            for info in archive.infolist():
                _unpack_zip_member(archive, file, info, tree)
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        EOFError,
        NotImplementedError,
        UnicodeDecodeError,
    ) as error:
        raise _bad("cannot be read: {}".format(error)) from None


def _unpack_zip_member(archive, file, info, tree):
    path = tree.path_of(info.filename)
    if path is None:
        return
    if info.flag_bits & 0x1:
        raise _bad("is encrypted")
    mode = info.external_attr >> 16
    kind = stat.S_IFMT(mode)
    if info.is_dir():
        tree.add_directory(path)
    elif kind == stat.S_IFLNK:
        if info.file_size > 4096:
            raise _bad("has a link of {} bytes: {!r}".format(info.file_size, path))
        tree.add_link(path, archive.read(info).decode("utf-8"))
    elif kind in (0, stat.S_IFREG):
        tree.add_file(path, mode, info.file_size, _zip_chunks(archive, file, info) if tree.root else ())
    else:
        raise _bad("has a member that is no file, directory or link: {!r}".format(path))


def _zip_chunks(archive, file, info):
    plain = info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    if plain and max(info.file_size, info.compress_size) <= CHUNK_BYTES:
        yield _small_member(file, info)
        return
    with archive.open(info) as source:
        while True:
            chunk = source.read(CHUNK_BYTES)
            if not chunk:
                return
            yield chunk


def _small_member(file, info):
    """The whole content at once: `ZipFile.open` costs more than what most members hold."""
    file.seek(info.header_offset)
    mark, name_bytes, extra_bytes = LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size))
    if mark != b"PK\x03\x04":
        raise zipfile.BadZipFile("no member where {!r} should be".format(info.filename))
    file.seek(name_bytes + extra_bytes, os.SEEK_CUR)
    content = file.read(info.compress_size)
    if info.compress_type == zipfile.ZIP_DEFLATED:
        content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, info.file_size + 1)
    if zlib.crc32(content) != info.CRC:
        raise zipfile.BadZipFile("bad CRC-32 for {!r}".format(info.filename))
    return content


def unpack_tar(file, tree, name):
    """Every member of the (compressed) tar behind the binary `file` is in the tree, in one pass."""
    process = None
    try:
        if name.endswith(".zst"):
            file, process = _open_zstd(file)
        with tarfile.open(fileobj=file, mode="r|" if name.endswith(".zst") else "r|*") as archive:
            for info in archive:
                _unpack_tar_member(archive, info, tree)
        if process is not None and process.wait() != 0:
            raise _bad("cannot be read: zstd fails on it")
    except (tarfile.TarError, zlib.error, EOFError, ValueError) as error:
        raise _bad("cannot be read: {}".format(error)) from None
    except OSError as error:
        if error.errno is None:
            raise _bad("cannot be read: {}".format(error)) from None
        raise
    except Exception as error:
        if type(error).__name__ in ("LZMAError", "ZstdError"):
            raise _bad("cannot be read: {}".format(error)) from None
        raise
    finally:
        if process is not None:
            process.kill()
            process.wait()


def _open_zstd(file):
    try:
        from compression import zstd
    except ImportError:
        pass
    else:
        return zstd.ZstdFile(file), None
    try:
        process = subprocess.Popen(
            ["zstd", "-dc", "--memory=512MB"], stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except FileNotFoundError:
        raise Problem(
            "unsupported", "this host has no zstd", "install the package zstd there, or publish a tar.gz"
        ) from None
    return process.stdout, process


def _unpack_tar_member(archive, info, tree):
    path = tree.path_of(info.name)
    if path is None:
        return
    if info.isdir():
        tree.add_directory(path)
    elif info.isreg():
        tree.add_file(path, info.mode, info.size, _tar_chunks(archive, info))
    elif info.issym():
        tree.add_link(path, info.linkname)
    elif info.islnk():
        tree.add_hard_link(path, tree.path_of(info.linkname) or "")
    else:
        raise _bad("has a member that is no file, directory or link: {!r}".format(path))


def _tar_chunks(archive, info):
    source = archive.extractfile(info)
    while True:
        chunk = source.read(CHUNK_BYTES)
        if not chunk:
            return
        yield chunk
