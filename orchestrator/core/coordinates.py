"""Where an artifact is inside its repository, and how it is installed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from orchestrator.core.model import Packing
from orchestrator.core.violations import quote

_TAR_EXTENSIONS = ("tar.gz", "tgz", "tar.xz", "txz", "tar.zst", "tar.bz2", "tar")
_EXTENSION = re.compile(r"\.([A-Za-z][A-Za-z0-9]{0,15})")
_NAME_AND_VERSION = re.compile(r"(.+?)-([0-9].*)")
_APPLICATION = re.compile(r"(?!.*\.\.)[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9_-])?")
_VERSION = re.compile(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._+~:-]{0,127}")
_SEGMENT = re.compile(r"[A-Za-z0-9._+~@=,:()-]([A-Za-z0-9._+~@=,:() -]*[A-Za-z0-9._+~@=,:()-])?")
_MAVEN_NAME = re.compile(r"(?!.*\.\.)[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_-])?")
_MAVEN_PACKAGING = re.compile(r"[A-Za-z0-9]+(\.[A-Za-z0-9]+)*")
_PLACEHOLDER = re.compile(r"\{[^{}]*\}|[{}]")
_MOVING_VERSIONS = ("LATEST", "RELEASE")
_MAX_PATH_CHARACTERS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactName:
    """What an artifact's file name says."""

    application: str
    version: str


class CoordinateError(ValueError):
    """Coordinates that name no artifact; the text says why and what to do."""


def split_artifact_name(file_name: str) -> ArtifactName:
    """Return what `<name>-<version>.<extension>` says; the version begins at the first `-digit`.

    Raises:
        CoordinateError: it is not made like that.
    """
    extension = extension_of(file_name)
    match = _NAME_AND_VERSION.fullmatch(file_name.removesuffix(f".{extension}")) if extension else None
    if not match or not _APPLICATION.fullmatch(match[1]) or not _VERSION.fullmatch(match[2]):
        raise CoordinateError(
            'has to be <name>-<version>.<extension>, such as "my-website-2.0.0.zip"; '
            "or use `applications` and say name, version and path there"
        )
    return ArtifactName(application=match[1], version=match[2])


def extension_of(path: str) -> str:
    """Return the extension without its dot, as written (`tar.gz` is one), or nothing."""
    name = path.rpartition("/")[2]
    for extension in _TAR_EXTENSIONS:
        if name.lower().endswith(f".{extension}"):
            return name[-len(extension) :]
    dot = name.rfind(".")
    match = _EXTENSION.fullmatch(name, dot) if dot > 0 else None
    return match[1] if match else ""


def packing_of(extension: str) -> Packing:
    """Return how a file with that extension is installed."""
    if extension.lower() == "zip":
        return "zip"
    return "tar" if extension.lower() in _TAR_EXTENSIONS else "file"


def version_problem(version: str) -> str:
    """Return what is wrong with a version that moves (snapshots and the like), or nothing."""
    if version.upper().endswith("-SNAPSHOT"):
        return (
            "SNAPSHOT versions are not implemented yet; name a release, or the timestamped version in `path`"
        )
    if version in _MOVING_VERSIONS:
        return f"{quote(version)} is not implemented yet; name the exact version"
    return ""


def exact_path(path: str, version: str) -> str:
    """Return a path inside a repository with `{version}` filled in.

    Raises:
        CoordinateError: it is no relative path of plain segments.
    """
    filled = _fill_version(path, version)
    if filled.startswith("/"):
        raise CoordinateError("has to be relative to the repository; remove the leading /")
    if len(filled) > _MAX_PATH_CHARACTERS:
        raise CoordinateError(f"is too long; {_MAX_PATH_CHARACTERS} characters at most")
    segments = filled.split("/")
    if "" in segments:
        raise CoordinateError("has to name a file, with single slashes between its directories")
    if "." in segments or ".." in segments:
        raise CoordinateError("has a segment . or ..; write the path without it")
    if not all(_SEGMENT.fullmatch(segment) for segment in segments):
        raise CoordinateError(
            "has characters that are not allowed; use letters, digits, spaces and ._+~@=,:()-"
        )
    return filled


def maven_path(coordinates: str, version: str) -> str:
    """Return the path of `group:artifact:version[:packaging[:classifier]]` in the Maven 2 layout.

    Raises:
        CoordinateError: these are no Maven coordinates of an exact version.
    """
    parts = _fill_version(coordinates, "\0").split(":")
    if not 3 <= len(parts) <= 5:
        raise CoordinateError("has to be group:artifact:version[:packaging[:classifier]]")
    parts = [part.replace("\0", version) for part in parts]
    group, artifact, exact = parts[:3]
    packaging = parts[3] if len(parts) > 3 else "jar"
    classifier = parts[4] if len(parts) > 4 else ""
    for what, part, pattern in (
        ("group", group, _MAVEN_NAME),
        ("artifact", artifact, _MAVEN_NAME),
        ("version", exact, _VERSION),
        ("packaging", packaging, _MAVEN_PACKAGING),
    ):
        if not pattern.fullmatch(part):
            raise CoordinateError(
                f"the {what} is no Maven {what}; write group:artifact:version[:packaging[:classifier]]"
            )
    if len(parts) > 4 and not _MAVEN_NAME.fullmatch(classifier):
        raise CoordinateError("the classifier is no Maven classifier; use letters, digits and _.- only")
    if problem := version_problem(exact):
        raise CoordinateError(problem)
    suffix = f"-{classifier}" if classifier else ""
    folder = f"{group.replace('.', '/')}/{artifact}/{exact}"
    return exact_path(f"{folder}/{artifact}-{exact}{suffix}.{packaging}", version)


def _fill_version(text: str, version: str) -> str:
    for placeholder in _PLACEHOLDER.findall(text):
        if placeholder != "{version}":
            raise CoordinateError(f"{quote(placeholder)} is no placeholder here; only {{version}} is")
    return text.replace("{version}", version)
