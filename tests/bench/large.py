"""A large archive to one host: one pass over the bytes, memory that does not grow with them."""

from __future__ import annotations

import contextlib
import shlex
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.bench.ground import Ground
from tests.bench.measuring import Measured, measure
from tests.bench.peers import our_command
from tests.bench.site import LARGE_FILES, write_large
from tests.fleet.deployments import PASSWORD

POLL_SECONDS = 0.02
LARGE_ROOT = "/srv/large"
_HOST_PROGRAM = b"host_program"


@dataclass(frozen=True, slots=True, kw_only=True)
class LargeProfile:
    """What a large archive cost, beside the small one.

    Attributes:
        unpacked_bytes: content of the archive.
        small: the same command with the site's 10 MB zip.
        host: the host program's peaks; `small_host` those with the small one.
        downloads: of the archive, as the server has seen them.
        floor: `curl | tar xz` over ssh, into another directory.
    """

    archive_bytes: int
    unpacked_bytes: int
    ours: Measured
    small: Measured
    host: HostPeaks
    small_host: HostPeaks
    downloads: int
    floor: Measured


@dataclass(slots=True)
class HostPeaks:
    """The host program, seen from outside.

    Attributes:
        memory_bytes: the kernel's own high-water mark of resident memory, the largest of all runs.
        read_bytes: what one run has read from files at most; bytes from the network are not in it.
        written_bytes: what one run has written at most.
    """

    memory_bytes: int = 0
    read_bytes: int = 0
    written_bytes: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)

    def watch(self, init: int) -> None:
        """Looks at the host whose first process this is until `end` is called."""
        namespace = Path(f"/proc/{init}/ns/pid").readlink()
        known: dict[Path, bool] = {}
        while not self._ended.is_set():
            for process in Path("/proc").glob("[1-9]*"):
                with contextlib.suppress(OSError):
                    if not known.get(process):
                        known[process] = _is_host_program(process, namespace)
                    if known[process]:
                        self._look(process)
            time.sleep(POLL_SECONDS)

    def end(self) -> None:
        """Nobody looks any more."""
        self._ended.set()

    def _look(self, process: Path) -> None:
        status = _numbers((process / "status").read_text(), "VmHWM")
        counts = _numbers((process / "io").read_text(), "rchar", "wchar")
        # A process that has just ended has no memory any more.
        self.memory_bytes = max(self.memory_bytes, status.get("VmHWM", 0) * 1024)
        self.read_bytes = max(self.read_bytes, counts["rchar"])
        self.written_bytes = max(self.written_bytes, counts["wchar"])


def profile_large(ground: Ground, megabytes: int) -> LargeProfile:
    """Our deployment of a tar.gz of that many MB to the first host, and the same bytes by the shell.

    Raises:
        BenchError: one of them failed.
    """
    version, made, host = "500.1.0", ground.deployments, ground.hosts[0]
    archive = ground.directory / "nexus" / "raw" / "site" / f"large-{version}.tar.gz"
    size = write_large(archive, version, megabytes)
    # A Nexus has hashed the file when it was uploaded; the embedded server does it when it is asked first.
    search = f"{ground.server.url}/service/rest/v1/search/assets?repository=raw&name=/site/{archive.name}"
    httpx.get(search, auth=("ci", PASSWORD), timeout=300).raise_for_status()
    small, small_host = _profile(ground, our_command(ground, ground.publish("small", "1.1.0").version))
    made.settings = {"hosts": [host.name], "deployment_path": LARGE_ROOT}
    seen = len(ground.server.log.requests)
    ours, peaks = _profile(ground, our_command(ground, version, path="site/large-{version}.tar.gz"))
    ground.verify(LARGE_ROOT, version, LARGE_FILES, hosts=(host,))
    path = f"/repository/raw/site/{archive.name}"
    requests = [one for one in ground.server.log.requests[seen:] if one.path == path]
    script = (
        f"mkdir -p /srv/floor && curl -fsS -u ci:{PASSWORD} {ground.server.url}{path} | tar -xz -C /srv/floor"
    )
    shell = [*host.ssh_command(), f"sudo -n sh -c {shlex.quote(script)}"]
    floor = measure(shell, environment=ground.environment, directory=ground.directory)
    return LargeProfile(
        archive_bytes=size,
        unpacked_bytes=megabytes * 1_000_000,
        ours=ours,
        small=small,
        host=peaks,
        small_host=small_host,
        downloads=sum(one.method == "GET" for one in requests),
        floor=floor,
    )


def _profile(ground: Ground, command: list[str]) -> tuple[Measured, HostPeaks]:
    peaks = HostPeaks()
    init = ground.inits[ground.hosts[0].name]
    watcher = threading.Thread(target=peaks.watch, args=(init,), daemon=True)
    watcher.start()
    try:
        done = measure(command, environment=ground.environment, directory=ground.directory, memory=True)
    finally:
        peaks.end()
        watcher.join()
    return done, peaks


def _is_host_program(process: Path, namespace: Path) -> bool:
    return (
        (process / "ns" / "pid").readlink() == namespace
        and (process / "exe").readlink().name.startswith("python")
        and _HOST_PROGRAM in (process / "cmdline").read_bytes()
    )


def _numbers(text: str, *names: str) -> dict[str, int]:
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name: int(value.split()[0]) for name, value in pairs if name in names}
