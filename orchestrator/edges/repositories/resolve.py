"""Artifacts of a deployment looked up in their repositories: existence, size and SHA-256."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Final, assert_never

from orchestrator.core.artifacts import ResolvedArtifact
from orchestrator.core.model import Artifact, Repository
from orchestrator.edges.credentials import SecretSource
from orchestrator.edges.repositories.digests import Digest, determine_digest
from orchestrator.edges.repositories.directory import DirectoryRepository
from orchestrator.edges.repositories.images import split_images
from orchestrator.edges.repositories.locations import artifact_location
from orchestrator.edges.repositories.protocol import ArtifactRepository
from orchestrator.edges.repositories.verdict import Failure, joined_failures
from orchestrator.errors import ChecksumError, DocumentError, OrchestratorError

if TYPE_CHECKING:
    from orchestrator.edges.repositories.session import HttpSession

_THREADS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """One file of one repository and the applications that want it."""

    repository: str
    artifact: Artifact
    applications: tuple[str, ...]
    pins: Mapping[str, str]

    def pinned(self) -> Artifact:
        """Return the artifact with the pin that its applications agree on.

        Raises:
            ChecksumError: they pin different digests for the same file.
        """
        if len(set(self.pins.values())) > 1:
            raise ChecksumError(
                f"{self.artifact.path} (repository {self.repository}) is pinned to different digests",
                details=tuple(f"{application}: {pin}" for application, pin in self.pins.items()),
                resolution="one file has one digest: correct the manifest",
            )
        return self.artifact


def resolve_artifacts(
    artifacts: Iterable[tuple[str, Artifact]],
    repositories: Mapping[str, Repository],
    *,
    secrets: SecretSource,
    directory: Path,
    on_resolved: Callable[[ResolvedArtifact], None] | None = None,
    timeout_seconds: float = 15.0,
) -> dict[str, ResolvedArtifact]:
    """Return each application's artifact with its location, size and SHA-256.

    Every file is looked up once, up to eight at a time.

    Args:
        artifacts: (application, artifact) pairs.
        secrets: asked only for the credentials of the repositories in use.
        directory: what relative paths of `directory` repositories are relative to.
        on_resolved: called in this thread for each application, as soon as its artifact is there.
        timeout_seconds: how long a server may stay silent.

    Raises:
        OrchestratorError: after all were tried; its class is that of the gravest failure, and its details
            list every one.
    """
    files, resolved = split_images(artifacts)
    targets = _targets(files)
    failures: list[Failure] = []
    stop = Event()
    with ExitStack() as stack:
        opened = _Opened(repositories, secrets, directory, timeout_seconds, stack)
        pool = ThreadPoolExecutor(
            max_workers=max(1, min(_THREADS, len(targets))), thread_name_prefix="resolve"
        )
        try:
            futures = {}
            for target in targets:
                try:
                    repository = opened.repository(target.repository)
                    artifact = target.pinned()
                except OrchestratorError as error:
                    failures.append(Failure(applications=target.applications, error=error))
                else:
                    futures[pool.submit(_resolve, repository, artifact, stop)] = target, repository
            for future in as_completed(futures):
                target, repository = futures[future]
                try:
                    digest = future.result()
                except OrchestratorError as error:
                    failures.append(Failure(applications=target.applications, error=error))
                    continue
                for application in target.applications:
                    found = _resolved(application, target, repositories, repository, digest)
                    resolved[application] = found
                    if on_resolved is not None:
                        on_resolved(found)
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        pool.shutdown()
    if failures:
        raise joined_failures(failures, total=sum(len(target.applications) for target in targets))
    return {application: resolved[application] for application in sorted(resolved)}


def resolve_offline(
    artifacts: Iterable[tuple[str, Artifact]], repositories: Mapping[str, Repository], *, directory: Path
) -> dict[str, ResolvedArtifact]:
    """Return what is known of each application's artifact without asking anyone: the place and the pin.

    Raises:
        DocumentError: an artifact's repository is unknown, or its path or URL cannot be.
    """
    files, resolved = split_images(artifacts)
    for application, artifact in files:
        repository = _known(repositories, artifact.repository)
        resolved[application] = ResolvedArtifact(
            application=application,
            delivery="controller" if repository.type == "directory" else "host",
            location=artifact_location(repository, artifact.path, directory),
            size_bytes=None,
            sha256=artifact.sha256 or "",
            digest_source="manifest pin" if artifact.sha256 else "not resolved",
            credentials=repository.credentials,
        )
    return dict(sorted(resolved.items()))


class _Opened:
    """Repositories, opened when they are first asked for; they share one HTTP session."""

    def __init__(
        self,
        repositories: Mapping[str, Repository],
        secrets: SecretSource,
        directory: Path,
        timeout_seconds: float,
        stack: ExitStack,
    ) -> None:
        self._repositories = repositories
        self._secrets = secrets
        self._directory = directory
        self._timeout_seconds = timeout_seconds
        self._stack = stack
        self._session: HttpSession | None = None
        self._opened: dict[str, ArtifactRepository] = {}

    def repository(self, name: str) -> ArtifactRepository:
        if name not in self._opened:
            self._opened[name] = self._open(_known(self._repositories, name))
        return self._opened[name]

    def _open(self, repository: Repository) -> ArtifactRepository:
        match repository.type:
            case "directory":
                return DirectoryRepository(repository, self._directory)
            case "nexus":
                from orchestrator.edges.repositories.nexus import NexusRepository

                return NexusRepository(repository, self._http(), self._secrets)
            case "artifactory":
                from orchestrator.edges.repositories.artifactory import ArtifactoryRepository

                return ArtifactoryRepository(repository, self._http(), self._secrets)
            case "http":
                from orchestrator.edges.repositories.http_repository import HttpRepository

                return HttpRepository(repository, self._http(), self._secrets)
            case _:
                assert_never(repository.type)

    def _http(self) -> HttpSession:
        if self._session is None:
            from orchestrator.edges.repositories.session import HttpSession

            self._session = self._stack.enter_context(HttpSession(timeout_seconds=self._timeout_seconds))
        return self._session


def _targets(artifacts: Iterable[tuple[str, Artifact]]) -> list[_Target]:
    wanted: dict[tuple[str, str], list[tuple[str, Artifact]]] = {}
    for application, artifact in artifacts:
        wanted.setdefault((artifact.repository, artifact.path), []).append((application, artifact))
    return [
        _Target(
            repository=repository,
            artifact=next((artifact for _, artifact in pairs if artifact.sha256), pairs[0][1]),
            applications=tuple(application for application, _ in pairs),
            pins={application: artifact.sha256 for application, artifact in pairs if artifact.sha256},
        )
        for (repository, _), pairs in wanted.items()
    ]


def _resolve(repository: ArtifactRepository, artifact: Artifact, stop: Event) -> Digest:
    found = repository.find(artifact.path, archive=artifact.packing != "file")
    return determine_digest(repository, artifact, found, stop=stop)


def _resolved(
    application: str,
    target: _Target,
    repositories: Mapping[str, Repository],
    repository: ArtifactRepository,
    digest: Digest,
) -> ResolvedArtifact:
    return ResolvedArtifact(
        application=application,
        delivery=repository.delivery,
        location=repository.location(target.artifact.path),
        size_bytes=digest.size_bytes,
        sha256=digest.sha256,
        digest_source=digest.source,
        credentials=repositories[target.repository].credentials,
    )


def _known(repositories: Mapping[str, Repository], name: str) -> Repository:
    try:
        return repositories[name]
    except KeyError:
        raise DocumentError(
            f"the environment has no repository {name!r}",
            details=(f"it has: {', '.join(sorted(repositories)) or 'none'}",),
            resolution="define it under `repositories`, or name another one in the artifact",
        ) from None
