"""A branch at its remote, read and written without a clone of it: documents, and the commit that follows."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from orchestrator.core.documents import Document, parse_documents
from orchestrator.core.model import Desired
from orchestrator.core.settings import Settings, environment_file_candidates, parse_settings
from orchestrator.edges.credentials import SecretSource
from orchestrator.edges.git_process import GitFailureError
from orchestrator.edges.lock_branch import pause, short
from orchestrator.edges.providers import read_environment
from orchestrator.edges.schemas import read_schema
from orchestrator.edges.state_repository import Move, Pushed, StateRepository
from orchestrator.errors import DocumentError, GitError, ProviderError, RevisionError

MANIFEST = "manifest.json"
SETTINGS = "orchestrator.toml"
RACE_SECONDS = 300.0
OUTAGE_SECONDS = 30.0
HEADS = "refs/heads/"

Means = Literal["show", "push", "pull request"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchTree:
    """One commit's files.

    Attributes:
        ref: the branch's full name; empty for a commit by its name.
        stack: the stack's directory inside the repository, or empty.
        files: blob by path.
        settings_text: orchestrator.toml, read at once since the repository may be closed later; None: there is none.
    """

    repository: StateRepository
    ref: str
    commit: str
    stack: str
    files: Mapping[str, str]
    settings_text: bytes | None = None

    @property
    def label(self) -> str:
        """For messages: `dev@1a2b3c4d5e`, or the commit."""
        return f"{short(self.ref)}@{self.commit[:10]}" if self.ref else self.commit[:10]

    def path(self, name: str) -> str:
        """Where a document of the stack is inside the repository."""
        return PurePosixPath(self.stack, name).as_posix()

    def read(self, name: str) -> bytes | None:
        """A document of the stack; None when there is none."""
        blob = self.files.get(self.path(name))
        return None if blob is None else self.repository.read(blob)

    def manifest(self) -> Document:
        """manifest.json.

        Raises:
            DocumentError: there is none.
        """
        content = self.read(MANIFEST)
        if content is None:
            raise DocumentError(
                f"there is no {MANIFEST} at {self.label}",
                resolution=f"commit one in {self.stack or 'the top directory'}, or correct -C",
            )
        if self.repository.mode(self.commit, self.path(MANIFEST)) == "120000":
            raise DocumentError(
                f"{self.path(MANIFEST)} at {self.label} is a symbolic link",
                resolution="commit the file itself there",
            )
        return Document(label=MANIFEST, content=content)

    def settings(self) -> Settings:
        """orchestrator.toml; without one, the defaults."""
        return parse_settings(self.settings_text, SETTINGS, read_schema("settings"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a commit on top of a branch is to be.

    Attributes:
        files: content by the document's name.
    """

    files: Mapping[str, bytes]
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What has become of it.

    Attributes:
        commit: empty: nothing was to be done, or it was only shown.
        branch: that it was pushed to.
        is_new: the branch has it only now.
    """

    tree: BranchTree
    commit: str = ""
    branch: str = ""
    is_new: bool = False


def read_branch(repository: StateRepository, branches: tuple[str, ...], stack: str) -> BranchTree:
    """The tip of the first of these branches that exists.

    Raises:
        GitError: the remote cannot be reached.
        RevisionError: there is none of them.
    """
    for branch in branches:
        commit = repository.fetch(HEADS + branch)
        if commit:
            return _tree(repository, HEADS + branch, commit, stack)
    raise RevisionError(
        f"there is no branch {branches[0]!r} at {repository.shown}",
        resolution="correct the name, or push the branch",
    )


def read_commit(repository: StateRepository, commit: str, stack: str) -> BranchTree:
    """The files of a commit that the remote has.

    Raises:
        GitError: the remote cannot be reached, or does not give it.
    """
    found = repository.fetch(commit)
    if not found:
        raise GitError(
            f"{repository.shown} does not have the commit {commit[:10]}",
            resolution="it was perhaps rewritten; name a branch instead",
        )
    return _tree(repository, "", found, stack)


def _tree(repository: StateRepository, ref: str, commit: str, stack: str) -> BranchTree:
    files = repository.files(commit)
    blob = files.get(PurePosixPath(stack, SETTINGS).as_posix())
    text = None if blob is None else repository.read(blob)
    return BranchTree(
        repository=repository, ref=ref, commit=commit, stack=stack, files=files, settings_text=text
    )


def read_environment_document(
    tree: BranchTree,
    settings: Settings,
    environment: str,
    *,
    secrets: SecretSource,
    directory: Path | None,
) -> Document | None:
    """The environment JSON, from the tree or its provider; None where there is none.

    Args:
        directory: where a provider's command runs; None: nowhere.
    """
    named = settings.environments.get(environment)
    if named is not None and named.provider is not None:
        if directory is None and named.provider.command:
            raise ProviderError(
                f"the environment JSON of {environment} comes from a command of another repository",
                resolution="run this in a clone of that repository",
            )
        return read_environment(
            named.provider, environment, secrets=secrets, directory=directory or Path.cwd()
        )
    for path in environment_file_candidates(settings, environment):
        content = tree.read(path)
        if content is not None:
            return Document(label=path, content=content)
    return None


def applications_in(document: Document | None, manifest: Document, environment: str) -> frozenset[str] | None:
    """The applications that the environment JSON has entries for; None where they need none."""
    if document is None:
        return None
    value, named = json.loads(document.content), json.loads(manifest.content).get("environments", {})
    if environment in named:
        return None
    return frozenset(value.get("applications", {}))


def environment_in(document: Document | None) -> str:
    """What the environment JSON calls itself; empty without one."""
    return str(json.loads(document.content).get("environment", "")) if document is not None else ""


def parse_desired(manifest: Document, environment: Document | None, name: str, settings: Settings) -> Desired:
    """What git would ask for in that environment.

    Raises:
        DocumentError: with every violation at once.
    """
    return parse_documents(
        manifest=manifest,
        environment=environment,
        environment_name=name,
        settings=settings,
        schemas={one: read_schema(one) for one in ("manifest", "environment")},
    )


def write_branch(
    read: Callable[[], BranchTree],
    make: Callable[[BranchTree], Change | None],
    *,
    means: Means,
    own_branch: Callable[[BranchTree], str] = lambda tree: "",
) -> Written:
    """The change is made on top of the branch as it is then; whoever was quicker is built upon.

    Args:
        read: the branch as it is now.
        make: what it changes there; None: nothing. Called again when somebody else has pushed.
        means: `pull request` pushes to `own_branch`, whose earlier content is replaced.

    Raises:
        GitError: it could not be pushed.
    """
    began, outage = time.monotonic(), 0.0
    while True:
        tree = read()
        change = make(tree)
        if change is None or means == "show":
            return Written(tree=tree)
        repository = tree.repository
        commit = _commit(tree, change)
        ref, expected = tree.ref, tree.commit
        if means == "pull request":
            ref = HEADS + own_branch(tree)
            expected = repository.fetch(ref)
            if expected and repository.essence(expected) == repository.essence(commit):
                return Written(tree=tree, commit=expected, branch=short(ref))
        pushed = repository.push(Move(ref=ref, expected=expected, commit=commit))
        if pushed.verdict == "done" or (pushed.verdict == "unreachable" and _has(repository, ref, commit)):
            return Written(tree=tree, commit=commit, branch=short(ref), is_new=True)
        now = time.monotonic()
        outage = 0.0 if pushed.verdict == "raced" else outage or now
        if pushed.verdict not in ("raced", "unreachable"):
            raise _refused(repository, ref, pushed)
        if now - began > RACE_SECONDS or (outage and now - outage > OUTAGE_SECONDS):
            raise repository.unreachable(pushed.details)
        pause(0.01, min(2.0, 0.2 + (now - began) / 10))


def _commit(tree: BranchTree, change: Change) -> str:
    repository = tree.repository
    blobs: dict[str, str | None] = {
        tree.path(name): repository.write(content) for name, content in change.files.items()
    }
    modes = {path: repository.mode(tree.commit, path) for path in blobs}
    try:
        return repository.commit(blobs, parent=tree.commit, message=change.message, signed=True, modes=modes)
    except GitFailureError as error:
        raise GitError(
            "the commit cannot be made or signed",
            details=error.details,
            resolution="see git's user.signingkey and gpg.format",
        ) from None


def _has(repository: StateRepository, ref: str, commit: str) -> bool:
    try:
        return repository.tip(ref) == commit
    except GitError:
        return False


def _refused(repository: StateRepository, ref: str, pushed: Pushed) -> GitError:
    return GitError(
        f"{repository.shown} does not allow a push to {short(ref)}",
        details=pushed.details,
        resolution="a protected branch takes pull requests only: use --pr; or let this account push there",
    )
