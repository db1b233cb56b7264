"""`orchestrator hosts scan`."""

from __future__ import annotations

import subprocess
from typing import Any

import click

from orchestrator.cli.options import make_target, target_options


@click.group("hosts", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Look at the hosts of an environment."""


@command.command("scan")
@target_options
@click.pass_obj
def scan(directory: str, /, **options: Any) -> int:
    """Print host_key entries to paste into the environment JSON.

    The keys are what the network shows now; compare them with what the hosts' consoles show before you trust
    them.
    """
    import json

    from orchestrator import workflow
    from orchestrator.errors import UnreachableError

    intent = workflow.read_intent(make_target(directory, options))
    found, silent = {}, []
    for host in intent.desired.hosts:
        if host.connection != "ssh":
            continue
        keys = _scan(host.address, host.port)
        if keys:
            found[host.name] = {"host_key": keys}
        else:
            silent.append(host.name)
    click.echo(json.dumps(found, indent=2))
    click.echo("compare these with the hosts' consoles (ssh-keygen -lf) before you paste them", err=True)
    if silent:
        raise UnreachableError(
            f"no SSH host key from {', '.join(silent)}",
            resolution="check address and port; behind a proxy_jump, scan from the jump host",
        )
    return 0


def _scan(address: str, port: int) -> list[str]:
    try:
        done = subprocess.run(
            ["ssh-keyscan", "-T", "5", "-p", str(port), "-t", "ed25519,ecdsa,rsa", "--", address],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = [line.split() for line in done.stdout.splitlines() if line and not line.startswith("#")]
    keys = {parts[1]: f"{parts[1]} {parts[2]}" for parts in lines if len(parts) >= 3}
    order = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa")
    return next(([keys[name]] for name in order if name in keys), sorted(keys.values()))
