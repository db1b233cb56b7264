"""Directories on hosts that applications are deployed to."""

from __future__ import annotations

import re
from collections.abc import Mapping

from orchestrator.core.violations import quote

PLACEHOLDERS = ("{host}", "{application}", "{environment}")

_PLACEHOLDER = re.compile(r"\{[^{}]*\}|[{}]")
_SEGMENT = re.compile(r"[A-Za-z0-9._@+=,~][A-Za-z0-9._@+=,~-]*")
_MAX_CHARACTERS = 1024
_MAX_SEGMENT_CHARACTERS = 255
# What belongs to the system as such in the Filesystem Hierarchy Standard 3.0.
_SYSTEM_DIRECTORIES = frozenset(
    {
        *("/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib32", "/lib64", "/libx32", "/lost+found"),
        *(
            "/media",
            "/mnt",
            "/opt",
            "/proc",
            "/root",
            "/run",
            "/sbin",
            "/srv",
            "/sys",
            "/tmp",
            "/usr",
            "/var",
        ),
        *("/usr/bin", "/usr/games", "/usr/include", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec"),
        *("/usr/local", "/usr/sbin", "/usr/share", "/usr/src", "/usr/local/bin", "/usr/local/etc"),
        *("/usr/local/lib", "/usr/local/sbin", "/usr/local/share", "/var/cache", "/var/lib", "/var/local"),
        *("/var/lock", "/var/log", "/var/mail", "/var/opt", "/var/run", "/var/spool", "/var/tmp"),
    }
)
_NEVER_BELOW = ("/proc", "/sys", "/dev", "/boot", "/var/lib/gitops-orchestrator")


def deployment_path_problem(path: str) -> str:
    """Return what is wrong with a path as the document has it, with placeholders, or nothing."""
    for placeholder in _PLACEHOLDER.findall(path):
        if placeholder not in PLACEHOLDERS:
            return f"{quote(placeholder)} is no placeholder here; only {', '.join(PLACEHOLDERS)} are"
    return filled_path_problem(fill_path(path, dict.fromkeys(PLACEHOLDERS, "x")))


def filled_path_problem(path: str) -> str:
    """Return what is wrong with a path that has its placeholders filled in, or nothing."""
    if not path.startswith("/"):
        return 'has to be an absolute path on the host, such as "/srv/my-website"'
    if path == "/":
        return 'is the root directory; name a directory of its own, such as "/srv/my-website"'
    if len(path) > _MAX_CHARACTERS:
        return f"is too long; {_MAX_CHARACTERS} characters at most"
    segments = path[1:].split("/")
    if segments[-1] == "":
        return "ends with /; remove it"
    if "" in segments or "." in segments or ".." in segments:
        return "has an empty segment, . or ..; write the path without it"
    if not all(_SEGMENT.fullmatch(segment) for segment in segments):
        return (
            "has characters that are not allowed; use letters, digits and ._@+=,~- (no segment begins with -)"
        )
    if any(len(segment) > _MAX_SEGMENT_CHARACTERS for segment in segments):
        return f"has a segment of more than {_MAX_SEGMENT_CHARACTERS} characters; shorten it"
    if path in _SYSTEM_DIRECTORIES:
        return 'is a directory of the system; name one of its own below, such as "/srv/my-website"'
    if any(path == system or path.startswith(f"{system}/") for system in _NEVER_BELOW):
        return 'lies in a directory that nothing may be deployed to; use another, such as "/srv/my-website"'
    return ""


def fill_path(path: str, values: Mapping[str, str]) -> str:
    """Return `path` with its placeholders replaced; `values` is by placeholder, braces included."""
    if "{" in path:
        for placeholder, value in values.items():
            path = path.replace(placeholder, value)
    return path


def ancestors(path: str) -> list[str]:
    """Return the directories that an absolute path lies in, without `/`."""
    found = []
    slash = path.find("/", 1)
    while slash > 0:
        found.append(path[:slash])
        slash = path.find("/", slash + 1)
    return found
