"""Manifest and environment together: which application goes to which host, every setting resolved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from orchestrator.core.dependencies import waves
from orchestrator.core.deployment_paths import ancestors, fill_path, filled_path_problem
from orchestrator.core.environment import Entry, ParsedEnvironment
from orchestrator.core.hosts import ALL, HostTable
from orchestrator.core.kinds import check_kind, default_path, find_shared_units
from orchestrator.core.machines import Machine, machine_of
from orchestrator.core.manifest import SERVICE, SITE, ApplicationDraft, ParsedManifest
from orchestrator.core.model import Application, Host, Placement, Repository
from orchestrator.core.own_roles import OwnRole, role_problem
from orchestrator.core.release_entries import check_release_kind, default_users, describe_host
from orchestrator.core.violations import quote

_NO_ROLES: Mapping[str, OwnRole] = {}


def make_placements(
    manifest: ParsedManifest,
    environment: ParsedEnvironment,
    entries: Mapping[str, Entry],
    name: str,
    repositories: Mapping[str, Repository],
    roles: Mapping[str, OwnRole] = _NO_ROLES,
) -> tuple[Placement, ...]:
    """Return every placement in order; hosts in maintenance have none.

    What does not fit together becomes violations; then what is returned is of no use.

    Args:
        entries: of the applications of the manifest, as `merge_entries` returns them.
        name: the environment's.
        roles: those of the deployment repository.
    """
    hosts = {
        application: _resolve_hosts(entry, environment.table)
        for application, entry in entries.items()
        if application in manifest.applications
    }
    present = [application for application in manifest.applications if hosts.get(application)]
    graph = {application: draft.depends_on for application, draft in manifest.applications.items()}
    depths = waves(graph, present)
    everywhere = []
    for application in present:
        draft, entry = manifest.applications[application], entries[application]
        complete = draft.complete("" if draft.image else _choose_repository(draft, repositories, manifest))
        _check_path_is_there(draft, entry)
        report, where = entry.place.report, entry.place.path
        check_kind(draft.kind, entry.service, entry.kinds, report, where, _used_without_process(entry))
        check_release_kind(draft.kind, entry.release_keys, report, where)
        role = _choose_role(draft, entry, roles)
        placed = _place(complete, entry, hosts[application], name, depths.get(application, 0))
        everywhere += [replace(placement, role=role) for placement in placed]
    _check_paths(everywhere, entries)
    for application, key, problem in find_shared_units(everywhere):
        entries[application].place.add(problem, key)
    return tuple(
        sorted(
            (placement for placement in everywhere if not placement.host.maintenance),
            key=lambda one: (one.host.order, one.host.region, one.wave, one.application.name, one.host.name),
        )
    )


def _choose_role(draft: ApplicationDraft, entry: Entry, roles: Mapping[str, OwnRole]) -> OwnRole | None:
    if not entry.role:
        return None
    if draft.kind == SERVICE:
        entry.place.add("a service is started by the role service; remove this, or `kind: service`", "role")
    elif problem := role_problem(entry.role, roles):
        entry.place.add(problem, "role")
    if "after_activate" in entry.release.hooks:
        message = (
            "an application with a role of its own has none: its role makes it run, and this would never run"
        )
        remedy = f"do it in roles/{entry.role}/tasks/activate.yml, or as a smoke test"
        entry.place.add(f"{message}; {remedy}", "hooks", "after_activate")
    return roles.get(entry.role)


def _resolve_hosts(entry: Entry, table: HostTable) -> list[Host]:
    """Return the hosts that an entry names, each once."""
    if entry.hosts is None:
        return [] if "hosts" in entry.places else list(table.hosts.values())
    found: dict[str, Host] = {}
    for index, name in enumerate(entry.hosts):
        if name is None or not table.hosts:
            continue
        if name == ALL:
            found.update(table.hosts)
        elif name in table.hosts:
            found[name] = table.hosts[name]
        elif name in table.groups:
            found.update((member, table.hosts[member]) for member in table.groups[name])
        else:
            near = entry.place.report.near_miss(name, table.names())
            message = f"there is no host or group {quote(name)}{near}; correct it, or add it to the hosts"
            entry.places["hosts"].add(message, index)
    return list(found.values())


def _choose_repository(
    draft: ApplicationDraft, repositories: Mapping[str, Repository], manifest: ParsedManifest
) -> str:
    report, path = manifest.report, draft.path
    if draft.repository:
        if draft.repository not in repositories:
            near = report.near_miss(draft.repository, repositories)
            message = f"there is no repository {quote(draft.repository)}{near}"
            remedy = (
                "add it to `repositories` of the environment JSON or to [repositories] of orchestrator.toml"
            )
            report.add((*path, "artifact", "repository"), f"{message}; {remedy}")
        return draft.repository
    if "default" in repositories:
        return "default"
    if len(repositories) == 1:
        return next(iter(repositories))
    if repositories:
        names = ", ".join(map(quote, sorted(repositories)))
        message = (
            f'its repository is one of {names}; say which in `artifact.repository`, or call one "default"'
        )
    else:
        message = (
            'no repository is known to fetch it from; add "repositories": {"default": {"type": ..., '
            '"url": ...}} to the environment JSON, or [repositories.default] to orchestrator.toml'
        )
    if (*path, "artifact", "repository") not in report.bad:
        report.add(path, message)
    return ""


def _used_without_process(entry: Entry) -> frozenset[str]:
    """The settings of a process that the entry has a use for without one."""
    if entry.role:
        return frozenset({"variables", "secrets"})
    path, bad = entry.place.path, entry.place.report.bad
    if {"templates", "hooks"} & {*entry.release_keys} and any(where[: len(path)] == path for where in bad):
        return frozenset(
            {"variables", "secrets"}
        )  # what they would use is not known before that is corrected
    used = {"variables"} if entry.release.templates or entry.release.hooks else set()
    return frozenset(used | ({"secrets"} if entry.release.wants_secrets else set()))


def _check_path_is_there(draft: ApplicationDraft, entry: Entry) -> None:
    is_reported = entry.place.path in entry.place.report.bad
    if draft.kind in (SITE, SERVICE) and "deployment_path" not in entry.places and not is_reported:
        entry.place.add('"deployment_path" is missing; add the directory on the host that it is deployed to')


def _place(
    application: Application, entry: Entry, hosts: Iterable[Host], environment: str, wave: int
) -> list[Placement]:
    placements = []
    problems: set[str] = set()
    service, package = entry.service.make(application.name), entry.kinds.make_package(application)
    container = entry.kinds.make_container(application)
    release = default_users(entry.release, service.user if service else "")
    for host in hosts:
        path = entry.deployment_path
        if not path and "deployment_path" not in entry.places:
            path = default_path(application.kind, application.name)
        if "{" in path:
            values = {"{host}": host.name, "{application}": application.name, "{environment}": environment}
            path = fill_path(path, values)
            if problem := filled_path_problem(path):
                problems.add(f"on {quote(host.name)} this is {quote(path)}, which {problem}")
        placements.append(
            Placement(
                application=application,
                host=host,
                deployment_path=path,
                healthchecks=tuple(check.fill(host, path) for check in entry.healthchecks),
                smoke=tuple(test.fill(host, path) for test in entry.smoke),
                keep_releases=entry.keep_releases,
                wave=wave,
                service=service,
                variables=entry.service.variables,
                secrets=entry.service.secrets,
                drain=entry.drain.fill(host, application.name, environment) if entry.drain else None,
                package=package,
                container=container,
                release=release,
                template_variables=describe_host(environment, host),
            )
        )
    for problem in sorted(problems):
        entry.places["deployment_path"].add(problem)
    return placements


def _check_paths(placements: Iterable[Placement], entries: Mapping[str, Entry]) -> None:
    """Two placements on one machine have directories of their own, none inside the other's."""
    machines: dict[Machine, dict[str, Placement]] = {}
    clashes: dict[tuple[str, str], list[tuple[Placement, Placement]]] = {}
    wanted = [placement for placement in placements if placement.deployment_path]
    for placement in wanted:
        first = machines.setdefault(machine_of(placement.host), {}).setdefault(
            placement.deployment_path, placement
        )
        if first is not placement:
            _note(clashes, first, placement)
    for placement in wanted:
        machine = machines[machine_of(placement.host)]
        for ancestor in ancestors(placement.deployment_path):
            if ancestor in machine:
                _note(clashes, machine[ancestor], placement)
    for found in clashes.values():
        first, second = found[0]
        more = f" (and {len(found) - 1} more such)" if len(found) > 1 else ""
        message = (
            f"{_describe(second)} and {_describe(first)} share a directory or contain each other's{more}"
        )
        entry = entries[second.application.name]
        place = entry.places.get("deployment_path", entry.place)
        place.add(f"{message}; give each a directory of its own")


def _note(
    clashes: dict[tuple[str, str], list[tuple[Placement, Placement]]], first: Placement, second: Placement
) -> None:
    key = (first.application.name, second.application.name)
    clashes.setdefault(key, []).append((first, second))


def _describe(placement: Placement) -> str:
    return f"{placement.application.name} on {placement.host.name} ({placement.deployment_path})"
