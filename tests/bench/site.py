"""The artifacts of the benchmark: a site of 2,000 files, its next version, and a large tar.gz."""

from __future__ import annotations

import hashlib
import io
import random
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

FILES, TOTAL_BYTES = 2000, 10_000_000
LARGE_FILES = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One version of the site, in the repository."""

    version: str
    url: str
    sha256: str


def make_site(seed: str, version: str) -> bytes:
    """A zip of 2,000 files that hardly compress, 10 MB together.

    Two versions of one seed differ in `index.html` only, which holds the version.
    """
    noise, content = random.Random(seed), io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("index.html", version)
        for number in range(FILES - 1):
            archive.writestr(f"d{number % 40}/f{number}.bin", noise.randbytes(TOTAL_BYTES // FILES))
    return content.getvalue()


def write_large(path: Path, version: str, megabytes: int) -> int:
    """A tar.gz of 5,000 files that holds that many MB is at `path`; returns the size of the archive in bytes."""
    size = megabytes * 1_000_000 // LARGE_FILES
    noise = random.Random(version)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        _add(archive, "index.html", version.encode())
        for number in range(LARGE_FILES - 1):
            _add(archive, f"d{number % 100}/f{number}.bin", noise.randbytes(size))
    return path.stat().st_size


def digest(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o644
    archive.addfile(member, io.BytesIO(content))
