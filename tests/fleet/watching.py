"""Watches every process of a host for known secrets while something is done there."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.fleet.hosts import Host

# The secrets come in a file in memory that is gone at once: neither its arguments nor a disk may hold them.
WATCHER = """
import json, os, time
with open("/dev/shm/secrets", encoding="utf-8") as file:
    secrets = [secret.encode() for secret in json.load(file)]
os.unlink("/dev/shm/secrets")
found, programs, looked = set(), set(), 0
while not os.path.exists("/run/watcher.stop"):
    looked += 1
    for process in filter(str.isdigit, os.listdir("/proc")):
        for name in ("cmdline", "environ"):
            try:
                with open("/proc/{}/{}".format(process, name), "rb") as file:
                    content = file.read()
            except OSError:
                continue
            if b"host_program" in content:
                programs.add(process)
            if any(secret in content for secret in secrets):
                found.add("{} of {}".format(name, process))
    time.sleep(0.005)
with open("/run/watcher.json.new", "w", encoding="utf-8") as file:
    json.dump({"looked": looked, "programs": len(programs), "found": sorted(found)}, file)
os.rename("/run/watcher.json.new", "/run/watcher.json")
"""


@dataclass(slots=True)
class Watched:
    """What was seen.

    Attributes:
        looked: how often all processes were looked at.
        programs: processes that ran the host program.
        found: where a secret was, such as `environ of 123`.
    """

    looked: int = 0
    programs: int = 0
    found: list[str] = field(default_factory=list)


@contextmanager
def watching(host: Host, secrets: Sequence[str]) -> Iterator[Watched]:
    """While the context is open, arguments and environment of all processes are searched for the secrets."""
    watched = Watched()
    host.run("cat > /run/watcher.py", stdin=WATCHER)
    host.run("cat > /dev/shm/secrets", stdin=json.dumps(list(secrets)))
    host.run("systemd-run --quiet --unit=watcher python3 /run/watcher.py")
    _wait(host, "test ! -e /dev/shm/secrets")
    try:
        yield watched
    finally:
        host.run("touch /run/watcher.stop")
        _wait(host, "test -e /run/watcher.json")
        seen = json.loads(host.run("cat /run/watcher.json").stdout)
        watched.looked, watched.programs, watched.found = seen["looked"], seen["programs"], seen["found"]


def search(host: Host, secrets: Sequence[str], *places: str) -> str:
    """Which files below these places hold a secret, and which lines of the journal; empty when none does."""
    patterns = "\n".join(secrets)
    # grep ends with 1 when nothing is found.
    files = host.run(f"grep -rlF -f - -- {' '.join(places)} || true", stdin=patterns).stdout
    journal = host.run(
        "journalctl --quiet --no-pager --output=export > /dev/shm/journal; "
        "test $(wc -c < /dev/shm/journal) -gt 1000 || echo the journal is empty; "
        "grep -aF -f - /dev/shm/journal || true; rm /dev/shm/journal",
        stdin=patterns,
    ).stdout
    return (files + journal).strip()


def _wait(host: Host, condition: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while host.run(condition, check=False).returncode != 0:
        assert time.monotonic() < deadline, f"this did not come true: {condition}"
