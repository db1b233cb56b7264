"""What a kind of repository has to offer so that its artifacts can be resolved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The repository has the artifact.

    Attributes:
        size_bytes: None when the repository does not say.
        sha256: what came along with the answer, or None.
    """

    size_bytes: int | None
    sha256: str | None = None


class ArtifactRepository(Protocol):
    """One repository of an environment, ready to be asked. Safe to use from several threads."""

    @property
    def delivery(self) -> Literal["host", "controller"]:
        """Who fetches from `location`."""
        ...

    def location(self, path: str) -> str:
        """Return the exact URL or absolute path of the artifact."""
        ...

    def find(self, path: str, *, archive: bool) -> Found:
        """Return what is at `path`.

        Args:
            archive: the artifact is an archive, so that a web page in its place is an error.

        Raises:
            ArtifactNotFoundError: there is nothing at `path`.
            CredentialsError: the repository refuses our credentials, or asks for some.
            RepositoryError: it cannot be reached or misbehaves.
        """
        ...

    def published_sha256(self, path: str, found: Found) -> str | None:
        """Return the SHA-256 that the repository computed for this exact path; None when it says none."""
        ...

    def read_sidecar(self, path: str) -> bytes | None:
        """Return the content of the `.sha256` file beside the artifact, or None."""
        ...

    def read(self, path: str, consume: Callable[[bytes], object], restart: Callable[[], object]) -> None:
        """Hand all bytes of the artifact to `consume`, in pieces.

        Args:
            restart: called before the first piece, again when a broken transfer starts anew.

        Raises:
            OrchestratorError: as `find`.
        """
        ...
