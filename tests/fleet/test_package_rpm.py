"""Packages on a host with a real rpm and dnf, by the real command.

They are Debian's: its dnf knows no repository, so that dependencies are met by what is installed alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.demo.artifact_server import ArtifactServer
from tests.fleet.deployments import PASSWORD, results
from tests.fleet.hosts import LOGIN_TRACES, Fleet, Host, HostFactory, HostSpec, changes
from tests.fleet.packages import KEPT, NAME, Packages, installed_rpm
from tests.fleet.variants import RPM

STATE = ["/var", "/etc", "/usr/share", "/root"]
LOOKED = [*LOGIN_TRACES, "/var/log/journal", "/var/cache/dnf", "/var/lib/rpm/rpmdb.sqlite-shm"]
"""What logging in leaves, and what rpm and dnf write whenever they are asked anything."""
FAILS = '%pre -p <lua>\nerror("not today")'


@pytest.fixture
def packages(fleet: Fleet, tmp_path: Path) -> Iterator[Packages]:
    store = tmp_path / "nexus"
    with ArtifactServer(store, username="ci", password=PASSWORD, address=fleet.gateway) as server:
        made = Packages(directory=tmp_path, server=server, format="rpm")
        made.start()
        yield made


@pytest.fixture
def host(hosts: HostFactory, packages: Packages) -> Host:
    (one,) = hosts(HostSpec(name="rpm1", variant=RPM))
    packages.add_hosts([one])
    return one


def deploy(packages: Packages, host: Host, version: str, expect: int = 0, *arguments: str) -> str:
    """Asks for that version and deploys; the result on that host."""
    packages.release(version)
    return results(packages.deploy(*arguments, expect=expect))[host.name]


def test_install_update_downgrade_rollback_drift_and_removal(packages: Packages, host: Host) -> None:
    for version in ("1.9", "1.10"):
        packages.publish_rpm(version, host)
    packages.release("1.9")
    before = host.snapshot(STATE, exclude=LOOKED)
    packages.deploy("--check")
    assert changes(before, host.snapshot(STATE, exclude=LOOKED)) == []
    assert deploy(packages, host, "1.9") == "deployed"
    assert installed_rpm(host) == "1.9"
    before = host.snapshot(STATE, exclude=LOOKED)
    assert deploy(packages, host, "1.9") == "unchanged"
    assert changes(before, host.snapshot(STATE, exclude=LOOKED)) == []

    host.run(f"echo mine > /etc/{NAME}.conf")
    assert deploy(packages, host, "1.10") == "deployed"
    assert installed_rpm(host) == "1.10"
    assert host.run(f"cat /etc/{NAME}.conf").stdout == "mine\n"
    assert "in sync" in packages.command("status", "--verify")

    packages.release("1.9")
    refused = packages.deploy(expect=21)["output"]
    assert "1.10 → 1.9" in refused
    assert "allow_downgrade" in refused
    assert installed_rpm(host) == "1.10"

    packages.command("rollback", "-e", "dev")
    assert installed_rpm(host) == "1.9"
    packages.command("unhold", "dev", "shop")
    assert deploy(packages, host, "1.10") == "deployed"
    packages.entry["package"] = {"allow_downgrade": True}
    assert deploy(packages, host, "1.9") == "deployed"
    assert installed_rpm(host) == "1.9"

    # Somebody removes it, or changes a file of it.
    host.run(f"rpm --erase {NAME}")
    assert f"{NAME} is not installed" in packages.command("status")
    assert deploy(packages, host, "1.9") == "deployed"
    host.run(f"echo broken > /usr/share/{NAME}/version")
    assert "version was changed by hand" in packages.command("status", "--verify")
    assert deploy(packages, host, "1.9", 0, "--verify") == "deployed"
    assert host.run(f"cat /usr/share/{NAME}/version").stdout == "1.9\n"

    # It leaves the manifest.
    packages.publish("1", {"index.html": "site"})
    packages.applications = {"site": {"version": "1", "artifact": {"path": "site/site-1.zip"}}}
    packages.entries = {"site": {"deployment_path": "/srv/site"}}
    packages.release("2")
    packages.deploy()
    assert installed_rpm(host) == "1.9"
    packages.deploy("--prune")
    assert installed_rpm(host) == ""
    left = f"ls -d {KEPT} /usr/share/{NAME}/version /etc/{NAME}.conf 2>/dev/null || true"
    assert host.run(left).stdout == ""


def test_version_that_fails_is_replaced_by_the_one_before(packages: Packages, host: Host) -> None:
    packages.publish_rpm("1.0", host)
    packages.publish_rpm("2.0", host, scripts=FAILS)
    packages.publish_rpm("3.0", host)
    assert deploy(packages, host, "2.0", 23) == "removed"
    assert installed_rpm(host) == ""
    assert deploy(packages, host, "1.0") == "deployed"
    assert deploy(packages, host, "2.0", 23) == "switched back"
    assert installed_rpm(host) == "1.0"
    version = ["/bin/grep", "-qx", "1.0", f"/usr/share/{NAME}/version"]
    packages.entry["healthcheck"] = {"type": "command", "command": version, "retries": 0}
    assert deploy(packages, host, "3.0", 23) == "switched back"
    assert installed_rpm(host) == "1.0"
    del packages.entry["healthcheck"]
    assert deploy(packages, host, "1.0") == "unchanged"


def test_what_cannot_be_installed_is_refused_before_anything_is(packages: Packages, host: Host) -> None:
    packages.publish_rpm("1.0", host)
    assert deploy(packages, host, "1.0") == "deployed"
    packages.publish_rpm("2.0", host, tags="Requires: does-not-exist >= 9")
    packages.publish_rpm("3.0", host, name="shop-other")
    packages.put("shop-4.0.rpm", b"no package")
    for version, code, words in (
        ("2.0", 22, "does-not-exist"),
        ("3.0", 21, "the file contains shop-other, and this application's package is shop-agent"),
        ("4.0", 22, "cannot read it"),
    ):
        packages.release(version)
        for arguments in (("--check",), ()):
            assert words in packages.deploy(*arguments, expect=code)["output"]
    assert installed_rpm(host) == "1.0"
