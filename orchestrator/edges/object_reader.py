"""Reading a repository's objects, many of them, with one process of git."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from dataclasses import dataclass

from orchestrator.edges.git_process import (
    LOCAL_SECONDS,
    Answer,
    GitFailureError,
    GitProcess,
    end_group,
)

ENDING_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GitObject:
    """One object.

    Attributes:
        kind: `commit`, `tree`, `blob` or `tag`.
    """

    name: str
    kind: str
    content: bytes


class ObjectReader:
    """`git cat-file --batch` from the first question to `close`. Safe for threads."""

    def __init__(self, git: GitProcess) -> None:
        self._git = git
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def get(self, revision: str) -> GitObject | None:
        """What git makes of a revision (`NAME`, `COMMIT:PATH`, a full ref); None when that is not here.

        Raises:
            GitFailureError: git ended instead of answering.
        """
        if "\n" in revision or not revision:
            return None
        with self._lock:
            process = self._process = self._process or self._start()
            late = threading.Timer(LOCAL_SECONDS, end_group, (process,))
            late.start()
            try:
                return _ask(process, revision)
            except (OSError, EOFError):
                raise self._failure() from None
            except BaseException:  # an answer that nobody has read would be taken for the next one's
                self._failure()
                raise
            finally:
                late.cancel()

    def close(self) -> None:
        """The process has ended; another question starts another."""
        with self._lock:
            process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            process.communicate(timeout=ENDING_SECONDS)
        if process.poll() is None:
            end_group(process)
            process.communicate()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["git", f"--git-dir={self._git.git_directory}", "cat-file", "--batch"],
            cwd=self._git.directory,
            env=dict(self._git.environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _failure(self) -> GitFailureError:
        process, self._process = self._process, None
        assert process is not None
        end_group(process)
        process.communicate()
        answer = Answer(code=process.returncode, output=b"", errors="")
        return GitFailureError(answer, ("cat-file",))


def _ask(process: subprocess.Popen[bytes], revision: str) -> GitObject | None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(revision.encode("utf-8", "surrogateescape") + b"\n")
    process.stdin.flush()
    line = process.stdout.readline()
    words = line.split()
    if not line.endswith(b"\n"):
        raise EOFError
    if len(words) != 3 or not words[2].isdigit():
        return None
    size = int(words[2])
    content = process.stdout.read(size)
    if len(content) != size or process.stdout.read(1) != b"\n":
        raise EOFError
    return GitObject(name=words[0].decode(), kind=words[1].decode(), content=content)
