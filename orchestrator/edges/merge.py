"""The merge of a pull request, made in a private repository: the clone is left as it is.

`git merge-tree --write-tree` (git 2.38) merges two commits into a tree without a work tree. It needs the history of
both, which a shallow clone does not have, and it writes objects. So both happen in a bare repository of its own that
borrows the clone's objects, gets what is missing from the remote, and is gone afterwards: work tree, index, refs and
`.git/shallow` of the clone are not touched. Of the clone's configuration it knows only how to reach the remote.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from orchestrator.core.own_roles import FOLDER, OwnRole, read_roles
from orchestrator.core.pull_request import FileChange
from orchestrator.edges.clone import Clone, read_clone
from orchestrator.edges.git import REMOTE, DeploymentRepository, Revision
from orchestrator.edges.git_process import Answer, GitFailureError, GitProcess, said, with_settings
from orchestrator.edges.scratch import make_scratch
from orchestrator.errors import GitError, MergeConflictError, RevisionError

FETCH_SECONDS = 300
_ABANDONED_SECONDS = 24 * 3600
_OLDEST_GIT = (2, 38)
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_PARTIAL = (f"remote.{REMOTE}.promisor", f"remote.{REMOTE}.partialclonefilter")


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One side of the pull request.

    Attributes:
        ref: the full name at the remote; empty for a commit that is known here.
        commit: 40 hex digits.
        branch: the branch's name, or empty.
    """

    commit: str
    ref: str = ""
    branch: str = ""

    @property
    def revision(self) -> Revision:
        """The side as other parts know it."""
        return Revision(commit=self.commit, branch=self.branch)


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """Both sides with their history, to be merged and read as data.

    Attributes:
        stack: the stack's directory inside the repository, or empty.
    """

    git: GitProcess
    stack: str
    base: Side
    head: Side

    def merged_tree(self) -> str:
        """The tree that merging the head into the base gives.

        Raises:
            MergeConflictError: with the files, and the commands that avoid it.
            GitError: git cannot merge them.
        """
        options = ("--write-tree", "-z", "--name-only", "--no-messages")
        done = self.git.run("merge-tree", *options, self.base.commit, self.head.commit)
        tree, *conflicts = done.output.decode("utf-8", "replace").rstrip("\0").split("\0")
        if done.code == 0 and _COMMIT.fullmatch(tree):
            return tree
        if done.code == 1 and conflicts:
            raise self._conflict(sorted(set(conflicts)))
        if "unrelated histories" in done.errors:
            raise MergeConflictError(
                f"{self.base.revision.label} and {self.head.revision.label} have no common history",
                resolution="start the source branch from the target; rewritten history cannot be merged",
            )
        raise GitError(
            f"git cannot merge {self.head.revision.label} into {self.base.revision.label}",
            details=said(done.errors),
            resolution="fetch both with their whole history, then run it again",
        )

    def read(self, treeish: str, path: str) -> bytes | None:
        """The file's content there, `path` relative to the stack's directory; None when there is none.

        A symbolic link is not followed: its content is where it points to.
        """
        inside = PurePosixPath(self.stack, path).as_posix()
        listed = self._check("ls-tree", "-z", "--full-tree", treeish, "--", inside).output
        entry, _, name = listed.rstrip(b"\0").partition(b"\t")
        if not name or name != os.fsencode(inside) or entry.split()[1] != b"blob":
            return None
        return self._check("cat-file", "blob", entry.split()[2].decode()).output

    def own_roles(self, treeish: str) -> dict[str, OwnRole]:
        """The roles in `roles/` there, by name: what git lists; nothing of them is read."""
        folder = PurePosixPath(self.stack, FOLDER).as_posix()
        listed = self._check("ls-tree", "-r", "-t", "--full-tree", treeish, "--", folder).output
        return read_roles(listed.decode("utf-8", "replace").splitlines(), folder)

    def changes(self, tree: str) -> tuple[FileChange, ...]:
        """Every path of the repository in which `tree` differs from the base."""
        done = self._check("diff-tree", "-r", "-z", "--raw", "--no-renames", self.base.commit, tree)
        fields = done.output.decode("utf-8", "replace").split("\0")
        return tuple(
            FileChange(path=path, mode=entry.split()[1], status=entry.split()[4][:1])
            for entry, path in zip(fields[::2], fields[1::2], strict=False)
        )

    def extract_base(self, directory: Path) -> None:
        """The base's files are in that directory, the stack's too, if need be empty.

        Nothing of the checkout is used, which in the CI of a pull request is the head's.
        """
        git = GitProcess(
            environment={
                **self.git.environment,
                "GIT_INDEX_FILE": f"{self.git.git_directory}/base-index",
                "GIT_WORK_TREE": str(directory),
            },
            directory=directory,
            git_directory=self.git.git_directory,
        )
        _check(git, "read-tree", self.base.commit)
        _check(git, "checkout-index", "--all", "--quiet")
        (directory / self.stack).mkdir(parents=True, exist_ok=True)

    def _conflict(self, files: list[str]) -> MergeConflictError:
        target = self.base.branch or self.base.commit
        upstream = f"{REMOTE}/{target}" if self.base.branch else target
        source = self.head.branch
        return MergeConflictError(
            f"{self.head.revision.label} cannot be merged into {self.base.revision.label}: "
            f"{len(files)} file{'s' if len(files) != 1 else ''} changed on both sides",
            details=(
                *(f"conflict: {file}" for file in files),
                f"first: git fetch {REMOTE} && git switch "
                f"{shlex.quote(source) if source else 'BRANCH-OF-THE-PULL-REQUEST'} && "
                f"git merge {shlex.quote(upstream)}",
                "then edit these files until no conflict is marked in them",
                f"last: git add {' '.join(map(shlex.quote, files))} && git commit --no-edit && "
                f"git push {REMOTE} {shlex.quote(source) if source else 'HEAD'}",
            ),
            resolution=f"merge {target} into {source or 'the source branch'}, in these three steps",
        )

    def _check(self, *arguments: str) -> Answer:
        return _check(self.git, *arguments)


