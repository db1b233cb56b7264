"""What documents say is to be asked of an application: parsed once, filled in for each host."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from orchestrator.core.checks import CommandProbe, HttpProbe, Probe, SystemdProbe, TcpProbe
from orchestrator.core.model import Host
from orchestrator.core.urls import bracketed, is_address, url_problem
from orchestrator.core.violations import Path, Report, quote

URL_PLACEHOLDERS = ("{address}", "{host}", "{port}", "{version}")
TCP_PLACEHOLDERS = ("{address}", "{host}")
OWN_KEYS: Mapping[str, tuple[str, ...]] = {
    "http": (
        *("url", "port", "method", "headers", "status", "body"),
        *("json", "header", "ca_file", "insecure"),
    ),
    "tcp": ("host", "port"),
    "command": ("command", "user"),
    "systemd": ("unit",),
}

_PER_HOST = ("{address}", "{host}", "{port}")
_PLACEHOLDER = re.compile(r"\{[^{}]*\}|[{}]")
_SAMPLES = {"{address}": "192.0.2.1", "{host}": "host", "{port}": "8080", "{version}": "1.0"}
_SECRET_HEADER = re.compile(r"authorization|cookie|token|secret|passw|credential|api-?key|art-api", re.I)
_OWN_HEADERS = ("connection", "content-length", "expect", "te", "trailer", "transfer-encoding", "upgrade")


def parse_probe(raw: Mapping[str, Any], report: Report, path: Path) -> Probe | None:
    """Return what the object at `path` asks for; None when it is not usable, which `report` says."""
    if (*path, "type") in report.bad:
        return None
    kind = raw.get("type", "http")
    for other, keys in OWN_KEYS.items():
        for key in keys:
            if key in raw and key not in OWN_KEYS[kind] and not (key == "port" and other == "tcp"):
                report.add((*path, key), _of_another_type(key, other, kind))
    needed = {"http": "url", "tcp": "port"}.get(kind) or OWN_KEYS[kind][0]
    if needed not in raw:
        if (*path, needed) not in report.bad:
            report.add(path, f"{quote(needed)} is missing; add it")
        return None
    match kind:
        case "http":
            return _parse_http(raw, report, path)
        case "tcp":
            return _parse_tcp(raw, report, path)
        case "command":
            return _parse_command(raw, report, path)
        case _:
            return SystemdProbe(unit=raw["unit"])


def is_per_host(probe: Probe) -> bool:
    """Return whether something different is asked for each host; a host's own command or unit always is."""
    match probe:
        case HttpProbe(url=text) | TcpProbe(host=text):
            return any(placeholder in text for placeholder in _PER_HOST)
        case _:
            return True


def fill_probe(probe: Probe, host: Host, *, port: int | None, current: str) -> Probe:
    """Return the probe of a placement on `host`; `{version}` stays.

    Args:
        port: what `{port}` becomes; None: the host's port.
        current: the link to the live release.
    """
    match probe:
        case HttpProbe(url=url):
            url = url.replace("{address}", bracketed(host.address)).replace("{host}", host.name)
            return replace(probe, url=url.replace("{port}", str(port or host.port)))
        case TcpProbe(host=target):
            return replace(probe, host=_fill(target, host))
        case CommandProbe(command=command):
            filled = (_fill(one, host).replace("{current}", current) for one in command)
            return replace(probe, command=tuple(filled))
        case _:
            return probe


def url_template_problem(url: str, report: Report) -> str:
    """Return what is wrong with a URL as the document has it, with placeholders, or nothing."""
    for placeholder in _PLACEHOLDER.findall(url):
        if placeholder not in URL_PLACEHOLDERS:
            near = report.near_miss(placeholder, URL_PLACEHOLDERS)
            return (
                f"{quote(placeholder)} is no placeholder here; only {', '.join(URL_PLACEHOLDERS)} are{near}"
            )
    if "[{address}]" in url:
        return "write {address} without brackets; an IPv6 address gets its own"
    for placeholder, sample in _SAMPLES.items():
        url = url.replace(placeholder, sample)
    return url_problem(url, query=True)


def _fill(text: str, host: Host) -> str:
    return text.replace("{address}", host.address).replace("{host}", host.name)


def _of_another_type(key: str, other: str, kind: str) -> str:
    return (
        f"{quote(key)} belongs to a check of type {other}, and this one has type {kind}; "
        f'remove it, or write "type": {quote(other)}'
    )


def _parse_http(raw: Mapping[str, Any], report: Report, path: Path) -> HttpProbe | None:
    url, method = raw["url"], raw.get("method", "GET")
    if problem := url_template_problem(url, report):
        report.add((*path, "url"), problem)
        return None
    if "port" in raw and "{port}" not in url:
        report.add((*path, "port"), "the URL has no {port} to put it in; write it there, or remove this")
    if method == "HEAD":
        for key in ("body", "json"):
            if key in raw:
                report.add((*path, key), "the answer to HEAD has no body; use GET, or remove this")
    if raw.get("insecure") and "ca_file" in raw:
        report.add((*path, "insecure"), "with this nothing is verified; remove it, or remove `ca_file`")
    headers = raw.get("headers", {})
    for name in headers:
        _check_header(name, report, (*path, "headers", name))
    status = raw.get("status", ())
    return HttpProbe(
        url=url,
        method=method,
        headers=headers,
        status=(status,) if isinstance(status, int) else tuple(code for code in status if code is not None),
        body=raw.get("body", ""),
        json=raw.get("json", {}),
        header=raw.get("header", {}),
        ca_file=raw.get("ca_file", ""),
        insecure=raw.get("insecure", False),
    )


def _check_header(name: str, report: Report, path: Path) -> None:
    if _SECRET_HEADER.search(name):
        message = f"{quote(name)} looks like a secret, and documents hold none"
        report.add(path, f"{message}; remove it and ask for a page that needs no login")
    elif name.lower() in _OWN_HEADERS:
        report.add(path, f"{quote(name)} follows from the request itself; remove it")


def _parse_tcp(raw: Mapping[str, Any], report: Report, path: Path) -> TcpProbe | None:
    target = raw.get("host", "{address}")
    sample = target
    for placeholder in TCP_PLACEHOLDERS:
        sample = sample.replace(placeholder, _SAMPLES[placeholder])
    if not is_address(sample):
        allowed = ", ".join(TCP_PLACEHOLDERS)
        message = (
            f"{quote(target)} is no address; write a host name or an IP address ({allowed} are filled in)"
        )
        report.add((*path, "host"), message)
        return None
    return TcpProbe(host=target, port=raw["port"])


def _parse_command(raw: Mapping[str, Any], report: Report, path: Path) -> CommandProbe | None:
    command = raw["command"]
    if None in command:
        return None
    if not command[0] or command[0].startswith("-"):
        message = f"{quote(command[0])} is no program; write its path on the host, or its name"
        report.add((*path, "command", 0), message)
        return None
    return CommandProbe(command=tuple(command), user=raw.get("user", ""))
