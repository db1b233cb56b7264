"""Unpacking: every member is checked before it is written, into a fresh directory of our own.

A member may be a directory, a regular file, or a link that stays inside the release. Modes become 0755 or
0644; owners, setuid bits and times of the archive are not taken over.
"""

from __future__ import annotations

import errno
import hashlib
import os
import posixpath
import re
import stat
import struct
import tarfile
import zipfile
import zlib

from host_program import zstd
from host_program.problems import Problem

MAX_MEMBERS = 500_000
MAX_PATH_BYTES = 2048
MAX_NAME_BYTES = 255
MAX_LINKS_FOLLOWED = 40
MAX_RATIO = 200
MAX_RATIO_UNVERIFIED = 20
MAX_HEADER_BYTES = 1 << 20
RATIO_COUNTS_FROM_BYTES = 100 << 20
CHUNK_BYTES = 1 << 20
FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\]")
LOCAL_HEADER = struct.Struct("<4s22xHH")


class Tree:
    """Writes checked members below `root` and remembers what it wrote.

    Attributes:
        entries: path → `{"type", "mode", "size", "sha256"}` or `{"type": "link", "target"}`.
        is_too_much: it was refused for the ratio.

    Args:
        root: an existing, empty directory of ours; None checks members without writing anything.
        archive_bytes: the archive's own size, for the ratio.
        strip: leading directories dropped from every member.
        reads: contents are read even where nothing is written.
        ratio: how many times its size it may unpack to.
    """

    def __init__(self, root, archive_bytes, strip, *, reads=False, ratio=MAX_RATIO):
        self.root, self._archive_bytes, self._strip, self._ratio = root, archive_bytes, strip, ratio
        self.is_too_much = False
        self.reads = reads or root is not None
        self.entries, self.size_bytes, self._members = {}, 0, 0

    def path_of(self, name):
        """The member's path inside the release; None when strip_components drops it.

        Raises:
            Problem: the name would leave the release, or is no name.
        """
        self._members += 1
        self._bound()
        if FORBIDDEN.search(name):
            raise _bad("has a member whose name holds a control character or a backslash: " + _shown(name))
        if name.startswith("/"):
            raise _bad("has a member with an absolute path: " + _shown(name))
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise _bad("has a member that leaves the release: " + _shown(name))
        length = len if name.isascii() else _bytes_of
        if length(name) > MAX_PATH_BYTES or max(map(length, parts), default=0) > MAX_NAME_BYTES:
            raise _bad("has a member whose name is too long: " + _shown(name))
        parts = parts[self._strip :]
        return "/".join(parts) or None

    def add_directory(self, path):
        missing = []
        while path and path not in self.entries:
            missing.append(path)
            path = _parent(path)
        if path and self.entries[path]["type"] != "directory":
            raise _bad("has {} both as a directory and as something else".format(_shown(path)))
        for one in reversed(missing):
            self.entries[one] = {"type": "directory", "mode": 0o755}
            self._bound()
            if self.root is not None:
                os.mkdir(self._at(one), 0o755)

    def add_file(self, path, mode, size_bytes, chunks):
        """The file is there.

        Args:
            size_bytes: what the archive says; None where it says that later, then every piece counts as it comes.
            chunks: the content in pieces; their sum is held against `size_bytes`.
        """
        if path in self.entries:
            raise _bad("has {} twice".format(_shown(path)))
        self.add_directory(_parent(path))
        self.count(size_bytes or 0)
        mode = 0o755 if mode & 0o111 else 0o644
        hasher, written = hashlib.sha256(), 0
        if self.root is None:
            for chunk in chunks:
                written += len(chunk)
                if self.reads:
                    hasher.update(chunk)
        else:
            target = self._at(path)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(target, flags, mode)
            try:
                for chunk in chunks:
                    written += len(chunk)
                    if size_bytes is None:
                        self.count(len(chunk))
                    elif written > size_bytes:
                        break
                    hasher.update(chunk)
                    done = os.write(descriptor, chunk)
                    while done < len(chunk):
                        done += os.write(descriptor, memoryview(chunk)[done:])
                os.fchmod(descriptor, mode)
            finally:
                os.close(descriptor)
        if size_bytes is None:
            size_bytes = written
        if written != size_bytes and (self.reads or written):
            raise _bad("says that {} has {} bytes, and it has others".format(_shown(path), size_bytes))
        self.entries[path] = {"type": "file", "mode": mode, "size": size_bytes, "sha256": hasher.hexdigest()}

    def make_executable(self, path):
        """The file, which was added, is executable."""
        self.entries[path]["mode"] = 0o755
        os.chmod(self._at(path), 0o755)

    def make_link(self, path):
        """The file, which was added, becomes a link to what its content says."""
        self.size_bytes -= self.entries.pop(path)["size"]
        target = self._at(path)
        with open(target, "rb") as file:
            content = file.read()
        os.unlink(target)
        self.add_link(path, content.decode("utf-8"))

    def add_link(self, path, target):
        if path in self.entries:
            raise _bad("has {} twice".format(_shown(path)))
        inside = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        if not target or target.startswith("/") or inside == ".." or inside.startswith("../"):
            raise _leaving(path, target)
        self.add_directory(_parent(path))
        self.entries[path] = {"type": "link", "target": target}

    def add_hard_link(self, path, target):
        known = self.entries.get(target)
        if known is None or known["type"] != "file" or path in self.entries:
            raise _bad("has a hard link to something that is no file before it: " + _shown(path))
        self.add_directory(_parent(path))
        if self.root is not None:
            os.link(self._at(target), self._at(path))
        self.entries[path] = dict(known)

    def finish(self):
        """Links are made last, so that nothing is ever written through one; each has to end inside.

        Raises:
            Problem: one does not, or nothing is in the tree at all.
        """
        if not self.entries:
            raise Problem("archive", "the archive is empty", "check strip_components and how it is built")
        links = [(path, entry["target"]) for path, entry in self.entries.items() if entry["type"] == "link"]
        for path, target in links:
            if not self._ends_inside(path):
                raise _leaving(path, target)
        if self.root is not None:
            for path, target in links:
                os.symlink(target, self._at(path))

    def _ends_inside(self, path):
        """Whether the kernel stays inside the release when it follows that link and those on its way."""
        todo, at, followed = path.split("/")[::-1], [], 0
        while todo:
            part = todo.pop()
            if part == "..":
                if not at:
                    return False
                at.pop()
            elif part not in ("", "."):
                at.append(part)
                entry = self.entries.get("/".join(at))
                if entry is not None and entry["type"] == "link":
                    followed += 1
                    if followed > MAX_LINKS_FOLLOWED:
                        return True
                    at.pop()
                    todo.extend(entry["target"].split("/")[::-1])
        return True

    def count(self, size_bytes):
        """Raises a Problem when the archive unpacks to absurdly more than it is."""
        self.size_bytes += size_bytes
        bomb = self.size_bytes > RATIO_COUNTS_FROM_BYTES and self._archive_bytes
        if bomb and self.size_bytes > self._ratio * self._archive_bytes:
            self.is_too_much = True
            raise _bad("unpacks to more than {} times its size".format(self._ratio))

    def _at(self, path):
        return self.root + "/" + path

    def _bound(self):
        if max(self._members, len(self.entries)) > MAX_MEMBERS:
            raise _bad("has more than {} members".format(MAX_MEMBERS))


