"""How a release proves that it is healthy: parsed once for an application, filled in for each host."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from orchestrator.core.model import Healthcheck, Host
from orchestrator.core.urls import bracketed, url_problem
from orchestrator.core.violations import Path, Report, quote

PLACEHOLDERS = ("{address}", "{host}", "{port}")

_PLACEHOLDER = re.compile(r"\{[^{}]*\}|[{}]")
_SAMPLES = {"{address}": "192.0.2.1", "{host}": "host", "{port}": "8080"}
_RETRIES = 10
_INTERVAL_SECONDS = 2.0
_TIMEOUT_SECONDS = 5.0
_DEADLINE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthcheckTemplate:
    """A health check before it is known on which host.

    Attributes:
        check: its `url` still has placeholders when `has_placeholders`.
        port: what `{port}` becomes; None: the host's port.
    """

    check: Healthcheck
    port: int | None
    has_placeholders: bool

    def fill(self, host: Host) -> Healthcheck:
        """Return the health check of a placement on `host`."""
        if not self.has_placeholders:
            return self.check
        url = self.check.url.replace("{address}", bracketed(host.address)).replace("{host}", host.name)
        return replace(self.check, url=url.replace("{port}", str(self.port or host.port)))


def parse_healthcheck(
    value: str | Mapping[str, Any], report: Report, path: Path
) -> HealthcheckTemplate | None:
    """Return the health check at `path`, a URL or an object; None when it has no usable URL."""
    raw: Mapping[str, Any] = {"url": value} if isinstance(value, str) else value
    url_path = path if isinstance(value, str) else (*path, "url")
    url = raw.get("url")
    if url is None:
        return None
    problem = _template_problem(url, report)
    if problem:
        report.add(url_path, problem)
        return None
    if "port" in raw and "{port}" not in url:
        report.add((*path, "port"), "the URL has no {port} to put it in; write it there, or remove this")
    has_placeholders = "{" in url
    status = raw.get("status", ())
    return HealthcheckTemplate(
        port=raw.get("port"),
        has_placeholders=has_placeholders,
        check=Healthcheck(
            url=url,
            origin=_origin(raw.get("from", ""), has_placeholders),
            retries=raw.get("retries", _RETRIES),
            interval_seconds=float(raw.get("interval_seconds", _INTERVAL_SECONDS)),
            timeout_seconds=float(raw.get("timeout_seconds", _TIMEOUT_SECONDS)),
            deadline_seconds=float(raw.get("deadline_seconds", _DEADLINE_SECONDS)),
            status=(status,)
            if isinstance(status, int)
            else tuple(code for code in status if code is not None),
            body=raw.get("body", ""),
        ),
    )


def _origin(asked: str, has_placeholders: bool) -> Literal["once", "controller", "host"]:
    if asked == "host" or (has_placeholders and asked != "controller"):
        return "host"
    return "controller" if has_placeholders else "once"


def _template_problem(url: str, report: Report) -> str:
    for placeholder in _PLACEHOLDER.findall(url):
        if placeholder not in PLACEHOLDERS:
            near = report.near_miss(placeholder, PLACEHOLDERS)
            return f"{quote(placeholder)} is no placeholder here; only {', '.join(PLACEHOLDERS)} are{near}"
    if "[{address}]" in url:
        return "write {address} without brackets; an IPv6 address gets its own"
    for placeholder, sample in _SAMPLES.items():
        url = url.replace(placeholder, sample)
    return url_problem(url, query=True)
