"""A new deployment repository on disk: its files, and its branches in git."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.resources import files as package_files
from pathlib import Path

import git
from git.exc import GitCommandError, InvalidGitRepositoryError, NoSuchPathError
from git.exc import GitError as GitPythonError

from orchestrator.edges.git_process import require_git
from orchestrator.errors import GitError, UsageError


def read_templates() -> dict[str, str]:
    """The templates that the package carries, by file name."""
    folder = package_files("orchestrator").joinpath("scaffold")
    return {
        entry.name: entry.read_text(encoding="utf-8")
        for entry in folder.iterdir()
        if entry.is_file() and not entry.name.endswith((".py", ".pyc"))
    }


def write_files(
    directory: Path, contents: Mapping[str, str], *, executables: Collection[str], force: bool
) -> tuple[str, ...]:
    """All files are there, or none was touched; returns those that were replaced.

    Args:
        force: replace files that are there with other content.

    Raises:
        UsageError: files are there and `force` is not given, or a path cannot be written.
    """
    top = directory.resolve()
    present = []
    for path, content in contents.items():
        file = top / path
        if not file.parent.resolve().is_relative_to(top) or file.is_symlink() or file.is_dir():
            raise UsageError(
                f"{file} is a link or a directory, or leads out of {top}", resolution="move it away"
            )
        if file.exists() and file.read_bytes() != content.encode():
            present.append(path)
    if present and not force:
        raise UsageError(
            f"{len(present)} of these files are there already; nothing was written",
            details=tuple(present),
            resolution="name another directory, or replace them with --force",
        )
    try:
        for path, content in contents.items():
            file = top / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content, encoding="utf-8", newline="\n")
            if path in executables:
                file.chmod(0o755)
    except OSError as error:
        raise UsageError(
            f"{error.filename or top} cannot be written: {error.strerror}", resolution="correct DIR"
        ) from None
    return tuple(present)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExistingRepository:
    """A git repository that is there already.

    Attributes:
        branches: those that exist, and the one that is checked out even before its first commit.
    """

    top: Path
    branches: tuple[str, ...]


def find_repository(directory: Path) -> ExistingRepository | None:
    """The git repository that the directory is in, if there is one.

    Raises:
        GitError: git refuses it, or there is none.
    """
    require_git()
    try:
        with git.Repo(directory, search_parent_directories=True) as repository:
            names = [head.name for head in repository.heads]
            if not repository.head.is_detached:
                names.append(repository.active_branch.name)
            top = Path(repository.working_tree_dir or repository.git_dir).resolve()
    except (InvalidGitRepositoryError, NoSuchPathError):
        return None
    except (GitPythonError, ValueError, OSError) as error:
        raise GitError(f"git refuses {directory}: {error}", resolution="run `git status` there") from None
    return ExistingRepository(top=top, branches=tuple(sorted(set(names))))


def create_repository(directory: Path, paths: Collection[str], branches: tuple[str, ...]) -> str:
    """A git repository with these files in one commit, which all branches point to; returns its author.

    The first branch is checked out. Other files in the directory stay uncommitted.

    Raises:
        GitError: git refuses.
    """
    try:
        with git.Repo.init(directory, initial_branch=branches[0]) as repository:
            author, options = _author(repository)
            repository.git.add("--", *paths)
            repository.git.execute(
                ["git", *options, "commit", "--quiet", "--message", "Set up the deployment repository"]
            )
            for branch in branches[1:]:
                repository.git.branch("--", branch)
    except GitCommandError as error:
        said = " ".join(str(error.stderr or "").replace("stderr:", "").strip(" '\n").split())[:300]
        raise GitError(
            f"git could not set up {directory}; the files are there",
            details=(said,) if said else (),
            resolution="run `git init`, commit the files and create the branches yourself",
        ) from None
    return author


def _author(repository: git.Repo) -> tuple[str, list[str]]:
    """Git's own user; where none is configured, the account, for this commit only."""
    with repository.config_reader() as config:
        email = str(config.get_value("user", "email", ""))
        name = str(config.get_value("user", "name", ""))
    if email and name:
        return f"{name} <{email}>", []
    try:
        account = getpass.getuser()
    except (KeyError, OSError):
        account = "orchestrator"
    name, email = name or account, email or f"{account}@{socket.gethostname()}"
    return f"{name} <{email}>", ["-c", f"user.name={name}", "-c", f"user.email={email}"]
