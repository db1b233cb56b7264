"""What an environment says about an application beside where it goes, held against the application's kind."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from orchestrator.core import containers, packages, services
from orchestrator.core.container_units import render_container_unit
from orchestrator.core.containers import Container, container_problems, container_settings
from orchestrator.core.machines import Machine, machine_of
from orchestrator.core.manifest import CONTAINER, PACKAGE
from orchestrator.core.model import Application, Kind, Placement
from orchestrator.core.packages import Package, package_problems
from orchestrator.core.services import ServiceEntry
from orchestrator.core.unit_files import unit_digest
from orchestrator.core.violations import Path, Report


@dataclass(frozen=True, slots=True, kw_only=True)
class KindEntry:
    """The settings of other kinds than `service`.

    Attributes:
        package, container: its settings; None: there are none, or they are wrong.
        keys: which of the settings' keys are there, wrong ones included.
    """

    package: Mapping[str, Any] | None = None
    container: Mapping[str, Any] | None = None
    keys: tuple[str, ...] = ()

    def make_package(self, application: Application) -> Package | None:
        """Return how the application's package is installed; None where it is none."""
        if application.kind != PACKAGE:
            return None
        return packages.make_package(application.artifact.filename, self.package or {})

    def make_container(self, application: Application) -> Container | None:
        """Return how the application's image runs; None where it is none."""
        if application.kind != CONTAINER:
            return None
        return containers.make_container(application.name, self.container or {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """What runs for a placement.

    Attributes:
        digest: of what it was started with, beside the release and the secrets' values.
        reloads: a new release with the same digest only reloads it.
    """

    unit: str
    digest: str
    reloads: bool = False


def parse_kinds(raw: Mapping[str, Any], service: ServiceEntry, report: Report, path: Path) -> KindEntry:
    """Return what the entry at `path` says; what does not fit becomes violations.

    Args:
        service: what it says about variables and secrets.
    """
    keys = tuple(key for key in ("package", "container") if key in raw or (*path, key) in report.bad)
    package, container = (
        raw.get(key) if (*path, key) not in report.bad else None for key in ("package", "container")
    )
    for key, problem in package_problems(package or {}):
        report.add((*path, "package", key), problem)
    if container is None:
        return KindEntry(package=package, keys=keys)
    before = len(report.bad)
    for where, problem in container_problems(container, service.variables, tuple(service.secrets)):
        report.add((*path, *where), problem)
    usable = container if len(report.bad) == before else None
    return KindEntry(package=package, container=usable, keys=keys)


def check_kind(
    kind: Kind,
    service: ServiceEntry,
    entry: KindEntry,
    report: Report,
    path: Path,
    used: Collection[str] = (),
) -> None:
    """Add violations where an application's kind and what its entry says contradict."""
    if kind != CONTAINER:
        services.check_kind(kind, service, report, path, used)
    elif "service" in service.keys and (*path, "service") not in report.bad:
        message = "a container runs as its own unit; say how in `container`, and remove this"
        report.add((*path, "service"), message)
    if kind == CONTAINER and "container" not in entry.keys:
        for where, problem in container_problems({}, service.variables, tuple(service.secrets)):
            report.add((*path, *where), problem)
    for key, name in (("package", PACKAGE), ("container", CONTAINER)):
        if kind and kind != name and key in entry.keys and (*path, key) not in report.bad:
            message = f"a {kind} is no {name}; remove it, or write `kind: {name}` in the manifest"
            report.add((*path, key), message)


def find_shared_units(placements: Iterable[Placement]) -> Iterator[tuple[str, str, str]]:
    """Yield (application, key, problem) once for each two applications with the same unit on one machine."""
    owners: dict[tuple[Machine, str], Placement] = {}
    found = set()
    for placement in placements:
        process = process_of(placement)
        if process is None:
            continue
        first = owners.setdefault((machine_of(placement.host), process.unit), placement)
        pair = (first.application.name, placement.application.name)
        if first is not placement and pair not in found:
            found.add(pair)
            where = f"{first.application.name} on {first.host.name}"
            key = "service" if placement.container is None else "container"
            yield pair[1], key, f"{process.unit} is the unit of {where} too; give each a `unit` of its own"


def default_path(kind: Kind, application: str) -> str:
    """Return where the application lies on hosts when nothing is said; empty: that has to be said."""
    if kind == PACKAGE:
        return packages.default_path(application)
    return containers.default_path(application) if kind == CONTAINER else ""


def process_of(placement: Placement) -> Process | None:
    """Return what runs for it; None for a site or a package."""
    if placement.service is not None:
        return Process(
            unit=placement.service.unit,
            digest=services.service_digest(placement),
            reloads=placement.service.on_release == "reload",
        )
    if placement.container is not None:
        text = render_container(placement)
        digest = unit_digest(text, placement.variables, tuple(placement.secrets))
        return Process(unit=placement.container.unit, digest=digest)
    return None


def render_container(placement: Placement) -> str:
    """Return the unit file of a container, see `render_container_unit`."""
    assert placement.container is not None
    return render_container_unit(
        placement.container,
        application=placement.application.name,
        variables=placement.variables,
        secrets=tuple(placement.secrets),
    )


def configuration_of(placement: Placement) -> dict[str, Any]:
    """Return what a placement is configured with, as its kind has it."""
    if placement.package is not None:
        return {"package": packages.configured(placement.package)}
    process = process_of(placement)
    if process is None:
        return {}
    settings = (
        {"service": asdict(placement.service)}
        if placement.service is not None
        else {"container": container_settings(placement.container or Container(unit=""))}
    )
    secrets = {name: str(reference) for name, reference in placement.secrets.items()}
    return {**settings, "process": process.digest, "secrets": secrets}


def restarts_of(placement: Placement) -> tuple[str, ...]:
    """Return the unit that a new release of a package restarts, as far as the documents say."""
    package = placement.package
    return () if package is None or not package.unit else (package.unit,)


def render_kind(placement: Placement) -> dict[str, Any]:
    """Return what hosts are told of a package or a container, as far as that is not the default."""
    if placement.package is not None:
        return {"package": packages.package_settings(placement.package)}
    if placement.container is None:
        return {}
    process = process_of(placement)
    return {
        "container": container_settings(placement.container),
        "service_digest": process.digest if process else "",
        "variables": dict(placement.variables),
        "secrets": {name: {one.source: one.name} for name, one in placement.secrets.items()},
    }


def may_go_back(placement: Placement) -> Placement:
    """Return the placement for a rollback, which is meant to go to an older version."""
    if placement.package is None:
        return placement
    return replace(placement, package=replace(placement.package, allow_downgrade=True))
