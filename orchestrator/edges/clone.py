"""What a clone tells git about its remote: addresses, credentials, signing; read once, for use elsewhere."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from orchestrator.edges.git import REMOTE, without_password
from orchestrator.edges.git_process import GitFailureError, GitProcess, base_environment
from orchestrator.errors import GitError


@dataclass(frozen=True, slots=True, kw_only=True)
class Clone:
    """A clone as other repositories on this machine need it.

    Attributes:
        environment: for git, as it was when this was read.
        top: where relative addresses start.
        git_directory: the common one of all work trees.
        object_format: `sha1` or `sha256`.
        settings: its own configuration (not the user's, nor the machine's), includes followed.
        remote: the address of `origin`; empty without one.
    """

    environment: dict[str, str]
    top: Path
    git_directory: Path
    object_format: str
    settings: tuple[tuple[str, str], ...]
    remote: str

    def location(self, repository: str) -> str:
        """What git is told to fetch from and push to: `repository`, else the remote, else the clone itself."""
        if repository.startswith("~"):
            return str(Path(repository).expanduser())
        return repository or (REMOTE if self.remote else str(self.git_directory))

    def shown(self, repository: str) -> str:
        """That place, for messages."""
        return without_password(repository or self.remote or str(self.git_directory))


def read_clone(directory: Path) -> Clone:
    """Return what git says about the clone that `directory` is in.

    Raises:
        GitError: it is in none.
    """
    environment = base_environment(os.environ)
    git = GitProcess(environment=environment, directory=directory)
    try:
        paths = (
            git.check(
                "rev-parse",
                "--path-format=absolute",
                "--git-common-dir",
                "--show-object-format",
                "--show-cdup",
            )
            .output.decode("utf-8", "surrogateescape")
            .split("\n")
        )
        listed = git.check("config", "--list", "--show-scope", "--includes", "-z").output
    except GitFailureError as error:
        raise GitError(
            f"git refuses {directory}", details=error.details, resolution="run `git status` there"
        ) from None
    settings = tuple(_settings(listed.decode("utf-8", "surrogateescape")))
    return Clone(
        environment=environment,
        top=(directory / paths[2]).resolve(),
        git_directory=Path(paths[0]),
        object_format=paths[1],
        settings=settings,
        remote=next((value for name, value in settings if name == f"remote.{REMOTE}.url"), ""),
    )


def _settings(listed: str) -> list[tuple[str, str]]:
    """Pairs of `git config --list --show-scope -z`: scope, NUL, name, line feed, value, NUL."""
    parts = listed.split("\0")
    found = []
    for scope, pair in zip(parts[0::2], parts[1::2], strict=False):
        name, separator, value = pair.partition("\n")
        if scope in ("local", "worktree"):
            found.append((name, value if separator else "true"))
    return found