@contextlib.contextmanager
def open_merge(repository: DeploymentRepository, *, base: str, head: str, offline: bool) -> Iterator[Merge]:
    """Both sides are there with their history while the context is open.

    Args:
        base, head: a branch (its tip at the remote), a full ref name, or a commit that is known here.

    Raises:
        GitError: git is too old, or the remote cannot be reached.
        RevisionError: there is no such branch or commit.
    """
    clone = read_clone(repository.directory)
    _check_version(GitProcess(environment=clone.environment, directory=clone.top))
    sides = _resolve(repository, base, head, offline=offline)
    directory = _make_directory(clone.git_directory / "orchestrator")
    try:
        # Relative addresses of the remote start at the clone's top, so git runs there.
        git = GitProcess(
            environment=_with_partial(with_settings(clone.environment, clone.settings), clone),
            directory=clone.top,
            git_directory=str(directory),
        )
        shallow = _create(git, clone, directory)
        if not offline and clone.remote:
            _fetch(git, clone, sides, shallow=shallow)
        for side, name in zip(sides, (base, head), strict=True):
            if not _has(git, f"{side.commit}^{{commit}}"):
                raise RevisionError(
                    f"{name} is at {side.commit[:10]}, which is neither here nor at the remote",
                    resolution="it may have moved just now: run it again, or fetch it first",
                )
        yield Merge(git=git, stack=repository.stack, base=sides[0], head=sides[1])
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _check_version(git: GitProcess) -> None:
    version = git.run("version").text
    found = re.search(r"(\d+)\.(\d+)", version)
    if found is None or (int(found[1]), int(found[2])) < _OLDEST_GIT:
        raise GitError(
            f"a pull request cannot be planned with {version or 'this git'}: `git merge-tree --write-tree` is new in "
            "git 2.38",
            resolution="install git 2.38 or later",
        )


