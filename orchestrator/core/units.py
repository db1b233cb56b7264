"""How an application runs under systemd: settings as a value, and what is wrong with them.

This module is also `controller_program.units` of the role `placement` (a link), for playbooks that no
orchestrator runs: it imports nothing but the standard library.

Sources: systemd.service(5), systemd.exec(5) and systemd.syntax(7) of systemd 252.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

UNIT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,200}")
VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_PATH = re.compile(r"(/[A-Za-z0-9._@+=,~-]+)+")
_DIRECTORY = re.compile(r"(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*")
_TOKENS = {
    "stop_signal": re.compile(r"SIG[A-Z0-9+]{1,16}"),
    "umask": re.compile(r"0?[0-7]{3}"),
    "memory": re.compile(r"[1-9][0-9]{0,15}[KMGT]?"),
    "after": re.compile(r"[A-Za-z0-9_.:@-]{1,200}\.(service|socket|target|mount|path|timer)"),
    "address_families": re.compile(r"AF_[A-Z0-9_]{1,32}"),
    "capabilities": re.compile(r"CAP_[A-Z0-9_]{1,64}"),
}
CHOICES: Mapping[str, tuple[str, ...]] = {
    "type": ("exec", "simple", "notify"),
    "restart": ("always", "on-failure", "on-abnormal", "no"),
    "on_release": ("restart", "reload"),
    "secrets_as": ("environment", "files"),
    "protect_system": ("strict", "full", "yes", "off"),
}
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_REFERENCE = re.compile(r"\$\{([^{}$]*)\}|\$")
_OTHER_UNITS = (".socket", ".target", ".timer", ".mount", ".path", ".slice", ".scope", ".device", ".swap")


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """How an application runs as a systemd unit.

    Attributes:
        unit: its name, with `.service`.
        adopt: the unit is somebody else's: it is restarted, never written.
        exec: the command's words; `{current}` is the live release, `${NAME}` a variable.
        reload_exec: what makes it read its files again; empty: nothing does.
        on_release: whether a release with unchanged unit and variables restarts or reloads it.
        stable_seconds: how long it has to run, once it is healthy, before it counts as healthy.
        secrets_as: `environment` (variables of the process) or `files` (below `$CREDENTIALS_DIRECTORY`).
        working_directory: empty: the live release.
        writable_paths: beside these and the four directories, of which systemd makes its own user the owner,
            nothing but temporary files can be written while `protect_system` is `strict`.
        private_tmp, protect_home: None: on, unless the deployment path would be hidden by it.
        address_families: empty: all.
        capabilities: what the process may beyond its user.
        open_files, processes, tasks, cpu_percent: 0: systemd's own.
        memory: such as `512M`; empty: no limit.
    """

    unit: str
    adopt: bool = False
    exec: tuple[str, ...] = ()
    reload_exec: tuple[str, ...] = ()
    user: str = ""
    group: str = ""
    type: str = "exec"
    restart: str = "always"
    restart_seconds: float = 2.0
    on_release: str = "restart"
    stable_seconds: float = 3.0
    start_timeout_seconds: float = 60.0
    stop_timeout_seconds: float = 30.0
    stop_signal: str = "SIGTERM"
    success_exit_status: tuple[int, ...] = (143,)
    secrets_as: str = "environment"
    working_directory: str = ""
    after: tuple[str, ...] = ()
    umask: str = "0027"
    state_directory: str = ""
    cache_directory: str = ""
    logs_directory: str = ""
    runtime_directory: str = ""
    writable_paths: tuple[str, ...] = ()
    no_new_privileges: bool = True
    private_tmp: bool | None = None
    private_devices: bool = True
    protect_system: str = "strict"
    protect_home: bool | None = None
    protect_kernel: bool = True
    restrict_namespaces: bool = True
    restrict_system_calls: bool = True
    deny_writable_code: bool = False
    address_families: tuple[str, ...] = ("AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK")
    capabilities: tuple[str, ...] = ()
    open_files: int = 0
    processes: int = 0
    tasks: int = 0
    cpu_percent: int = 0
    memory: str = ""


ADOPTED = frozenset({"unit", "adopt", "on_release", "stable_seconds"})
"""What can be said of a unit that is somebody else's."""


def unit_name(name: str) -> str:
    """The name of a service unit, `.service` added where it is left out."""
    return name if name.endswith(".service") else f"{name}.service"


def make_service(application: str, settings: Mapping[str, Any]) -> Service:
    """The service of these settings, which have no problems; commands become words."""
    known = {field.name for field in fields(Service)}
    values = {key: value for key, value in settings.items() if key in known and value is not None}
    for key, value in values.items():
        if key in ("exec", "reload_exec"):
            values[key] = tuple(_words(value))
        elif isinstance(value, list | tuple):
            values[key] = tuple(item for item in value if item is not None)
        elif key.endswith("_seconds"):
            values[key] = float(value)
    values["unit"] = unit_name(values.get("unit") or application)
    return Service(**values)


def _words(command: str | Sequence[str]) -> list[str]:
    if isinstance(command, str):
        return shlex.split(command)
    return [word for word in command if word is not None]


