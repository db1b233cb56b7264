"""Podman as the test hosts need it: how it is called, and the reason why it cannot be had."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

LABEL = "gitops-orchestrator.fleet"
"""On everything that we create, with the session as its value. Nothing without it is ever removed."""

TOOLS: Mapping[str, str] = {
    "podman": "podman",
    "runc": "runc",
    "iptables": "iptables",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
}
"""Commands that running hosts takes, with the Debian package of each."""

_CAPABILITIES = "SYS_ADMIN,NET_ADMIN,NET_RAW,MKNOD,AUDIT_WRITE"
_LIMIT = 20_000


class FleetError(Exception):
    """Test hosts could not be made or do not answer; the message holds what the tool said."""


def unavailable_reason(*, path: str | None = None, effective_uid: int | None = None) -> str | None:
    """Say why this machine cannot run test hosts, or None when it can try.

    Args:
        path: where commands are looked for, default `$PATH` and the system directories.
        effective_uid: default that of this process.
    """
    if (os.geteuid() if effective_uid is None else effective_uid) != 0:
        return "test hosts need root (network namespaces, debootstrap); run as root"
    missing = [tool for tool in TOOLS if _which(tool, path) is None]
    if missing:
        packages = " ".join(sorted({TOOLS[tool] for tool in missing}))
        return f"{', '.join(missing)} not found; apt-get install {packages}"
    return None


def podman(*arguments: str, stdin: str | None = None, timeout_seconds: float = 120) -> str:
    """Return what podman printed.

    Raises:
        FleetError: podman failed or took too long.
    """
    return run([*podman_command(), *arguments], stdin=stdin, timeout_seconds=timeout_seconds)


def podman_command() -> list[str]:
    """Return how podman is called: with runc, because crun refuses the hybrid cgroup layout."""
    return [_which("podman", None) or "podman", "--runtime", _which("runc", None) or "runc"]


def podman_json(*arguments: str) -> Any:
    """Return podman's JSON answer, parsed."""
    return json.loads(podman(*arguments) or "[]")


def run(command: Sequence[str], *, stdin: str | None = None, timeout_seconds: float = 120) -> str:
    """Return the standard output of a command on this machine.

    Raises:
        FleetError: it failed or took too long; standard error is in the message.
    """
    try:
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_seconds,
            env={**os.environ, "PATH": system_path()},
        )
    except subprocess.TimeoutExpired as error:
        raise FleetError(f"{' '.join(command[:6])} … did not end within {timeout_seconds:g} s") from error
    if done.returncode != 0:
        raise FleetError(f"{' '.join(command)} failed ({done.returncode}): {done.stderr.strip()}")
    return done.stdout


def run_arguments(*, labels: Mapping[str, str], tmpfs: Mapping[str, str]) -> list[str]:
    """Return the options of `podman run` under which systemd boots without `--privileged`.

    Sandboxed units work with these capabilities and `/proc/sys` stays read-only. Limits may be lowered, never
    raised.
    """
    options = ["--systemd=always", "--cap-add", _CAPABILITIES]
    for name, kind in (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC)):
        hard = resource.getrlimit(kind)[1]
        limit = _LIMIT if hard == resource.RLIM_INFINITY else min(hard, _LIMIT)
        options += ["--ulimit", f"{name}={limit}:{limit}"]
    # Off as anywhere, and a test may switch it on.
    core = resource.getrlimit(resource.RLIMIT_CORE)[1]
    options += ["--ulimit", f"core=0:{core}"]
    for key, value in labels.items():
        options += ["--label", f"{key}={value}"]
    for mount, mount_options in tmpfs.items():
        options += ["--tmpfs", f"{mount}:{mount_options}"]
    return options


def system_path() -> str:
    """Return `$PATH` with the directories of administrators' commands, which not every root shell has."""
    return os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin"


def _which(tool: str, path: str | None) -> str | None:
    return shutil.which(tool, path=system_path() if path is None else path)
