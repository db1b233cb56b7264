"""Containers on real hosts with a real podman and systemd, by the real command."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.demo.artifact_server import ArtifactServer
from tests.fleet.deployments import PASSWORD, results
from tests.fleet.hosts import Fleet, Host, HostFactory, HostSpec, changes
from tests.fleet.images import build_image
from tests.fleet.services import Services, unit

UNIT = "shop.service"
PORT = 9000
SECRET = "k3y of the 'container' $HOME"
SERVE = """\
#!/bin/sh
test "$MODE" = broken && exit 3
mkdir -p /tmp/www/cgi-bin
echo VERSION > /tmp/www/version
echo ok > /tmp/www/health
env > /tmp/www/env
cat /run/secrets/KEY > /tmp/www/key
id > /tmp/www/id
touch /x 2>/dev/null && echo writable > /tmp/www/root || echo read-only > /tmp/www/root
date > /data/started
exec httpd -f -p 9000 -h /tmp/www
"""


class Containers(Services):
    """The documents have one container, `shop`."""

    def publish_image(
        self, version: str, host: Host, kind: str = "oci", mode: str = "w", more: str = ""
    ) -> None:
        """The archive of that version is in the repository: busybox, and what it serves."""
        busybox = base64.b64decode(host.run("base64 /bin/busybox").stdout)
        tools = ["sh", "mkdir", "env", "id", "touch", "date", "httpd", "test", "cat"]
        script = SERVE.replace("VERSION", version).replace("exec httpd", f"{more}\nexec /bin/busybox httpd")
        for tool in tools[1:]:
            script = script.replace(f"\n{tool} ", f"\n/bin/busybox {tool} ")
        files = {"bin/busybox": busybox, "bin/sh": busybox, "serve": script.encode()}
        self.put(f"shop/shop-{version}.tar", build_image(files, ["/bin/sh", "/serve"], kind=kind, mode=mode))

    def ask(self, version: str, **artifact: Any) -> None:
        """The documents ask for that version."""
        shop = {"version": version, "kind": "container", "artifact": {"repository": "raw", **artifact}}
        if not artifact:
            shop["artifact"] = {"repository": "raw", "path": "shop/shop-{version}.tar"}
        entry = {"container": self.service, **self.entry}
        environment = {
            "environment": "dev",
            "repositories": {
                "raw": {
                    "type": "nexus",
                    "url": self.server.url,
                    "repository": "raw",
                    "credentials": {"username": "ci", "password": {"env": "NEXUS_PASSWORD"}},
                }
            },
            "hosts": self.hosts,
            "applications": {"shop": entry},
        }
        manifest = {"manifest_version": version, "applications": {"shop": shop}}
        (self.clone / "manifest.json").write_text(json.dumps(manifest, indent=2))
        (self.clone / "dev-env.json").write_text(json.dumps(environment, indent=2))
        self._git(self.clone, "add", "--all")
        self._git(self.clone, "commit", "--quiet", "--allow-empty", "--message", f"Release {version}")
        self._git(self.clone, "push", "--quiet", "origin", "dev")


@pytest.fixture
def containers(fleet: Fleet, tmp_path: Path) -> Iterator[Containers]:
    store = tmp_path / "nexus"
    with ArtifactServer(store, username="ci", password=PASSWORD, address=fleet.gateway) as server:
        made = Containers(directory=tmp_path, server=server)
        made.start()
        made.service = {
            "cgroups": "disabled",
            "volumes": ["shop-data:/data"],
            "restart_seconds": 0.2,
            "stable_seconds": 0.5,
            "stop_timeout_seconds": 1,
        }
        made.entry = {
            "healthcheck": {
                "url": f"http://{{address}}:{PORT}/health",
                "retries": 50,
                "interval_seconds": 0.2,
                "deadline_seconds": 10,
            }
        }
        yield made


@pytest.fixture
def host(hosts: HostFactory, containers: Containers) -> Host:
    (one,) = hosts(HostSpec(name="podman1", podman=True))
    containers.add_hosts([one])
    return one


def served(host: Host, name: str) -> str:
    return host.run(f"curl -sS -m 2 http://127.0.0.1:{PORT}/{name} 2>/dev/null || true").stdout.strip()


def deploy(containers: Containers, host: Host, version: str, expect: int = 0) -> str:
    containers.ask(version)
    return results(containers.deploy(expect=expect))[host.name]


def images(host: Host) -> list[str]:
    said = host.run("podman images --quiet --no-trunc").stdout.split()
    return sorted(set(said))


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
    assert deploy(containers, host, "3.0", 23) == "switched back"
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