def _resolve(repository: DeploymentRepository, base: str, head: str, *, offline: bool) -> tuple[Side, Side]:
    refs = {name: name if name.startswith("refs/") else f"refs/heads/{name}" for name in (base, head)}
    asked = [ref for name, ref in refs.items() if not _names_commit(name)]
    tips: dict[str, str] = {}
    if asked and repository.remote_url and not offline:
        tips = repository.remote_tips(*asked)

    def side(name: str) -> Side:
        ref = refs[name]
        branch = ref.removeprefix("refs/heads/") if ref.startswith("refs/heads/") else ""
        if not _names_commit(name):
            if ref in tips:
                return Side(commit=tips[ref], ref=ref, branch=branch)
            for local in (f"refs/remotes/{REMOTE}/{branch}", f"refs/heads/{branch}") if branch else ():
                if commit := repository.known_commit(local):
                    return Side(commit=commit, branch=branch)
        if commit := repository.known_commit(name):
            return Side(commit=commit, branch=repository.current_branch() if name == "HEAD" else "")
        if _COMMIT.fullmatch(name):
            return Side(commit=name)
        return Side(commit=repository.resolve_ref(name).commit)

    return side(base), side(head)


def _names_commit(name: str) -> bool:
    return name == "HEAD" or bool(_COMMIT.fullmatch(name))


def _make_directory(parent: Path) -> Path:
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for one in parent.glob("merge-*"):  # of commands that were killed
            with contextlib.suppress(OSError):
                if time.time() - one.stat().st_mtime > _ABANDONED_SECONDS:
                    shutil.rmtree(one, ignore_errors=True)
        return Path(tempfile.mkdtemp(prefix="merge-", dir=parent))
    except OSError:  # a checkout that we may not write to
        return make_scratch()


def _with_partial(environment: dict[str, str], clone: Clone) -> dict[str, str]:
    """The clone is a partial one: what it lacks is fetched when it is read, here as there."""
    partial = [(name, value) for name, value in clone.settings if name in _PARTIAL]
    first = int(environment["GIT_CONFIG_COUNT"])
    added = {"GIT_CONFIG_COUNT": str(first + len(partial))}
    for number, (name, value) in enumerate(partial, first):
        added |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return {**environment, **added}


def _create(git: GitProcess, clone: Clone, directory: Path) -> bool:
    """The private repository borrows the clone's objects; returns whether history is missing in them."""
    _check(git, "init", "--quiet", "--bare", "--template=", f"--object-format={clone.object_format}")
    (directory / "objects" / "info").mkdir(parents=True, exist_ok=True)
    objects = os.fsencode(clone.git_directory / "objects")
    (directory / "objects" / "info" / "alternates").write_bytes(objects + b"\n")
    boundary = clone.git_directory / "shallow"
    if not boundary.is_file() or not boundary.stat().st_size:
        return False
    shutil.copyfile(boundary, directory / "shallow")
    return True


def _fetch(git: GitProcess, clone: Clone, sides: tuple[Side, Side], *, shallow: bool) -> None:
    """What the clone lacks is in the private repository: commits at the remote, and the history behind them."""
    missing = [side for side in sides if shallow or not _has(git, side.commit)]
    if not missing:
        return
    fetch = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", *(("--unshallow",) if shallow else ()))
    wanted = dict.fromkeys(side.ref or side.commit for side in missing)
    specs = [f"+{name}:refs/orchestrator/{number}" for number, name in enumerate(wanted)]
    done = git.run(*fetch, "--", REMOTE, *specs, seconds=FETCH_SECONDS)
    if done.code != 0 and any(not side.ref for side in missing):
        # A commit that only this clone has: its history ends in commits that the remote's branches have.
        every = "+refs/heads/*:refs/orchestrator/every/*"
        done = git.run(*fetch, "--", REMOTE, every, seconds=FETCH_SECONDS)
    if done.code != 0:
        raise GitError(
            f"the git remote {clone.shown('')} cannot be reached",
            details=said(done.errors) if done.code is not None else ("it did not answer in time",),
            resolution="check the network and your access",
        )


def _has(git: GitProcess, name: str) -> bool:
    return git.run("cat-file", "-e", name).code == 0


def _check(git: GitProcess, *arguments: str) -> Answer:
    try:
        return git.check(*arguments)
    except GitFailureError as error:
        raise GitError(
            f"git {arguments[0]} fails on the commits of the pull request",
            details=error.details,
            resolution="run `git fsck`; fetch again",
        ) from None
