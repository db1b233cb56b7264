"""Containers on real hosts with a real podman and systemd, by the real command."""

from __future__ import annotations

import pytest

from tests.fleet.containers import UNIT, Containers, deploy, images, served
from tests.fleet.deployments import results
from tests.fleet.hosts import Host, HostFactory, HostSpec, changes
from tests.fleet.services import unit
from tests.fleet.variants import PODMAN

SECRET = "k3y of the 'container' $HOME"


@pytest.fixture
def host(hosts: HostFactory, containers: Containers) -> Host:
    (one,) = hosts(HostSpec(name="podman1", variant=PODMAN))
    containers.add_hosts([one])
    return one


def test_deploy_update_settings_rollback_drift_and_removal(containers: Containers, host: Host) -> None:
    containers.publish_image("1.0", host)
    containers.publish_image("2.0", host, kind="docker", mode="w:gz")
    containers.publish_image("3.0", host, more="exit 3")
    containers.secrets["SHOP_KEY"] = SECRET
    containers.entry["secrets"] = {"KEY": {"env": "SHOP_KEY"}}
    containers.entry["variables"] = {"GREETING": 'h\u00e4llo "$USER" `x` \\ %n'}
    containers.ask("1.0")
    before = host.snapshot(["/var/lib/gitops-orchestrator", "/etc"])
    checked = containers.deploy("--check")
    assert results(checked)
    assert changes(before, host.snapshot(["/var/lib/gitops-orchestrator", "/etc"])) == []
    assert deploy(containers, host, "1.0") == "deployed"
    assert served(host, "version") == "1.0"
    environment = dict(line.split("=", 1) for line in served(host, "env").splitlines() if "=" in line)
    assert environment["GREETING"] == containers.entry["variables"]["GREETING"]
    assert served(host, "key") == SECRET
    assert served(host, "root") == "read-only"
    assert (unit(host, UNIT)["ActiveState"], unit(host, UNIT)["UnitFileState"]) == ("active", "enabled")
    shown = host.run(
        f"podman inspect shop; cat /etc/systemd/system/{UNIT}; ps -eo args; journalctl -o cat"
    ).stdout
    assert "k3y of the" not in shown

    first = unit(host, UNIT)
    assert deploy(containers, host, "1.0") == "unchanged"
    containers.entry["healthcheck"]["retries"] = 40
    assert deploy(containers, host, "1.0") == "deployed"
    assert unit(host, UNIT) == first

    assert deploy(containers, host, "2.0") == "deployed"
    assert served(host, "version") == "2.0"
    assert len(images(host)) == 2
    assert deploy(containers, host, "3.0", expect=23) == "switched back"
    assert served(host, "version") == "2.0"
    containers.command("rollback", "-e", "dev", "--to", "1.0", "-a", "shop")
    assert served(host, "version") == "1.0"
    containers.command("unhold", "dev", "shop")
    assert deploy(containers, host, "2.0") == "deployed"

    host.run(f"sed -i s/--read-only// /etc/systemd/system/{UNIT}")
    assert "was changed by hand" in containers.command("status")
    assert deploy(containers, host, "2.0") == "deployed"
    host.run(f"systemctl stop {UNIT}; podman rmi --all --force")
    assert "podman has no image" in containers.command("status")
    assert deploy(containers, host, "2.0") == "deployed"
    assert served(host, "version") == "2.0"
    assert "in sync" in containers.command("status", "--verify")

    containers.entry["keep_releases"] = 1
    assert deploy(containers, host, "2.0") == "deployed"
    assert len(images(host)) <= 2
    containers.entry["hosts"] = []
    containers.ask("2.0")
    output = containers.deploy("--prune", expect=36)["output"]
    assert "would be removed" in output


def test_what_cannot_run_is_refused_before_anything_does(containers: Containers, host: Host) -> None:
    containers.put("shop/shop-1.0.tar", b"no archive")
    containers.ask("1.0")
    assert "neither an oci-archive nor a docker-archive" in containers.deploy(expect=22)["output"]
    containers.publish_image("2.0", host)
    host.run(
        "tar -C /bin -c busybox | podman import - localhost/x; podman create --name shop localhost/x /busybox"
    )
    containers.ask("2.0")
    for arguments in (("--check",), ()):
        assert "there is a container shop already" in containers.deploy(*arguments, expect=21)["output"]
    assert unit(host, UNIT)["LoadState"] == "not-found"
