"""`service`, `variables` and `secrets` of an application: how it runs, and what its process is given."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator.core.model import Kind, Placement, Reference
from orchestrator.core.references import parse_reference
from orchestrator.core.unit_files import render_unit, unit_digest
from orchestrator.core.units import Service, make_service, service_problems

if TYPE_CHECKING:
    from orchestrator.core.violations import Path, Report

KIND: Kind = "service"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceEntry:
    """What an environment says about the process of an application.

    Attributes:
        settings: of the unit; None: there are none, or they are wrong.
        keys: which of `service`, `variables` and `secrets` are there, wrong ones included.
    """

    settings: Mapping[str, Any] | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Reference] = field(default_factory=dict)
    keys: tuple[str, ...] = ()

    def make(self, application: str) -> Service | None:
        """Return the service, or None where there is none."""
        return None if self.settings is None else make_service(application, self.settings)


def parse_service(
    raw: Mapping[str, Any], report: Report, path: Path, allowed: Mapping[str, str] | None
) -> ServiceEntry:
    """Return what the entry at `path` says about its process; what does not fit becomes violations.

    Args:
        allowed: reference → origin, the table `[credentials]` of orchestrator.toml; None: there is none. A
            reference that is listed there goes to that origin and to no host.
    """
    keys = tuple(
        key for key in ("service", "variables", "secrets") if key in raw or (*path, key) in report.bad
    )
    variables = {
        name: value
        for name, value in raw.get("variables", {}).items()
        if (*path, "variables", name) not in report.bad
    }
    secrets = _parse_secrets(raw.get("secrets", {}), report, path, allowed)
    if "service" not in raw or (*path, "service") in report.bad:
        return ServiceEntry(variables=variables, secrets=secrets, keys=keys)
    before = len(report.bad)
    settings = dict(raw["service"])
    # What is wrong is not missing as well.
    for key, usual in (("exec", "/x"), ("reload_exec", "/x"), ("user", "x"), ("unit", "x")):
        if (*path, "service", key) in report.bad:
            settings[key] = usual
    for where, problem in service_problems(settings, variables, tuple(secrets)):
        report.add((*path, *where), problem)
    usable = settings if len(report.bad) == before else None
    return ServiceEntry(settings=usable, variables=variables, secrets=secrets, keys=keys)


def _parse_secrets(
    raw: Mapping[str, Any], report: Report, path: Path, allowed: Mapping[str, str] | None
) -> Mapping[str, Reference]:
    secrets = {}
    for name, value in raw.items():
        reference = parse_reference(value)
        if reference is None or (*path, "secrets", name) in report.bad:
            continue
        secrets[name] = reference
        origin = (allowed or {}).get(str(reference))
        if origin is not None:
            message = f"[credentials] of orchestrator.toml allows this reference only towards {origin}"
            report.add((*path, "secrets", name), f"{message}, and not to hosts; use another reference")
    return secrets


def check_kind(
    kind: Kind, entry: ServiceEntry, report: Report, path: Path, used: Collection[str] = ()
) -> None:
    """Add violations where an application's kind and what its entry says about a process contradict.

    Args:
        used: keys that something else has a use for: a role of its own, hooks, templates.
    """
    if kind == KIND and "service" not in entry.keys and path not in report.bad:
        example = '"service": {"exec": "{current}/bin/app", "user": "app"}'
        report.add(path, f'"service" is missing: its kind is service; add how it runs, such as {example}')
    elif kind and kind != KIND:
        for key in entry.keys:
            if (*path, key) not in report.bad and key not in used:
                message = f"a {kind} has no process; remove it, or write `kind: service` in the manifest"
                report.add((*path, key), message)


def render_service(placement: Placement) -> str:
    """The unit file of a placement that is a service; empty for a unit that is somebody else's."""
    service = placement.service
    assert service is not None
    if service.adopt:
        return ""
    return render_unit(
        service,
        application=placement.application.name,
        deployment_path=placement.deployment_path,
        variables=bool(placement.variables),
        secrets=tuple(placement.secrets),
    )


def service_digest(placement: Placement) -> str:
    """What its process was started with, beside the release and the secrets' values; empty without a process."""
    if placement.service is None:
        return ""
    return unit_digest(render_service(placement), placement.variables, tuple(placement.secrets))
