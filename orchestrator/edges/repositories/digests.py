"""Which SHA-256 an artifact has, and who says so.

The order: the manifest's pin, the repository's own record for that exact path, a `.sha256` file beside the
artifact, or the bytes themselves, read once.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from threading import Event
from typing import Final

from orchestrator.core.artifacts import DigestSource
from orchestrator.core.model import Artifact
from orchestrator.edges.repositories.protocol import ArtifactRepository, Found
from orchestrator.errors import ChecksumError, RepositoryError

_HEX: Final = r"[0-9a-fA-F]{64}"
_BARE: Final = re.compile(rf"({_HEX})")
_GNU: Final = re.compile(rf"({_HEX}) [ *](.+)")
_BSD: Final = re.compile(rf"SHA(?:2-)?256 ?\((.+)\) ?= ?({_HEX})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """An artifact's SHA-256 and size, and where the SHA-256 comes from."""

    sha256: str
    source: DigestSource
    size_bytes: int


def determine_digest(
    repository: ArtifactRepository, artifact: Artifact, found: Found, *, stop: Event
) -> Digest:
    """Return the digest from the first source that has one.

    The bytes are read only when no source has one or the repository does not say the size. A pin is
    compared with what is known anyway: the repository's record, or a local file's bytes.

    Args:
        stop: set to give up reading.

    Raises:
        ChecksumError: two sources disagree.
        OrchestratorError: as `ArtifactRepository.find`.
    """
    path = artifact.path
    published = repository.published_sha256(path, found)
    known: tuple[str, DigestSource] | None = None
    if artifact.sha256 is not None:
        known = artifact.sha256, "manifest pin"
    elif published is not None:
        known = published, "repository API"
    elif (listed := _sidecar_digest(repository, path)) is not None:
        known = listed, "sha256 file"

    if artifact.sha256 is not None and published is not None and published != artifact.sha256:
        raise _disagreement(repository, artifact, artifact.sha256, "manifest pin", published, "repository")
    local_pin = repository.delivery == "controller" and artifact.sha256 is not None
    if known is not None and found.size_bytes is not None and not local_pin:
        return Digest(sha256=known[0], source=known[1], size_bytes=found.size_bytes)

    read = _read_digest(repository, path, found, stop)
    if known is None:
        return read
    if read.sha256 != known[0]:
        raise _disagreement(repository, artifact, known[0], known[1], read.sha256, "file itself")
    return Digest(sha256=known[0], source=known[1], size_bytes=read.size_bytes)


def parse_sidecar(content: bytes, filename: str) -> str | None:
    """Return the SHA-256 that a checksum file states for `filename`, or None when it states none.

    Accepted are a lone digest, lines of `sha256sum` (`digest  name`) and of BSD's and OpenSSL's tools
    (`SHA256 (name) = digest`). A line for another file does not count, two different digests do not either.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) == 1 and (bare := _BARE.fullmatch(lines[0])):
        return bare[1].lower()
    stated = set()
    for line in lines:
        if gnu := _GNU.fullmatch(line):
            digest, name = gnu[1], gnu[2]
        elif bsd := _BSD.fullmatch(line):
            digest, name = bsd[2], bsd[1]
        else:
            continue
        if name.rpartition("/")[2] == filename:
            stated.add(digest.lower())
    return stated.pop() if len(stated) == 1 else None


def _sidecar_digest(repository: ArtifactRepository, path: str) -> str | None:
    content = repository.read_sidecar(path)
    return None if content is None else parse_sidecar(content, path.rpartition("/")[2])


class _Hasher:
    """SHA-256 and length of the bytes it is fed."""

    def __init__(self, stop: Event) -> None:
        self._stop = stop
        self.restart()

    def restart(self) -> None:
        self.sha256 = hashlib.sha256()
        self.size_bytes = 0

    def feed(self, piece: bytes) -> None:
        if self._stop.is_set():
            raise RepositoryError("the download was given up, because the run ends")
        self.sha256.update(piece)
        self.size_bytes += len(piece)


def _read_digest(repository: ArtifactRepository, path: str, found: Found, stop: Event) -> Digest:
    hasher = _Hasher(stop)
    repository.read(path, hasher.feed, hasher.restart)
    if found.size_bytes is not None and hasher.size_bytes != found.size_bytes:
        raise RepositoryError(
            f"{repository.location(path)}: {found.size_bytes} bytes were announced, {hasher.size_bytes} came",
            resolution="try again; if it stays so, publish the artifact again",
        )
    return Digest(sha256=hasher.sha256.hexdigest(), source="download", size_bytes=hasher.size_bytes)


def _disagreement(
    repository: ArtifactRepository, artifact: Artifact, expected: str, source: str, actual: str, who: str
) -> ChecksumError:
    if source == "manifest pin":
        resolution = (
            "if the artifact was published again on purpose, put the new digest into the manifest; "
            "if not, it was changed: compare it with what was built, and publish the original"
        )
    else:
        resolution = "the repository contradicts itself: publish the artifact again, or pin its digest"
    return ChecksumError(
        f"{repository.location(artifact.path)}: the {source} and the {who} disagree on the SHA-256",
        details=(f"{source}: {expected}", f"{who}: {actual}"),
        resolution=resolution,
    )
