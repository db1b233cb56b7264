"""Where the ways are measured: hosts, an artifact server on their gateway, our deployment repository."""

from __future__ import annotations

import compileall
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from orchestrator.demo.artifact_server import ArtifactServer
from tests.bench.disks import own_disks
from tests.bench.measuring import BenchError
from tests.bench.site import Release, digest, make_site
from tests.fleet.deployments import PASSWORD, ROOT, SITE_PORT, Deployments, serve_site
from tests.fleet.hosts import Fleet, Host, HostSpec
from tests.fleet.podman import podman

HEALTHCHECK = {
    "url": f"http://{{address}}:{SITE_PORT}/index.html",
    "retries": 20,
    "interval_seconds": 0.2,
    "deadline_seconds": 30,
}
KEPT_RELEASES = 3
BOOTED_AT_ONCE = 20
# systemd has about three; where there are no more it does not boot.
INOTIFY, INOTIFY_INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances"), 3
OWN_ROOT = "/srv/site"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Ready hosts that serve our site.

    Attributes:
        directory: for files of the ways; gone afterwards.
        inits: host → process id of its systemd on this machine.
        environment: of every command.
        released: what the branch has asked for, in order: version, and where its artifact is.
    """

    hosts: tuple[Host, ...]
    server: ArtifactServer
    deployments: Deployments
    directory: Path
    inits: dict[str, int]
    environment: dict[str, str]
    released: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def publish(self, seed: str, version: str) -> Release:
        """That version is in the artifact repository."""
        content = make_site(seed, version)
        url = f"{self.server.url}/repository/raw/site/site-{version}.zip"
        httpx.put(url, content=content, auth=("ci", PASSWORD)).raise_for_status()
        return Release(version=version, url=url, sha256=digest(content))

    def verify(self, root: str, version: str, files: int, hosts: tuple[Host, ...] | None = None) -> None:
        """Every host (or those of `hosts`) serves that version, with all its files, from `root`.

        Raises:
            BenchError: one does not.
        """
        for host in hosts or self.hosts:
            disk = Path(f"/proc/{self.inits[host.name]}/root")
            place = disk / root.lstrip("/")
            target = (place / "current").readlink()
            live = disk / str(target).lstrip("/") if target.is_absolute() else place / target
            found = sum(len(names) for _, _, names in os.walk(live))
            says = (live / "index.html").read_text()
            if (says, found) != (version, files):
                raise BenchError(
                    f"{root} on {host.name}: version {says} of {found} files, not {version} of {files}"
                )

    def forget(self, root: str, kept: set[str]) -> None:
        """Releases and archives of other versions are gone, so that disks do not fill up."""
        words = " ".join(
            f"! -name {version} ! -name site-{version}.zip" for version in sorted({"releases", *kept})
        )
        script = (
            f"for d in {root} {root}/releases; do [ ! -d $d ] || "
            f"find $d -mindepth 1 -maxdepth 1 ! -name current {words} -exec rm -rf {{}} +; done"
        )
        with ThreadPoolExecutor(max_workers=4) as workers:
            list(workers.map(lambda host: host.run(script), self.hosts))

    def lacking(self, *tools: str) -> str:
        """Which of these commands the hosts do not have; empty when they have all."""
        host = self.hosts[0]
        return ", ".join(tool for tool in tools if host.run(["which", tool], check=False).returncode)


def batched(specs: list[HostSpec], size: int) -> Iterator[list[HostSpec]]:
    """The specifications, so many at a time: a hundred systemds at once boot for minutes."""
    for start in range(0, len(specs), size):
        yield specs[start : start + size]


@contextmanager
def open_ground(count: int) -> Iterator[Ground]:
    """Hosts `bench1` … exist while the context is open, with a web server each for what `/srv/site` has live.

    Raises:
        BenchError: this machine does not let so many boot.
    """
    # As an installed package is.
    for part in ("orchestrator", "roles", "playbooks"):
        compileall.compile_dir(ROOT / part, quiet=2)
    wanted, allowed = count * INOTIFY_INSTANCES, int(INOTIFY.read_text())
    if wanted > allowed:
        raise BenchError(
            f"{count} hosts with systemd need {wanted} inotify instances, and {allowed} are allowed: "
            f"sysctl -w fs.inotify.max_user_instances={wanted}"
        )
    names = [f"bench{number}" for number in range(1, count + 1)]
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as directory,
        own_disks(names, Path(directory)) as disks,
        Fleet.create("bench") as fleet,
    ):
        specs = [HostSpec(name=name, directories=disks.get(name, {})) for name in names]
        hosts = [host for few in batched(specs, BOOTED_AT_ONCE) for host in fleet.start(*few)]
        for host in hosts:
            serve_site(host)
        store = Path(directory) / "nexus"
        with ArtifactServer(store, username="ci", password=PASSWORD, address=fleet.gateway) as server:
            made = Deployments(directory=Path(directory), server=server)
            made.settings = {"healthcheck": HEALTHCHECK, "keep_releases": KEPT_RELEASES}
            made.start()
            made.add_hosts(hosts)
            path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
            yield Ground(
                hosts=tuple(hosts),
                server=server,
                deployments=made,
                directory=Path(directory),
                inits={host.name: _init(host) for host in hosts},
                environment={**made.environment, "PATH": path, "LANG": "C.UTF-8"},
            )


def _init(host: Host) -> int:
    return int(podman("inspect", "--format", "{{.State.Pid}}", host.container))


def ssh_masters(hosts: tuple[Host, ...], directory: Path, *, leave: bool = False) -> None:
    """A connection to every host is open and stays so, or is closed again."""
    for host in hosts:
        options = ["-o", f"ControlPath={directory}/%C"]
        action = (
            ["-O", "exit"] if leave else ["-o", "ControlMaster=yes", "-o", "ControlPersist=yes", "-N", "-f"]
        )
        *words, destination = host.ssh_command()
        # `ssh` uses the first value of an option, so ours come before those of the host.
        subprocess.run(
            [words[0], *options, *action, *words[1:], destination],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
