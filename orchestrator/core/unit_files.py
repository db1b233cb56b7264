"""The unit file and the environment file of a service.

This module is also `controller_program.unit_files` of the role `placement` (a link), for playbooks that no
orchestrator runs: it imports nothing but the standard library.

Sources: systemd.service(5), systemd.exec(5) and systemd.syntax(7) of systemd 252.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.core.units import Service

CONFIGURATION = "@CONFIGURATION@"
"""Stands for the directory on the host that holds the unit's files, in lines that only we write."""
VARIABLES_FILE = "variables.env"
SECRETS_FILE = "secrets.env"
CREDENTIALS = "credentials"

_PLAIN_WORD = re.compile(r"[A-Za-z0-9_@:=,./+-]+")
_HOMES = ("/home", "/root", "/run/user")
_TEMPORARY = ("/tmp", "/var/tmp")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_SPECIAL = re.compile(r"""[$`"\\]""")


def render_unit(
    service: Service, *, application: str, deployment_path: str, variables: bool, secrets: Sequence[str]
) -> str:
    """The unit file; CONFIGURATION stands for the directory of its environment files and credentials.

    Args:
        variables: whether there are any.
        secrets: their names.
    """
    current = f"{deployment_path}/current"
    after = " ".join(("network-online.target", *service.after))
    lines = [
        "# Written by gitops-orchestrator; the next deployment replaces what is changed here.",
        "[Unit]",
        f"Description={application} (gitops-orchestrator)",
        f"After={after}",
        f"Wants={after}",
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        f"Type={service.type}",
        f"User={service.user}",
        *([f"Group={service.group}"] if service.group else []),
        f"WorkingDirectory={_specifiers(_fill(service.working_directory or '{current}', current))}",
        f"ExecStart={_command(service.exec, current)}",
        *([f"ExecReload={_command(service.reload_exec, current)}"] if service.reload_exec else []),
        f"Restart={service.restart}",
        f"RestartSec={service.restart_seconds:g}",
        f"TimeoutStartSec={service.start_timeout_seconds:g}",
        f"TimeoutStopSec={service.stop_timeout_seconds:g}",
        f"KillSignal={service.stop_signal}",
    ]
    if service.success_exit_status:
        lines.append(f"SuccessExitStatus={' '.join(map(str, service.success_exit_status))}")
    if variables:
        lines.append(f"EnvironmentFile={CONFIGURATION}/{VARIABLES_FILE}")
    if secrets and service.secrets_as == "environment":
        lines.append(f"EnvironmentFile={CONFIGURATION}/{SECRETS_FILE}")
    elif secrets:
        lines += [f"LoadCredential={name}:{CONFIGURATION}/{CREDENTIALS}/{name}" for name in sorted(secrets)]
    lines += [*_directories(service), *_sandbox(service, deployment_path), *_limits(service)]
    return "\n".join([*lines, "", "[Install]", "WantedBy=multi-user.target", ""])


def _directories(service: Service) -> Iterator[str]:
    for name, value in (
        ("StateDirectory", service.state_directory),
        ("CacheDirectory", service.cache_directory),
        ("LogsDirectory", service.logs_directory),
        ("RuntimeDirectory", service.runtime_directory),
    ):
        if value:
            yield f"{name}={value}"


def _sandbox(service: Service, deployment_path: str) -> Iterator[str]:
    private_tmp, home = service.private_tmp, service.protect_home
    if private_tmp is None:
        private_tmp = not _is_below(deployment_path, _TEMPORARY)
    hidden = "read-only" if _is_below(deployment_path, _HOMES) else "yes"
    capabilities = " ".join(service.capabilities)
    yield f"UMask={service.umask}"
    yield f"NoNewPrivileges={_yes(service.no_new_privileges)}"
    yield f"PrivateTmp={_yes(private_tmp)}"
    yield f"PrivateDevices={_yes(service.private_devices)}"
    yield f"ProtectSystem={'no' if service.protect_system == 'off' else service.protect_system}"
    yield f"ProtectHome={'no' if home is False else hidden}"
    if service.writable_paths:
        yield f"ReadWritePaths={' '.join(service.writable_paths)}"
    for name in (
        "ProtectKernelTunables",
        "ProtectKernelModules",
        "ProtectKernelLogs",
        "ProtectControlGroups",
        "ProtectClock",
        "ProtectHostname",
        "LockPersonality",
        "RestrictRealtime",
        "RestrictSUIDSGID",
    ):
        yield f"{name}={_yes(service.protect_kernel)}"
    yield f"RestrictNamespaces={_yes(service.restrict_namespaces)}"
    yield f"MemoryDenyWriteExecute={_yes(service.deny_writable_code)}"
    if service.restrict_system_calls:
        yield "SystemCallArchitectures=native"
        yield "SystemCallFilter=@system-service"
        yield "SystemCallErrorNumber=EPERM"
    if service.address_families:
        yield f"RestrictAddressFamilies={' '.join(service.address_families)}"
    yield f"CapabilityBoundingSet={capabilities}"
    yield f"AmbientCapabilities={capabilities}"


def _limits(service: Service) -> Iterator[str]:
    for name, value in (
        ("LimitNOFILE", service.open_files),
        ("LimitNPROC", service.processes),
        ("TasksMax", service.tasks),
    ):
        if value:
            yield f"{name}={value}"
    if service.cpu_percent:
        yield f"CPUQuota={service.cpu_percent}%"
    if service.memory:
        yield f"MemoryMax={service.memory}"


def unit_digest(unit_file: str, variables: Mapping[str, str], secrets: Sequence[str]) -> str:
    """Different when a running process has to be restarted for it: another unit, other variables or secrets' names."""
    made = json.dumps([unit_file, dict(variables), sorted(secrets)], sort_keys=True)
    return hashlib.sha256(made.encode()).hexdigest()


def render_environment(values: Mapping[str, str]) -> str:
    """An EnvironmentFile of these values, each exactly as it is; they have no line breaks.

    Raises:
        ValueError: a value cannot be written there; the message does not show it.
    """
    lines = []
    for name, value in sorted(values.items()):
        if _CONTROL.search(value):
            raise ValueError(f"{name} has a line break or another control character")
        escaped = _SPECIAL.sub(r"\\\g<0>", value)
        lines.append(f'{name}="{escaped}"\n')
    return "".join(lines)


def _command(words: Sequence[str], current: str) -> str:
    """The words as systemd takes them: no specifier, no splitting, no variables but `${NAME}`."""
    return " ".join(_word(_fill(word, current)) for word in words)


def _word(word: str) -> str:
    if _PLAIN_WORD.fullmatch(word):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{_specifiers(escaped)}"'


def _specifiers(text: str) -> str:
    return text.replace("%", "%%")


def _fill(text: str, current: str) -> str:
    return text.replace("{current}", current)


def _is_below(path: str, directories: Sequence[str]) -> bool:
    return any(path == one or path.startswith(f"{one}/") for one in directories)


def _yes(value: bool) -> str:
    return "yes" if value else "no"