def _parent(path):
    return path.rpartition("/")[0]


def _bytes_of(name):
    return len(os.fsencode(name))


def _bad(what):
    return Problem("archive", "the archive {}".format(what), "build it again; nothing of it was made live")


def _leaving(path, target):
    return _bad("has a link that leaves the release: {} -> {}".format(_shown(path), _shown(target)))


def _shown(name):
    return ascii(name if len(name) <= 200 else name[:200] + "...")


def unreadable(error):
    """What an error of a parser means: the archive is broken, unless it comes from the disk or the network.

    The libraries promise no types of errors for damaged bytes: struct.error, TypeError, IndexError were seen.
    """
    if isinstance(error, Problem):
        return error
    if isinstance(error, OSError) and (error.filename or error.errno not in (None, errno.EINVAL)):
        return error
    said = "".join(char if char.isprintable() else "?" for char in str(error)) or type(error).__name__
    return _bad("cannot be read: {}".format(said[:200]))


def unpack_zip(file, tree):
    """Every member of the zip behind the binary `file` is in the tree."""
    try:
        with zipfile.ZipFile(file) as archive:
            for info in archive.infolist():
                _unpack_zip_member(archive, file, info, tree)
    except Exception as error:
        raise unreadable(error) from None


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
            raise _bad("has a link of {} bytes: {}".format(info.file_size, _shown(path)))
        tree.add_link(path, archive.read(info).decode("utf-8"))
    elif kind in (0, stat.S_IFREG):
        tree.add_file(path, mode, info.file_size, _zip_chunks(archive, file, info) if tree.reads else ())
    else:
        raise _bad("has a member that is no file, directory or link: " + _shown(path))


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
        raise zipfile.BadZipFile("no member where {} should be".format(_shown(info.filename)))
    file.seek(name_bytes + extra_bytes, os.SEEK_CUR)
    content = file.read(info.compress_size)
    if info.compress_type == zipfile.ZIP_DEFLATED:
        content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, info.file_size + 1)
    if zlib.crc32(content) != info.CRC:
        raise zipfile.BadZipFile("bad CRC-32 for {}".format(_shown(info.filename)))
    return content


def unpack_tar(file, tree):
    """Every member of the (compressed) tar behind the binary `file` is in the tree, in one pass."""
    unpacked = None
    try:
        start = file.read(512)
        source = _Rejoined(start, file)
        if zstd.is_zstd(start):
            source = unpacked = zstd.open_zstd(source)
        mode = "r|" if unpacked else "r|*"
        with tarfile.open(fileobj=source, mode=mode, tarinfo=_Member) as archive:
            for info in archive:
                _unpack_tar_member(archive, info, tree)
        if unpacked is not None:
            unpacked.finish()
    except Exception as error:
        raise unreadable(error) from None
    finally:
        if unpacked is not None:
            unpacked.close()


class _Member(tarfile.TarInfo):
    """A member whose extended headers, which are read whole, are not absurdly large."""

    def _proc_member(self, archive):
        named = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
        long = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
        if self.type in (*named, *long) and self.size > MAX_HEADER_BYTES:
            raise _bad("has a header of {} bytes".format(self.size))
        return super()._proc_member(archive)


class _Rejoined:
    """A file whose beginning was read already; it need not be seekable."""

    def __init__(self, start, file):
        self._start, self._file = start, file

    def read(self, size):
        if not self._start:
            return self._file.read(size)
        data, self._start = self._start[:size], self._start[size:]
        return data


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
        raise _bad("has a member that is no file, directory or link: " + _shown(path))


def _tar_chunks(archive, info):
    source = archive.extractfile(info)
    while True:
        chunk = source.read(CHUNK_BYTES)
        if not chunk:
            return
        yield chunk
