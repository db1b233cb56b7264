"""A large archive to one host: one pass over the bytes, memory that does not grow with them."""

from __future__ import annotations

import contextlib
import shlex
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.ground import Ground
from tests.bench.measuring import Measured, measure
from tests.bench.peers import our_command
from tests.bench.site import LARGE_FILES, digest_of, write_large
from tests.fleet.deployments import PASSWORD

POLL_SECONDS = 0.02
LARGE_ROOT = "/srv/large"
_HOST_PROGRAM = b"host_program"


@dataclass(frozen=True, slots=True, kw_only=True)
class LargeProfile:
    """What a large archive cost.

    Attributes:
        unpacked_bytes: content of the archive.
        host: the host program's peaks, over all its runs.
        requests: downloads of the archive that the server has seen.
        floor: `curl | tar xz` over ssh, into another directory.
    """

    archive_bytes: int
    unpacked_bytes: int
    ours: Measured
    host: HostPeaks
    requests: int
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
        self.memory_bytes = max(self.memory_bytes, status["VmHWM"] * 1024)
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
    # The digest is pinned: the embedded server would hash the file first, which a real Nexus has done on upload.
    artifact = {"path": "site/large-{version}.tar.gz", "sha256": digest_of(archive)}
    made.settings = {**made.settings, "hosts": [host.name], "deployment_path": LARGE_ROOT}
    made.settings.pop("healthcheck", None)
    command = our_command(ground, version, **artifact)
    peaks, seen = HostPeaks(), len(ground.server.log.requests)
    watcher = threading.Thread(target=peaks.watch, args=(ground.inits[host.name],), daemon=True)
    watcher.start()
    ours = measure(command, environment=ground.environment, directory=ground.directory, memory=True)
    peaks.end()
    watcher.join()
    ground.verify(LARGE_ROOT, version, LARGE_FILES, hosts=(host,))
    requests = [one for one in ground.server.log.requests[seen:] if one.path.endswith(archive.name)]
    url = f"{ground.server.url}/repository/raw/site/{archive.name}"
    script = f"mkdir -p /srv/floor && curl -fsS -u ci:{PASSWORD} {url} | tar -xz -C /srv/floor"
    shell = [*host.ssh_command(), f"sudo -n sh -c {shlex.quote(script)}"]
    floor = measure(shell, environment=ground.environment, directory=ground.directory)
    return LargeProfile(
        archive_bytes=size,
        unpacked_bytes=megabytes * 1_000_000,
        ours=ours,
        host=peaks,
        requests=sum(one.method == "GET" for one in requests),
        floor=floor,
    )


def _is_host_program(process: Path, namespace: Path) -> bool:
    return (
        (process / "ns" / "pid").readlink() == namespace
        and (process / "exe").readlink().name.startswith("python")
        and _HOST_PROGRAM in (process / "cmdline").read_bytes()
    )


def _numbers(text: str, *names: str) -> dict[str, int]:
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name: int(value.split()[0]) for name, value in pairs if name in names}
