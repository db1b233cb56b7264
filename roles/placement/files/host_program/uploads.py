"""Artifacts that the controller sends: their bytes come behind the request, on the same pipe."""

from __future__ import annotations

CHUNK_BYTES = 1 << 20


class _Pipe:
    """The bytes that are still to come; `at` counts those that have come."""

    def __init__(self):
        self.source, self.at, self.size = None, 0, 0


_pipe = _Pipe()


def expect(source, size_bytes):
    """That many bytes come behind the request which was just read from `source`."""
    _pipe.source, _pipe.at, _pipe.size = source, 0, size_bytes


def chunks(offset, size_bytes):
    """The bytes of one artifact, in pieces; what comes before them is of another, which was not wanted.

    Raises:
        ConnectionError: the pipe ended.
    """
    for _ in _read(offset - _pipe.at):
        pass
    yield from _read(size_bytes)


def drain():
    """The next thing on the pipe is a request, whatever was read of this one's bytes."""
    for _ in _read(_pipe.size - _pipe.at):
        pass


def _read(size_bytes):
    while size_bytes > 0:
        chunk = _pipe.source.read(min(CHUNK_BYTES, size_bytes))
        if not chunk:
            raise ConnectionError("the controller went away")
        _pipe.at += len(chunk)
        size_bytes -= len(chunk)
        yield chunk
