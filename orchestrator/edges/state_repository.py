"""Reading and writing branches of a remote without a work tree: for the lock and the ledger.

All of it happens in a bare repository of its own, which is made for one command and removed afterwards. The clone's
work tree, index, refs and shallow boundary are never touched, so that a shallow clone, a detached HEAD or a
checkout without a local branch is as good as any.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from orchestrator.edges.clone import Clone
from orchestrator.edges.git_process import (
    REMOTE_SECONDS,
    Answer,
    GitProcess,
    said,
    with_settings,
)
from orchestrator.edges.push_answers import PushVerdict, judge_push, push_words
from orchestrator.errors import GitError

_SCRATCH = ".scratch"
_OWNER = "owner"
_ABANDONED_SECONDS = 3600
STUCK_RACES = 10
_OTHER_FORMAT = ("mismatched algorithms", "hash algorithm")
_DIGITS = {"sha1": 40, "sha256": 64}


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One branch from one commit to another; `expected` is empty for a branch that must not exist."""

    ref: str
    expected: str
    commit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What became of a push.

    Attributes:
        verdict: `done`; `raced`: somebody was quicker, nothing was changed; `refused`: the server does not
            allow it; `unreachable`: it is not known whether anything was changed.
        details: the server's words.
    """

    verdict: PushVerdict
    details: tuple[str, ...] = ()


class StateRepository:
    """One remote repository, as seen from a scratch repository.

    Safe for threads. Use as a context manager.

    Args:
        clone: whose remote and credentials are used.
        location: another repository's URL or path; empty: the clone's remote, or the clone itself without one.
        actor: author of commits where git knows none.
        signing_key: of commits that are to be signed; empty: git's own, if it is configured.
    """

    def __init__(self, clone: Clone, location: str = "", *, actor: str, signing_key: str = "") -> None:
        self.shown = clone.shown(location)
        self._remote = clone.location(location)
        self._actor = actor
        self._owner = -1
        self._directory = self._make_directory(clone.git_directory / "orchestrator" / _SCRATCH)
        self._git = GitProcess(
            environment=with_settings(clone.environment, clone.settings, signing_key=signing_key),
            directory=clone.top,
            git_directory=str(self._directory / "repository"),
        )
        self._fetching = threading.Lock()
        self._races: dict[tuple[tuple[str, str], ...], int] = {}
        self._numbers = itertools.count()
        self._identity: dict[str, str] | None = None
        self._signs: bool | None = True if signing_key else None
        try:
            self._initialise(clone.object_format)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> StateRepository:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """The scratch repository is gone."""
        shutil.rmtree(self._directory, ignore_errors=True)
        if self._directory.parent.name == _SCRATCH:
            with contextlib.suppress(OSError):  # others are at work there
                self._directory.parent.rmdir()
        if self._owner >= 0:
            os.close(self._owner)
            self._owner = -1

    def list_refs(self, prefix: str, *, seconds: float = REMOTE_SECONDS) -> dict[str, str]:
        """The remote's refs that begin with `prefix`, and their commits.

        Raises:
            GitError: the remote cannot be reached.
        """
        answer = self._git.run("ls-remote", self._remote, f"{prefix}*", seconds=seconds)
        if answer.code != 0:
            raise self.unreachable(answer)
        pairs = [line.split("\t", 1) for line in answer.text.splitlines() if "\t" in line]
        return {ref: commit for commit, ref in pairs if ref.startswith(prefix)}

    def tip(self, ref: str, *, seconds: float = REMOTE_SECONDS) -> str:
        """The commit that `ref` is at; empty when there is no such ref. One round trip, nothing fetched.

        Raises:
            GitError: the remote cannot be reached.
        """
        return self.list_refs(ref, seconds=seconds).get(ref, "")

    def fetch(self, ref: str, *, seconds: float = REMOTE_SECONDS) -> str:
        """The tip of `ref`, which is here now with its files but without history; empty when there is none.

        Raises:
            GitError: the remote cannot be reached.
        """
        with self._fetching:
            answer = self._fetch(ref, seconds)
            if self._has_changed_format(answer):
                answer = self._fetch(ref, seconds)
            if answer.code == 0:
                return self._git.check("rev-parse", "--verify", "refs/state/fetched").text
        if "couldn't find remote ref" in answer.errors:
            return ""
        raise self.unreachable(answer)

    def files(self, commit: str) -> dict[str, str]:
        """Paths and blobs of a commit that is here; none for the empty one."""
        if not commit:
            return {}
        listed = self._git.check("ls-tree", "-r", "-z", "--full-tree", commit).output.decode(
            "utf-8", "surrogateescape"
        )
        entries = [line.partition("\t") for line in listed.split("\0") if line]
        return {path: meta.split()[2] for meta, _, path in entries if meta.split()[1] == "blob"}

    def essence(self, commit: str) -> tuple[str, ...]:
        """The tree and the parents of a commit that is here: two with the same change the same."""
        head = self._git.check("cat-file", "commit", commit).text.partition("\n\n")[0]
        return tuple(line for line in head.splitlines() if line.startswith(("tree ", "parent ")))

    def mode(self, commit: str, path: str) -> str:
        """What kind of file it is in a commit that is here, as git writes it; a plain one where there is none."""
        listed = self._git.check("ls-tree", "-z", "--full-tree", commit, "--", path).text
        return listed.split(" ")[0] if listed else "100644"

    def read(self, blob: str) -> bytes:
        """The content of a blob that is here."""
        return self._git.check("cat-file", "blob", blob).output

    def write(self, content: bytes) -> str:
        """The blob with that content."""
        return self._git.check("hash-object", "-w", "--stdin", content=content).text

    def commit(
        self,
        changes: Mapping[str, str | None],
        *,
        parent: str,
        message: str,
        signed: bool = False,
        modes: Mapping[str, str] | None = None,
    ) -> str:
        """A commit that differs from `parent` (empty: none) in some files: blob by path, None: removed.

        Args:
            modes: of files that are not plain, by path.
            signed: with the configured key, where there is one.

        Raises:
            GitFailureError: it cannot be signed.
        """
        index = {"GIT_INDEX_FILE": str(self._directory / f"index-{next(self._numbers)}")}
        self._git.check("read-tree", parent or "--empty", variables=index)
        lines = [
            f"0 {'0' * _DIGITS[self._object_format]}\t{path}\0"
            if blob is None
            else f"{(modes or {}).get(path, '100644')} {blob}\t{path}\0"
            for path, blob in changes.items()
        ]
        # Removals first: a file may stand where a directory is to be.
        lines.sort(key=lambda line: not line.startswith("0 "))
        content = "".join(lines).encode("utf-8", "surrogateescape")
        self._git.check("update-index", "-z", "--add", "--index-info", content=content, variables=index)
        tree = self._git.check("write-tree", variables=index).text
        Path(index["GIT_INDEX_FILE"]).unlink(missing_ok=True)
        parents = ("-p", parent) if parent else ()
        sign = ("-S",) if signed and self._is_signing() else ()
        return self._git.check(
            "commit-tree",
            *sign,
            *parents,
            "-F",
            "-",
            tree,
            content=message.encode(),
            variables=self._known_identity(),
        ).text

    def push(self, *moves: Move, seconds: float = REMOTE_SECONDS, dry_run: bool = False) -> Pushed:
        """All of these moves or none: each only from the commit that is expected there.

        Args:
            dry_run: nothing is moved; only whether the server would talk about it is found out.
        """
        leases = [f"--force-with-lease={move.ref}:{move.expected}" for move in moves]
        atomic = ["--atomic"] if len(moves) > 1 else []
        answer = self._git.run(
            "push",
            "--porcelain",
            "--no-verify",
            *(["--dry-run"] if dry_run else []),
            *atomic,
            *leases,
            self._remote,
            *(f"{move.commit}:{move.ref}" for move in moves),
            seconds=seconds,
        )
        if self._has_changed_format(answer):
            return Pushed(verdict="raced")
        verdict = judge_push(answer)
        if verdict == "raced" and self._is_stuck(moves):
            verdict = "refused"
        return Pushed(verdict=verdict, details=() if verdict == "done" else push_words(answer))

    def try_push(self, ref: str) -> Pushed:
        """What a push of one more commit to `ref` would meet, as far as the server tells beforehand.

        Raises:
            GitError: the remote cannot be reached.
        """
        tip = self.fetch(ref)
        commit = self.commit({}, parent=tip, message="not pushed [skip ci]")
        return self.push(Move(ref=ref, expected=tip, commit=commit), dry_run=True)

    def unreachable(self, answer: Answer | tuple[str, ...]) -> GitError:
        """The error that says so, with git's words."""
        if isinstance(answer, tuple):
            details = answer
        else:
            details = said(answer.errors) if answer.code is not None else ("it did not answer in time",)
        return GitError(
            f"the git remote {self.shown} cannot be reached",
            details=details,
            resolution="check the network and your access to it",
        )

    def _fetch(self, ref: str, seconds: float) -> Answer:
        return self._git.run(
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--depth=1",
            self._remote,
            f"+{ref}:refs/state/fetched",
            seconds=seconds,
        )

    def _is_stuck(self, moves: tuple[Move, ...]) -> bool:
        """Whether the server has said so often that another was quicker, where nothing has moved, that it is none.

        Such as a lock file that a server left behind.
        """
        key = tuple((move.ref, move.expected) for move in moves)
        self._races[key] = self._races.get(key, 0) + 1
        return self._races[key] >= STUCK_RACES

    def _has_changed_format(self, answer: Answer) -> bool:
        """Whether the remote has another object format, and ours is made again, empty, in that one."""
        if answer.code == 0 or not any(words in answer.errors for words in _OTHER_FORMAT):
            return False
        shutil.rmtree(self._git.git_directory)
        self._initialise({"sha1": "sha256", "sha256": "sha1"}[self._object_format])
        return True

    def _initialise(self, object_format: str) -> None:
        self._object_format = object_format
        self._git.check("init", "--quiet", "--bare", "--template=", f"--object-format={object_format}")

    def _is_signing(self) -> bool:
        """Whether there is a key: said in orchestrator.toml, or by git's own settings."""
        if self._signs is None:
            key = self._git.run("config", "user.signingkey").text
            self._signs = bool(key and self._git.run("config", "gpg.format").text)
        return self._signs

    def _known_identity(self) -> dict[str, str]:
        """Variables that name an author where git has none."""
        if self._identity is None:
            self._identity = {}
            for who in ("AUTHOR", "COMMITTER"):
                if self._git.run("-c", "user.useConfigOnly=true", "var", f"GIT_{who}_IDENT").code != 0:
                    name = "".join(one for one in self._actor if one.isprintable() and one not in "<>")
                    self._identity[f"GIT_{who}_NAME"] = name.strip(" .,:;'\"") or "orchestrator"
                    self._identity[f"GIT_{who}_EMAIL"] = "orchestrator@localhost"
        return self._identity

    def _make_directory(self, parent: Path) -> Path:
        while True:
            try:
                parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                _remove_abandoned(parent)
                directory = Path(tempfile.mkdtemp(dir=parent))
            except OSError:  # a checkout that we may not write to
                directory = Path(tempfile.mkdtemp(prefix="orchestrator-"))
            self._owner = os.open(directory / _OWNER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._owner, fcntl.LOCK_EX)
            if (directory / _OWNER).exists():
                return directory
            os.close(self._owner)  # another command took it for abandoned before we owned it


def _remove_abandoned(parent: Path) -> None:
    """Scratch repositories of commands that were killed are gone."""
    for directory in parent.iterdir():
        owner = directory / _OWNER
        with contextlib.suppress(OSError):
            if not owner.exists():
                if time.time() - directory.stat().st_mtime > _ABANDONED_SECONDS:
                    shutil.rmtree(directory, ignore_errors=True)
                continue
            descriptor = os.open(owner, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(directory, ignore_errors=True)
            finally:
                os.close(descriptor)