def service_problems(
    settings: Mapping[str, Any], variables: Mapping[str, str], secrets: Sequence[str]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What is wrong with settings whose types fit, as (path below the application, what to do)."""
    service = {key: value for key, value in settings.items() if value is not None}
    if service.get("adopt"):
        yield from _adoption_problems(service, variables, secrets)
    else:
        yield from _own_problems(service, variables, secrets)
    yield from _text_problems(service)
    yield from _environment_problems(variables, secrets)


def _adoption_problems(
    service: Mapping[str, Any], variables: Mapping[str, str], secrets: Sequence[str]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    for key in sorted(service.keys() - ADOPTED):
        yield ("service", key), "an adopted unit is not ours to write; remove this or `adopt`"
    for key, given in (("variables", variables), ("secrets", secrets)):
        if given:
            yield (
                (key,),
                "an adopted unit is not ours to write, and would not get them; remove them or `adopt`",
            )


def _own_problems(
    service: Mapping[str, Any], variables: Mapping[str, str], secrets: Sequence[str]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    for key, example in (("exec", "{current}/bin/app --port 8080"), ("user", "app")):
        if key not in service:
            yield ("service",), f'"{key}" is missing; add it, such as "{example}", or adopt an existing unit'
    for key in ("exec", "reload_exec"):
        known = (*variables, "MAINPID") if key == "reload_exec" else tuple(variables)
        if key in service and (problem := _command_problem(service[key], known, secrets)):
            yield ("service", key), problem
    if service.get("on_release") == "reload" and "reload_exec" not in service:
        yield ("service", "on_release"), "nothing says how it reloads; add `reload_exec`, or remove this"
    if "@" in service.get("unit", ""):
        yield ("service", "unit"), "an instance of a template (@) can only be adopted; choose another name"


def _command_problem(command: str | Sequence[str], variables: Sequence[str], secrets: Sequence[str]) -> str:
    try:
        words = _words(command)
    except ValueError:
        return "has a quotation mark without its partner; there is no shell, quote a word as a whole"
    if not words:
        return "is empty; write the command, such as `{current}/bin/app`"
    program = words[0].removeprefix("{current}")
    if not _PATH.fullmatch(program) or _leaves(program):
        return (
            f"{words[0]!r} is no program; write an absolute path without .., or `{{current}}/…`, "
            "of letters, digits and ._@+=,~- only"
        )
    for word in words:
        if _CONTROL.search(word):
            return "has a control character; remove it"
        for found in _REFERENCE.finditer(word):
            name = found[1]
            if name is None:
                return (
                    "has a $ that is no `${NAME}`; there is no shell, only variables by their name in braces"
                )
            if name in secrets:
                return f"${{{name}}} is a secret, and everybody on the host sees arguments; let the program read it"
            if name not in variables:
                return f"${{{name}}} is not among `variables`; add it there"
    return ""


def _leaves(path: str) -> bool:
    return ".." in path.split("/") or "." in path.split("/")


def _text_problems(service: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    unit = service.get("unit", "")
    if unit and (not UNIT_NAME.fullmatch(unit) or ".." in unit or unit.endswith(_OTHER_UNITS)):
        yield ("service", "unit"), "is no name of a service unit; use letters, digits and _.:- only"
    for key in ("user", "group"):
        if key in service and not _USER.fullmatch(service[key]):
            yield (
                ("service", key),
                "has to be a name: letters, digits and _.- only, beginning with a letter or _",
            )
    for key in ("state_directory", "cache_directory", "logs_directory", "runtime_directory"):
        if key in service and not _DIRECTORY.fullmatch(service[key]):
            yield (
                ("service", key),
                "has to be a relative directory, such as the application's name, without ..",
            )
    directory = service.get("working_directory", "{current}")
    plain = directory.removeprefix("{current}")
    if directory != "{current}" and (not _PATH.fullmatch(plain) or _leaves(plain)):
        yield (
            ("service", "working_directory"),
            "has to be an absolute path without .., or `{current}` or below it",
        )
    for index, path in enumerate(service.get("writable_paths", ())):
        if path is not None and (not _PATH.fullmatch(path) or _leaves(path)):
            yield ("service", "writable_paths", index), "has to be an absolute path without .., and not /"
    for key, pattern in _TOKENS.items():
        values = service.get(key, ())
        for index, name in enumerate([values] if isinstance(values, str) else values):
            if name is not None and name != "" and not pattern.fullmatch(name):
                where = ("service", key) if isinstance(values, str) else ("service", key, index)
                yield where, "does not fit; see `orchestrator schema environment`"
    for key, choices in CHOICES.items():
        if service.get(key, choices[0]) not in choices:
            yield ("service", key), f"has to be one of {', '.join(choices)}"


def _environment_problems(
    variables: Mapping[str, str], secrets: Sequence[str]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    for kind, names in (("variables", variables), ("secrets", secrets)):
        for name in names:
            if not VARIABLE_NAME.fullmatch(name):
                yield (kind, name), "is no name of a variable; use letters, digits and _ only"
    for name, value in variables.items():
        if _CONTROL.search(value):
            yield ("variables", name), "has a control character; remove it"
        if name in secrets:
            yield ("secrets", name), "is among `variables` too; keep one of them"
