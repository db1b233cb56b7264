"""Images of a registry on real hosts: a real docker-registry with a password, podman, and the real command."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.edges.remotes import wait_for
from tests.fleet import stepping
from tests.fleet.containers import UNIT, Containers, deploy, images, make_image, served
from tests.fleet.deployments import ROOT, results
from tests.fleet.hosts import HostFactory, HostSpec, changes
from tests.fleet.registry import PASSWORD, USER, Registry
from tests.fleet.services import unit
from tests.fleet.variants import PODMAN
from tests.fleet.watching import search, watching

STATE = ["/var/lib/gitops-orchestrator", "/etc/systemd", "/root", "/run/secrets", "/var/tmp"]

PLACING_UNIT = stepping.Step(phase="activate", event="os.rename", match=rf"/etc/systemd/system/{UNIT}'")


@pytest.fixture
def registry(hosts: HostFactory) -> Registry:
    (one,) = hosts(HostSpec(name="registry", variant=PODMAN))
    made = Registry(one)
    made.start()
    return made


def test_image_is_pulled_by_digest_with_the_hosts_own_password(
    containers: Containers, hosts: HostFactory, registry: Registry
) -> None:
    one, two = hosts(*(HostSpec(name=name, variant=PODMAN) for name in ("one", "two")))
    containers.add_hosts([one, two])
    shop = {version: registry.push("shop/web", make_image(version, one)) for version in ("1.0", "2.0")}
    for host in (one, two):
        registry.trusted_by(host)
    registry.log_in(one)

    # The other host may not pull: none of the two has the version.
    containers.ask("1.0", shop["1.0"])
    output = containers.deploy(expect=15)["output"]
    assert "two: failed" in output
    assert "unauthorized" in output
    assert "podman login --authfile /etc/containers/auth.json" in output
    assert [unit(host, UNIT)["LoadState"] for host in (one, two)] == ["not-found", "not-found"]

    registry.log_in(two)
    before = two.snapshot(STATE)
    containers.deploy("--check")
    assert changes(before, two.snapshot(STATE)) == []
    assert results(containers.deploy()) == {"one": "deployed", "two": "deployed"}
    assert [served(host, "version") for host in (one, two)] == ["1.0", "1.0"]
    assert results(containers.deploy()) == {"one": "unchanged", "two": "unchanged"}
    first = unit(one, UNIT)

    # A digest that the registry does not have.
    containers.ask("1.5", shop["1.0"][:-64] + "0" * 64)
    output = containers.deploy(expect=13)["output"]
    assert "manifest unknown" in output
    assert unit(one, UNIT) == first

    containers.ask("2.0", shop["2.0"])
    containers.deploy()
    assert [served(host, "version") for host in (one, two)] == ["2.0", "2.0"]
    assert "in sync" in containers.command("status", "--verify")

    # What is kept needs no registry.
    registry.stop()
    containers.command("rollback", "-e", "dev")
    assert [served(host, "version") for host in (one, two)] == ["1.0", "1.0"]


def test_prune_removes_unit_container_and_images_and_keeps_volumes(
    containers: Containers, hosts: HostFactory, registry: Registry
) -> None:
    (host,) = hosts(HostSpec(name="one", variant=PODMAN))
    containers.add_hosts([host])
    registry.trusted_by(host)
    registry.log_in(host)
    containers.entry["keep_releases"] = 1
    for version in ("1.0", "2.0", "3.0"):
        image = registry.push("shop/web", make_image(version, host))
        assert deploy(containers, host, version, image) == "deployed"
    # Besides the live one only the last good one is kept.
    assert len(images(host)) == 2

    containers.publish("1.0", {"index.html": "site"})
    site = {"version": "1.0", "artifact": {"repository": "raw", "path": "site/site-1.0.zip"}}
    containers.others = {"site": (site, {"deployment_path": "/srv/site"})}
    containers.service = {}
    containers.ask("4.0")
    assert "orphan" in containers.command("plan", "--branch", "dev")
    containers.deploy()
    assert served(host, "version") == "3.0"
    before = host.snapshot(["/etc", "/var/lib/gitops-orchestrator"])
    containers.deploy("--prune", "--check")
    assert changes(before, host.snapshot(["/etc", "/var/lib/gitops-orchestrator"])) == []
    containers.deploy("--prune")
    left = {
        what: host.run(command).stdout.strip()
        for what, command in {
            "containers": "podman ps --all --quiet",
            "images": "podman images --all --quiet",
            "secrets": "podman secret ls --quiet",
            "units": f"find /etc/systemd/system -name '{UNIT}*'",
            "files": "find /var/lib/gitops-orchestrator/containers -mindepth 1",
            "volumes": "podman volume ls --quiet",
        }.items()
    }
    assert left == {
        **dict.fromkeys(("containers", "images", "secrets", "units", "files"), ""),
        "volumes": "shop-data",
    }
    assert host.run("cat /srv/site/current/index.html").stdout == "site"
    assert "shop" not in containers.command("status")


def test_killed_while_an_image_is_pulled_or_switched_to_the_next_run_converges(
    containers: Containers, hosts: HostFactory, registry: Registry
) -> None:
    (host,) = hosts(HostSpec(name="one", variant=PODMAN))
    stepping.install(host)
    containers.add_hosts([host], python=stepping.PYTHON)
    registry.trusted_by(host)
    registry.log_in(host)
    shop = {
        version: registry.push("shop/web", make_image(version, host)) for version in ("1.0", "2.0", "3.0")
    }
    assert deploy(containers, host, "1.0", shop["1.0"]) == "deployed"

    def pulling() -> bool:
        return "podman pull" in host.run("ps -eo args").stdout

    def start(version: str) -> None:
        registry.stall()
        containers.ask(version, shop[version])
        process = containers.start_command("deploy", "--branch", "dev")
        wait_for(pulling, 60)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert served(host, "version") == "1.0"

    # The command is killed, and podman goes on without it.
    start("2.0")
    registry.go_on()
    assert results(containers.deploy())["one"] == "deployed"
    assert served(host, "version") == "2.0"
    containers.command("rollback", "-e", "dev")
    containers.command("unhold", "dev", "shop")

    # The host dies as well, and comes back with what ran.
    start("3.0")
    host.kill()
    registry.go_on()
    host.start()
    wait_for(lambda: served(host, "version") == "1.0", 30)
    assert results(containers.deploy())["one"] == "deployed"
    assert served(host, "version") == "3.0"
    assert "in sync" in containers.command("status", "--verify")

    # The link is switched, and the unit is not: the host comes back with the container that ran.
    stepping.hold(host, PLACING_UNIT)
    containers.ask("2.0", shop["2.0"])
    process = containers.start_command("deploy", "--branch", "dev")
    stepping.wait_held(host)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    host.kill()
    host.start()
    stepping.end(host)
    wait_for(lambda: served(host, "version") == "3.0", 30)
    assert "drift" in containers.command("status")
    assert results(containers.deploy())["one"] == "deployed"
    assert served(host, "version") == "2.0"
    assert "in sync" in containers.command("status", "--verify")


def test_role_pulls_with_a_password_of_the_playbook_and_leaves_it_nowhere(
    hosts: HostFactory, registry: Registry, tmp_path: Path
) -> None:
    (host,) = hosts(HostSpec(name="one", variant=PODMAN))
    registry.trusted_by(host)
    image = registry.push("shop/web", make_image("1.0", host))
    connection = f"-F none -o IdentitiesOnly=yes -o UserKnownHostsFile={host.known_hosts}"
    inventory = {
        "ansible_host": host.address,
        "ansible_user": "deploy",
        "ansible_ssh_private_key_file": str(host.private_key),
        "ansible_ssh_common_args": connection,
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    placement = {
        "application": "shop",
        "version": "1.0",
        "artifact": {
            "image": image,
            "credentials": {"username": USER, "password": {"env": "REGISTRY_PASSWORD"}},
        },
        "container": {"cgroups": "disabled", "volumes": ["shop-data:/data"], "stable_seconds": 0.5},
    }
    play = {
        "hosts": "all",
        "gather_facts": False,
        "become": True,
        "roles": [{"role": "container", "container_placements": [placement]}],
    }
    (tmp_path / "hosts.json").write_text(json.dumps({"all": {"hosts": {"one": inventory}}}))
    (tmp_path / "play.yml").write_text(json.dumps([play]))
    command = [f"{Path(sys.executable).parent}/ansible-playbook", "-vvv", "-i", "hosts.json", "play.yml"]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "ANSIBLE_ROLES_PATH": str(ROOT / "roles"),
        "REGISTRY_PASSWORD": PASSWORD,
    }
    with watching(host, [PASSWORD]) as watched:
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (unit(host, UNIT)["ActiveState"], served(host, "version")) == ("active", "1.0")
    pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    assert watched.found == []
    assert PASSWORD not in done.stdout
    assert pair not in done.stdout
    places = ("/etc", "/home", "/root", "/run", "/tmp", "/var/lib/gitops-orchestrator", "/var/log")
    assert search(host, [PASSWORD, pair], *places) == ""
