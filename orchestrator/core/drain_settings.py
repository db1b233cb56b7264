"""`drain` of an environment or of one application: parsed once, filled in for each host."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.core.drains import CommandDrain, Drain, HaproxyDrain
from orchestrator.core.hosts import ALL, HostTable
from orchestrator.core.model import Host
from orchestrator.core.settings import Settings
from orchestrator.core.violations import Path, Report, quote

PLACEHOLDERS = ("{host}", "{address}", "{application}", "{environment}")
SOCKET = "/run/haproxy/admin.sock"
_TIMEOUT_SECONDS = 60.0
_PLACEHOLDER = re.compile(r"\{[^{}]*\}|[{}]")
_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,255}")
_EXAMPLE = '"haproxy": {"hosts": ["lb1"], "backend": "web"}'


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainTemplate:
    """A drain before it is known of which host; `place` is where it stands."""

    drain: Drain
    report: Report
    path: Path

    def fill(self, host: Host, application: str, environment: str) -> Drain:
        """Return the drain of a placement on `host`; a name that no server has becomes a violation."""
        filled = fill_drain(self.drain, host, application, environment)
        if isinstance(filled.by, HaproxyDrain):
            for key, name in (("backend", filled.by.backend), ("server", filled.by.server)):
                path = (*self.path, "haproxy", key)
                if not _NAME.fullmatch(name) and path not in self.report.bad:
                    message = (
                        f"on {quote(host.name)} this is {quote(name)}, which HAProxy does not take as a name"
                    )
                    self.report.add(path, message)
        return filled


def fill_drain(drain: Drain, host: Host, application: str, environment: str) -> Drain:
    """Return the drain of that application on `host`, its placeholders filled in."""
    values = {
        "{host}": host.name,
        "{address}": host.address,
        "{application}": application,
        "{environment}": environment,
    }
    by = drain.by
    if isinstance(by, CommandDrain):
        out, back = (tuple(_fill(one, values) for one in arguments) for arguments in (by.drain, by.undrain))
        return replace(drain, by=replace(by, drain=out, undrain=back))
    return replace(drain, by=replace(by, backend=_fill(by.backend, values), server=_fill(by.server, values)))


def parse_drain(
    raw: Mapping[str, Any] | bool, table: HostTable, settings: Settings, report: Report, path: Path
) -> DrainTemplate | None:
    """Return the drain at `path`; None: there is none, or it is not usable, which `report` says."""
    if isinstance(raw, bool):
        if raw:
            report.add(path, f"has to be an object such as {{{_EXAMPLE}}}; false switches it off")
        return None
    has = [key for key in ("haproxy", "commands") if key in raw or (*path, key) in report.bad]
    if len(has) != 1:
        report.add(path, f"a drain has exactly one of `haproxy` and `commands`, such as {_EXAMPLE}")
        return None
    seconds = float(raw.get("timeout_seconds", _TIMEOUT_SECONDS))
    before = len(report.bad)
    by = (
        _parse_haproxy(raw, table, report, path)
        if "haproxy" in raw
        else _parse_commands(raw, settings, report, path)
    )
    if by is None or len(report.bad) > before:
        return None
    return DrainTemplate(drain=Drain(by=by, timeout_seconds=seconds), report=report, path=path)


def _parse_haproxy(
    raw: Mapping[str, Any], table: HostTable, report: Report, path: Path
) -> HaproxyDrain | None:
    value, here = raw["haproxy"], (*path, "haproxy")
    if any((*here, key) in report.bad or key not in value for key in ("hosts", "backend")):
        return None
    hosts: dict[str, None] = {}
    for index, name in enumerate(value["hosts"]):
        if name in table.hosts:
            hosts[name] = None
        elif name in table.groups:
            hosts.update(dict.fromkeys(table.groups[name]))
        elif name is not None:
            near = report.near_miss(name, tuple(one for one in table.names() if one != ALL))
            message = f"there is no host or group {quote(name)}{near}; add the load balancer to the hosts"
            report.add((*here, "hosts", index), message)
    for key in ("backend", "server"):
        _check_placeholders(value.get(key, ""), report, (*here, key))
    return HaproxyDrain(
        hosts=tuple(name for name in sorted(hosts) if not table.hosts[name].maintenance),
        socket=value.get("socket", SOCKET),
        backend=value["backend"],
        server=value.get("server", "{host}"),
        minimum=value.get("minimum", 1),
    )


def _parse_commands(
    raw: Mapping[str, Any], settings: Settings, report: Report, path: Path
) -> CommandDrain | None:
    value, here = raw.get("commands", {}), (*path, "commands")
    if any((*here, key) in report.bad or key not in value for key in ("drain", "undrain")):
        return None
    for key in ("drain", "undrain"):
        for index, one in enumerate(value[key]):
            _check_placeholders(one or "", report, (*here, key, index))
        if value[key][0] == "" or (value[key][0] or "").startswith("-"):
            report.add((*here, key, 0), f"{quote(value[key][0])} is no program; write its path or its name")
    on = value.get("on", "host")
    if on == "controller" and not settings.controller_commands:
        message = "documents run no command on the controller unless orchestrator.toml allows it"
        report.add((*here, "on"), f'{message}; write controller_commands = true there, or use "on": "host"')
    if on == "controller" and "user" in value:
        report.add((*here, "user"), "on the controller a command runs as whoever deploys; remove this")
    out, back = (tuple(one or "" for one in value[key]) for key in ("drain", "undrain"))
    return CommandDrain(drain=out, undrain=back, on=on, user=value.get("user", ""))


def _check_placeholders(text: str, report: Report, path: Path) -> None:
    for placeholder in _PLACEHOLDER.findall(text):
        if placeholder not in PLACEHOLDERS:
            near = report.near_miss(placeholder, PLACEHOLDERS)
            allowed = ", ".join(PLACEHOLDERS)
            report.add(path, f"{quote(placeholder)} is no placeholder here; only {allowed} are{near}")
            return


def _fill(text: str, values: Mapping[str, str]) -> str:
    """The text with its placeholders filled in at once: what is filled in is not looked at again."""
    return _PLACEHOLDER.sub(lambda found: values[found[0]], text)
