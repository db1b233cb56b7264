"""The ledger's whole history, for readers: a bare repository of this clone that fetches what is new."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import IO

from orchestrator.core.history import in_turn, latest_entries
from orchestrator.core.history_index import Index, Indexed, index_entry, parse_index, render_index
from orchestrator.core.ledger_entry import Entry, parse_entry
from orchestrator.edges.clone import Clone
from orchestrator.edges.git_process import Answer, GitProcess, end_group, said, with_settings
from orchestrator.edges.lock_branch import short
from orchestrator.errors import GitError

FETCH_SECONDS = 600
_CHUNK_BYTES = 1 << 16
_HOUSEKEEPING = ("-c", "gc.auto=6700", "-c", "maintenance.auto=true", "-c", "gc.autoDetach=false")


class History:
    """The commits of one ledger's branch.

    Args:
        location: another repository's URL or path; empty: the clone's remote, or the clone itself without one.
        ref: the ledger's branch.
    """

    def __init__(self, clone: Clone, location: str, ref: str) -> None:
        self._clone = clone
        self._remote = clone.location(location)
        self._shown = clone.shown(location)
        self._source = ref
        self._key = sha256(f"{self._shown}\n{ref}".encode()).hexdigest()[:16]
        self._ref = f"refs/ledger/{self._key}"
        self._index = Index()
        self._elsewhere: tempfile.TemporaryDirectory[str] | None = None
        self._use(clone.object_format)

    def refresh(self) -> tuple[str, ...]:
        """What the remote has is here now; returns what the reader should know, one sentence each.

        Raises:
            GitError: the remote cannot be reached, and nothing is here from earlier.
        """
        try:
            descriptor = self._open_lock()
        except OSError:  # a clone that is only read: everything is fetched, for this once
            self._elsewhere = tempfile.TemporaryDirectory(prefix="orchestrator-history-")
            self._use(self._object_format)
            descriptor = self._open_lock()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            warnings = self._fetch_and_judge()
            self._update()
            return warnings
        finally:
            os.close(descriptor)

    def attempts(self) -> Iterator[Indexed]:
        """Each attempt by the last that was said of it, first the one of which something was said last.

        Commits that are none of ours are left out.
        """
        return latest_entries(reversed(self._index.entries))

    def turns(self) -> list[Indexed]:
        """Each attempt by the last that was said of it, in the order of their turns, the first first."""
        return in_turn(self.attempts())

    def documents(self, attempts: Iterable[Indexed]) -> Iterator[tuple[Indexed, str]]:
        """The attempts whose documents can be read, and these."""
        if not self._index.entries:
            return
        with open(self._path("documents"), "rb") as file:
            for one in attempts:
                if not one.problem:
                    file.seek(one.offset)
                    yield one, file.read(one.length).decode("utf-8")

    def events(
        self, environments: tuple[str, ...], verdicts: tuple[str, ...]
    ) -> list[tuple[Entry, bytes | None]]:
        """Every entry of these environments with such a verdict and its document, oldest first, as of the last refresh.

        Nothing that was said later of an attempt hides what was said before, and an entry stands before those that
        were made after it.
        """
        if not self._index.tip:
            return []
        found = [
            one
            for one in self._entries("", self._index.tip)
            if one.environment in environments and one.verdict in verdicts
        ]
        return list(self._contents(found[::-1]))

    def raw_commit(self, commit: str) -> bytes:
        """A commit of the branch as git keeps it."""
        return self._git.check("cat-file", "commit", commit).output

    def _open_lock(self) -> int:
        directory = Path(self._git.git_directory).parent
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(directory / "history.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _update(self) -> None:
        """The index says what the branch says. Only what is new is read from git."""
        tip = self._git.run("rev-parse", "--verify", "--quiet", self._ref).text
        path = self._path("index")
        self._index = parse_index(path.read_bytes()) if path.exists() else Index()
        if tip in ("", self._index.tip):
            return
        documents = self._path("documents")
        size = documents.stat().st_size if documents.exists() else 0
        known = self._index.tip
        if size < self._index.documents_size or (
            known and self._git.run("merge-base", "--is-ancestor", known, tip).code != 0
        ):
            # Another history, or half of a cache: it is made again. Who reads the old files goes on reading them.
            path.unlink(missing_ok=True)
            documents.unlink(missing_ok=True)
            self._index = Index()
        said = list(self._entries(self._index.tip, tip))[::-1]
        places = self._index.places(said)
        new = list(latest_entries(reversed(said)))[::-1]
        with open(documents, "ab") as file:
            file.truncate(self._index.documents_size)
            offset = self._index.documents_size
            lines = []
            for entry, content in self._contents(new):
                place = places[entry.environment, entry.id]
                lines.append(index_entry(entry, content, place=place, offset=offset))
                if lines[-1].length:
                    file.write(content or b"")
                    offset += lines[-1].length
            file.flush()
            os.fsync(file.fileno())
        count = self._index.said + len(said)
        with open(path, "ab") as file:
            file.truncate(self._index.size)
            file.write(render_index(lines, tip=tip, documents_size=offset, said=count))
        self._index = parse_index(path.read_bytes())

    def _path(self, what: str) -> Path:
        return Path(self._git.git_directory) / f"{self._key}.{what}"

    def _entries(self, known: str, tip: str) -> Iterator[Entry]:
        """What the branch says after the commit `known`, newest first."""
        span = f"{known}..{tip}" if known else tip
        with self._stream(["log", "-z", "--topo-order", "--format=%H%n%B", span, "--"]) as output:
            rest = b""
            while chunk := output.read(_CHUNK_BYTES):
                *commits, rest = (rest + chunk).split(b"\0")
                for commit in commits:
                    yield from _entry(commit)
            yield from _entry(rest)

    def _contents(self, entries: list[Entry]) -> Iterator[tuple[Entry, bytes | None]]:
        """Each entry with its document; None where the branch does not have it."""
        with tempfile.TemporaryFile() as names:
            names.write("".join(f"{entry.document}\n" for entry in entries).encode())
            names.seek(0)
            with self._stream(["cat-file", "--batch"], names) as output:
                for entry in entries:
                    header = output.readline().split()
                    if len(header) < 3:
                        yield entry, None
                        continue
                    content = output.read(int(header[2]) + 1)[:-1]
                    yield entry, content if header[1] == b"blob" else None

    def _use(self, object_format: str) -> None:
        name = "history.git" if object_format == self._clone.object_format else f"history-{object_format}.git"
        self._object_format = object_format
        directory = self._clone.git_directory / "orchestrator"
        if self._elsewhere is not None:
            directory = Path(self._elsewhere.name)
        self._git = GitProcess(
            environment=with_settings(self._clone.environment, self._clone.settings),
            directory=self._clone.top,
            git_directory=str(directory / name),
        )

    def _fetch_and_judge(self) -> tuple[str, ...]:
        answer = self._fetch("")
        if answer.code and ("mismatched algorithms" in answer.errors or "hash algo" in answer.errors):
            self._use({"sha1": "sha256", "sha256": "sha1"}[self._object_format])
            answer = self._fetch("")
        if answer.code and "non-fast-forward" in answer.errors:
            warning = f"{short(self._source)} of {self._shown} was rewritten: its history is not complete"
            answer = self._fetch("+")
            return (warning, *self._judge(answer))
        return self._judge(answer)

    def _fetch(self, force: str) -> Answer:
        if not (Path(self._git.git_directory) / "HEAD").exists():
            self._git.check(
                "init", "--quiet", "--bare", "--template=", f"--object-format={self._object_format}"
            )
        return self._git.run(
            *_HOUSEKEEPING,
            "fetch",
            "--no-tags",
            "--no-write-fetch-head",
            "--",
            self._remote,
            f"{force}{self._source}:{self._ref}",
            seconds=FETCH_SECONDS,
        )

    def _judge(self, answer: Answer) -> tuple[str, ...]:
        if answer.code == 0:
            return ()
        known = self._git.run("rev-parse", "--verify", "--quiet", self._ref).code == 0
        if "couldn't find remote ref" in answer.errors:
            gone = f"the branch {short(self._source)} of {self._shown} is gone; this is what was known of it"
            return (gone,) if known else ()
        if known:
            return (f"{self._shown} cannot be reached; this is what was known when it was asked last",)
        raise GitError(
            f"the git remote {self._shown} cannot be reached",
            details=said(answer.errors),
            resolution="check the network and your access to it",
        )

    @contextlib.contextmanager
    def _stream(self, arguments: list[str], content: IO[bytes] | None = None) -> Iterator[IO[bytes]]:
        """The command's output while it comes; the command is ended when nobody reads on."""
        with subprocess.Popen(
            ["git", f"--git-dir={self._git.git_directory}", *arguments],
            cwd=self._git.directory,
            env=dict(self._git.environment),
            stdin=content if content is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as process:
            assert process.stdout is not None
            try:
                yield process.stdout
            finally:
                if process.poll() is None:
                    end_group(process)


def _entry(commit: bytes) -> Iterator[Entry]:
    name, _, message = commit.decode("utf-8", "replace").partition("\n")
    entry = parse_entry(name, message)
    if entry is not None:
        yield entry
