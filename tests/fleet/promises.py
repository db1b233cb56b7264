"""What is promised whatever breaks, and how it is looked at: on every host, during a fault and after it."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.edges.deliveries import DEPLOY, Running
from tests.edges.remotes import git
from tests.fleet.deployments import Deployments
from tests.fleet.hosts import Host, Snapshot, changes

# Looks at `current` without an end and writes down what it is: a version, nothing, or something broken.
_WATCHER = """
import hashlib, json, os, time
directory = "/var/lib/promises"
def look(wanted, link):
    release, found = os.path.join(wanted["path"], link), {}
    for folder, _, names in os.walk(release):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                found[os.path.relpath(os.path.join(folder, name), release)] = hashlib.sha256(file.read()).hexdigest()
    return next((one for one, files in wanted["versions"].items() if files == found), "broken: " + release)
last = None
while True:
    with open(directory + "/wanted.json") as file:
        wanted = json.load(file)
    current = wanted["path"] + "/current"
    try:
        link = os.readlink(current)
    except FileNotFoundError:
        link = ""
    except OSError:
        link = "by hand"
    try:
        seen = look(wanted, link) if link and link != "by hand" else link
        if link and link != "by hand" and os.readlink(current) != link:
            continue  # it was switched, and what was live before may be pruned, while it was read
    except OSError:
        continue
    if seen != last:
        last = seen
        with open(directory + "/seen", "a") as file:
            file.write(seen + chr(10))
    time.sleep(0.02)
"""
# One look at everything that is ours on the host.
_LOOK = """
import fcntl, glob, json, os, sys
path = sys.argv[1]
state = "/var/lib/gitops-orchestrator"
said = {"staged": [], "unmade": [], "unrecorded": [], "locked": [], "new": []}
recorded = set()
for name in glob.glob(state + "/placements/*/receipt.json"):
    receipt = json.load(open(name))
    if receipt["deployment_path"] == path:
        recorded |= set(receipt["releases"])
        trees = {one[:-5] for one in os.listdir(os.path.dirname(name) + "/trees")}
        said["unrecorded"] += sorted(trees ^ set(receipt["releases"]))
if os.path.isdir(path):
    said["staged"] = [one for one in os.listdir(path) if one == ".orchestrator-staging"]
    said["unmade"] = [one for one in os.listdir(path) if one.startswith(".current-")]
if os.path.isdir(path + "/releases"):
    said["unrecorded"] += sorted((set(os.listdir(path + "/releases")) - {"by-hand"}) ^ recorded)
