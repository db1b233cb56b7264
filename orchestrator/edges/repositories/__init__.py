"""Artifact repositories: each artifact is resolved once, on the controller, before any host is touched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from orchestrator.core.artifacts import ResolvedArtifact
from orchestrator.core.model import Artifact, Repository
from orchestrator.edges.credentials import SecretSource
from orchestrator.edges.repositories.locations import artifact_location
from orchestrator.errors import (
    ArtifactNotFoundError,
    ChecksumError,
    CredentialsError,
    OrchestratorError,
    RepositoryError,
)

if TYPE_CHECKING:
    from orchestrator.edges.repositories.protocol import ArtifactRepository
    from orchestrator.edges.repositories.session import HttpSession

AT_ONCE = 8
TIMEOUT_SECONDS = 20.0
_SEVERITY = (ChecksumError, CredentialsError, ArtifactNotFoundError, RepositoryError)


def resolve_offline(
    artifacts: Iterable[tuple[str, Artifact]], repositories: Mapping[str, Repository], *, directory: Path
) -> dict[str, ResolvedArtifact]:
    """Return what can be said without asking anybody: the location, and the manifest's pin."""
    return {
        application: ResolvedArtifact(
            application=application,
            delivery="controller" if repositories[artifact.repository].type == "directory" else "host",
            location=artifact_location(repositories[artifact.repository], artifact.path, directory),
            size_bytes=None,
            sha256=artifact.sha256 or "",
            digest_source="manifest pin" if artifact.sha256 else "not resolved",
            credentials=repositories[artifact.repository].credentials,
        )
        for application, artifact in artifacts
    }


def resolve_artifacts(
    artifacts: Iterable[tuple[str, Artifact]],
    repositories: Mapping[str, Repository],
    *,
    secrets: SecretSource,
    directory: Path,
    on_resolved: Callable[[ResolvedArtifact], None] | None = None,
) -> dict[str, ResolvedArtifact]:
    """Return every artifact by application: it exists, and its size and SHA-256 are known.

    Args:
        directory: what a relative path of a `directory` repository is relative to.
        on_resolved: called from other threads as each one is found.

    Raises:
        OrchestratorError: of the most serious kind among the failures; `details` has all of them.
    """
    from orchestrator.edges.repositories.digests import determine_digest
    from orchestrator.edges.repositories.session import HttpSession

    wanted = list(artifacts)
    stop = Event()
    with HttpSession(timeout_seconds=TIMEOUT_SECONDS) as session:
        opened = _open_all({one.repository for _, one in wanted}, repositories, session, secrets, directory)

        def work(item: tuple[str, Artifact]) -> ResolvedArtifact | OrchestratorError:
            application, artifact = item
            repository = opened[artifact.repository]
            if isinstance(repository, OrchestratorError):
                return repository
            try:
                found = repository.find(artifact.path, archive=artifact.packing != "file")
                digest = determine_digest(repository, artifact, found, stop=stop)
            except OrchestratorError as error:
                return error
            resolved = ResolvedArtifact(
                application=application,
                delivery=repository.delivery,
                location=repository.location(artifact.path),
                size_bytes=digest.size_bytes,
                sha256=digest.sha256,
                digest_source=digest.source,
                credentials=repositories[artifact.repository].credentials,
            )
            if on_resolved is not None:
                on_resolved(resolved)
            return resolved

        pool = ThreadPoolExecutor(max_workers=AT_ONCE)
        try:
            results = list(pool.map(work, wanted))
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
    failures = [result for result in results if isinstance(result, OrchestratorError)]
    if failures:
        raise _combine(failures)
    return {result.application: result for result in results if isinstance(result, ResolvedArtifact)}


def _open_all(
    names: set[str],
    repositories: Mapping[str, Repository],
    session: HttpSession,
    secrets: SecretSource,
    directory: Path,
) -> dict[str, ArtifactRepository | OrchestratorError]:
    from orchestrator.edges.repositories.directory import DirectoryRepository
    from orchestrator.edges.repositories.web import ArtifactoryRepository, HttpRepository, NexusRepository

    kinds = {"nexus": NexusRepository, "artifactory": ArtifactoryRepository, "http": HttpRepository}
    opened: dict[str, ArtifactRepository | OrchestratorError] = {}
    for name in names:
        repository = repositories[name]
        try:
            if repository.type == "directory":
                opened[name] = DirectoryRepository(repository, directory)
            else:
                opened[name] = kinds[repository.type](repository, session, secrets)
        except OrchestratorError as error:
            opened[name] = error
    return opened


def _combine(failures: list[OrchestratorError]) -> OrchestratorError:
    distinct = list({(error.brief, error.details): error for error in failures}.values())
    if len(distinct) == 1:
        return distinct[0]
    kind = next(
        (one for one in _SEVERITY if any(isinstance(error, one) for error in distinct)), type(distinct[0])
    )
    return kind(
        f"{len(distinct)} artifacts cannot be had; no host was touched",
        details=tuple(
            line for error in distinct for line in (error.brief, *(f"  {one}" for one in error.details))
        ),
        resolution="; ".join(dict.fromkeys(error.resolution for error in distinct if error.resolution)),
    )
