"""The deployment repository: which commit is meant, and what its documents say there."""

from __future__ import annotations

import getpass
import os
import socket
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import git
from git.exc import GitCommandError, InvalidGitRepositoryError, NoSuchPathError
from git.exc import GitError as GitPythonError

from orchestrator.core.own_roles import FOLDER, OwnRole, make_role, read_roles
from orchestrator.edges.git_process import require_git
from orchestrator.errors import DocumentError, GitError, RevisionError, UsageError

REMOTE = "origin"
REMOTE_SECONDS = 60
SSH_COMMAND = "ssh -o BatchMode=yes -o ConnectTimeout=15"
_LINK_MODE = 0o120000


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """Where documents are read.

    Attributes:
        commit: 40 hex digits; empty for the work tree.
        branch: the branch that was asked for, or empty.
        note: what the reader should know about the choice, or empty.
    """

    commit: str
    branch: str = ""
    note: str = ""

    @property
    def label(self) -> str:
        """For messages: `dev@1a2b3c4d5e`, the commit, or `work tree`."""
        if not self.commit:
            return "work tree"
        return f"{self.branch}@{self.commit[:10]}" if self.branch else self.commit[:10]


class DeploymentRepository:
    """A git repository, and the directory of one stack inside it.

    Args:
        directory: the repository's top, or a stack's directory below it.

    Raises:
        GitError: that is no git repository, or there is no git.
        UsageError: the directory does not exist.
    """

    def __init__(self, directory: Path) -> None:
        if not directory.is_dir():
            raise UsageError(f"{directory} is not a directory", resolution="correct -C")
        require_git()
        self.directory = directory.resolve()
        try:
            self._repository = git.Repo(self.directory, search_parent_directories=True)
        except (InvalidGitRepositoryError, NoSuchPathError):
            raise GitError(
                f"{self.directory} is not inside a git repository",
                resolution="name the deployment repository with -C, or clone it first",
            ) from None
        except (GitPythonError, ValueError, OSError) as error:
            raise GitError(
                f"git refuses {self.directory}: {error}", resolution="run `git status` there"
            ) from None
        self._known_url: str | None = None
        top = self._repository.working_tree_dir
        self._top = Path(top).resolve() if top else None
        self._repository.git.update_environment(
            GIT_TERMINAL_PROMPT="0", GIT_NO_REPLACE_OBJECTS="1", **self._ssh_command()
        )

    @property
    def stack(self) -> str:
        """The stack's directory relative to the top; empty for the top itself."""
        if self._top is None:
            return ""
        inside = self.directory.relative_to(self._top)
        return "" if inside == Path() else inside.as_posix()

    @property
    def state_directory(self) -> Path:
        """Where this machine keeps records and logs; inside `.git`, never committed."""
        return Path(self._repository.common_dir).resolve() / "orchestrator" / self.stack

    @property
    def top(self) -> Path:
        """The top of the work tree; without one the directory itself."""
        return self._top or self.directory

    @property
    def remote_url(self) -> str:
        """The remote's address as configured, perhaps with a password in it; empty when there is none."""
        return self._remote_url()

    @property
    def name(self) -> str:
        """The repository's name: the last part of its remote's address, the same over every protocol."""
        url = self._remote_url()
        path = urlsplit(url).path if "://" in url else url.rpartition(":")[2]
        base = PurePosixPath(path.rstrip("/")).name if url else (self._top or self.directory).name
        return base.removesuffix(".git") or "repository"

    @property
    def actor(self) -> str:
        """Who runs this: git's own user, else the account."""
        with self._repository.config_reader() as config:
            name = str(config.get_value("user", "email", "") or config.get_value("user", "name", ""))
        if name:
            return name
        try:
            return f"{getpass.getuser()}@{socket.gethostname()}"
        except (KeyError, OSError):
            return f"uid {os.getuid()}"

    def current_branch(self) -> str:
        """The branch that is checked out; empty with a detached HEAD."""
        return "" if self._repository.head.is_detached else str(self._repository.active_branch.name)

    def has_branch(self, branch: str, *, offline: bool) -> bool:
        """Whether the branch exists, at the remote or here."""
        try:
            self.resolve_branch(branch, offline=offline)
        except RevisionError:
            return False
        return True

    def resolve_branch(self, branch: str, *, offline: bool) -> Revision:
        """The branch's tip: at the remote when there is one (fetched when it is not here yet), else here.

        Raises:
            GitError: the remote cannot be reached.
            RevisionError: there is no such branch.
        """
        local = self._commit(f"refs/heads/{branch}")
        if self._remote_url() and not offline:
            tip = self._remote_tip(branch)
            if tip is None:
                raise self._missing(branch)
            if self._commit(tip) is None:
                self._remote("fetch", "--no-tags", "--", REMOTE, f"refs/heads/{branch}", branch=branch)
            note = ""
            if local not in (None, tip):
                note = f"local {branch} is at {str(local)[:10]}; deployments follow {REMOTE}, at {tip[:10]}"
            return Revision(commit=tip, branch=branch, note=note)
        found = self._commit(f"refs/remotes/{REMOTE}/{branch}") or local
        if found is None:
            raise self._missing(branch)
        return Revision(commit=found, branch=branch)

    def resolve_ref(self, ref: str) -> Revision:
        """Any commit that git knows by that name here.

        Raises:
            RevisionError: it knows none.
        """
        found = self._commit(ref)
        if found is None:
            raise RevisionError(
                f"git knows no commit {ref!r} in {self.directory}",
                resolution="fetch it first, or name a branch with --branch",
            )
        return Revision(commit=found, branch=ref if self._commit(f"refs/heads/{ref}") else "")

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Whether `newer` is known to follow on `older`; in a shallow clone it may not be known."""
        try:
            self._repository.git.merge_base("--is-ancestor", older, newer)
        except GitCommandError:
            return False
        return True

    def read(self, revision: Revision, path: str) -> bytes | None:
        """The file's content there, `path` relative to the stack's directory; None when there is none.

        Raises:
            GitError: git cannot read it; DocumentError: it is a committed link, which is its own target's name.
        """
        if not revision.commit:
            file = self.directory / path
            return file.read_bytes() if file.is_file() else None
        inside = PurePosixPath(self.stack, path).as_posix()
        try:
            blob = self._repository.commit(revision.commit).tree / inside
        except KeyError:
            return None
        except (GitPythonError, ValueError, OSError) as error:
            raise GitError(
                f"git cannot read {inside} at {revision.label}: {error}",
                resolution="run `git fsck`; fetch again",
            ) from None
        if blob.type == "blob" and blob.mode == _LINK_MODE:
            raise DocumentError(
                f"{inside} at {revision.label} is a symbolic link, and links are not followed",
                resolution="commit the file itself there",
            )
        return bytes(blob.data_stream.read()) if blob.type == "blob" else None

    def list_files(self, revision: Revision, folder: str) -> tuple[str, ...]:
        """Names of the files in that folder, relative to the stack's directory; empty when there is none."""
        if not revision.commit:
            path = self.directory / folder
            return tuple(sorted(one.name for one in path.iterdir() if one.is_file())) if path.is_dir() else ()
        tree: Any = self._repository.commit(revision.commit).tree
        inside = PurePosixPath(self.stack, folder)
        try:
            for part in inside.parts:
                tree = tree / part
        except KeyError:
            return ()
        return tuple(sorted(blob.name for blob in tree.blobs)) if tree.type == "tree" else ()

    def own_roles(self, revision: Revision) -> dict[str, OwnRole]:
        """The roles in `roles/` there, by name; nothing of them is loaded."""
        folder = PurePosixPath(self.stack, FOLDER).as_posix()
        if revision.commit:
            said = self._repository.git.ls_tree("-r", "-t", "--full-tree", revision.commit, "--", folder)
            return read_roles(str(said).splitlines(), folder)
        top = self.directory / FOLDER
        files = [path.relative_to(top).as_posix() for path in top.glob("*/tasks/*")]
        return {name: make_role(name, "", files) for name in {file.partition("/")[0] for file in files}}

    def export_roles(self, revision: Revision, target: Path) -> None:
        """`roles/` of that commit, and nothing of the work tree, lies in `target`.

        Raises:
            GitError: git cannot read it, or it has files that lead out of it.
        """
        import io
        import tarfile

        folder = PurePosixPath(self.stack, FOLDER).as_posix()
        content = io.BytesIO()
        try:
            self._repository.archive(content, treeish=f"{revision.commit}:{folder}", format="tar")
            content.seek(0)
            with tarfile.open(fileobj=content) as archive:
                archive.extractall(target, filter="data")
        except (GitPythonError, OSError, ValueError, tarfile.TarError) as error:
            raise GitError(
                f"git cannot export {folder} of {revision.label}: {error}",
                resolution="see that it has no links that lead out of it; run `git fsck`",
            ) from None

    def remote_tips(self, *refs: str) -> dict[str, str]:
        """Where these refs (full names) stand at the remote; those that it lacks are left out.

        Raises:
            GitError: the remote cannot be reached.
        """
        # `ls-remote` matches ends of names: `refs/heads/refs/heads/dev` answers to `refs/heads/dev`, too.
        lines = self._remote("ls-remote", "--", REMOTE, *refs, branch="").splitlines()
        found = {name: commit for commit, _, name in (line.partition("\t") for line in lines)}
        return {ref: found[ref] for ref in refs if ref in found}

    def known_commit(self, name: str) -> str | None:
        """The commit that git knows by that name in this clone, or None."""
        return self._commit(name)

    def check_remote(self) -> str:
        """The remote's address when it answers; empty when there is none.

        Raises:
            GitError: it does not answer.
        """
        url = self._remote_url()
        if url:
            self._remote("ls-remote", "--heads", "--", REMOTE, branch="")
        return without_password(url)

    def _ssh_command(self) -> dict[str, str]:
        """Ours, unless the user or the clone (a CI with a deploy key) has one: the variable would hide it."""
        with self._repository.config_reader() as config:
            configured = config.has_option("core", "sshCommand")
        return {} if configured or "GIT_SSH_COMMAND" in os.environ else {"GIT_SSH_COMMAND": SSH_COMMAND}

    def _remote_url(self) -> str:
        if self._known_url is None:
            named = REMOTE in [remote.name for remote in self._repository.remotes]
            self._known_url = str(next(iter(self._repository.remote(REMOTE).urls), "")) if named else ""
        return self._known_url

    def _remote_tip(self, branch: str) -> str | None:
        ref = f"refs/heads/{branch}"
        return self.remote_tips(ref).get(ref)

    def _remote(self, *arguments: str, branch: str) -> str:
        try:
            done: Any = self._repository.git.execute(
                ["git", *arguments], kill_after_timeout=REMOTE_SECONDS, with_extended_output=False
            )
        except GitCommandError as error:
            said = " ".join(str(error.stderr or "").replace("stderr:", "").strip(" '\n").split())[:300]
            raise GitError(
                f"the git remote {without_password(self._remote_url())} cannot be reached",
                details=(said,) if said else (),
                resolution="check the network and your access; --offline plans from what is here",
            ) from None
        return str(done)

    def _commit(self, name: str) -> str | None:
        if name.startswith("-"):
            return None
        try:
            return str(self._repository.git.rev_parse("--verify", "--quiet", f"{name}^{{commit}}"))
        except GitCommandError:
            return None

    def _missing(self, branch: str) -> RevisionError:
        where = f"at {without_password(self._remote_url())}" if self._remote_url() else "in this repository"
        names = sorted(head.name for head in self._repository.heads)
        return RevisionError(
            f"there is no branch {branch!r} {where}",
            details=(f"branches here: {', '.join(names)}",) if names else (),
            resolution="correct the name, push the branch, or name a commit with --ref",
        )


def without_password(url: str) -> str:
    """A remote's address that may be shown."""
    parts = urlsplit(url)
    if parts.scheme in ("http", "https") and "@" in parts.netloc:
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return url
