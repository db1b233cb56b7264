"""A zip, unpacked while it comes: members in their order, and at its end the directory which has to list just those.

What a member is (executable, a link) only the directory says, so members are files until it has come and everything is
verified. An archive that is not as plain as most are (other methods than deflate, something before or between members,
headers that differ from the directory) is none for this way; `archives.unpack_zip` reads it from its end.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import struct
import zipfile
import zlib

from host_program import archives

MEMBER, DESCRIPTOR = b"PK\x03\x04", b"PK\x07\x08"
DIRECTORY = (b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06")  # its first entry, or its end where it has none
HEADER = struct.Struct("<6xHH4xLLLHH")
HAS_DESCRIPTOR, IS_UTF8 = 0x8, 0x800
PLAIN_FLAGS = HAS_DESCRIPTOR | IS_UTF8 | 0x6  # how hard deflate tried
IN_EXTRA_FIELD = 0xFFFFFFFF
ZIP64 = 1
PIECE_BYTES = 128 << 10
FIRST_PIECE_BYTES = 16 << 10
MAX_DIRECTORY_BYTES = 64 << 20
MAX_LINK_BYTES = 4096


def unpack(arriving, tree):
    """Every member of the zip is in the tree, and its bytes are the planned ones.

    Raises:
        Problem: of the kind `archive` as well for what has to be read from its end; of any other where the bytes cannot
            be had, or are others.
    """
    try:
        source, members = _Source(arriving), {}
        while source.peek(len(MEMBER)) == MEMBER:
            offset = source.offset
            members[offset] = _unpack_member(source, tree)
        if source.peek(len(MEMBER)) not in DIRECTORY:
            raise _other("something that is neither a member nor the directory")
        start = source.offset
        directory = source.rest(MAX_DIRECTORY_BYTES)
        arriving.verify()
        with zipfile.ZipFile(_Tail(start, directory)) as archive:
            if archive.start_dir != start:
                raise _other("something between its members and their directory")
            _hold_against_directory(archive.infolist(), members, tree)
    except Exception as error:
        raise archives.unreadable(error) from None


def _other(what):
    return zipfile.BadZipFile("{}: it cannot be unpacked as it comes".format(what))


def _unpack_member(source, tree):
    """(path or None, what the directory has to say about the member)."""
    flags, method, crc, packed_bytes, size_bytes, name_bytes, extra_bytes = HEADER.unpack(
        source.take(HEADER.size)
    )
    if flags & ~PLAIN_FLAGS or method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _other("a flag or method that few use")
    name = source.take(name_bytes)
    name = name.decode("ascii" if name.isascii() else "utf-8" if flags & IS_UTF8 else "cp437")
    extra = source.take(extra_bytes) if extra_bytes else b""
    path = tree.path_of(name)
    if flags & HAS_DESCRIPTOR:
        if method == zipfile.ZIP_STORED:
            raise _other("a stored member whose size comes behind it")
        content = _Content(source, method, None)
        _write(tree, name, path, None, content)
        _pass_descriptor(source, *content.measured)
        return path, (name, flags, method, *content.measured)
    if IN_EXTRA_FIELD in (packed_bytes, size_bytes):
        packed_bytes, size_bytes = _large_sizes(extra, packed_bytes, size_bytes)
    said = crc, packed_bytes, size_bytes
    if packed_bytes <= archives.CHUNK_BYTES and size_bytes <= archives.CHUNK_BYTES:
        content = _small(source.take(packed_bytes), method, size_bytes)
        measured = zlib.crc32(content), packed_bytes, len(content)
        _write(tree, name, path, size_bytes, (content,) if content else ())
    else:
        content = _Content(source, method, packed_bytes)
        _write(tree, name, path, size_bytes, content)
        measured = content.measured
    if measured != said:
        raise _other("a member that is not as its header says")
    return path, (name, flags, method, crc, packed_bytes, size_bytes)


def _write(tree, name, path, size_bytes, chunks):
    """The member is in the tree; nothing is written of a directory, or where strip_components drops it."""
    if path is not None and not name.endswith("/"):
        tree.add_file(path, 0o644, size_bytes, chunks)
        return
    if any(chunks):
        raise _other("content of something that is not written")
    if path is not None:
        tree.add_directory(path)


def _small(content, method, size_bytes):
    """The whole content of a small member, at once."""
    if method == zipfile.ZIP_STORED:
        return content
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    content = inflater.decompress(content, size_bytes + 1)
    if not inflater.eof or inflater.unused_data:
        raise _other("deflated data that ends elsewhere")
    return content


def _large_sizes(extra, packed_bytes, size_bytes):
    """Both sizes, from the header's extra field where they are larger than the header holds."""
    at = 0
    while at + 4 <= len(extra):
        number, length = struct.unpack_from("<HH", extra, at)
        if number == ZIP64:
            sizes = iter(struct.unpack_from("<{}Q".format(length // 8), extra, at + 4))
            size_bytes = next(sizes) if size_bytes == IN_EXTRA_FIELD else size_bytes
            return (next(sizes) if packed_bytes == IN_EXTRA_FIELD else packed_bytes), size_bytes
        at += 4 + length
    return packed_bytes, size_bytes


def _pass_descriptor(source, crc, packed_bytes, size_bytes):
    """The descriptor is behind us: with or without its mark, its sizes of eight bytes or of four."""
    forms = [struct.pack("<LQQ", crc, packed_bytes, size_bytes)]
    if max(packed_bytes, size_bytes) < IN_EXTRA_FIELD:
        forms.append(struct.pack("<LLL", crc, packed_bytes, size_bytes))
    for form in forms:
        for descriptor in (DESCRIPTOR + form, form):
            if source.peek(len(descriptor)) == descriptor:
                source.take(len(descriptor))
                return
    raise _other("a member that is not as its descriptor says")


def _hold_against_directory(infos, members, tree):
    """Members are the directory's, one by one, and are what it says they are."""
    for info in infos:
        path, measured = members.pop(info.header_offset, (None, None))
        said = (info.filename, info.flag_bits, info.compress_type)
        if (*said, info.CRC, info.compress_size, info.file_size) != measured:
            raise _other("a directory that says something else")
        if path is None or info.is_dir():
            continue
        mode = info.external_attr >> 16
        kind = stat.S_IFMT(mode)
        if kind == stat.S_IFLNK and info.file_size <= MAX_LINK_BYTES:
            tree.make_link(path)
        elif kind not in (0, stat.S_IFREG):
            raise _other("a member that is no file, directory or link")
        elif mode & 0o111:
            tree.make_executable(path)
    if members:
        raise _other("a member that the directory does not list")


class _Content:
    """The content of a member in pieces, as they come.

    Attributes:
        measured: its CRC, its bytes in the archive and its bytes, when the last one has come.

    Args:
        packed_bytes: None for deflated data, which says itself where it ends.
    """

    def __init__(self, source, method, packed_bytes):
        self._source, self._method, self._packed_bytes = source, method, packed_bytes
        self.measured = None

    def __iter__(self):
        crc, start, size_bytes = 0, self._source.offset, 0
        for chunk in self._inflated() if self._method == zipfile.ZIP_DEFLATED else self._stored():
            crc = zlib.crc32(chunk, crc)
            size_bytes += len(chunk)
            yield chunk
        self.measured = crc, self._source.offset - start, size_bytes

    def _stored(self):
        left = self._packed_bytes
        while left:
            chunk = self._source.some(min(left, archives.CHUNK_BYTES))
            left -= len(chunk)
            yield chunk

    def _inflated(self):
        inflater, piece_bytes = zlib.decompressobj(-zlib.MAX_WBITS), FIRST_PIECE_BYTES
        while not inflater.eof:
            data = inflater.unconsumed_tail or self._source.some(piece_bytes)
            piece_bytes = PIECE_BYTES
            chunk = inflater.decompress(data, archives.CHUNK_BYTES)
            if chunk:
                yield chunk
        self._source.give_back(len(inflater.unused_data))


class _Source:
    """The archive's bytes in their order.

    Attributes:
        offset: of the next byte.
    """

    def __init__(self, arriving):
        self._arriving, self._buffer, self._at, self._before = arriving, b"", 0, 0

    @property
    def offset(self):
        return self._before + self._at

    def peek(self, size):
        """The next bytes, which are not taken; fewer at the end."""
        if len(self._buffer) - self._at < size:
            self._fill(size)
        return self._buffer[self._at : self._at + size]

    def take(self, size):
        """The next bytes, all of them."""
        if len(self._buffer) - self._at < size:
            self._fill(size)
        start = self._at
        self._at += size
        if self._at > len(self._buffer):
            raise _other("an archive that ends early")
        return self._buffer[start : self._at]

    def some(self, size):
        """The next bytes, one at least and not more than that."""
        self.peek(1)
        return self.take(max(1, min(size, len(self._buffer) - self._at)))

    def give_back(self, size):
        """So many of those which `some` returned last come again."""
        self._at -= size

    def rest(self, limit):
        """Everything that is left."""
        data = self.peek(limit + 1)
        if len(data) > limit:
            raise _other("a directory of more than {} bytes".format(limit))
        return data

    def _fill(self, size):
        parts = [self._buffer[self._at :]]
        missing = size - len(parts[0])
        while missing > 0:
            piece = self._arriving.piece()
            if not piece:
                break
            parts.append(piece)
            missing -= len(piece)
        self._before += self._at
        self._buffer, self._at = b"".join(parts), 0


class _Tail(io.RawIOBase):
    """The archive as a file of which only the end is here; what is before it reads as zeros."""

    def __init__(self, start, data):
        super().__init__()
        self._start, self._data, self._position = start, data, 0

    def readable(self):
        return True

    def seekable(self):
        return True

    def seek(self, offset, whence=os.SEEK_SET):
        ends = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._start + len(self._data)}
        if ends[whence] + offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._position = ends[whence] + offset
        return self._position

    def readinto(self, buffer):
        at = self._position - self._start
        data = bytes(min(-at, len(buffer))) if at < 0 else self._data[at : at + len(buffer)]
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
