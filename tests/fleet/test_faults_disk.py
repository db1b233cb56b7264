"""Disks that are full, have no inodes left, or are read-only. Each test ends by looking at every host."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet import filling, stepping
from tests.fleet.hosts import Host
from tests.fleet.podman import podman_command
from tests.fleet.promises import Promises
from tests.fleet.stepping import Step

HOST_PROGRAM = Path(__file__).resolve().parent.parent.parent / "roles/placement/files/host_program"
DRIVER = "/var/lib/filling"
STATE = "/var/lib/gitops-orchestrator"


@pytest.mark.parametrize("where", ["path", "state"])
def test_disk_that_is_full_at_each_write(promises: Promises, where: str) -> None:
    """Of bytes and of inodes there is one more left each time, until a deployment succeeds."""
    host = promises.hosts[0]
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.add(
            HOST_PROGRAM, "host_program", filter=lambda one: None if "__pycache__" in one.name else one
        )
        archive.add(filling.__file__, "filling.py")
    unpacking = [*podman_command(), "exec", "--interactive", host.container]
    unpacking += ["sh", "-c", f"mkdir -p {DRIVER} && tar -C {DRIVER} -xf -"]
    subprocess.run(unpacking, input=content.getvalue(), check=True)
    failed = {}
    for unit in ("pages", "inodes"):
        for before in ("stage", "activate"):
            command = ["unshare", "-m", "python3", "-B", f"{DRIVER}/filling.py", where, unit, before]
            said = json.loads(host.run(command).stdout)
            assert said["wrong"] == [], (unit, before)
            failed[unit, before] = len(said["failed"])
    # So many writes, or more, were hit: of every page of the archive and the release, or of the record.
    assert failed["pages", "stage"] >= (10 if where == "path" else 2)
    assert failed["inodes", "stage"] >= (10 if where == "path" else 2)
    assert failed["inodes", "activate"] >= 1
    promises.kept()


@pytest.fixture(params=["path", "state"])
def small(request: pytest.FixtureRequest, promises: Promises) -> Iterator[str]:
    """A small file system on the first host for the deployment path, or for what the host knows."""
    where = promises.path if request.param == "path" else STATE
    host = promises.hosts[0]
    promises.end()
    host.run(f"mkdir -p {where} && mount -t tmpfs -o size=4m tmpfs {where}")
    promises.begin()
    yield where
    promises.end()
    host.run(f"umount -l {where}")


def test_deployment_to_a_host_that_gets_full_or_read_only(promises: Promises, small: str) -> None:
    host: Host = promises.hosts[0]
    promises.publish_numbers(4)
    promises.deployments.release("0")
    promises.deploy()
    promises.deployments.release("1")
    host.run(f"head -c 8M /dev/zero > {small}/filler", check=False)
    said = promises.deploy("--check", expect=18)
    assert "free some space there" in promises.deploy(expect=18)["output"] + said["output"]
    promises.attempts -= 1  # a check is no attempt
    assert promises.live() == ["0", "0"]
    host.run(f"rm {small}/filler; mount -o remount,ro {small}")
    assert "read-only" in promises.deploy(expect=19)["output"]
    assert promises.live() == ["0", "0"]
    host.run(f"mount -o remount,rw {small}")
    promises.deploy()
    # It gets so while a run is at work: staged everywhere, and no receipt or link can be written.
    promises.deployments.release("2")
    stepping.hold(host, Step(phase="activate"))
    broken = promises.start()
    stepping.wait_held(host)
    host.run(f"mount -o remount,ro {small}")
    stepping.go_on(host)
    said = broken.end(expect=19)
    assert "another release" not in said
    assert promises.live()[0] == "1"
    host.run(f"mount -o remount,rw {small}")
    promises.deploy()
    promises.converged("2")
