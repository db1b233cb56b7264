"""The manifest's own `environments` and the environment JSON, merged: each setting in one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from orchestrator.core.environment import Entry, ParsedEnvironment, Place
from orchestrator.core.healthchecks import parse_healthcheck
from orchestrator.core.hosts import HostTable, make_host, name_problem
from orchestrator.core.manifest import ParsedManifest
from orchestrator.core.settings import environment_names
from orchestrator.core.urls import is_address
from orchestrator.core.violations import Path, quote

_SAME_SETTING = {
    "host": ("hosts",),
    "deployment_path": ("deployment_path",),
    "healthcheck_url": ("healthcheck_url", "healthcheck", "healthchecks"),
}


def merge_entries(manifest: ParsedManifest, environment: ParsedEnvironment, name: str) -> dict[str, Entry]:
    """Return the entries of this environment by application, those that the manifest lacks included.

    A host that only the manifest names is added to the environment's hosts. What is missing or said twice
    becomes violations.

    Args:
        name: the environment's.
    """
    entries = dict(environment.entries)
    key = named_in(manifest, name)
    if key is None and environment.report is None:
        _report_unknown(manifest, name)
        return entries
    if key is not None and manifest.applications:
        path: Path = ("environments", key)
        if len(manifest.applications) == 1:
            application = next(iter(manifest.applications))
            entry = entries.get(application)
            entries[application] = _merge(
                manifest, environment, entry, Place(report=manifest.report, path=path)
            )
        elif manifest.targets[key]:
            message = f"with several applications, hosts and paths stand in {name}-env.json; move them there"
            manifest.report.add(path, message)
    if environment.report is not None:
        _check_complete(manifest, environment, entries)
    return entries


def named_in(manifest: ParsedManifest, name: str) -> str | None:
    """Return what the manifest's own `environments` call the environment; None when it is not there."""
    return next((one for one in environment_names(name) if one in manifest.targets), None)


def _report_unknown(manifest: ParsedManifest, name: str) -> None:
    path: Path = ("environments",) if manifest.targets else ()
    near = manifest.report.near_miss(name, manifest.targets)
    message = (
        f"the environment {quote(name)} is not here{near}, and it has no environment JSON; add one of them"
    )
    manifest.report.add(path, message)


def _merge(
    manifest: ParsedManifest, environment: ParsedEnvironment, entry: Entry | None, place: Place
) -> Entry:
    target = manifest.targets[str(place.path[-1])]
    report, path = place.report, place.path
    merged = entry or Entry(place=place)
    places = dict(merged.places)
    for key, others in _SAME_SETTING.items():
        if key not in target and (*path, key) not in report.bad:
            continue
        for other in others:
            if other in merged.places:
                place.add(f"the environment JSON says `{other}` for this application too; keep one", key)
        places[others[0]] = Place(report=report, path=(*path, key))
    if "host" in target:
        _check_host(target["host"], environment.table, Place(report=report, path=(*path, "host")))
        merged = replace(merged, hosts=(target["host"],))
    elif environment.report is None and (*path, "host") not in report.bad:
        place.add('"host" is missing; add it, or describe hosts in an environment JSON')
    if "deployment_path" in target:
        merged = replace(merged, deployment_path=target["deployment_path"])
    if "healthcheck_url" in target:
        template = parse_healthcheck(target["healthcheck_url"], report, (*path, "healthcheck_url"))
        merged = replace(merged, healthchecks=(template,) if template else ())
    return replace(merged, places=places)


def _check_host(name: str, table: HostTable, place: Place) -> None:
    if problem := name_problem(name):
        place.add(problem)
    elif name in table.hosts:
        return
    elif table.hosts or table.has_regions:
        near = place.report.near_miss(name, table.hosts)
        place.add(
            f"the environment JSON describes hosts, but no {quote(name)}{near}; add it there or correct it"
        )
    elif not is_address(name):
        place.add(f"{quote(name)} is no address; write a host name or an IP address")
    # An unusable host is added as well: one violation is enough.
    if name not in table.hosts:
        table.add(make_host(table, name, {}, "", 0), place.path)


def _check_complete(
    manifest: ParsedManifest, environment: ParsedEnvironment, entries: Mapping[str, Entry]
) -> None:
    report = environment.report
    assert report is not None
    if ("applications",) in report.bad:
        return
    for application in manifest.applications:
        if application not in entries:
            near = report.near_miss(
                application, [name for name in entries if name not in manifest.applications]
            )
            message = f"the manifest's application {quote(application)} has no entry{near}; add one"
            report.add(("applications",), f'{message} (with "hosts": [] where it is not deployed)')
    wants_hosts = any(entry.hosts != () for name, entry in entries.items() if name in manifest.applications)
    if wants_hosts and not environment.table.hosts and not {("hosts",), ("regions",)} & report.bad:
        report.add(
            (), 'there are no hosts; add `hosts` or `regions`, such as "hosts": {"web.example.net": {}}'
        )


def describe_unused(manifest: ParsedManifest, entries: Mapping[str, Entry]) -> tuple[str, ...]:
    """Return a warning for each entry whose application the manifest lacks."""
    warnings = []
    for application in sorted(entries.keys() - manifest.applications.keys()):
        near = manifest.report.near_miss(application, manifest.applications)
        warnings.append(
            f"the environment has an entry for {quote(application)}, which the manifest lacks{near}"
        )
    return tuple(warnings)
