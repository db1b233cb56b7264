"""The unit file that runs a container with podman.

This module is also `controller_program.container_units` of the role `placement` (a link), for playbooks that no
orchestrator runs: it imports nothing but the standard library.

Sources: podman-run(1) and podman-generate-systemd(1) of podman 4.3, systemd.service(5) of systemd 252.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.core.containers import Container

IMAGE = "@IMAGE@"
"""Stands for the image's id, which the host knows once the image is there."""
CONFIGURATION = "@CONFIGURATION@"
PODMAN = "/usr/bin/podman"

_PLAIN_WORD = re.compile(r"[A-Za-z0-9_:=,./+-]+")
_EXTRA_SECONDS = 15


def render_container_unit(
    container: Container, *, application: str, variables: Mapping[str, str], secrets: Sequence[str]
) -> str:
    """The unit file; IMAGE stands for the image, CONFIGURATION for the directory that has the secrets.

    Values of secrets are in files that podman reads when the unit starts: they are in no argument.
    """
    name = container.unit.removesuffix(".service")
    after = " ".join(("network-online.target", *container.after))
    held = [(secret, f"gitops-orchestrator-{name}-{secret}") for secret in sorted(secrets)]
    run = " ".join(
        [
            *_options(container, name),
            *(_word(f"--env={key}={value}") for key, value in sorted(variables.items())),
            *(_secret(container, secret, kept) for secret, kept in held),
            IMAGE,
            *map(_word, container.command),
        ]
    )
    return "\n".join(
        [
            "# Written by gitops-orchestrator; the next deployment replaces what is changed here.",
            "[Unit]",
            f"Description={application} (gitops-orchestrator)",
            f"After={after}",
            f"Wants={after}",
            "StartLimitIntervalSec=0",
            "",
            "[Service]",
            "Type=notify",
            "NotifyAccess=all",
            "Environment=PODMAN_SYSTEMD_UNIT=%n",
            *(["Delegate=yes"] if container.cgroups == "split" else []),
            "KillMode=mixed",
            f"Restart={container.restart}",
            f"RestartSec={container.restart_seconds:g}",
            f"TimeoutStartSec={container.start_timeout_seconds:g}",
            f"TimeoutStopSec={container.stop_timeout_seconds + _EXTRA_SECONDS:g}",
            "SuccessExitStatus=143",
            f"ExecStartPre=-{PODMAN} rm --force --ignore {name}",
            *_secrets(held),
            f"ExecStart={PODMAN} run {run}",
            f"ExecStop={PODMAN} stop --ignore --time={container.stop_timeout_seconds:.0f} {name}",
            f"ExecStopPost=-{PODMAN} rm --force --ignore {name}",
            *(f"ExecStopPost=-{PODMAN} secret rm {kept}" for _, kept in held),
            "",
            "[Install]",
            "WantedBy=multi-user.target",
            "",
        ]
    )


def _secrets(held: Sequence[tuple[str, str]]) -> Iterator[str]:
    for secret, kept in held:
        yield f"ExecStartPre=-{PODMAN} secret rm {kept}"
        yield f"ExecStartPre={PODMAN} secret create {kept} {CONFIGURATION}/credentials/{secret}"


def _secret(container: Container, secret: str, kept: str) -> str:
    """A file `/run/secrets/NAME`: `podman inspect` shows variables, those that are secrets too."""
    owner = container.user.partition(":")[0]
    uid = f",uid={owner}" if owner.isdigit() else ""
    mode = "0400" if uid or not owner else "0444"
    return f"--secret={kept},type=mount,target={secret}{uid},mode={mode}"


def _options(container: Container, name: str) -> Iterator[str]:
    yield f"--name={name}"
    yield from ("--rm", "--replace", "--detach", "--sdnotify=conmon", "--pull=never", "--log-driver=journald")
    yield f"--cgroups={container.cgroups}"
    yield "--cap-drop=all"
    for capability in container.capabilities:
        yield f"--cap-add={capability}"
    if container.no_new_privileges:
        yield "--security-opt=no-new-privileges"
    if container.read_only:
        yield "--read-only"
    for path in container.tmpfs:
        yield f"--tmpfs={path}"
    for option, value in (
        ("user", container.user),
        ("network", container.network),
        ("memory", container.memory),
    ):
        if value:
            yield f"--{option}={value}"
    if container.processes:
        yield f"--pids-limit={container.processes}"
    if container.cpu_percent:
        yield f"--cpus={container.cpu_percent / 100:g}"
    for port in container.ports:
        yield f"--publish={port}"
    for volume in container.volumes:
        yield _word(f"--volume={volume}")


def _word(word: str) -> str:
    """The word as systemd takes it: no specifier, no splitting, no variable."""
    if _PLAIN_WORD.fullmatch(word):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'
