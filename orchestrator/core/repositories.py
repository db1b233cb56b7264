"""Artifact repositories, as the environment JSON and orchestrator.toml have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.core.model import Credentials, Repository
from orchestrator.core.references import check_origin, parse_credentials
from orchestrator.core.urls import url_problem
from orchestrator.core.violations import Path, Report, quote

_NEEDED = {
    "nexus": ("url", "repository"),
    "artifactory": ("url", "repository"),
    "http": ("url",),
    "directory": ("path",),
}
_ALLOWED = {
    "nexus": {"url", "repository", "credentials"},
    "artifactory": {"url", "repository", "credentials"},
    "http": {"url", "credentials"},
    "directory": {"path"},
}


def parse_repositories(
    value: Mapping[str, Any], report: Report, path: Path, allowed: Mapping[str, str] | None
) -> dict[str, Repository]:
    """Return the repositories at `path` by name; those that are wrong are there too, as far as they go.

    Args:
        allowed: reference → origin of orchestrator.toml's `[credentials]`; None: no such table.
    """
    return {name: _parse(name, raw, report, (*path, name), allowed) for name, raw in value.items()}


def _parse(
    name: str, raw: Mapping[str, Any], report: Report, path: Path, allowed: Mapping[str, str] | None
) -> Repository:
    kind = raw.get("type")
    if kind is None:  # reported with the schema
        return Repository(name=name, type="http")
    for key in _NEEDED[kind]:
        if key not in raw and (*path, key) not in report.bad:
            report.add(path, f"a repository of type {quote(kind)} needs {quote(key)}; add it")
    for key in ("url", "path", "repository", "credentials"):
        if key in raw and key not in _ALLOWED[kind]:
            report.add((*path, key), f"a repository of type {quote(kind)} has no {quote(key)}; remove it")
    url = raw.get("url", "")
    problem = url_problem(url, query=False) if url or "url" in raw else ""
    if problem:
        report.add((*path, "url"), problem)
    credentials = _credentials(raw, report, (*path, "credentials"))
    if credentials and url and not problem:
        check_origin(credentials, url, allowed, report, (*path, "credentials"))
    return Repository(
        name=name,
        type=kind,
        url=url.rstrip("/"),
        path=raw.get("path", ""),
        repository=raw.get("repository", ""),
        credentials=credentials,
    )


def _credentials(raw: Mapping[str, Any], report: Report, path: Path) -> Credentials | None:
    if "credentials" not in raw or path in report.bad:
        return None
    return parse_credentials(raw["credentials"], report, path)
