"""Health checks and smoke tests as roles hand them in, with every default filled in, or refused.

`orchestrator.core` refuses the same in documents, with their lines; here it is for plain playbooks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail

TIMING: Mapping[str, float] = {
    "retries": 10,
    "interval_seconds": 2.0,
    "timeout_seconds": 5.0,
    "deadline_seconds": 60.0,
    "initial_delay_seconds": 0.0,
    "successes": 1,
    "stays_healthy_seconds": 0.0,
}
PROBES: Mapping[str, Mapping[str, Any]] = {
    "http": {
        "url": "",
        "method": "GET",
        "headers": {},
        "status": [],
        "body": "",
        "json": {},
        "header": {},
        "ca_file": "",
        "insecure": False,
    },
    "tcp": {"host": "", "port": 0},
    "command": {"command": [], "user": ""},
    "systemd": {"unit": ""},
}
ON_HOST_ONLY = ("command", "systemd")
METHODS = ("GET", "HEAD", "OPTIONS", "POST")
WHOLE = ("retries", "successes")


def normalise_checks(placement: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The health checks of a placement, which has one as `healthcheck` or several as `healthchecks`.

    Raises:
        AnsibleActionFail: one is none.
    """
    one, several = placement.get("healthcheck"), placement.get("healthchecks")
    return [normalise_check(check) for check in [*([one] if one else []), *(several or [])]]


def normalise_check(check: Mapping[str, Any]) -> dict[str, Any]:
    """A health check with its defaults.

    Raises:
        AnsibleActionFail: it is none.
    """
    made = normalise_probe(check)
    origin = check.get("origin") or "host"
    if origin not in ("host", "controller", "once"):
        _refuse(f"origin {origin!r} is neither host, controller nor once")
    if origin != "host" and made["type"] in ON_HOST_ONLY:
        _refuse(f"a {made['type']} check is asked on the host; remove `from: controller`")
    made["origin"] = origin
    for name, default in TIMING.items():
        value = check.get(name)
        number = float(default if value is None else value)
        if number < (1 if name == "successes" else 0):
            _refuse(f"{name} is {value}, which is too small")
        made[name] = int(number) if name in WHOLE else number
    if made["initial_delay_seconds"] >= made["deadline_seconds"]:
        _refuse("initial_delay_seconds has to be less than deadline_seconds, which the delay is part of")
    return made


def normalise_probe(given: Mapping[str, Any]) -> dict[str, Any]:
    """What is looked at, with its defaults: `type` and the settings of that type, no others.

    Raises:
        AnsibleActionFail: something is missing, wrong, or of another type.
    """
    kind = given.get("type") or "http"
    if kind not in PROBES:
        _refuse(f"type {kind!r} is none of {', '.join(PROBES)}")
    probe: dict[str, Any] = {"type": kind}
    for name, default in PROBES[kind].items():
        value = given.get(name)
        probe[name] = json.loads(json.dumps(default)) if value is None else value
    for other, settings in PROBES.items():
        for name in settings:
            if name not in PROBES[kind] and given.get(name):
                _refuse(f"`{name}` belongs to type {other}, and this is type {kind}")
    _CHECKS[kind](probe)
    return probe


def _check_http(probe: dict[str, Any]) -> None:
    if not str(probe["url"]).startswith(("http://", "https://")):
        _refuse(f"url {str(probe['url'])[:80]!r} is no http or https URL")
    if probe["method"] not in METHODS:
        _refuse(f"method {probe['method']!r} is none of {', '.join(METHODS)}")
    if probe["method"] == "HEAD" and (probe["body"] or probe["json"]):
        _refuse("the answer to HEAD has no body; use GET with `body` or `json`")
    if probe["insecure"] and probe["ca_file"]:
        _refuse("`insecure` verifies nothing, so `ca_file` is of no use; keep one of them")
    probe["status"] = [int(status) for status in probe["status"]]
    for name in ("headers", "header"):
        probe[name] = {str(key): str(value) for key, value in probe[name].items()}
        if any(not text.isprintable() for pair in probe[name].items() for text in pair):
            _refuse(f"`{name}` has control characters; write each header on one line")
    for path, value in probe["json"].items():
        if not isinstance(value, str | int | float | bool | None):
            _refuse(f"json {path!r} is compared with a text, a number, true, false or null only")


def _check_tcp(probe: dict[str, Any]) -> None:
    probe["port"] = int(probe["port"])
    if not probe["host"] or not 1 <= probe["port"] <= 65535:
        _refuse("a tcp check needs `host` and `port` (1 to 65535)")


def _check_command(probe: dict[str, Any]) -> None:
    command = probe["command"]
    if not isinstance(command, list) or not command or not all(isinstance(one, str) for one in command):
        _refuse(
            "`command` has to be a list, the program and its arguments; no shell reads it, so a text would be none"
        )
    if not command[0] or any("\0" in one for one in command):
        _refuse("`command` has an empty program, or a NUL character")


def _check_systemd(probe: dict[str, Any]) -> None:
    unit = str(probe["unit"])
    if not unit or unit.startswith("-") or not unit.isprintable() or "/" in unit or " " in unit:
        _refuse(f"unit {unit[:80]!r} is no name of a unit, such as shop.service")


_CHECKS = {"http": _check_http, "tcp": _check_tcp, "command": _check_command, "systemd": _check_systemd}


def _refuse(message: str) -> None:
    raise AnsibleActionFail(message)
