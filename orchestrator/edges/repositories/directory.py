"""Artifacts in a directory of the controller, which sends them to the hosts itself."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

from orchestrator.core.model import Repository
from orchestrator.edges.repositories.locations import artifact_location, directory_root
from orchestrator.edges.repositories.protocol import Found
from orchestrator.errors import ArtifactNotFoundError, RepositoryError

_PIECE_BYTES: Final = 1 << 20
_SIDECAR_LIMIT_BYTES: Final = 1 << 16


class DirectoryRepository:
    """A repository of type `directory`."""

    delivery: Literal["host", "controller"] = "controller"

    def __init__(self, repository: Repository, directory: Path) -> None:
        self._repository = repository
        self._directory = directory
        self._root = Path(directory_root(repository, directory))

    def location(self, path: str) -> str:
        """Return the absolute path of the file."""
        return artifact_location(self._repository, path, self._directory)

    def find(self, path: str, *, archive: bool) -> Found:
        """Return the size of the file; see `ArtifactRepository.find`."""
        location = self._inside(path)
        try:
            status = location.stat()
        except OSError as error:
            raise self._unreadable(location, error) from error
        if not stat.S_ISREG(status.st_mode):
            raise RepositoryError(
                f"{location}: the artifact is not a regular file",
                resolution="name a file in the artifact's path",
            )
        return Found(size_bytes=status.st_size)

    def published_sha256(self, path: str, found: Found) -> str | None:
        """Return None: a directory keeps no record of digests."""
        return None

    def read_sidecar(self, path: str) -> bytes | None:
        """Return the content of the `.sha256` file beside it, or None."""
        try:
            sidecar = self._inside(f"{path}.sha256")
            if not sidecar.is_file():
                return None
            with sidecar.open("rb") as file:
                return file.read(_SIDECAR_LIMIT_BYTES)
        except (OSError, ArtifactNotFoundError, RepositoryError):
            return None

    def read(self, path: str, consume: Callable[[bytes], object], restart: Callable[[], object]) -> None:
        """Hand the file's bytes to `consume`."""
        location = self._inside(path)
        restart()
        try:
            with location.open("rb") as file:
                while piece := file.read(_PIECE_BYTES):
                    consume(piece)
        except OSError as error:
            raise self._unreadable(location, error) from error

    def _inside(self, path: str) -> Path:
        """Return the file with links followed, which has to be inside the repository's directory."""
        location = Path(self.location(path))
        try:
            root = self._root.resolve(strict=True)
        except (OSError, RuntimeError) as error:
            raise RepositoryError(
                f"repository {self._repository.name}: its directory {self._root} cannot be used ({error})",
                resolution="create it, or correct `path` (relative to the deployment repository)",
            ) from error
        try:
            actual = location.resolve(strict=True)
        except (OSError, RuntimeError) as error:
            raise self._unreadable(location, error) from error
        if not actual.is_relative_to(root):
            raise RepositoryError(
                f"{location}: a symbolic link leads out of the repository's directory, to {actual}",
                resolution="put the file itself into the directory",
            )
        return actual

    def _unreadable(self, location: Path, error: Exception) -> ArtifactNotFoundError | RepositoryError:
        if isinstance(error, (FileNotFoundError, NotADirectoryError)):
            return ArtifactNotFoundError(
                f"{location}: there is no such file in repository {self._repository.name}",
                resolution="put the file there, or correct the version or path in the manifest",
            )
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return RepositoryError(
            f"{location}: the artifact cannot be read ({reason})",
            resolution="check the permissions of the file and of the directories above it",
        )
