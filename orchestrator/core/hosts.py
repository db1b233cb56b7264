"""The hosts of an environment, with their defaults applied."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.core.model import Host
from orchestrator.core.references import parse_reference
from orchestrator.core.urls import is_address
from orchestrator.core.violations import Path, Report, quote

ALL = "all"
_RESERVED_GROUPS = frozenset({ALL, "ungrouped", "_meta", "hosts", "children", "vars"})
_RESERVED_HOSTS = frozenset({ALL, "ungrouped"})
# Ansible runs what goes to a host of these names on the controller, whatever its address says.
_IMPLICIT_LOCALHOSTS = frozenset({"localhost", "127.0.0.1"})
_HOP = re.compile(r"(?:[^@]*@)?(?:\[(?P<ipv6>[^\]]*)\]|(?P<name>[^:]*))(?::(?P<port>[0-9]+))?")
_BUILT_IN: Mapping[str, Any] = {
    "port": 22,
    "user": "",
    "private_key": None,
    "host_key": (),
    "proxy_jump": "",
    "become": False,
    "become_user": "",
    "become_password": None,
    "groups": (),
    "connection": "ssh",
    "python": "",
    "maintenance": False,
}


@dataclass(slots=True)
class HostTable:
    """Hosts by name, groups with their hosts, and where each host stands in the document."""

    defaults: Mapping[str, Any] = field(default_factory=lambda: _BUILT_IN)
    has_regions: bool = False
    hosts: dict[str, Host] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)
    paths: dict[str, Path] = field(default_factory=dict)

    def add(self, host: Host, path: Path) -> None:
        """Add a host and its groups."""
        self.hosts[host.name] = host
        self.paths[host.name] = path
        for group in host.groups:
            self.groups.setdefault(group, []).append(host.name)

    def names(self) -> tuple[str, ...]:
        """Return everything that an application can name in `hosts`."""
        return (*self.hosts, *self.groups, ALL)


def parse_hosts(document: Mapping[str, Any], report: Report) -> HostTable:
    """Return the hosts that an environment JSON describes under `hosts` or `regions`."""
    table = HostTable(
        defaults={**_BUILT_IN, **_typed(document.get("defaults", {}))}, has_regions="regions" in document
    )
    if "hosts" in document and "regions" in document:
        report.add(
            ("hosts",), "hosts stand in `hosts` or in `regions`, not in both; move these into a region"
        )
    _check_groups(document.get("defaults", {}), report, ("defaults",))
    for name, raw in document.get("hosts", {}).items():
        _parse_host(table, name, raw, "", 0, report, ("hosts", name))
    for region, value in document.get("regions", {}).items():
        for name, raw in value.get("hosts", {}).items():
            path: Path = ("regions", region, "hosts", name)
            if name in table.hosts:
                first = report.source.line_of(table.paths[name])
                report.add(
                    path, f"host {quote(name)} is here already (line {first}); a host is in one region"
                )
            else:
                _parse_host(table, name, raw, region, value.get("order", 0), report, path)
    for region in document.get("regions", {}):
        if region in table.hosts:
            report.add(("regions", region), f"{quote(region)} is a host's name as well; rename one of them")
    _check_names(table, report)
    _check_jumps(table, document, report)
    return table


def make_host(table: HostTable, name: str, raw: Mapping[str, Any], region: str, order: int) -> Host:
    """Return a host with the environment's defaults under its own fields.

    A default `proxy_jump` through the host itself does not apply to it.
    """
    fields = {**table.defaults, **_typed(raw)}
    if "proxy_jump" not in raw and name in fields["proxy_jump"].split(","):
        fields["proxy_jump"] = ""
    return Host(name=name, region=region, order=order, address=fields.pop("address", name), **fields)


def name_problem(name: str) -> str:
    """Return why a host cannot have that name, which is made of allowed characters; empty when it can."""
    if name.lower() in _IMPLICIT_LOCALHOSTS:
        return (
            f"{quote(name)} always is the controller for Ansible; give the host another name and set its "
            '`address`, or `connection` to "local"'
        )
    if name in _RESERVED_HOSTS:
        return f"{quote(name)} has a meaning of its own in Ansible; give the host another name"
    return ""


def _parse_host(
    table: HostTable, name: str, raw: Mapping[str, Any], region: str, order: int, report: Report, path: Path
) -> None:
    host = make_host(table, name, raw, region, order)
    if path not in report.bad:
        if problem := name_problem(name):
            report.add(path, problem)
        elif "address" in raw and not is_address(host.address):
            report.add((*path, "address"), "has to be a host name or an IP address, without brackets or port")
        elif "address" not in raw and (*path, "address") not in report.bad and not is_address(name):
            report.add(path, f"{quote(name)} is no address; set `address` to a host name or an IP address")
    _check_groups(raw, report, path)
    table.add(host, path)


def _typed(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a host as the model has them."""
    fields = dict(raw)
    if "host_key" in fields:
        keys = fields["host_key"]
        fields["host_key"] = (keys,) if isinstance(keys, str) else _unique(keys)
    if "groups" in fields:
        fields["groups"] = _unique(fields["groups"])
    if isinstance(fields.get("private_key"), dict):
        fields["private_key"] = parse_reference(fields["private_key"])
    if "become_password" in fields:
        fields["become_password"] = parse_reference(fields["become_password"])
    return fields


def _unique(items: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(item for item in items if item is not None))


def _check_groups(raw: Mapping[str, Any], report: Report, path: Path) -> None:
    for index, group in enumerate(raw.get("groups", ())):
        if group in _RESERVED_GROUPS:
            message = f"{quote(group)} has a meaning of its own in Ansible; give the group another name"
            report.add((*path, "groups", index), message)


def _check_names(table: HostTable, report: Report) -> None:
    for name in sorted(table.hosts.keys() & table.groups.keys()):
        report.add(table.paths[name], f"{quote(name)} is a host and a group; rename one of them")


def _check_jumps(table: HostTable, document: Mapping[str, Any], report: Report) -> None:
    chains: list[tuple[str, Path, str]] = [("", ("defaults", "proxy_jump"), table.defaults["proxy_jump"])]
    for name, path in table.paths.items():
        raw: Any = document
        for part in path:
            raw = raw[part]
        chains.append((name, (*path, "proxy_jump"), raw.get("proxy_jump", "")))
    for name, path, chain in chains:
        hops = chain.split(",") if chain else []
        for index, hop in enumerate(hops):
            if problem := _jump_problem(table, name, hop, hops[:index]):
                report.add(path, problem)


def _jump_problem(table: HostTable, name: str, hop: str, before: list[str]) -> str:
    if hop == name:
        return "a host cannot be reached through itself; name another host"
    through = table.hosts.get(hop)
    if through is not None:
        if through.connection == "local":
            return f'{quote(hop)} is the controller itself (`connection` is "local"); name another host'
        if through.proxy_jump and through.proxy_jump.split(",") != before:
            chain = quote(f"{through.proxy_jump},{hop}")
            return f"{quote(hop)} is reached through another host itself; write {chain}"
        return ""
    match = _HOP.fullmatch(hop)
    if not match or not is_address(match["ipv6"] or match["name"]):
        return f"{quote(hop)} is no host; write [user@]host[:port] or the name of a host of this environment"
    if match["port"] and not 1 <= int(match["port"]) <= 65535:
        return f"{quote(hop)} has no valid port; use 1 to 65535"
    return ""
