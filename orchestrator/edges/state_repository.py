"""Reading and writing branches of a remote without a work tree: for the lock and the ledger.

All of it happens in a bare repository of its own, which is made for one command and removed afterwards. The clone's
work tree, index, refs and shallow boundary are never touched, so that a shallow clone, a detached HEAD or a
checkout without a local branch is as good as any.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import itertools
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from orchestrator.edges.clone import Clone
from orchestrator.edges.fast_import import FAST_IMPORT, render_commit
from orchestrator.edges.git_process import (
    REMOTE_SECONDS,
    Answer,
    GitProcess,
    said,
    with_settings,
)
from orchestrator.edges.object_reader import ObjectReader
from orchestrator.edges.push_answers import PushVerdict, judge_push, push_words
from orchestrator.edges.scratch import make_scratch
from orchestrator.errors import GitError

_SCRATCH = ".scratch"
_OWNER = "owner"
_ABANDONED_SECONDS = 3600
STUCK_RACES = 10
_NO_SUCH_REF = "couldn't find remote ref"
_OTHER_FORMAT = ("mismatched algorithms", "hash algorithm")
_NOT_IN_NAMES = " .,:;'\""


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
        self._objects = ObjectReader(self._git)
        self._contents: dict[str, bytes] = {}
        self._fetching = threading.Lock()
        self._ahead: dict[str, str] = {}
        self._races: dict[tuple[tuple[str, str], ...], int] = {}
        self._numbers = itertools.count()
        self._identities: dict[str, str] | None = None
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
        self._objects.close()
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
        answer = self._git.run("ls-remote", "--", self._remote, f"{prefix}*", seconds=seconds)
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

    def fetch(self, ref: str, *, ahead: Sequence[str] = (), seconds: float = REMOTE_SECONDS) -> str:
        """The tip of `ref`, which is here now with its files but without history; empty when there is none.

        Args:
            ahead: refs that are fetched by the same round trip, if all are there; see `fetched_ahead`.

        Raises:
            GitError: the remote cannot be reached.
        """
        with self._fetching:
            answer = self._fetch((ref, *ahead), seconds)
            if self._has_changed_format(answer):
                answer = self._fetch((ref, *ahead), seconds)
            if ahead and _NO_SUCH_REF in answer.errors:
                ahead = ()
                answer = self._fetch((ref,), seconds)
            if answer.code == 0:
                tip, *others = (self._fetched(number) for number in range(1 + len(ahead)))
                self._ahead.update(zip(ahead, others, strict=True))
                return tip
        if _NO_SUCH_REF in answer.errors:
            return ""
        raise self.unreachable(answer)

    def fetched_ahead(self, ref: str) -> str:
        """The tip of `ref` as it was fetched with another one, once; empty where it was not."""
        return self._ahead.pop(ref, "")

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
        found = self._objects.get(commit)
        head = found.content.decode("utf-8", "replace").partition("\n\n")[0] if found is not None else ""
        return tuple(line for line in head.splitlines() if line.startswith(("tree ", "parent ")))

    def mode(self, commit: str, path: str) -> str:
        """What kind of file it is in a commit that is here, as git writes it; a plain one where there is none."""
        listed = self._git.check("ls-tree", "-z", "--full-tree", commit, "--", path).text
        return listed.split(" ")[0] if listed else "100644"

    def read(self, blob: str) -> bytes:
        """The content of a blob that is here."""
        if blob in self._contents:
            return self._contents[blob]
        found = self._objects.get(blob)
        return found.content if found is not None else self._git.check("cat-file", "blob", blob).output

    def write(self, content: bytes) -> str:
        """The blob with that content; git gets it with the first commit that has it."""
        hasher = hashlib.new(self._object_format)
        hasher.update(b"blob %d\0" % len(content) + content)
        self._contents[hasher.hexdigest()] = content
        return hasher.hexdigest()

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
        author, committer = self._signatures()
        files = {
            path: blob if blob is None else self._contents.get(blob, blob) for path, blob in changes.items()
        }
        stream = render_commit(
            f"refs/state/made-{next(self._numbers)}",
            (author, committer),
            message,
            parent=parent,
            files=files,
            modes=modes or {},
        )
        made = self._git.check(*FAST_IMPORT, content=stream).text
        if not (signed and self._is_signing()):
            return made
        parents = ("-p", parent) if parent else ()
        return self._git.check(
            "commit-tree",
            "-S",
            *parents,
            "-F",
            "-",
            f"{made}^{{tree}}",
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
            "push", "--porcelain", "--no-verify", *(["--dry-run"] if dry_run else []), *atomic, *leases,
            "--", self._remote, *(f"{move.commit}:{move.ref}" for move in moves), seconds=seconds,
        )  # fmt: skip
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

    def _fetch(self, refs: Sequence[str], seconds: float) -> Answer:
        return self._git.run(
            "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--depth=1", "--", self._remote,
            *(f"+{ref}:refs/state/fetched-{number}" for number, ref in enumerate(refs)), seconds=seconds,
        )  # fmt: skip

    def _fetched(self, number: int) -> str:
        """The commit that was fetched as that one."""
        name = f"refs/state/fetched-{number}"
        found = self._objects.get(name)
        return found.name if found is not None else self._git.check("rev-parse", "--verify", name).text

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
        self._objects.close()
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

    def _signatures(self) -> tuple[str, str]:
        """Author and committer as commits have them: git's own, or ours where it knows none."""
        found = []
        for who, known in self._known_identities().items():
            name, _, place = known.rpartition("> ")
            if f"GIT_{who}_DATE" not in self._git.environment:
                place = f"{int(time.time())} {place.split()[-1]}"
            found.append(f"{name}> {place}")
        author, committer = found
        return author, committer

    def _known_identity(self) -> dict[str, str]:
        """Variables that name an author where git has none."""
        return {
            f"GIT_{who}_{what}": value
            for who, known in self._known_identities().items()
            for what, value in zip(("NAME", "EMAIL"), known.rpartition("> ")[0].split(" <"), strict=True)
        }

    def _known_identities(self) -> dict[str, str]:
        """`AUTHOR` and `COMMITTER`, each as `NAME <EMAIL> SECONDS ZONE`."""
        if self._identities is None:
            name = "".join(one for one in self._actor if one.isprintable() and one not in "<>")
            ours = f"{name.strip(_NOT_IN_NAMES) or 'orchestrator'} <orchestrator@localhost> 0 +0000"
            found = {}
            for who in ("AUTHOR", "COMMITTER"):
                asked = self._git.run("-c", "user.useConfigOnly=true", "var", f"GIT_{who}_IDENT")
                found[who] = asked.text if asked.code == 0 else ours
            self._identities = found
        return self._identities

    def _make_directory(self, parent: Path) -> Path:
        while True:
            try:
                parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                _remove_abandoned(parent)
                directory = Path(tempfile.mkdtemp(dir=parent))
            except OSError:  # a checkout that we may not write to
                directory = make_scratch()
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
