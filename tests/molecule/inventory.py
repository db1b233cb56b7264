"""The hosts of molecule's scenarios, one each, and their Ansible inventory.

Called by `default/create.yml` and `default/destroy.yml`: `python -m tests.molecule.inventory up|down FILE`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from tests.fleet.hosts import Fleet, FleetError, Host, HostSpec, describe, remove
from tests.fleet.variants import PODMAN
from tests.molecule.scenarios import find_scenarios, session


def render_inventory(hosts: list[Host]) -> dict[str, Any]:
    """Return hosts that `deploy` logs in to by key, with checked host keys and sudo without password."""
    return {"all": {"hosts": {host.name: _variables(host) for host in hosts}}}


def running_hosts() -> list[Host]:
    """Return this checkout's hosts, as they were started."""
    return [
        Host(
            name=found["name"],
            container=found["container"],
            address=found["address"],
            host_key=found["host_key"],
            private_key=Path(found["private_key"]),
            known_hosts=Path(found["known_hosts"]),
            gateway=found["gateway"],
        )
        for found in describe(session())
    ]


def main(arguments: list[str]) -> int:
    """Start or remove the hosts; 0, or 1 with one line on standard error."""
    action, file = arguments
    try:
        remove(session())
        Path(file).unlink(missing_ok=True)
        if action == "up":
            hosts = Fleet.create(session(), kept=True).start(
                *(
                    HostSpec(name=s.name, variant=PODMAN if s.role == "container" else None)
                    for s in find_scenarios()
                )
            )
            Path(file).write_text(yaml.safe_dump(render_inventory(hosts)), encoding="utf-8")
    except FleetError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _variables(host: Host) -> dict[str, Any]:
    return {
        "ansible_host": host.address,
        "ansible_port": host.port,
        "ansible_user": "deploy",
        "ansible_ssh_private_key_file": str(host.private_key),
        "ansible_ssh_common_args": f"-F none -o IdentitiesOnly=yes -o UserKnownHostsFile={host.known_hosts}",
        "fleet_gateway": host.gateway,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
