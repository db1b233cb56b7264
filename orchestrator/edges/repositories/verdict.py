"""Several failures told as one error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.errors import (
    ArtifactNotFoundError,
    ChecksumError,
    CredentialsError,
    DocumentError,
    OrchestratorError,
    RepositoryError,
)

_GRAVEST_FIRST: Final[tuple[type[OrchestratorError], ...]] = (
    DocumentError,
    ChecksumError,
    CredentialsError,
    ArtifactNotFoundError,
    RepositoryError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What went wrong for one artifact, and which applications want it."""

    applications: tuple[str, ...]
    error: OrchestratorError

    def __str__(self) -> str:
        return f"{', '.join(self.applications)}: {self.error.brief}"


def joined_failures(failures: Iterable[Failure], *, total: int) -> OrchestratorError:
    """Return one error for at least one failure: of the gravest class, with every failure in it.

    Args:
        total: how many applications there are, failed or not.
    """
    ordered = sorted(failures, key=lambda failure: (_gravity(failure.error), failure.applications))
    first = ordered[0]
    kind = type(first.error)
    if len(ordered) == 1:
        error = kind(str(first), details=first.error.details, resolution=first.error.resolution)
    else:
        failed = sum(len(failure.applications) for failure in ordered)
        remedies = dict.fromkeys(f.error.resolution for f in ordered if f.error.resolution)
        error = kind(
            f"the artifacts of {failed} of {total} applications cannot be resolved",
            details=tuple(_lines(ordered, with_remedy=len(remedies) > 1)),
            resolution=next(iter(remedies)) if len(remedies) == 1 else "each failure names its remedy",
        )
    error.__cause__ = first.error
    return error


def _lines(failures: Sequence[Failure], *, with_remedy: bool) -> Iterator[str]:
    for failure in failures:
        yield str(failure)
        yield from (f"  {detail}" for detail in failure.error.details)
        if with_remedy and failure.error.resolution:
            yield f"  → {failure.error.resolution}"


def _gravity(error: OrchestratorError) -> int:
    return next(
        (rank for rank, kind in enumerate(_GRAVEST_FIRST) if isinstance(error, kind)), len(_GRAVEST_FIRST)
    )
