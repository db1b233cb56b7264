"""`<name>-env.json`: where and how the applications are deployed in one environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.core.deployment_paths import deployment_path_problem
from orchestrator.core.drain_settings import DrainTemplate, parse_drain
from orchestrator.core.drains import Drain
from orchestrator.core.healthchecks import HealthcheckTemplate, parse_healthchecks
from orchestrator.core.hosts import HostTable, parse_hosts
from orchestrator.core.kinds import KindEntry, parse_kinds
from orchestrator.core.model import Repository, Strategy
from orchestrator.core.release_entries import parse_release, release_keys
from orchestrator.core.release_settings import ReleaseSettings
from orchestrator.core.repositories import parse_repositories
from orchestrator.core.services import ServiceEntry, parse_service
from orchestrator.core.settings import Settings, environment_names
from orchestrator.core.smoke import SmokeTemplate, parse_smoke
from orchestrator.core.strategy import parse_strategy
from orchestrator.core.violations import Path, Report, quote
from orchestrator.core.windows import Window, parse_windows

KEEP_RELEASES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a setting stands, to point at when it turns out to be wrong."""

    report: Report
    path: Path

    def add(self, message: str, *more: str | int) -> None:
        """Remember that the setting, or something below it, is wrong."""
        self.report.add((*self.path, *more), message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Where and how one application is deployed, from the environment JSON and the manifest's target.

    Attributes:
        place: where the entry stands.
        hosts: host names, group names or `all`; None: not said.
        deployment_path: with placeholders; empty: missing, or wrong.
        places: where `hosts` and `deployment_path` stand; a key is here, too, when its value is wrong.
    """

    place: Place
    hosts: tuple[str | None, ...] | None = None
    deployment_path: str = ""
    healthchecks: tuple[HealthcheckTemplate, ...] = ()
    smoke: tuple[SmokeTemplate, ...] = ()
    keep_releases: int = KEEP_RELEASES
    service: ServiceEntry = field(default_factory=ServiceEntry)
    drain: DrainTemplate | None = None
    role: str = ""
    kinds: KindEntry = field(default_factory=KindEntry)
    release: ReleaseSettings = field(default_factory=ReleaseSettings)
    release_keys: tuple[str, ...] = ()
    places: Mapping[str, Place] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedEnvironment:
    """What the environment JSON says; without one, nothing (`report` is None).

    Attributes:
        name: what the document calls itself, which may be `prod` where `production` is asked for.
        drains: see `Desired`.
    """

    name: str = ""
    report: Report | None = None
    repositories: Mapping[str, Repository] = field(default_factory=dict)
    table: HostTable = field(default_factory=HostTable)
    entries: Mapping[str, Entry] = field(default_factory=dict)
    strategy: Strategy = field(default_factory=Strategy)
    windows: tuple[Window, ...] = ()
    prune: bool = False
    drains: Mapping[str, Drain | None] = field(default_factory=dict)


def parse_environment(
    value: Mapping[str, Any], name: str, settings: Settings, report: Report
) -> ParsedEnvironment:
    """Return the environment in `value`, which fits the schema as far as `report.bad` does not say otherwise.

    Args:
        name: the environment that is asked for.
    """
    said = value.get("environment", name)
    if said not in environment_names(name):
        message = (
            f"this is the environment {quote(said)}, but {quote(name)} is asked for; correct one of them"
        )
        report.add(("environment",), message)
    table = parse_hosts(value, report)
    drain = parse_drain(value.get("drain", False), table, settings, report, ("drain",))
    entries = {
        application: _parse_entry(
            raw, settings, table, drain, Place(report=report, path=("applications", application))
        )
        for application, raw in value.get("applications", {}).items()
    }
    templates = {"": drain, **{application: entry.drain for application, entry in entries.items()}}
    return ParsedEnvironment(
        report=report,
        name=said,
        repositories=parse_repositories(
            value.get("repositories", {}), report, ("repositories",), settings.credentials
        ),
        table=table,
        entries=entries,
        drains={name: one.drain if one else None for name, one in templates.items()},
        windows=parse_windows(value.get("windows", ()), report, ("windows",)),
        prune=value.get("prune", False),
        strategy=parse_strategy(value.get("strategy", {}), report),
    )


def _parse_entry(
    raw: Mapping[str, Any], settings: Settings, table: HostTable, drain: DrainTemplate | None, place: Place
) -> Entry:
    report, path = place.report, place.path
    if "drain" in raw:
        drain = parse_drain(raw["drain"], table, settings, report, (*path, "drain"))
    deployment_path = raw.get("deployment_path", "")
    if "deployment_path" in raw and (problem := deployment_path_problem(deployment_path)):
        place.add(problem, "deployment_path")
        deployment_path = ""
    service = parse_service(raw, report, path, settings.credentials)
    return Entry(
        place=place,
        hosts=_host_names(raw["hosts"]) if "hosts" in raw else None,
        deployment_path=deployment_path,
        healthchecks=parse_healthchecks(raw, report, path),
        smoke=parse_smoke(raw.get("smoke", []), settings, report, (*path, "smoke")),
        keep_releases=raw.get("keep_releases", KEEP_RELEASES),
        service=service,
        kinds=parse_kinds(raw, service, report, path),
        drain=drain,
        role=raw.get("role", ""),
        release=parse_release(raw, report, path),
        release_keys=release_keys(raw, report, path),
        places={
            key: Place(report=report, path=(*path, key))
            for key in ("hosts", "deployment_path", "healthcheck", "healthcheck_url", "healthchecks")
            if key in raw or (*path, key) in report.bad
        },
    )


def _host_names(raw: list[str] | str) -> tuple[str, ...]:
    return (raw,) if isinstance(raw, str) else tuple(raw)
