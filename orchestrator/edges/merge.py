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
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from orchestrator.core.pull_request import FileChange
from orchestrator.edges.git import REMOTE, SSH_COMMAND, DeploymentRepository, Revision, without_password
from orchestrator.errors import GitError, MergeConflictError, RevisionError

FETCH_SECONDS = 300
_ABANDONED_SECONDS = 24 * 3600
_OLDEST_GIT = (2, 38)
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_REACHING = re.compile(
    rf"(http|credential|url|ssh|protocol|safe|remote\.{REMOTE})\..*|core\.(sshcommand|askpass|gitproxy)",
    re.DOTALL,
)
_FOREIGN = (
    "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_SHALLOW_FILE", "GIT_CONFIG", "GIT_CONFIG_PARAMETERS", "GIT_PREFIX",
    "GIT_CONFIG_COUNT", "GIT_ATTR_SOURCE", "GIT_EXTERNAL_DIFF",
)  # fmt: skip


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

    directory: Path
    environ: dict[str, str]
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
        done = _run(
            ("merge-tree", *options, self.base.commit, self.head.commit), self.directory, self.environ
        )
        tree, *conflicts = done.stdout.decode("utf-8", "replace").rstrip("\0").split("\0")
        if done.returncode == 0 and _COMMIT.fullmatch(tree):
            return tree
        if done.returncode == 1 and conflicts:
            raise self._conflict(sorted(set(conflicts)))
        said = _said(done)
        if "unrelated histories" in said or (done.returncode == 1 and not said):
            raise MergeConflictError(
                f"{self.base.revision.label} and {self.head.revision.label} have no common history",
                resolution="start the source branch from the target; rewritten history cannot be merged",
            )
        raise GitError(
            f"git cannot merge {self.head.revision.label} into {self.base.revision.label}",
            details=(said,) if said else (),
            resolution="fetch both with their whole history, then run it again",
        )

    def read(self, treeish: str, path: str) -> bytes | None:
        """The file's content there, `path` relative to the stack's directory; None when there is none.

        A symbolic link is not followed: its content is where it points to.
        """
        inside = PurePosixPath(self.stack, path).as_posix()
        listed = self._checked("ls-tree", "-z", "--full-tree", treeish, "--", inside).stdout
        entry, _, name = listed.rstrip(b"\0").partition(b"\t")
        if not name or name != inside.encode() or entry.split()[1] != b"blob":
            return None
        return self._checked("cat-file", "blob", entry.split()[2].decode()).stdout

    def changes(self, tree: str) -> tuple[FileChange, ...]:
        """Every path of the repository in which `tree` differs from the base."""
        done = self._checked("diff-tree", "-r", "-z", "--raw", "--no-renames", self.base.commit, tree)
        fields = done.stdout.decode("utf-8", "replace").split("\0")
        return tuple(
            FileChange(path=path, mode=entry.split()[1], status=entry.split()[4][:1])
            for entry, path in zip(fields[::2], fields[1::2], strict=False)
        )

    def extract_base(self, directory: Path) -> None:
        """The base's files are in that directory, the stack's too, if need be empty.

        Nothing of the checkout is used, which in the CI of a pull request is the head's.
        """
        more = {"GIT_INDEX_FILE": str(self.directory / "base-index"), "GIT_WORK_TREE": str(directory)}
        self._checked("read-tree", self.base.commit, more=more)
        self._checked("checkout-index", "--all", "--quiet", more=more, where=directory)
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
                f"git fetch {REMOTE}",
                f"git switch {shlex.quote(source)}" if source else "git switch BRANCH-OF-THE-PULL-REQUEST",
                f"git merge {shlex.quote(upstream)}",
                "git add --all && git commit --no-edit",
                f"git push {REMOTE} {shlex.quote(source) if source else 'HEAD'}",
            ),
            resolution=f"merge {target} into {source or 'the source branch'} with these commands, resolving the "
            "files above before the commit",
        )

    def _checked(
        self, *arguments: str, more: dict[str, str] | None = None, where: Path | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        done = _run(arguments, where or self.directory, {**self.environ, **(more or {})})
        if done.returncode != 0:
            said = _said(done)
            raise GitError(
                f"git {arguments[0]} fails on a pull request's commits",
                details=(said,) if said else (),
                resolution="run `git fsck`; fetch again",
            )
        return done


@contextlib.contextmanager
def open_merge(clone: DeploymentRepository, *, base: str, head: str, offline: bool) -> Iterator[Merge]:
    """Both sides are there with their history while the context is open.

    Args:
        base, head: a branch (its tip at the remote), a full ref name, or a commit that is known here.

    Raises:
        GitError: git is too old, or the remote cannot be reached.
        RevisionError: there is no such branch or commit.
    """
    _check_version()
    base_side, head_side = _resolve(clone, base, head, offline=offline)
    place = clone.common_directory / "orchestrator"
    try:
        place.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(place)
        directory = Path(tempfile.mkdtemp(prefix="merge-", dir=place))
    except OSError as error:
        raise GitError(
            f"{place} cannot be written: {error.strerror}", resolution="let this command's user write there"
        ) from None
    try:
        environ = _environment(clone, directory)
        _create(clone, directory, environ)
        if not offline and clone.remote_url:
            _fetch(clone, directory, environ, (base_side, head_side))
        for side, name in ((base_side, base), (head_side, head)):
            if _run(("cat-file", "-e", f"{side.commit}^{{commit}}"), directory, environ).returncode != 0:
                raise RevisionError(
                    f"{name} is at {side.commit[:10]}, which is neither here nor at the remote",
                    resolution="it may have moved just now: run it again, or fetch it first",
                )
        yield Merge(directory=directory, environ=environ, stack=clone.stack, base=base_side, head=head_side)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _remove_abandoned(place: Path) -> None:
    """What a killed command left behind is gone a day later."""
    for one in place.glob("merge-*"):
        with contextlib.suppress(OSError):
            if time.time() - one.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(one, ignore_errors=True)


def _check_version() -> None:
    said = subprocess.run(["git", "version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"(\d+)\.(\d+)", said)
    if found is None or (int(found[1]), int(found[2])) < _OLDEST_GIT:
        raise GitError(
            f"a pull request cannot be planned with {said.strip() or 'this git'}: `git merge-tree --write-tree` is new "
            "in git 2.38",
            resolution="install git 2.38 or later",
        )


def _resolve(clone: DeploymentRepository, base: str, head: str, *, offline: bool) -> tuple[Side, Side]:
    refs = {name: name if name.startswith("refs/") else f"refs/heads/{name}" for name in (base, head)}
    asked = [ref for name, ref in refs.items() if not _names_commit(name)]
    tips: dict[str, str] = {}
    if asked and clone.remote_url and not offline:
        tips = clone.remote_tips(*asked)

    def side(name: str) -> Side:
        branch = refs[name].removeprefix("refs/heads/") if refs[name].startswith("refs/heads/") else ""
        if refs[name] in tips and not _names_commit(name):
            return Side(commit=tips[refs[name]], ref=refs[name], branch=branch)
        if not _names_commit(name):
            for ref in (f"refs/remotes/{REMOTE}/{branch}", f"refs/heads/{branch}"):
                if branch and (commit := clone.known_commit(ref)):
                    return Side(commit=commit, branch=branch)
        if commit := clone.known_commit(name):
            return Side(commit=commit, branch=clone.current_branch() if name == "HEAD" else "")
        if _COMMIT.fullmatch(name):
            return Side(commit=name)
        return Side(commit=clone.resolve_ref(name).commit)

    return side(base), side(head)


def _names_commit(name: str) -> bool:
    return name == "HEAD" or bool(_COMMIT.fullmatch(name))


def _environment(clone: DeploymentRepository, directory: Path) -> dict[str, str]:
    """The environment of git in the private repository: of the clone's configuration, what reaches the remote."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _FOREIGN and not name.startswith(("GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_", "GIT_TRACE"))
    }
    listed = _run(("config", "--list", "-z", "--includes", "--show-scope"), clone.top, dict(os.environ))
    words = listed.stdout.decode("utf-8", "surrogateescape").split("\0")
    settings, has_ssh = [], False
    for scope, entry in zip(words[::2], words[1::2], strict=False):
        key, equals, value = entry.partition("\n")
        has_ssh = has_ssh or key == "core.sshcommand"
        # What is the user's or the machine's own applies to the private repository anyway.
        if scope in ("local", "worktree", "command") and _REACHING.fullmatch(key):
            settings.append((key, value if equals else "true"))
    settings += [("gc.auto", "0"), ("maintenance.auto", "false"), ("core.hooksPath", os.devnull)]
    environ = {
        **kept,
        "GIT_DIR": str(directory),
        "GIT_CONFIG_COUNT": str(len(settings)),
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }
    for number, (key, value) in enumerate(settings):
        environ[f"GIT_CONFIG_KEY_{number}"] = key
        environ[f"GIT_CONFIG_VALUE_{number}"] = value
    if not has_ssh:
        environ.setdefault("GIT_SSH_COMMAND", SSH_COMMAND)
    return environ


def _create(clone: DeploymentRepository, directory: Path, environ: dict[str, str]) -> None:
    done = _run(("init", "--quiet", "--bare", "--template="), directory, environ)
    if done.returncode != 0:
        raise GitError(
            f"git cannot create a repository in {directory}",
            details=(_said(done),),
            resolution="check the space and the permissions there",
        )
    (directory / "objects" / "info").mkdir(parents=True, exist_ok=True)
    (directory / "objects" / "info" / "alternates").write_bytes(
        os.fsencode(clone.common_directory / "objects") + b"\n"
    )
    shallow = clone.common_directory / "shallow"
    if shallow.is_file():
        shutil.copyfile(shallow, directory / "shallow")


def _fetch(
    clone: DeploymentRepository, directory: Path, environ: dict[str, str], sides: tuple[Side, Side]
) -> None:
    """What the clone lacks is in the private repository: commits at the remote, and the history behind them."""
    shallow = (directory / "shallow").is_file() and bool((directory / "shallow").stat().st_size)
    missing = [
        side
        for side in sides
        if shallow or _run(("cat-file", "-e", f"{side.commit}^{{tree}}"), directory, environ).returncode != 0
    ]
    if not missing:
        return
    wanted = {side.ref or side.commit: side for side in missing}
    specs = [f"+{name}:refs/orchestrator/{number}" for number, name in enumerate(wanted)]
    fetch = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules"]
    fetch += ["--unshallow"] if shallow else []
    done = _run((*fetch, REMOTE, *specs), clone.top, environ, seconds=FETCH_SECONDS)
    if done.returncode != 0 and any(not side.ref for side in missing):
        # A commit that only this clone has: its history ends in commits that the remote's branches have.
        every = "+refs/heads/*:refs/orchestrator/every/*"
        done = _run((*fetch, REMOTE, every), clone.top, environ, seconds=FETCH_SECONDS)
    if done.returncode != 0:
        said = _said(done).replace(clone.remote_url, without_password(clone.remote_url))
        raise GitError(
            f"the git remote {without_password(clone.remote_url)} cannot be reached",
            details=(said,) if said else (),
            resolution="check the network and your access",
        )


def _run(
    arguments: tuple[str, ...], directory: Path, environ: dict[str, str], *, seconds: float = 60
) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["git", *arguments],
            cwd=directory,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        what = "does not answer" if isinstance(error, subprocess.TimeoutExpired) else "cannot be run"
        raise GitError(f"git {arguments[0]} {what}", resolution="check git and the network") from None


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    return " ".join(done.stderr.decode("utf-8", "replace").split())[:300]
