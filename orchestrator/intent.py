"""Read: which commit and environment a command is about, and what the documents say there."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from orchestrator.core.branches import explain_no_environment, is_environment_branch
from orchestrator.core.documents import Document, parse_documents
from orchestrator.core.model import Desired
from orchestrator.core.observed import Identity
from orchestrator.core.release_entries import read_templates
from orchestrator.core.settings import (
    Settings,
    branch_for_environment,
    branches_for_environment,
    environment_file_candidates,
    environment_for_branch,
    environment_names,
    parse_settings,
)
from orchestrator.core.state_refs import is_state_branch
from orchestrator.core.violations import Violations
from orchestrator.edges.credentials import ControllerSecrets
from orchestrator.edges.git import DeploymentRepository, Revision
from orchestrator.edges.providers import read_environment
from orchestrator.edges.schemas import read_schema
from orchestrator.errors import DocumentError, GitError, RevisionError, UsageError

MANIFEST = "manifest.json"
SETTINGS = "orchestrator.toml"
ENDING = "-env.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a command is about, as the command line says it.

    Attributes:
        strict: a missing branch is an error even where HEAD would do (deploy).
        worktree: read the dirty work tree instead of a commit.
    """

    directory: Path
    branch: str = ""
    environment: str = ""
    ref: str = ""
    worktree: bool = False
    offline: bool = False
    strict: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """Documents at one commit, parsed."""

    repository: DeploymentRepository
    revision: Revision
    settings: Settings
    desired: Desired
    identity: Identity
    secrets: ControllerSecrets


def read_intent(target: Target) -> Intent:
    """The documents of the environment that the target names, at its commit.

    Raises:
        GitError, RevisionError, DocumentError, ProviderError, UsageError.
    """
    repository = DeploymentRepository(target.directory)
    return read_intent_at(repository, *choose_revision(repository, target))


def read_intent_at(repository: DeploymentRepository, revision: Revision, environment: str) -> Intent:
    """The documents of that environment at that commit.

    Args:
        environment: empty: the one that the revision's branch is aligned with.

    Raises:
        GitError, RevisionError, DocumentError, ProviderError, UsageError.
    """
    settings = read_settings(repository, revision)
    environment = environment or _environment_of(settings, revision)
    secrets = ControllerSecrets(dict(os.environ))
    manifest = repository.read(revision, MANIFEST)
    if manifest is None:
        raise DocumentError(
            f"there is no {MANIFEST} at {revision.label}",
            resolution=f"commit one in {repository.stack or 'the top directory'}, or correct -C",
        )
    document = _read_environment(repository, revision, settings, environment, secrets)
    desired = parse_documents(
        manifest=Document(label=MANIFEST, content=manifest),
        environment=document,
        environment_name=environment,
        settings=settings,
        schemas={name: read_schema(name) for name in ("manifest", "environment")},
        roles=repository.own_roles(revision) if document and b'"role"' in document.content else None,
    )
    desired = read_templates(desired, lambda path: repository.read(revision, path))
    return Intent(
        repository=repository,
        revision=revision,
        settings=settings,
        desired=desired,
        identity=Identity(
            repository=settings.name or repository.name,
            stack=repository.stack,
            environment=desired.environment,
        ),
        secrets=secrets,
    )


def environments_of(target: Target) -> tuple[str, ...]:
    """Every environment that the repository names: settings, files and the manifest, sorted."""
    repository = DeploymentRepository(target.directory)
    head = Revision(commit="") if target.worktree else repository.resolve_ref(target.ref or "HEAD")
    return tuple(sorted(_known_environments(repository, head, read_settings(repository, head))))


def _known_environments(repository: DeploymentRepository, revision: Revision, settings: Settings) -> set[str]:
    files, named = _environment_files(repository, revision), _named_in_manifest(repository, revision)
    found = {*settings.environments, *named}
    found.update(PurePosixPath(path).name.removesuffix(ENDING) for path in files if path.endswith(ENDING))
    if "production" in found:
        found.discard("prod")
    return found


def no_environment(repository: DeploymentRepository, revision: Revision, branch: str) -> str:
    """Why there is nothing to deploy from that branch, one sentence; empty when it is an environment's."""
    settings = read_settings(repository, revision)
    files, named = _environment_files(repository, revision), _named_in_manifest(repository, revision)
    if not is_state_branch(branch, settings) and is_environment_branch(settings, branch, files, named):
        return ""
    found = {PurePosixPath(path).name.removesuffix(ENDING) for path in files if path.endswith(ENDING)}
    return explain_no_environment(settings, branch, {*found, *named, *settings.environments})


