"""How a release proves that it is healthy: parsed once for an application, filled in for each host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from orchestrator.core.checks import CommandProbe, Healthcheck, HttpProbe, Probe, SystemdProbe
from orchestrator.core.model import Host
from orchestrator.core.probes import fill_probe, is_per_host, parse_probe, url_template_problem
from orchestrator.core.violations import Path, Report

_WHOLE = ("retries", "successes")
_SECONDS = (
    *("interval_seconds", "timeout_seconds", "deadline_seconds"),
    *("initial_delay_seconds", "stays_healthy_seconds"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthcheckTemplate:
    """A health check before it is known on which host.

    Attributes:
        check: its texts still have placeholders.
        port: what `{port}` becomes; None: the host's port.
    """

    check: Healthcheck
    port: int | None

    def fill(self, host: Host, deployment_path: str) -> Healthcheck:
        """Return the health check of a placement on `host`."""
        current = f"{deployment_path}/current"
        return replace(self.check, probe=fill_probe(self.check.probe, host, port=self.port, current=current))


def parse_healthchecks(raw: Mapping[str, Any], report: Report, path: Path) -> tuple[HealthcheckTemplate, ...]:
    """Return the health checks of the application at `path`, which says them in one of three ways."""
    if "healthcheck" in raw and "healthcheck_url" in raw:
        message = "`healthcheck_url` is short for `healthcheck`; keep one of them"
        report.add((*path, "healthcheck_url"), message)
    if "healthchecks" in raw and ("healthcheck" in raw or "healthcheck_url" in raw):
        message = "the others stand elsewhere; put all of them into this list, or remove it"
        report.add((*path, "healthchecks"), message)
    found = [
        parse_healthcheck(raw[key], report, (*path, key))
        for key in ("healthcheck", "healthcheck_url")
        if key in raw and (*path, key) not in report.bad
    ]
    found += [
        parse_healthcheck(one, report, (*path, "healthchecks", index))
        for index, one in enumerate(raw.get("healthchecks", ()))
        if one is not None
    ]
    return tuple(one for one in found if one is not None)


def parse_healthcheck(
    value: str | Mapping[str, Any], report: Report, path: Path
) -> HealthcheckTemplate | None:
    """Return the health check at `path`, a URL or an object; None when it is not usable."""
    if isinstance(value, str):
        return _parse_url(value, report, path)
    probe = parse_probe(value, report, path)
    if probe is None:
        return None
    timing: dict[str, Any] = {name: value[name] for name in _WHOLE if name in value}
    timing |= {name: float(value[name]) for name in _SECONDS if name in value}
    check = Healthcheck(probe=probe, origin=_origin(value, probe, report, path), **timing)
    _check_timing(check, report, path)
    return HealthcheckTemplate(check=check, port=value.get("port"))


def _parse_url(url: str, report: Report, path: Path) -> HealthcheckTemplate | None:
    if problem := url_template_problem(url, report):
        report.add(path, problem)
        return None
    probe = HttpProbe(url=url)
    return HealthcheckTemplate(check=Healthcheck(probe=probe, origin=_asked_by("", probe)), port=None)


def _origin(
    value: Mapping[str, Any], probe: Probe, report: Report, path: Path
) -> Literal["once", "controller", "host"]:
    asked = value.get("from", "")
    if asked == "controller" and isinstance(probe, CommandProbe | SystemdProbe):
        report.add((*path, "from"), "a command or a unit is looked at on the host; remove this")
    return _asked_by(asked, probe)


def _asked_by(asked: str, probe: Probe) -> Literal["once", "controller", "host"]:
    """Return who asks: a host what is its own, the controller what all hosts together answer at one address."""
    differs = is_per_host(probe)
    if asked == "controller":
        return "controller" if differs else "once"
    return "once" if not asked and isinstance(probe, HttpProbe) and not differs else "host"


def _check_timing(check: Healthcheck, report: Report, path: Path) -> None:
    deadline = f"`deadline_seconds` ({check.deadline_seconds:g})"
    if check.initial_delay_seconds >= check.deadline_seconds:
        message = f"has to be less than {deadline}, which the delay is part of"
        report.add((*path, "initial_delay_seconds"), message)
    elif (
        check.successes - 1
    ) * check.interval_seconds >= check.deadline_seconds - check.initial_delay_seconds:
        message = f"takes longer than {deadline}, with {check.interval_seconds:g} s between attempts"
        report.add((*path, "successes"), f"{message}; ask for fewer, or wait longer")
