"""A set of test hosts with a network, a client key and a life of its own."""

from __future__ import annotations

import json
import os
import random
import secrets
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.fleet.host import Host, HostSpec
from tests.fleet.image import ensure_image
from tests.fleet.podman import LABEL, FleetError, podman, run, run_arguments
from tests.fleet.sessions import (
    DIRECTORY_LABEL,
    HOST_LABEL,
    KEPT,
    OWNER_LABEL,
    PREFIX,
    find_networks,
    process_identity,
    remove,
)
from tests.fleet.variants import ensure_variant

_SUBNETS = [
    IPv4Network(f"10.{second}.{third}.0/20") for second in range(89, 120) for third in range(0, 256, 16)
]
_SUBNET_ATTEMPTS = 10
_FIRST_ADDRESS = 10
_STARTERS = 4


@dataclass(slots=True, kw_only=True)
class Fleet:
    """Hosts by name. Use it as a context manager, or call `close`.

    Attributes:
        session: the value of our label on everything that belongs to this fleet.
        directory: keys and `known_hosts`; 0700, removed with the fleet.
        gateway: this machine's address on the hosts' network, which exists while a host runs: a server bound
            there is reached by every host.
        private_key: logs in as any user on any host.
        known_hosts: the hosts' keys, by address.
    """

    session: str
    directory: Path
    network: str
    subnet: IPv4Network
    owner: str
    hosts: dict[str, Host] = field(default_factory=dict)
    _addresses_used: int = 0
    _remover: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(max_workers=1))

    @classmethod
    def create(cls, prefix: str, *, kept: bool = False) -> Self:
        """Return a fleet without hosts; its network and keys exist.

        Args:
            prefix: the session's name; made unique unless `kept`.
            kept: it stays when this process ends (`remove` ends it).

        Raises:
            FleetError: a kept one of that name exists, or podman failed.
        """
        session = prefix if kept else f"{prefix}-{secrets.token_hex(3)}"
        if kept and find_networks(session):
            raise FleetError(f"hosts of {session!r} exist; remove them with: down --prefix {session}")
        owner = KEPT if kept else process_identity(os.getpid())
        directory = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{session}-"))
        try:
            _generate_key(directory / "client_key")
            (directory / "known_hosts").touch()
            network = f"{PREFIX}{session}"
            labels = {LABEL: session, OWNER_LABEL: owner, DIRECTORY_LABEL: str(directory)}
            subnet = _create_network(network, labels)
        except BaseException:
            shutil.rmtree(directory)
            raise
        return cls(session=session, directory=directory, network=network, subnet=subnet, owner=owner)

    @property
    def gateway(self) -> str:
        return str(self.subnet[1])

    @property
    def private_key(self) -> Path:
        return self.directory / "client_key"

    @property
    def known_hosts(self) -> Path:
        return self.directory / "known_hosts"

    def start(self, *specs: HostSpec) -> list[Host]:
        """Start hosts at once and return them, in order, when all are ready.

        Raises:
            FleetError: one did not start; the others stay until the fleet is closed.
        """
        images = [ensure_variant(spec.variant) if spec.variant else ensure_image() for spec in specs]
        hosts = [self._register(spec) for spec in specs]
        with ThreadPoolExecutor(max_workers=_STARTERS) as starters:
            for _ in starters.map(lambda one: self._boot(*one), zip(images, specs, hosts, strict=True)):
                pass
        return hosts

    def remove(self, *names: str) -> None:
        """Remove these hosts, however they are. Nobody waits until they are gone; `settle` and `close` do."""
        hosts = [self.hosts.pop(name) for name in names]
        for host in hosts:
            for key in self.directory.glob(f"{host.name}.host_key*"):
                key.unlink()
        if hosts:
            containers = [host.container for host in hosts]
            self._remover.submit(podman, "rm", "--force", "--ignore", "--time", "0", "--volumes", *containers)

    def settle(self) -> None:
        """Return when what was removed is gone."""
        self._remover.submit(lambda: None).result()

    def close(self) -> None:
        """Remove hosts, network and keys."""
        self._remover.shutdown()
        remove(self.session)
        self.hosts.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _register(self, spec: HostSpec) -> Host:
        if spec.name in self.hosts:
            raise FleetError(f"this fleet has a host {spec.name!r} already")
        if spec.behind is not None and spec.behind not in self.hosts:
            raise FleetError(f"{spec.name} is behind {spec.behind!r}, which must be started before it")
        # An address is never used again: a persistent SSH connection to its last host may still be open.
        address = str(self.subnet[_FIRST_ADDRESS + self._addresses_used])
        self._addresses_used += 1
        host_key = _generate_key(self._host_key_path(spec))
        with self.known_hosts.open("a", encoding="utf-8") as known_hosts:
            known_hosts.write(f"{address} {host_key}\n")
        self.hosts[spec.name] = Host(
            name=spec.name,
            # One of that name may still be on its way out.
            container=f"{PREFIX}{self.session}-{spec.name}-{self._addresses_used}",
            address=address,
            host_key=host_key,
            private_key=self.private_key,
            known_hosts=self.known_hosts,
            gateway=self.gateway,
            allowed_from=self.hosts[spec.behind].address if spec.behind is not None else None,
        )
        return self.hosts[spec.name]

    def _boot(self, image: str, spec: HostSpec, host: Host) -> None:
        labels = {**self._labels(), HOST_LABEL: json.dumps({"name": host.name, "address": host.address})}
        mounts = {
            self._host_key_path(spec): "/etc/ssh/ssh_host_ed25519_key",
            self.private_key.with_suffix(".pub"): "/etc/ssh/fleet_authorized_keys",
        }
        options = run_arguments(labels=labels, tmpfs=spec.tmpfs)
        for source, target in mounts.items():
            options += ["--volume", f"{source}:{target}:ro"]
        for place, directory in spec.directories.items():
            options += ["--volume", f"{directory}:{place}"]
        options += ["--name", host.container, "--hostname", host.name]
        options += [
            "--network",
            self.network,
            "--ip",
            host.address,
            "--mac-address",
            _mac_address(host.address),
        ]
        podman("run", "--detach", *options, image)
        host.wait_until_ready()
        if not spec.python:
            host.run("rm /usr/bin/python3*")
        host.raise_barrier()

    def _host_key_path(self, spec: HostSpec) -> Path:
        return self.directory / f"{spec.name}.host_key"

    def _labels(self) -> dict[str, str]:
        return {LABEL: self.session, OWNER_LABEL: self.owner, DIRECTORY_LABEL: str(self.directory)}


def _create_network(name: str, labels: dict[str, str]) -> IPv4Network:
    """Create it on a random subnet: SSH connections may still know one that a fleet had a moment ago."""
    options = ["--disable-dns"]
    for key, value in labels.items():
        options += ["--label", f"{key}={value}"]
    for attempt in range(_SUBNET_ATTEMPTS):
        subnet = random.choice(_SUBNETS)
        try:
            podman("network", "create", *options, "--subnet", str(subnet), name)
        except FleetError:
            if attempt == _SUBNET_ATTEMPTS - 1:
                raise
            continue
        return subnet
    raise AssertionError("the last attempt raises")


def _mac_address(address: str) -> str:
    """Return one that stays across boots: a new one is not believed for most of a minute."""
    return ":".join(f"{byte:02x}" for byte in (0x02, 0x00, *IPv4Address(address).packed))


def _generate_key(path: Path) -> str:
    """Write a key pair and return the public key without its comment."""
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)])
    return " ".join(path.with_name(f"{path.name}.pub").read_text(encoding="utf-8").split()[:2])