def _environment_files(repository: DeploymentRepository, revision: Revision) -> tuple[str, ...]:
    """Files where environment JSONs may be, relative to orchestrator.toml."""
    below = (f"inventories/{name}" for name in repository.list_files(revision, "inventories"))
    return (*repository.list_files(revision, ""), *below)


def _named_in_manifest(repository: DeploymentRepository, revision: Revision) -> tuple[str, ...]:
    return _environments_in_manifest(repository.read(revision, MANIFEST))


def manifest_version_at(repository: DeploymentRepository, revision: Revision) -> str:
    """The manifest's version at a commit of which nothing else is read; empty when it cannot be told."""
    import json

    try:
        if revision.commit:
            repository.resolve_ref(revision.commit)
        manifest = json.loads(repository.read(revision, MANIFEST) or b"{}")
    except (GitError, RevisionError, ValueError, RecursionError):
        return ""
    version = manifest.get("manifest_version") if isinstance(manifest, dict) else None
    return version if isinstance(version, str) else ""


def choose_revision(repository: DeploymentRepository, target: Target) -> tuple[Revision, str]:
    """The revision that the target means, and the environment's name where the command line gives it.

    Raises:
        GitError, RevisionError, UsageError.
    """
    if target.worktree:
        return Revision(commit="", branch=repository.current_branch()), target.environment
    if target.ref:
        return repository.resolve_ref(target.ref), target.environment
    if target.branch:
        return repository.resolve_branch(target.branch, offline=target.offline), target.environment
    if target.environment:
        return _choose_for_environment(repository, target), target.environment
    branch = repository.current_branch()
    if not branch:
        raise UsageError(
            "HEAD is detached, so there is no branch to follow",
            resolution="say which one with --branch, --environment or --ref",
        )
    return repository.resolve_branch(branch, offline=target.offline), ""


def _environment_of(settings: Settings, revision: Revision) -> str:
    environment = environment_for_branch(settings, revision.branch) if revision.branch else None
    if environment is None:
        raise RevisionError(
            f"{revision.branch or revision.label} belongs to no environment",
            resolution="name one with --environment, or map the branch in orchestrator.toml",
        )
    return environment


def _choose_for_environment(repository: DeploymentRepository, target: Target) -> Revision:
    head = repository.resolve_ref("HEAD")
    settings = read_settings(repository, head)
    found = find_branch(repository, settings, target.environment, offline=target.offline)
    if found is not None:
        return found
    branch = branch_for_environment(settings, target.environment)
    _refuse_unknown(repository, head, settings, target.environment)
    if target.strict:
        raise RevisionError(
            f"there is no branch {branch!r}, which {target.environment} is deployed from",
            resolution="push that branch, or say what to deploy: "
            f"--environment {target.environment} --ref HEAD",
        )
    return Revision(commit=head.commit, branch="", note=f"there is no branch {branch!r}; reading HEAD")


def find_branch(
    repository: DeploymentRepository, settings: Settings, environment: str, *, offline: bool
) -> Revision | None:
    """The tip of the environment's branch, under its own name or its alias's; None where there is none.

    Raises:
        GitError: the remote cannot be reached.
    """
    for branch in branches_for_environment(settings, environment):
        with contextlib.suppress(RevisionError):
            return repository.resolve_branch(branch, offline=offline)
    return None


def _refuse_unknown(
    repository: DeploymentRepository, head: Revision, settings: Settings, environment: str
) -> None:
    """A name that no branch, no document and no setting has is a typo."""
    known = _known_environments(repository, head, settings)
    if not known or set(environment_names(environment)) & known:
        return
    near = Violations().near_miss(environment, known)
    raise RevisionError(
        f"there is no environment {environment!r} at {head.label}{near}",
        resolution=f"it has {', '.join(sorted(known))}",
    )


def read_settings(repository: DeploymentRepository, revision: Revision) -> Settings:
    """orchestrator.toml at that commit."""
    return parse_settings(repository.read(revision, SETTINGS), SETTINGS, read_schema("settings"))


def _read_environment(
    repository: DeploymentRepository,
    revision: Revision,
    settings: Settings,
    environment: str,
    secrets: ControllerSecrets,
) -> Document | None:
    provider = settings.environments[environment].provider if environment in settings.environments else None
    if provider is not None:
        return read_environment(provider, environment, secrets=secrets, directory=repository.directory)
    for path in environment_file_candidates(settings, environment):
        content = repository.read(revision, path)
        if content is not None:
            return Document(label=path, content=content)
    return None


def _environments_in_manifest(content: bytes | None) -> tuple[str, ...]:
    import json

    try:
        manifest = json.loads(content or b"{}")
    except ValueError:
        return ()
    named = manifest.get("environments") if isinstance(manifest, dict) else None
    return tuple(named) if isinstance(named, dict) else ()
