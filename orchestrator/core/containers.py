"""How an image runs as a container under systemd: settings as a value, and what is wrong with them.

This module is also `controller_program.containers` of the role `placement` (a link), for playbooks that no
orchestrator runs: it imports nothing but the standard library.

Source: podman-run(1) of podman 4.3.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

ROOT = "/var/lib/gitops-orchestrator/containers"
"""Where images and references to them are kept, out of the applications' reach."""

CHOICES: Mapping[str, tuple[str, ...]] = {
    "restart": ("always", "on-failure", "on-abnormal", "no"),
    "cgroups": ("no-conmon", "split", "enabled", "disabled"),
}
_IMAGE = re.compile(
    r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[0-9]{1,5})?(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)+@sha256:[0-9a-f]{64}"
)
_PATH = r"(?:/[A-Za-z0-9._@+=~-]+)+"
_PATTERNS = {
    "ports": re.compile(
        r"(?:(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|\[[0-9A-Fa-f:]+\]):)?[0-9]{1,5}:[0-9]{1,5}(?:/(?:tcp|udp|sctp))?"
    ),
    "volumes": re.compile(
        rf"(?:{_PATH}|[A-Za-z0-9][A-Za-z0-9_.-]{{0,100}}):{_PATH}(?::(?:ro|rw|z|Z|U)(?:,(?:ro|rw|z|Z|U))*)?"
    ),
    "tmpfs": re.compile(_PATH),
    "capabilities": re.compile(r"CAP_[A-Z0-9_]{1,64}"),
    "after": re.compile(r"[A-Za-z0-9_.:@-]{1,200}\.(service|socket|target|mount|path|timer)"),
}
_TEXTS = {
    "unit": (
        re.compile(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9_.-]{0,200}"),
        "is no name of a service unit and a container; use letters, digits and _.- only",
    ),
    "user": (
        re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,63})?"),
        "has to be a user of the image, or `user:group`",
    ),
    "network": (
        re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,100}"),
        "has to be host, none, bridge or a network's name",
    ),
    "memory": (re.compile(r"[1-9][0-9]{0,15}[kmgKMG]?"), 'has to be an amount of memory, such as "512m"'),
}
_HINTS = {
    "ports": 'has to be such as "8080:80" or "127.0.0.1:8080:80/tcp"',
    "volumes": 'has to be such as "data:/var/lib/app" or "/srv/data:/data:ro"',
    "tmpfs": "has to be an absolute path in the container",
    "capabilities": "has to be such as CAP_NET_BIND_SERVICE",
    "after": "has to be a unit, such as postgresql.service",
}
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """How an image runs as a container.

    Attributes:
        unit: its name, with `.service`; without that it is the container's name.
        command: words after the image; empty: what the image says.
        user: in the container; empty: what the image says.
        network: empty: podman's own.
        read_only: the image's files cannot be written; `/tmp`, `/run` and `/var/tmp` can.
        capabilities: what it may; all others are dropped.
        memory, processes, cpu_percent: empty or 0: no limit but podman's own.
        cgroups: as `podman run --cgroups`.
        stable_seconds: how long it has to run, once it is healthy, before it counts as healthy.
    """

    unit: str
    command: tuple[str, ...] = ()
    user: str = ""
    ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    tmpfs: tuple[str, ...] = ()
    network: str = ""
    read_only: bool = True
    no_new_privileges: bool = True
    capabilities: tuple[str, ...] = ()
    restart: str = "always"
    restart_seconds: float = 2.0
    stable_seconds: float = 3.0
    start_timeout_seconds: float = 60.0
    stop_timeout_seconds: float = 30.0
    after: tuple[str, ...] = ()
    memory: str = ""
    processes: int = 0
    cpu_percent: int = 0
    cgroups: str = "no-conmon"


def default_path(application: str) -> str:
    """Where its images are kept on the host."""
    return f"{ROOT}/{application}"


def image_problem(image: str) -> str:
    """What is wrong with an image that a registry has, or nothing."""
    if _IMAGE.fullmatch(image):
        return ""
    if "@" not in image:
        return (
            "is not pinned, and a tag moves; write registry/name@sha256:… (`skopeo inspect` says the digest)"
        )
    return "has to be registry/name@sha256: and 64 hex digits, such as registry.example.net/shop/api@sha256:…"


def image_digest(image: str) -> str:
    """The 64 hex digits of an image that has no problems."""
    return image.rpartition(":")[2]


def make_container(application: str, settings: Mapping[str, Any]) -> Container:
    """The container of these settings, which have no problems."""
    known = {field.name for field in fields(Container)}
    values = {key: value for key, value in settings.items() if key in known and value is not None}
    for key, value in values.items():
        if key == "command":
            values[key] = tuple(_words(value))
        elif isinstance(value, list | tuple):
            values[key] = tuple(item for item in value if item is not None)
        elif key.endswith("_seconds"):
            values[key] = float(value)
    unit = values.get("unit") or application
    values["unit"] = unit if unit.endswith(".service") else f"{unit}.service"
    return Container(**values)


def container_settings(container: Container) -> dict[str, Any]:
    """The settings that are not the usual ones."""
    usual = asdict(Container(unit=""))
    changed = {name: value for name, value in asdict(container).items() if value != usual[name]}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in changed.items()}


def container_problems(
    settings: Mapping[str, Any], variables: Mapping[str, str], secrets: Sequence[str]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What is wrong with settings whose types fit, as (path below the application, what to do)."""
    given = {key: value for key, value in settings.items() if value is not None}
    for key, (pattern, hint) in _TEXTS.items():
        if key in given and not pattern.fullmatch(given[key]):
            yield ("container", key), hint
    for key, one in _PATTERNS.items():
        for index, text in enumerate(given.get(key, ())):
            if text is not None and (not one.fullmatch(text) or ".." in re.split("[:/]", text)):
                yield ("container", key, index), _HINTS[key]
    for key, choices in CHOICES.items():
        if given.get(key, choices[0]) not in choices:
            yield ("container", key), f"has to be one of {', '.join(choices)}"
    if problem := _command_problem(given.get("command", ())):
        yield ("container", "command"), problem
    if given.get("ports") and given.get("network") in ("host", "none"):
        yield (
            ("container", "ports"),
            f"the network {given['network']} publishes none; remove them or `network`",
        )
    yield from _environment_problems(variables, secrets)


def _words(command: str | Sequence[str]) -> list[str]:
    return (
        shlex.split(command) if isinstance(command, str) else [word for word in command if word is not None]
    )


def _command_problem(command: str | Sequence[str]) -> str:
    try:
        words = _words(command)
    except ValueError:
        return "has a quotation mark without its partner; there is no shell, quote a word as a whole"
    return "has a control character; remove it" if any(map(_CONTROL.search, words)) else ""


def _environment_problems(
    variables: Mapping[str, str], secrets: Sequence[str]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    for kind, names in (("variables", variables), ("secrets", secrets)):
        for name in names:
            if not _VARIABLE.fullmatch(name):
                yield (kind, name), "is no name of a variable; use letters, digits and _ only"
    for name, value in variables.items():
        if _CONTROL.search(value):
            yield ("variables", name), "has a control character; remove it"
        if name in secrets:
            yield ("secrets", name), "is among `variables` too; keep one of them"
