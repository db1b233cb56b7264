"""Packages on real hosts with a real dpkg and apt, by the real command."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.demo.artifact_server import ArtifactServer
from tests.fleet import services as units
from tests.fleet.deployments import PASSWORD, results
from tests.fleet.hosts import Fleet, Host, HostFactory, changes
from tests.fleet.packages import KEPT, NAME, Packages, installed

STATE = ["/var/lib", "/etc", "/usr/share", "/root"]


@pytest.fixture
def packages(fleet: Fleet, tmp_path: Path) -> Iterator[Packages]:
    store = tmp_path / "nexus"
    with ArtifactServer(store, username="ci", password=PASSWORD, address=fleet.gateway) as server:
        made = Packages(directory=tmp_path, server=server)
        made.start()
        yield made


@pytest.fixture
def host(hosts: HostFactory, packages: Packages) -> Host:
    (one,) = hosts(1)
    packages.add_hosts([one])
    return one


def deploy(packages: Packages, host: Host, version: str, expect: int = 0, *arguments: str) -> str:
    """Asks for that version and deploys; the result on that host."""
    packages.release(version)
    return results(packages.deploy(*arguments, expect=expect))[host.name]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_install_update_rollback_drift_and_removal(packages: Packages, host: Host) -> None:
    for version in ("1.0", "1.10", "1.20"):
        packages.publish_deb(version, depends="python3 (>= 3.9)")
    packages.release("1.0")
    before = host.snapshot(STATE)
    packages.deploy("--check")
    assert changes(before, host.snapshot(STATE)) == []
    assert deploy(packages, host, "1.0") == "deployed"
    assert installed(host) == "1.0"
    before = host.snapshot(["/var/lib", "/etc", "/usr/share"])
    assert deploy(packages, host, "1.0") == "unchanged"
    assert changes(before, host.snapshot(["/var/lib", "/etc", "/usr/share"])) == []

    host.run(f"echo mine > /etc/{NAME}.conf")
    assert deploy(packages, host, "1.10") == "deployed"
    assert installed(host) == "1.10"
    assert host.run(f"cat /etc/{NAME}.conf").stdout == "mine\n"

    packages.release("1.0")
    refused = packages.deploy(expect=21)["output"]
    assert "shop on fresh1: 1.10 → 1.0" in refused
    assert "allow_downgrade" in refused
    assert installed(host) == "1.10"

    packages.command("rollback", "-e", "dev")
    assert installed(host) == "1.0"
    packages.command("unhold", "dev", "shop")
    packages.entry["package"] = {"allow_downgrade": True}
    assert deploy(packages, host, "1.10") == "deployed"
    assert deploy(packages, host, "1.0") == "deployed"
    assert installed(host) == "1.0"

    # Somebody installs another version by hand.
    packages.entry["package"] = {}
    packages.release("1.10")
    packages.deploy()
    path = host.run(f"ls {KEPT}/releases/1.0-*/shop.deb").stdout.strip()
    host.run(f"dpkg --force-confold --install {path}")
    assert "shop-agent 1.0 is installed, and not 1.10" in packages.command("status")
    assert deploy(packages, host, "1.10") == "deployed"
    host.run(f"echo broken > /usr/share/{NAME}/version")
    assert "version was changed by hand" in packages.command("status", "--verify")
    assert deploy(packages, host, "1.10", 0, "--verify") == "deployed"
    assert host.run(f"cat /usr/share/{NAME}/version").stdout == "1.10\n"
    assert host.run(f"cat /etc/{NAME}.conf").stdout == "mine\n"

    # It leaves the manifest.
    packages.publish_deb("1.0", "other.deb", name="shop-other")
    other = {"version": "1.0", "kind": "package", "artifact": {"path": "shop/other.deb"}}
    packages.applications, packages.prune = {"other": other}, True
    packages.release("2")
    packages.deploy(expect=36)
    packages.prune = False
    packages.release("2")
    packages.deploy()
    packages.prune = True
    packages.release("2")
    packages.deploy()
    assert installed(host) == "config-files"
    assert installed(host, "shop-other") == "1.0"
    assert host.run(f"ls {KEPT} 2>/dev/null || true").stdout == ""


def test_unit_of_a_package_follows_it_back_and_ends_with_it(packages: Packages, host: Host) -> None:
    unit, packages.entry["package"] = f"{NAME}.service", {"unit": NAME}
    for version, seconds in (("1.0", 10001), ("2.0", 10002)):
        packages.publish_deb(version, unit=f"[Service]\nExecStart=/bin/sleep {seconds}\n")

    def running() -> str:
        return host.run("ps -eo args | grep '^/bin/sleep 1000' || true").stdout.strip()

    assert deploy(packages, host, "1.0") == "deployed"
    assert running() == "/bin/sleep 10001"
    # Nothing in these packages tells systemd that their unit has changed.
    assert deploy(packages, host, "2.0") == "deployed"
    assert running() == "/bin/sleep 10002"
    packages.command("rollback", "-e", "dev")
    assert (installed(host), running()) == ("1.0", "/bin/sleep 10001")
    host.run(f"systemctl stop {unit}")
    assert f"{unit} is inactive" in packages.command("status")

    packages.command("unhold", "dev", "shop")
    assert deploy(packages, host, "2.0") == "deployed"
    packages.publish("1", {"index.html": "site"})
    packages.applications = {"site": {"version": "1", "artifact": {"path": "site/site-1.zip"}}}
    packages.entries = {"site": {"deployment_path": "/srv/site"}}
    packages.release("3")
    packages.deploy()
    assert (installed(host), running()) == ("2.0", "/bin/sleep 10002")
    packages.deploy("--prune")
    assert (installed(host), running()) == ("config-files", "")
    assert units.unit(host, unit)["LoadState"] == "not-found"
    assert host.run(f"ls {KEPT} 2>/dev/null || true").stdout == ""
    assert host.run("cat /srv/site/current/index.html").stdout == "site"


def test_version_that_fails_is_replaced_by_the_one_before(packages: Packages, host: Host) -> None:
    packages.publish_deb("1.0")
    packages.publish_deb("2.0", postinst="exit 7")
    packages.publish_deb("3.0")
    packages.publish_deb("4.0", postinst="exit 7")
    assert deploy(packages, host, "2.0", 23) == "removed"
    assert installed(host) in ("", "config-files")
    assert deploy(packages, host, "1.0") == "deployed"
    assert deploy(packages, host, "2.0", 23) == "switched back"
    assert installed(host) == "1.0"
    packages.entry["healthcheck"] = {
        "type": "command",
        "command": ["/bin/grep", "-qx", "{version}", f"/usr/share/{NAME}/version"],
        "retries": 1,
        "interval_seconds": 0.1,
    }
    packages.entry["healthcheck"]["command"] = ["/bin/grep", "-qx", "1.0", f"/usr/share/{NAME}/version"]
    assert deploy(packages, host, "3.0", 23) == "switched back"
    assert installed(host) == "1.0"
    assert deploy(packages, host, "1.0") == "deployed"
    assert host.run("dpkg --audit").stdout == ""


def test_what_cannot_be_installed_is_refused_before_anything_is(packages: Packages, host: Host) -> None:
    packages.publish_deb("1.0")
    assert deploy(packages, host, "1.0") == "deployed"
    packages.publish_deb("2.0", depends="does-not-exist (>= 9)")
    packages.publish_deb("3.0", architecture="sparc")
    packages.publish_deb("4.0", name="coreutils")
    packages.publish_deb("5.0", "shop-5.0.deb", name="shop-foreign")
    for version, words in (
        ("2.0", "does-not-exist"),
        ("3.0", "is for sparc"),
        ("4.0", "the file contains coreutils, and this application's package is shop-agent"),
    ):
        packages.release(version)
        for arguments in (("--check",), ()):
            output = packages.deploy(*arguments, expect=21 if version == "4.0" else 22)["output"]
            assert words in output
    other = {"version": "5.0", "kind": "package", "artifact": {"path": "shop/shop-1.0.deb"}}
    shop = {"version": "1.0", "kind": "package", "artifact": {"path": "shop/shop-{version}.deb"}}
    packages.applications = {"other": other, "shop": shop}
    packages.release("5.0")
    assert "shop-agent belongs to shop of" in packages.deploy(expect=21)["output"]
    packages.applications = {
        "shop": shop,
        "other": {"version": "4.0", "kind": "package", "artifact": {"path": "shop/shop-4.0.deb"}},
    }
    packages.release("6.0")
    assert "is installed already and is not ours" in packages.deploy(expect=21)["output"]
    assert installed(host) == "1.0"


def test_killed_run_of_dpkg_is_finished_by_the_next(packages: Packages, host: Host) -> None:
    packages.publish_deb("1.0")
    packages.publish_deb("2.0", postinst="test -e /tmp/go || exec sleep 1000")
    packages.publish_deb("3.0")
    assert deploy(packages, host, "1.0") == "deployed"
    packages.release("2.0")
    process = packages.start_command("deploy", "--branch", "dev")
    wait_until(lambda: "sleep 1000" in host.run("ps -eo args").stdout)
    host.kill()
    process.communicate(timeout=120)
    host.start()
    assert installed(host) != "2.0"
    host.run("touch /tmp/go")
    assert deploy(packages, host, "2.0") == "deployed"
    assert installed(host) == "2.0"
    assert host.run("ls /var/lib/dpkg/updates").stdout == ""

    host.run("touch /var/lib/dpkg/updates/0000")
    packages.release("3.0")
    assert "and not by a deployment" in packages.deploy(expect=21)["output"]
    assert installed(host) == "2.0"