for name in glob.glob(state + "/*/*/lock"):
    with open(name, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            said["locked"].append(name)
said["new"] = [name for name in glob.glob(state + "/**/*", recursive=True) if name.endswith(".new")]
json.dump(said, sys.stdout)
"""
_DECOYS = """
mkdir -p {path}/releases/by-hand {path}/shared /srv/decoy/releases/1 /srv/decoy/.orchestrator-staging /opt/decoy
echo notes > {path}/notes.txt; echo mine > {path}/shared/upload; echo old > {path}/releases/by-hand/index.html
echo one > /srv/decoy/releases/1/index.html; ln -sfn releases/1 /srv/decoy/current
echo two > /srv/decoy/.orchestrator-staging/file; ln -sfn /opt/decoy {path}/elsewhere; echo three > /opt/decoy/file
"""


def site(version: str, size_bytes: int = 100) -> dict[str, str]:
    """The files of a version."""
    return {"index.html": version, "a/b/data": os.urandom(size_bytes // 2).hex(), "c/empty": ""}


@dataclass(slots=True)
class Promises:
    """What holds for one deployment path on some hosts.

    Attributes:
        versions: version → the files that its release has.
        attempts: how many were begun; each has to be in the history.
    """

    deployments: Deployments
    hosts: Sequence[Host]
    path: str = "/srv/site"
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    attempts: int = 0
    _decoys: dict[str, Snapshot] = field(default_factory=dict)
    _foreign: tuple[str, ...] = ()

    def begin(self) -> None:
        """Files of other people lie around, and a watcher looks at `current` from now on (anew)."""
        self.end()
        self._foreign = (
            *(f"{self.path}/{name}" for name in ("notes.txt", "shared", "releases/by-hand", "elsewhere")),
            "/srv/decoy",
            "/opt/decoy",
        )
        for host in self.hosts:
            host.run(_DECOYS.format(path=self.path))
            self._decoys[host.name] = host.snapshot(self._foreign)
            host.run("mkdir -p /var/lib/promises; cat > /var/lib/promises/watcher.py", stdin=_WATCHER)
        self.publish()
        self.watch(*self.hosts)

    def publish_numbers(self, numbers: int) -> None:
        """Versions `0`, `1`, … are in the repository."""
        self.publish(**{str(number): site(str(number)) for number in range(numbers)})

    def publish(self, **versions: Mapping[str, str]) -> None:
        """Versions of the site are in the repository, and the watchers know what they consist of."""
        for version, files in versions.items():
            self.versions[version] = dict(files)
            self.deployments.publish(version, files)
        known = {
            version: {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()}
            for version, files in self.versions.items()
        }
        text = json.dumps({"path": self.path, "versions": known})
        for host in self.hosts:
            host.run(
                "cat > /var/lib/promises/new.json; mv /var/lib/promises/new.json /var/lib/promises/wanted.json",
                stdin=text,
            )

    def watch(self, *hosts: Host) -> None:
        """The watcher runs there (again, after a boot)."""
        for host in hosts:
            host.run("systemd-run --quiet --unit=promises /usr/bin/python3 /var/lib/promises/watcher.py")

    def end(self) -> None:
        """Nobody watches any more."""
        for host in self.hosts:
            host.run("systemctl stop promises; rm -rf /var/lib/promises", check=False)

    def deploy(self, *arguments: str, expect: int = 0) -> dict[str, Any]:
        """As `Deployments.deploy`, and counted."""
        self.attempts += 1
        return self.deployments.deploy(*arguments, expect=expect)

    def start(self) -> Running:
        """A deployment, running."""
        self.attempts += 1
        log = self.deployments.directory / f"{self.attempts}.log"
        with open(log, "w", encoding="utf-8") as file:
            process = self.deployments.start_command(*DEPLOY, output=file)
        return Running(process, log)

    def live(self) -> list[str]:
        """What every host serves: a version whose files are all there as published, or nothing; no host any more
        or less than its watcher has seen.
        """
        found = []
        for host in self.hosts:
            wanted = time.monotonic() + 20
            seen = self.seen(host)
            while seen[-1:] != [self._read(host)] and time.monotonic() < wanted:
                time.sleep(0.05)
                seen = self.seen(host)
            assert seen, f"the watcher of {host.name} has seen nothing"
            found.append(seen[-1])
        return found

    def seen(self, host: Host) -> list[str]:
        """What `current` was there, in order; none of it broken, and never nothing after something."""
        seen = host.run("cat /var/lib/promises/seen").stdout.split("\n")[:-1]
        wrong = [one for one in seen if one and one not in self.versions]
        assert not wrong, f"{host.name}: {seen}"
        assert "" not in seen[1:], f"{host.name}: {seen}"
        return seen

    def kept(self) -> None:
        """Nothing of other people's is changed or gone on any host."""
        for host in self.hosts:
            assert changes(self._decoys[host.name], host.snapshot(self._foreign)) == [], host.name

    def converged(self, version: str) -> None:
        """Every host, and the ledger, after a run that succeeded: the version is live, complete and verified;
        nothing is left of what broke; no lock is held; every attempt is in the history.
        """
        assert self.live() == [version] * len(self.hosts)
        self.kept()
        for host in self.hosts:
            said = json.loads(host.run(["python3", "-c", _LOOK, self.path]).stdout)
            assert said == {name: [] for name in said}, f"{host.name}: {said}"
        assert self.deployments.command("status", "--verify").count("in sync") == len(self.hosts)
        self.recorded()

    def recorded(self) -> list[dict[str, Any]]:
        """The history, newest first: every attempt is in it and ended; nobody holds the lock."""
        lock = json.loads(
            git(
                self.deployments.directory / f"{self.deployments.name}.git",
                "show",
                "orchestrator/lock/dev:lock.json",
            )
        )
        assert lock["state"] == "free", lock
        found = json.loads(self.deployments.command("history", "dev", "--all", "--json", "-"))["attempts"]
        assert len(found) == self.attempts, [one["verdict"] for one in found]
        assert all(one["verdict"] for one in found)
        attempts: list[dict[str, Any]] = found
        return attempts

    def _read(self, host: Host) -> str:
        """The version of which the live index says that it is."""
        text = host.run(f"cat {self.path}/current/index.html 2>/dev/null || true").stdout
        named = [version for version, files in self.versions.items() if files["index.html"] == text]
        return named[0] if named else ""
