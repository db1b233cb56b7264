"""Commits as their authors made them, whatever the clone makes of them.

They are read in a bare repository of its own that borrows the clone's objects: there, replacements, grafts, a shallow
boundary, hooks and the clone's configuration do not exist. What the clone lacks is fetched from its remote.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from orchestrator.edges.clone import Clone
from orchestrator.edges.git_process import GitProcess, said, with_settings
from orchestrator.edges.object_reader import ObjectReader
from orchestrator.edges.scratch import make_scratch
from orchestrator.errors import GitError

FETCH_SECONDS = 600
LINE_COMMITS = 10_000
_NAME = re.compile(r"[0-9a-f]{64}|[0-9a-f]{40}")
_GONE = ("not our ref", "couldn't find remote ref", "unadvertised object", "no such remote ref")
_PARENT = re.compile(rb"^parent ([0-9a-f]+)$", re.MULTILINE)


class MissingCommitError(GitError):
    """The remote answers, and does not have that commit or branch."""


class CommitObjects:
    """Objects of a clone and its remote. Use as a context manager."""

    def __init__(self, clone: Clone) -> None:
        self._clone = clone
        self._directory = make_scratch()
        repository = self._directory / "repository"
        environment = with_settings(clone.environment, clone.settings)
        for name in ("GIT_REPLACE_REF_BASE", "GIT_GRAFT_FILE"):
            environment.pop(name, None)
        environment["GIT_NO_REPLACE_OBJECTS"] = "1"
        self._git = GitProcess(environment=environment, directory=clone.top, git_directory=str(repository))
        self._objects = ObjectReader(self._git)
        self._is_complete = False
        try:
            self._git.check(
                "init", "--quiet", "--bare", "--template=", f"--object-format={clone.object_format}"
            )
            # The clone may lack what its refs lead to (it may be shallow): none of them is said to be here.
            with (repository / "config").open("a", encoding="utf-8") as file:
                file.write("[core]\n\talternateRefsCommand = true\n")
            alternates = repository / "objects" / "info" / "alternates"
            alternates.parent.mkdir(exist_ok=True)
            alternates.write_text(f"{clone.git_directory / 'objects'}\n", encoding="utf-8")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> CommitObjects:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """The repository is gone."""
        self._objects.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def raw(self, commit: str) -> bytes:
        """The commit as it was made, fetched where it is not here.

        Raises:
            GitError: it cannot be had.
        """
        if _NAME.fullmatch(commit) is None:
            raise GitError(f"{commit[:80]!r} is no commit's full name", resolution="see the ledger's record")
        found = self._objects.get(commit)
        if found is None:
            self.fetch("", commit, "commit", shallow=True)
            found = self._objects.get(commit)
        if found is None or found.kind != "commit":
            raise GitError(f"{commit} is no commit", resolution="see the ledger's record")
        return found.content

    def parents(self, commit: str) -> tuple[str, ...]:
        """The commit's parents, as it names them itself."""
        head = self.raw(commit).partition(b"\n\n")[0]
        return tuple(name.decode() for name in _PARENT.findall(head.partition(b"\nauthor ")[0]))

    def read(self, commit: str, path: str) -> bytes | None:
        """The file's content there, `path` relative to the top; None when there is none.

        Raises:
            GitError: the commit or the file cannot be had.
        """
        self.raw(commit)
        found = self._objects.get(f"{commit}:{path}")
        if found is not None:
            return found.content if found.kind == "blob" else None
        if "/" not in path and self._objects.get(f"{commit}^{{tree}}") is not None:
            return None
        answer = self._git.run("ls-tree", "-z", "--full-tree", commit, "--", path)
        if answer.code != 0:  # the commit is here and its files are not
            self.fetch("", commit, "commit", shallow=True)
            answer = self._git.check("ls-tree", "-z", "--full-tree", commit, "--", path)
        meta = answer.output.decode("utf-8", "replace").partition("\t")[0].split()
        if len(meta) != 3 or meta[1] != "blob":
            return None
        content = self._git.run("cat-file", "blob", meta[2])
        if content.code != 0:
            self.fetch("", commit, "commit", shallow=True)
            content = self._git.check("cat-file", "blob", meta[2])
        return content.output

    def names(self, revisions: Iterable[str]) -> dict[str, str]:
        """The objects that these (`COMMIT` or `COMMIT:PATH`) are, in one go; those that are not here are left out."""
        found = {}
        for one in dict.fromkeys(revisions):
            known = self._objects.get(one)
            if known is not None:
                found[one] = known.name  # and not its content, which may be large
        return found

    def blob(self, name: str) -> bytes:
        """The content of a blob that is here."""
        found = self._objects.get(name)
        return found.content if found is not None else self._git.check("cat-file", "blob", name).output

    def versions(self, commit: str, path: str) -> tuple[str, ...]:
        """The blobs that the file ever was on the first-parent line up to `commit`.

        Raises:
            GitError: the clone is shallow, and the remote cannot be asked for the rest.
        """
        arguments = (
            "log", "-m", "--first-parent", "--format=", "--raw", "--no-abbrev", "--no-renames",
            f"--max-count={LINE_COMMITS}", commit, "--", path,
        )  # fmt: skip
        answer = self._git.run(*arguments)
        if answer.code != 0 or (Path(self._git.git_directory) / "shallow").exists():
            self.complete(commit)
            answer = self._git.check(*arguments)
        fields = [line.split() for line in answer.text.splitlines()]
        names = [name for one in fields if len(one) > 4 for name in one[2:4] if name.strip("0")]
        return tuple(self.names(names).values())

    def first_parents(self, commit: str, base: str) -> tuple[tuple[str, int], ...] | None:
        """The commits from `commit` down to before `base` on the first-parent line, each with its number of parents.

        None: the line does not lead there.
        """
        found = self._line(commit, base)
        if found is None and not self._is_complete:
            self.complete(commit)
            found = self._line(commit, base)
        return found

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Whether `newer` follows on `older`."""
        self.complete(newer)
        return self._git.run("merge-base", "--is-ancestor", older, newer).code == 0

    def _line(self, commit: str, base: str) -> tuple[tuple[str, int], ...] | None:
        answer = self._git.run(
            "rev-list", "--first-parent", "--parents", f"--max-count={LINE_COMMITS}", commit, "--"
        )
        line: list[tuple[str, int]] = []
        for text in answer.text.splitlines() if answer.code == 0 else ():
            name, *parents = text.split()
            if name == base:
                return tuple(line)
            line.append((name, len(parents)))
        return None

    def complete(self, commit: str) -> None:
        """The commit's whole history is here."""
        if not self._is_complete:
            # What was fetched without history must not be taken for the end of it.
            directory = Path(self._git.git_directory)
            (directory / "shallow").unlink(missing_ok=True)
            shutil.rmtree(directory / "refs" / "got", ignore_errors=True)
            self.fetch("", commit, "line", shallow=False)
            self._is_complete = True

    def fetch(self, location: str, ref: str, name: str, *, shallow: bool) -> str:
        """The commit that `ref` is at there; it is here now.

        Args:
            location: another repository's address; empty: the clone's remote.
            name: what it is called here.

        Raises:
            GitError: it cannot be had.
        """
        depth = ("--depth=1",) if shallow else ()
        answer = self._git.run(
            "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", *depth,
            "--", self._clone.location(location), f"+{ref}:refs/got/{name}", seconds=FETCH_SECONDS,
        )  # fmt: skip
        if answer.code != 0:
            shown = self._clone.shown(location)
            gone = any(words in answer.errors for words in _GONE)
            raise (MissingCommitError if gone else GitError)(
                f"{ref[:80]} cannot be fetched from {shown}",
                details=said(answer.errors),
                resolution="check the network and your access to it, and that it still has that",
            )
        return self._git.check("rev-parse", "--verify", f"refs/got/{name}^{{commit}}").text
