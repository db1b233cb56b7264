"""Where an artifact is: URLs and paths from a repository and a path inside it. Pure.

URL layouts follow Nexus Repository 3 (`/repository/<repository>/<path>`) and Artifactory
(`<base>/<repository>/<path>`, the base including `/artifactory` where there is a context path).
"""

from __future__ import annotations

import os.path
from pathlib import Path
from typing import assert_never
from urllib.parse import quote, urlsplit

from orchestrator.core.model import Repository
from orchestrator.errors import DocumentError

Origin = tuple[str, str, int]
_DEFAULT_PORTS = {"http": 80, "https": 443}


def origin_of(url: str) -> Origin:
    """Return scheme, host and port: what a credential may be sent to.

    Raises:
        ValueError: not an absolute http(s) URL.
    """
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError(f"not an absolute http or https URL: {url}")
    return parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS[parts.scheme]


def artifact_location(repository: Repository, path: str, directory: Path) -> str:
    """Return the absolute URL, or the absolute path for a `directory`, of `path` in `repository`.

    Symbolic links are not followed, so the answer is the same whether the file is there or not.

    Args:
        directory: what a relative `Repository.path` is relative to.

    Raises:
        DocumentError: the path leads out of the repository, or the URL is unusable.
    """
    match repository.type:
        case "directory":
            return f"{directory_root(repository, directory)}/{'/'.join(_segments(repository, path))}"
        case "nexus":
            name = quote(repository.repository, safe="")
            return _joined(repository, f"repository/{name}/{_encoded(repository, path)}")
        case "artifactory":
            name = quote(repository.repository, safe="")
            return _joined(repository, f"{name}/{_encoded(repository, path)}")
        case "http":
            return _joined(repository, _encoded(repository, path))
        case _:
            assert_never(repository.type)


def directory_root(repository: Repository, directory: Path) -> str:
    """Return the absolute path of a `directory` repository, symbolic links not followed."""
    return os.path.abspath(directory / repository.path)  # noqa: PTH100


def _joined(repository: Repository, tail: str) -> str:
    parts = urlsplit(repository.url)
    if parts.username is not None or parts.password is not None:
        raise DocumentError(
            f"repository {repository.name}: its url carries a user name or password",
            resolution="take them out of the url and refer to them under `credentials`",
        )
    try:
        origin_of(repository.url)
    except ValueError:
        raise DocumentError(
            f"repository {repository.name}: its url is not an absolute http or https URL",
            resolution="write it as https://host[:port][/context]",
        ) from None
    return f"{repository.url.rstrip('/')}/{tail}"


def _encoded(repository: Repository, path: str) -> str:
    return "/".join(quote(segment, safe="") for segment in _segments(repository, path))


def _segments(repository: Repository, path: str) -> list[str]:
    # A server or the kernel would follow `..` out of the repository, percent-encoded or not.
    segments = path.split("/")
    if any(segment in ("", ".", "..") for segment in segments) or not path.isprintable():
        raise DocumentError(
            f"repository {repository.name}: the artifact path {path!r} is not a plain relative path",
            resolution="write it without a leading slash, empty segments, `.`, `..` or control characters",
        )
    return segments
