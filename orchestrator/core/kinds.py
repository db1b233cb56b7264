"""What an environment says about an application beside where it goes, held against the application's kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.core import packages, services
from orchestrator.core.manifest import PACKAGE
from orchestrator.core.model import Application, Kind, Placement
from orchestrator.core.packages import Package, package_problems
from orchestrator.core.services import ServiceEntry
from orchestrator.core.violations import Path, Report


@dataclass(frozen=True, slots=True, kw_only=True)
class KindEntry:
    """The settings of other kinds than `service`.

    Attributes:
        package: its settings; None: there are none, or they are wrong.
        keys: which of the settings' keys are there, wrong ones included.
    """

    package: Mapping[str, Any] | None = None
    keys: tuple[str, ...] = ()

    def make_package(self, application: Application) -> Package | None:
        """Return how the application's package is installed; None where it is none."""
        if application.kind != PACKAGE:
            return None
        return packages.make_package(application.artifact.filename, self.package or {})


def parse_kinds(raw: Mapping[str, Any], report: Report, path: Path) -> KindEntry:
    """Return what the entry at `path` says; what does not fit becomes violations."""
    keys = tuple(key for key in ("package",) if key in raw or (*path, key) in report.bad)
    package = raw.get("package") if (*path, "package") not in report.bad else None
    for key, problem in package_problems(package or {}):
        report.add((*path, "package", key), problem)
    return KindEntry(package=package, keys=keys)


def check_kind(kind: Kind, service: ServiceEntry, entry: KindEntry, report: Report, path: Path) -> None:
    """Add violations where an application's kind and what its entry says contradict."""
    services.check_kind(kind, service, report, path)
    if kind and kind != PACKAGE and "package" in entry.keys and (*path, "package") not in report.bad:
        message = f"a {kind} is no package; remove it, or write `kind: package` in the manifest"
        report.add((*path, "package"), message)


def default_path(kind: Kind, application: str) -> str:
    """Return where the application lies on hosts when nothing is said; empty: that has to be said."""
    return packages.default_path(application) if kind == PACKAGE else ""


def configuration_of(placement: Placement) -> dict[str, Any]:
    """Return what a placement of such a kind is configured with."""
    return {} if placement.package is None else {"package": packages.configured(placement.package)}


def restarts_of(placement: Placement) -> tuple[str, ...]:
    """Return the unit that a new release of a package restarts, as far as the documents say."""
    package = placement.package
    return () if package is None or not package.unit else (package.unit,)


def render_kind(placement: Placement) -> dict[str, Any]:
    """Return what hosts are told of it, as far as that is not the default."""
    return {} if placement.package is None else {"package": packages.package_settings(placement.package)}


def may_go_back(placement: Placement) -> Placement:
    """Return the placement for a rollback, which is meant to go to an older version."""
    if placement.package is None:
        return placement
    return replace(placement, package=replace(placement.package, allow_downgrade=True))
