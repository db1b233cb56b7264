"""The ways that are compared: ours, and what operators write instead.

Each way brings one version of the site live on all hosts, in a root directory of its own. A way that this machine or
the hosts cannot run is left out, with the reason.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.bench.ground import OWN_ROOT, Ground
from tests.bench.site import Release

FILES = Path(__file__).with_name("files")
OURS, FLOOR = "ours", "loop"
_SHELL_DOES = "downloads and unpacks; verifies nothing, checks no health, records and prunes nothing"


class Prepare(Protocol):
    """Makes the command that brings a release live; what it does by itself is not measured."""

    def __call__(self, ground: Ground, release: Release) -> list[str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to deploy.

    Attributes:
        key: short and unique.
        title: in tables.
        does: what it verifies, checks and records, and what it leaves out.
        root: where it deploys to.
        prepare: makes the command.
        environment: variables besides those of every command.
        keeps_connections: ssh connections are open before each run, and none is opened by it.
    """

    key: str
    title: str
    does: str
    root: str
    prepare: Prepare
    environment: Mapping[str, str] = field(default_factory=dict)
    keeps_connections: bool = False


def find_ways(ground: Ground) -> tuple[tuple[Way, ...], tuple[str, ...]]:
    """The ways that can be run here, and for each that cannot, why."""
    forks = str(len(ground.hosts))
    masters = ground.directory / "masters"
    masters.mkdir()
    ways = [
        Way(
            key=OURS,
            title="`orchestrator deploy`",
            does=(
                "the whole command: git, lock and ledger, resolving, observing, download verified by SHA-256 and by member, "
                "synced to disk, atomic switch, health of every host, receipts, record, old releases pruned (files deleted after it)"
            ),
            root=OWN_ROOT,
            prepare=_ours,
        ),
        Way(
            key="plain",
            title="plain playbook",
            does=(
                "`file`, `get_url` (SHA-256), `unarchive`, `file`; ansible's defaults: facts, 5 forks, no pipelining; "
                "compares every member with the archive; no health, no record, no pruning"
            ),
            root="/srv/plain",
            prepare=_playbook("playbook.yml", "/srv/plain"),
        ),
        Way(
            key="tuned",
            title="tuned playbook",
            does=(
                f"the same tasks without facts, with pipelining and {forks} forks; `unarchive` has `creates`, so a "
                "release that is there is believed to be whole; no health, no record, no pruning"
            ),
            root="/srv/tuned",
            prepare=_playbook("tuned.yml", "/srv/tuned"),
            environment={"ANSIBLE_PIPELINING": "True", "ANSIBLE_FORKS": forks},
        ),
    ]
    left_out = []
    lacking = ground.lacking("curl", "unzip")
    if importlib.util.find_spec("pyinfra") is None:
        left_out.append("pyinfra: not installed; pip install '.[bench]'")
    elif lacking:
        left_out.append(f"pyinfra: the hosts have no {lacking}")
    else:
        ways.append(
            Way(
                key="pyinfra",
                title="pyinfra",
                does=(
                    "`files.directory`, `files.download` (SHA-256), `server.shell` (unzip, when the download changed), "
                    "`files.link`; the link is not switched atomically; no health, no record, no pruning"
                ),
                root="/srv/pyinfra",
                prepare=_pyinfra,
            )
        )
    if lacking:
        left_out.append(f"shell loop: the hosts have no {lacking}")
    else:
        off, on = "ControlMaster=no", "ControlMaster=auto"
        ways += [
            Way(
                key=FLOOR,
                title="shell loop over ssh",
                does=f"one `ssh` for each host at once, `{off}`: `curl`, `unzip`, `ln -sfn`; {_SHELL_DOES}",
                root="/srv/loop",
                prepare=_loop("/srv/loop", "-o", off, "-o", "ControlPath=none"),
            ),
            Way(
                key="warm-loop",
                title="… connections already open",
                does=f"the same with `{on}`, every connection opened before the clock starts; {_SHELL_DOES}",
                root="/srv/warm",
                prepare=_loop("/srv/warm", "-o", on, "-o", f"ControlPath={masters}/%C"),
                keeps_connections=True,
            ),
        ]
    return tuple(ways), tuple(left_out)


def our_command(ground: Ground, version: str, **artifact: str) -> list[str]:
    """Our command; that version is what the branch asks for; asked again it is the same commit. `artifact` overrides where it lies."""
    if ground.released[-1:] != [(version, artifact)]:
        ground.deployments.release(version, **artifact)
        ground.released.append((version, artifact))
    clone = str(ground.deployments.clone)
    return [sys.executable, "-m", "orchestrator", "-C", clone, "deploy", "--branch", "dev"]


def _ours(ground: Ground, release: Release) -> list[str]:
    return our_command(ground, release.version)


def _playbook(name: str, root: str) -> Prepare:
    def prepare(ground: Ground, release: Release) -> list[str]:
        inventory = ground.directory / "inventory.ini"
        inventory.write_text(
            "\n".join(
                f"{host.name} ansible_host={host.address} ansible_user=deploy ansible_become=true"
                f" ansible_ssh_private_key_file={host.private_key}"
                f" ansible_ssh_common_args='-o UserKnownHostsFile={host.known_hosts}'"
                for host in ground.hosts
            )
        )
        variables = json.dumps({**_values(release), "root": root})
        ansible = str(Path(sys.executable).parent / "ansible-playbook")
        return [ansible, "-i", str(inventory), "-e", variables, str(FILES / name)]

    return prepare


def _pyinfra(ground: Ground, release: Release) -> list[str]:
    first = ground.hosts[0]
    inventory = ground.directory / "pyinfra_inventory.py"
    settings = {
        "ssh_user": "deploy",
        "ssh_key": str(first.private_key),
        "ssh_known_hosts_file": str(first.known_hosts),
        "ssh_strict_host_key_checking": "yes",
        "_sudo": True,
    }
    inventory.write_text(f"hosts = ({[host.address for host in ground.hosts]!r}, {settings!r})\n")
    data = {**_values(release), "root": "/srv/pyinfra"}
    given = [word for name, value in data.items() for word in ("--data", f"{name}={value}")]
    pyinfra = str(Path(sys.executable).parent / "pyinfra")
    return [pyinfra, "-y", *given, str(inventory), str(FILES / "pyinfra_deploy.py")]


def _loop(root: str, *options: str) -> Prepare:
    def prepare(ground: Ground, release: Release) -> list[str]:
        *words, _ = ground.hosts[0].ssh_command()
        variables = {
            "root": root,
            "version": release.version,
            "url": release.url,
            "hosts": " ".join(f"deploy@{host.address}" for host in ground.hosts),
        }
        given = [f"{name}={value}" for name, value in variables.items()]
        return ["env", *given, "bash", str(FILES / "loop.sh"), *options, *words[1:]]

    return prepare


def _values(release: Release) -> dict[str, str]:
    return {"version": release.version, "url": release.url, "sha256": release.sha256}
