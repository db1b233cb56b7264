"""Which containers, networks and keys are ours, and whose: found by label, listed and removed by it."""

from __future__ import annotations

import ipaddress
import json
import shutil
from pathlib import Path
from typing import Any

from tests.fleet.podman import LABEL, podman, podman_json

OWNER_LABEL = f"{LABEL}.owner"
DIRECTORY_LABEL = f"{LABEL}.directory"
HOST_LABEL = f"{LABEL}.host"
KEPT = "kept"
PREFIX = "orchestrator-fleet-"
USERS = ("root", "deploy", "operator", "plain")


def describe(session: str) -> list[dict[str, Any]]:
    """Return the hosts of a session as the command line lists them: plain values, in the order of start."""
    networks = find_networks(session)
    if not networks:
        return []
    directory = Path(networks[0]["labels"][DIRECTORY_LABEL])
    hosts = []
    for container in _containers(session):
        host = json.loads(container["Labels"][HOST_LABEL])
        key_type, key = (directory / f"{host['name']}.host_key.pub").read_text(encoding="utf-8").split()[:2]
        hosts.append(
            {
                "name": host["name"],
                "container": container["Names"][0],
                "state": container["State"],
                "address": host["address"],
                "port": 22,
                "users": list(USERS),
                "host_key": f"{key_type} {key}",
                "private_key": str(directory / "client_key"),
                "known_hosts": str(directory / "known_hosts"),
                "gateway": networks[0]["subnets"][0]["gateway"],
            }
        )
    return sorted(hosts, key=lambda host: int(ipaddress.ip_address(str(host["address"]))))


def remove(session: str) -> None:
    """Remove what carries this session's label, and its keys; it is no error when there is nothing."""
    containers = [container["Id"] for container in _containers(session)]
    if containers:
        podman("rm", "--force", "--ignore", "--time", "0", "--volumes", *containers)
    for network in find_networks(session):
        podman("network", "rm", "--force", network["name"])
        directory = Path(network["labels"][DIRECTORY_LABEL])
        if directory.name.startswith(PREFIX):
            shutil.rmtree(directory, ignore_errors=True)


def remove_stale() -> list[str]:
    """Remove the fleets of processes that have died, return their sessions."""
    stale = []
    for network in find_networks():
        owner = network["labels"].get(OWNER_LABEL, KEPT)
        if owner != KEPT and process_identity(int(owner.partition("-")[0])) != owner:
            stale.append(network["labels"][LABEL])
            remove(stale[-1])
    return stale


def _containers(session: str) -> list[dict[str, Any]]:
    found = podman_json("ps", "--all", "--filter", f"label={LABEL}={session}", "--format", "json")
    return list(found)


def find_networks(session: str | None = None) -> list[dict[str, Any]]:
    """Return podman's description of a session's network, or of all sessions'."""
    wanted = LABEL if session is None else f"{LABEL}={session}"
    found = podman_json("network", "ls", "--filter", f"label={wanted}", "--format", "json")
    return list(found)


def process_identity(pid: int) -> str:
    """Return the process id with its start time: a successor with the same id is not taken for it."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return f"{pid}-gone"
    return f"{pid}-{status.rpartition(')')[2].split()[19]}"
