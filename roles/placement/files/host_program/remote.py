"""Looking at an artifact where it is, without downloading it: for check mode."""

from __future__ import annotations

import io
import os
import re

from host_program import fetch
from host_program.problems import Problem

MEMORY_BYTES = 64 << 20
_TOTAL = re.compile(r"bytes [0-9]+-[0-9]+/([0-9]+)")


class Body:
    """The bytes of an artifact as they come; use as a context manager.

    Raises:
        Problem: it cannot be had, or the connection broke.
    """

    def __init__(self, url, header, extra=()):
        self._url = url
        self.response = fetch.open_patiently(url, header, extra)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.response.close()

    def read(self, size=fetch.CHUNK_BYTES):
        try:
            return fetch.read_piece(self.response, size)
        except ConnectionError as error:
            raise Problem(
                "download",
                "{} could not be read: {}".format(self._url, error),
                "check that this host reaches the repository, then run it again",
            ) from None


def buffered(url, header):
    """The file behind ranges, for readers that take small pieces; see `RemoteFile`."""
    return io.BufferedReader(RemoteFile(url, header), 1 << 16)


def in_memory(url, header):
    """The whole file; None when it is larger than MEMORY_BYTES."""
    content = io.BytesIO()
    with Body(url, header) as body:
        for piece in iter(body.read, b""):
            if content.tell() + len(piece) > MEMORY_BYTES:
                return None
            content.write(piece)
    content.seek(0)
    return content


class RemoteFile(io.RawIOBase):
    """A file behind HTTP ranges: check mode reads an archive's directory without downloading it.

    Raises:
        Problem: the server has no ranges (kind `unsupported`).
    """

    BLOCK_BYTES = 1 << 18

    def __init__(self, url, header):
        super().__init__()
        self._url, self._header, self._position, self._blocks = url, header, 0, {}
        self.size_bytes = 0
        self._block(0)

    def readable(self):
        return True

    def seekable(self):
        return True

    def seek(self, offset, whence=os.SEEK_SET):
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size_bytes}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer):
        number, start = divmod(self._position, self.BLOCK_BYTES)
        if self._position >= self.size_bytes:
            return 0
        data = self._block(number)[start : start + len(buffer)]
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def _block(self, number):
        if number not in self._blocks:
            first = number * self.BLOCK_BYTES
            wanted = "bytes={}-{}".format(first, first + self.BLOCK_BYTES - 1)
            with Body(self._url, self._header, [("Range", wanted)]) as body:
                total = _TOTAL.fullmatch(body.response.headers.get("Content-Range", ""))
                if body.response.status != 206 or not fetch.starts_at(body.response, first) or not total:
                    raise Problem("unsupported", "{} has no ranges".format(self._url))
                self.size_bytes = int(total[1])
                self._blocks[number] = b"".join(iter(body.read, b""))
        return self._blocks[number]
