"""tar.zst: by the standard library where it can (Python 3.14), else by the program `zstd`."""

from __future__ import annotations

import contextlib
import shutil

from host_program.problems import Problem

MAGIC = b"\x28\xb5\x2f\xfd"
CHUNK_BYTES = 1 << 20
TRAILING_BYTES = 1 << 20


def is_zstd(start):
    """Whether bytes that begin with these (four at least) are compressed so; frames may be preceded by others."""
    return start.startswith(MAGIC) or (start[1:4] == b"\x2a\x4d\x18" and start[:1] in b"PQRSTUVWXYZ[\\]^_")


def require():
    """Raises a Problem when this host can't unpack it."""
    if _library() is None and shutil.which("zstd") is None:
        raise Problem(
            "unsupported", "this host has no zstd", "install the package zstd there, or publish a tar.gz"
        )


def open_zstd(source):
    """What `source` holds, unpacked: an object with `read`, `finish` and `close`.

    Args:
        source: has `read`; neither a file of the system nor seekable.
    """
    require()
    library = _library()
    return _Process(source) if library is None else _Library(library.ZstdFile(source))


def _library():
    try:
        from compression import zstd
    except ImportError:
        return None
    return zstd


def _end(read):
    """Raises ValueError when much more follows: it would be unpacked for nobody."""
    left = TRAILING_BYTES
    while left > 0:
        chunk = read(left)
        if not chunk:
            return
        left -= len(chunk)
    raise ValueError("it goes on behind the end of the tar")


class _Library:
    def __init__(self, file):
        self._file = file
        self.read = file.read

    def finish(self):
        _end(self.read)

    def close(self):
        self._file.close()


class _Process:
    """The program, fed by a thread of its own: the source may be a connection, or a file read already."""

    def __init__(self, source):
        import subprocess
        import threading

        self._process = subprocess.Popen(
            ["zstd", "-dc", "--memory=512MB"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._failure = None
        self._feeder = threading.Thread(target=self._feed, args=(source,), daemon=True)
        self._feeder.start()

    def read(self, size):
        """Raises what reading the source raised: then the end is not the end."""
        data = self._process.stdout.read(size)
        if len(data) < size:
            self._raise_failure()
        return data

    def finish(self):
        """Raises ValueError when more follows or the bytes are damaged."""
        _end(self.read)
        self._raise_failure()
        if self._process.wait() != 0:
            raise ValueError("zstd fails on it")

    def close(self):
        """Nobody reads the source any more afterwards."""
        self._process.kill()
        self._process.wait()
        self._feeder.join()
        self._process.stdout.close()

    def _feed(self, source):
        try:
            while True:
                chunk = source.read(CHUNK_BYTES)
                if not chunk:
                    break
                self._process.stdin.write(chunk)
        except BrokenPipeError:
            pass
        except Exception as error:
            self._failure = error
        finally:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()

    def _raise_failure(self):
        self._feeder.join()
        if self._failure is not None:
            raise self._failure
