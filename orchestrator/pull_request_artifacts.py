"""The artifacts of a pull request, looked up where the target itself would look, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.core.artifacts import ResolvedArtifact
from orchestrator.core.model import Artifact, Desired, Reference, Repository
from orchestrator.core.pull_request import untrusted_repositories
from orchestrator.edges.credentials import SecretSource
from orchestrator.edges.repositories import resolve_artifacts, resolve_offline
from orchestrator.edges.repositories.locations import directory_root
from orchestrator.edges.target_files import TargetFiles
from orchestrator.errors import CredentialsError, OrchestratorError


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """What became of it.

    Attributes:
        artifacts: all of them by application, at the places that a deployment will know them by.
        unseen: application → why nobody has seen its artifact.
        problem: why artifacts were not found, though they were looked for.
    """

    artifacts: Mapping[str, ResolvedArtifact]
    unseen: Mapping[str, str]
    problem: OrchestratorError | None = None


def look_up_artifacts(
    target: Desired | None,
    merged: Desired,
    files: TargetFiles,
    *,
    secrets: SecretSource,
    directory: Path,
    offline: bool,
) -> Lookup:
    """Every artifact of the merged documents; looked for only in repositories that the target has just so.

    Args:
        target: None: its documents cannot be used, so no repository is asked.
        directory: what relative paths are relative to when the merge is deployed.
    """
    everything = {one.application.name: one.application.artifact for one in merged.placements}
    named = resolve_offline(everything.items(), merged.repositories, directory=directory)
    wanted = {name: artifact for name, artifact in everything.items() if not artifact.image}
    if offline:
        return Lookup(artifacts=named, unseen=dict.fromkeys(wanted, "not looked up: --offline"))
    reasons = untrusted_repositories(target, merged)
    repositories = {}
    for name in sorted({artifact.repository for artifact in wanted.values()} - reasons.keys()):
        repository = merged.repositories[name]
        if problem := _missing_secret(repository, secrets):
            reasons[name] = problem
        else:
            repositories[name] = _own(repository, files, directory)
    unseen: dict[str, str] = {}
    sought: dict[str, Artifact] = {}
    for name, artifact in wanted.items():
        if artifact.repository in reasons:
            unseen[name] = f"not looked up: {reasons[artifact.repository]}"
        elif _is_absent(
            artifact, merged.repositories[artifact.repository], repositories[artifact.repository]
        ):
            unseen[name] = (
                "not looked up: its file is not among the target's, and the pull request's are not read"
            )
        else:
            sought[name] = artifact
    found: dict[str, ResolvedArtifact] = {}

    def remember(artifact: ResolvedArtifact) -> None:
        found[artifact.application] = artifact

    failure = None
    try:
        resolve_artifacts(
            sought.items(), repositories, secrets=secrets, directory=directory, on_resolved=remember
        )
    except OrchestratorError as error:
        failure = error
        unseen |= {name: "not found, see above" for name in sought if name not in found}
    return Lookup(
        artifacts={name: _seen(one, found.get(name)) for name, one in named.items()},
        unseen=unseen,
        problem=failure,
    )


def _missing_secret(repository: Repository, secrets: SecretSource) -> str:
    """Why this machine cannot ask the repository; empty when it can."""
    wanted = repository.credentials
    for reference in (wanted.username, wanted.password, wanted.token) if wanted else ():
        if isinstance(reference, Reference):
            try:
                secrets.value(reference)
            except CredentialsError as error:
                return error.brief
    return ""


def _own(repository: Repository, files: TargetFiles, directory: Path) -> Repository:
    """The repository as it is looked at: a directory of the checkout is the target's own files instead."""
    if repository.type != "directory":
        return repository
    place = files.in_place_of(Path(directory_root(repository, directory)))
    return repository if place is None else replace(repository, path=str(place))


def _is_absent(artifact: Artifact, named: Repository, own: Repository) -> bool:
    """Whether it is looked for among the target's files, and is not there: the merge may bring it."""
    return named != own and not (Path(own.path) / artifact.path).exists()


def _seen(named: ResolvedArtifact, found: ResolvedArtifact | None) -> ResolvedArtifact:
    if found is None:
        return named
    return replace(named, size_bytes=found.size_bytes, sha256=found.sha256, digest_source=found.digest_source)
