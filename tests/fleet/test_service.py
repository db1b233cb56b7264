"""Services on real hosts with a real systemd, by the real command."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.demo.artifact_server import ArtifactServer
from tests.fleet.deployments import PASSWORD, results
from tests.fleet.hosts import Fleet, Host, HostFactory, changes
from tests.fleet.services import PATH, PROGRAM, UNIT, Services, ask, unit

UNIT_FILE = f"/etc/systemd/system/{UNIT}"
STATE = ["/opt", "/var/lib", "/etc", "/tmp", "/root", "/home", "/srv"]
SECRET = "p4ss \"w0rd\" $HOME `id` \\ %n 's3cret'"


@pytest.fixture
def services(fleet: Fleet, tmp_path: Path) -> Iterator[Services]:
    store = tmp_path / "nexus"
    with ArtifactServer(store, username="ci", password=PASSWORD, address=fleet.gateway) as server:
        made = Services(directory=tmp_path, server=server)
        made.start()
        yield made


@pytest.fixture
def host(hosts: HostFactory, services: Services) -> Host:
    """A host with the user `shop`, among the environment's."""
    (one,) = hosts(1)
    one.run("useradd --system shop")
    services.add_hosts([one])
    return one


def deploy(services: Services, host: Host, *arguments: str, expect: int = 0) -> str:
    """Deploys, and returns the result on that host."""
    return results(services.deploy(*arguments, expect=expect))[host.name]


def test_first_deploy_update_noop_and_a_change_of_variables(services: Services, host: Host) -> None:
    services.entry["variables"] = {"SHOP_GREETING": 'h\u00e4llo "$USER" `x` \\ %n #'}
    services.service["exec"] += ' "two words" 100% ${SHOP_GREETING}'
    for version in ("1.0.0", "1.10"):
        services.publish_service(version)
    services.release("1.0.0")
    (step,) = services.plan()
    assert (step["action"], step["restarts"]) == ("install", [UNIT])
    assert deploy(services, host) == "deployed"
    said = ask(host)
    greeting = services.entry["variables"]["SHOP_GREETING"]
    assert said["version"] == "1.0.0"
    assert said["environment"] == {"SHOP_GREETING": greeting}
    assert said["arguments"][1:] == ["two words", "100%", greeting]
    assert said["user"] == int(host.run("id -u shop").stdout)
    assert (unit(host)["ActiveState"], unit(host)["UnitFileState"]) == ("active", "enabled")

    first = unit(host)
    before = host.snapshot(["/opt", "/var/lib/gitops-orchestrator", "/etc"])
    assert deploy(services, host) == "unchanged"
    assert unit(host) == first
    assert changes(before, host.snapshot(["/opt", "/var/lib/gitops-orchestrator", "/etc"])) == []

    services.release("1.10")
    assert deploy(services, host) == "deployed"
    assert ask(host)["version"] == "1.10"
    second = unit(host)
    assert second["MainPID"] != first["MainPID"]
    assert second["NRestarts"] == "0"
    assert host.run(f"journalctl -u {UNIT} -o cat | grep -c '^Started'").stdout.strip() == "2"

    services.entry["healthcheck"]["retries"] = 40
    services.release("1.10")
    (step,) = services.plan()
    assert (step["action"], step["restarts"]) == ("reconfigure", [])
    assert deploy(services, host) == "deployed"
    assert unit(host) == second

    services.entry["variables"] = {"SHOP_GREETING": "bye"}
    services.release("1.10")
    (step,) = services.plan()
    assert (step["action"], step["restarts"]) == ("reconfigure", [UNIT])
    assert deploy(services, host) == "deployed"
    assert ask(host)["environment"] == {"SHOP_GREETING": "bye"}
    assert unit(host)["MainPID"] != second["MainPID"]
    assert "active" in services.command("status", "--verify")
    host.kill()
    host.start()
    deadline = time.monotonic() + 20
    while not ask(host):
        assert time.monotonic() < deadline
    assert ask(host)["environment"] == {"SHOP_GREETING": "bye"}
    assert "in sync" in services.command("status", "--verify")


def test_broken_version_is_switched_back_with_the_old_unit_and_process(
    services: Services, host: Host
) -> None:
    services.publish_service("1.0.0")
    services.release("1.0.0")
    assert deploy(services, host) == "deployed"
    text = host.run(f"cat {UNIT_FILE}").stdout
    for version, mode in (("2.0.0", "broken"), ("3.0.0", "unhealthy"), ("4.0.0", "dies")):
        services.publish_service(version, mode)
        services.service["umask"] = "0007"
        services.entry["variables"] = {"SHOP_NEW": version}
        services.release(version)
        assert deploy(services, host, expect=23) == "switched back"
        assert ask(host)["version"] == "1.0.0"
        assert ask(host)["environment"] == {}
        assert host.run(f"cat {UNIT_FILE}").stdout == text
        assert unit(host)["ActiveState"] == "active"
    del services.service["umask"], services.entry["variables"]
    services.release("1.0.0")
    assert deploy(services, host) == "unchanged"


def test_bad_settings_are_switched_back_and_a_bad_unit_never_becomes_live(
    services: Services, host: Host
) -> None:
    services.publish_service("1.0.0")
    services.release("1.0.0")
    assert deploy(services, host) == "deployed"
    first = unit(host)
    services.service["exec"] = "{current}/bin/missing"
    services.release("1.0.0")
    output = services.deploy(expect=22)["output"]
    assert "bin/missing is not executable" in output
    assert unit(host) == first
    services.service["exec"] = "{current}/bin/app no-port"
    services.release("1.0.0")
    assert deploy(services, host, expect=23) == "switched back"
    assert ask(host)["version"] == "1.0.0"
    (step,) = services.plan()
    assert (step["action"], step["restarts"]) == ("reconfigure", [UNIT])


def test_first_release_that_is_broken_leaves_no_unit(services: Services, host: Host) -> None:
    services.publish_service("1.0.0", "broken")
    services.release("1.0.0")
    before = host.snapshot(STATE)
    services.deploy("--check")
    assert changes(before, host.snapshot(STATE)) == []
    assert deploy(services, host, expect=23) == "removed"
    assert unit(host)["LoadState"] == "not-found"
    assert host.run(f"test ! -e {PATH}/current && test ! -e {UNIT_FILE}").returncode == 0
    assert host.run("ls /etc/systemd/system/multi-user.target.wants").stdout.find("shop") == -1


def test_unit_of_somebody_else_and_a_missing_user_are_refused(services: Services, host: Host) -> None:
    services.publish_service("1.0.0")
    services.service["user"] = "nobody-made-me"
    services.release("1.0.0")
    assert "there is no user nobody-made-me" in services.deploy("--check", expect=22)["output"]
    services.service["user"] = "shop"
    services.service["unit"] = "ssh"
    services.release("1.0.0")
    before = host.run("cat /lib/systemd/system/ssh.service").stdout
    output = services.deploy(expect=21)["output"]
    assert "ssh.service exists already and is not ours" in output
    assert host.run("test ! -e /etc/systemd/system/ssh.service").returncode == 0
    assert host.run("cat /lib/systemd/system/ssh.service").stdout == before


def test_secrets_reach_the_process_and_nobody_else(services: Services, host: Host) -> None:
    from tests.fleet.watching import search, watching

    services.secrets["SHOP_PASSWORD"] = SECRET
    services.entry["secrets"] = {"SHOP_DB_PASSWORD": {"env": "SHOP_PASSWORD"}}
    services.publish_service("1.0.0")
    services.release("1.0.0")
    with watching(host, [SECRET]) as watched:
        assert deploy(services, host) == "deployed"
    process = unit(host)["MainPID"]
    assert set(watched.found) <= {f"environ of {process}"}
    assert ask(host)["environment"] == {"SHOP_DB_PASSWORD": SECRET}
    places = ("/etc", "/home", "/opt", "/root", "/srv", "/tmp", "/var")
    found = search(host, ["p4ss "], *places)
    assert [line for line in found.splitlines() if "secrets.env" not in line] == []
    assert host.run("find /var/lib/gitops-orchestrator/placements/*/services -perm /077").stdout == ""
    reading = "runuser -u plain -- ls /var/lib/gitops-orchestrator/placements/*/services"
    assert host.run(reading, check=False).returncode != 0

    assert services.plan()[0]["action"] == "skip"
    first = unit(host)
    services.secrets["SHOP_PASSWORD"] = "another-s3cret"
    (step,) = services.plan()
    assert (step["action"], step["restarts"], step["reason"]) == ("reconfigure", [UNIT], "a secret changed")
    assert deploy(services, host) == "deployed"
    assert ask(host)["environment"] == {"SHOP_DB_PASSWORD": "another-s3cret"}
    assert unit(host)["MainPID"] != first["MainPID"]
    assert deploy(services, host) == "unchanged"
    del services.secrets["SHOP_PASSWORD"]
    assert "not at hand" in services.plan()[0]["reason"]
    # On a real machine systemd itself does this while it boots; in a container it leaves mounts as they are.
    host.run("mount --make-rshared /")
    services.secrets["SHOP_PASSWORD"] = "another-s3cret\nof lines"
    services.service["secrets_as"] = "files"
    services.release("1.0.0")
    assert deploy(services, host) == "deployed"
    assert ask(host)["credentials"] == {"SHOP_DB_PASSWORD": "another-s3cret\nof lines"}
    assert ask(host)["environment"] == {}
    kept = [path for path in (services.clone / ".git").rglob("*") if path.is_file()]
    assert not [path for path in kept if b"s3cret" in path.read_bytes()]


def test_drift_is_shown_and_mended(services: Services, host: Host) -> None:
    services.publish_service("1.0.0")
    services.entry["variables"] = {"SHOP_A": "1"}
    services.release("1.0.0")
    assert deploy(services, host) == "deployed"
    hurts = (
        (f"systemctl stop {UNIT}", "is inactive"),
        (f"sed -i s/app/application/ {UNIT_FILE}", "was changed by hand"),
        (f"rm {UNIT_FILE}", "is gone"),
        (f"systemctl disable --quiet {UNIT}", "does not start at boot"),
        (
            "for one in /var/lib/gitops-orchestrator/placements/*/services/*/variables.env; "
            "do echo SHOP_A=2 >> $one; done",
            "changed by hand",
        ),
    )
    for hurt, words in hurts:
        host.run(hurt)
        output = services.command("status")
        assert words in output
        assert "drift" in output
        assert services.plan()[0]["action"] == "verify"
        assert deploy(services, host) == "deployed"
        assert ask(host)["environment"] == {"SHOP_A": "1"}
        assert "in sync" in services.command("status", "--verify")


def test_killed_between_switch_and_restart_the_next_run_converges(services: Services, host: Host) -> None:
    services.publish_service("1.0.0")
    services.publish_service("2.0.0")
    services.release("1.0.0")
    assert deploy(services, host) == "deployed"
    # What stands for systemctl waits where the restart would be.
    host.run(
        "mkdir -p /usr/local/sbin; cat > /usr/local/sbin/systemctl; chmod 755 /usr/local/sbin/systemctl",
        stdin='#!/bin/sh\n[ "$1" != restart ] || { touch /run/waiting; sleep 1000; }\nexec /usr/bin/systemctl "$@"\n',
    )
    services.release("2.0.0")
    process = services.start_command("deploy", "--branch", "dev")
    deadline = time.monotonic() + 60
    while host.run("test -e /run/waiting", check=False).returncode != 0:
        assert time.monotonic() < deadline
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    host.kill()
    host.start()
    host.run("rm /usr/local/sbin/systemctl")
    assert deploy(services, host) == "deployed"
    assert ask(host)["version"] == "2.0.0"
    assert "in sync" in services.command("status", "--verify")


def test_controller_killed_at_any_moment_the_next_run_converges(services: Services, host: Host) -> None:
    services.publish_service("1.0.0")
    services.publish_service("2.0.0")
    services.release("1.0.0")
    assert deploy(services, host) == "deployed"
    services.release("2.0.0")
    for seconds in (1.2, 1.8, 2.4):
        process = services.start_command("deploy", "--branch", "dev")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=seconds)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert services.deploy()["verdict"] == "success"
    assert ask(host)["version"] == "2.0.0"


def test_rollback_and_prune_leave_what_is_shared(services: Services, host: Host) -> None:
    services.publish("1.0.0", {"index.html": "site"})
    site = {"version": "1.0.0", "artifact": {"repository": "raw", "path": "site/site-1.0.0.zip"}}
    services.others = {"site": (site, {"deployment_path": "/srv/site"})}
    services.entry["shared_paths"] = ["data/"]
    wanted = dict(services.service)
    for version in ("1.0.0", "2.0.0"):
        services.publish_service(version)
        services.entry["variables"] = {"SHOP_FOR": version}
        services.release(version)
        services.deploy()
        host.run(f"echo {version} >> {PATH}/current/data/log")
    first = unit(host)
    services.command("rollback", "-e", "dev", "-a", "shop-api")
    assert ask(host)["version"] == "1.0.0"
    assert unit(host)["MainPID"] != first["MainPID"]
    assert unit(host)["ActiveState"] == "active"
    assert host.run(f"cat {PATH}/current/data/log").stdout == "1.0.0\n2.0.0\n"
    services.command("unhold", "dev", "shop-api")

    services.service = {}
    services.release("3.0.0")
    services.deploy()
    assert ask(host)["version"] == "1.0.0"
    before = host.snapshot(["/opt", "/etc", "/var/lib/gitops-orchestrator"])
    services.deploy("--prune", "--check")
    assert changes(before, host.snapshot(["/opt", "/etc", "/var/lib/gitops-orchestrator"])) == []
    services.deploy("--prune")
    assert ask(host) == {}
    assert unit(host)["LoadState"] == "not-found"
    assert host.run(f"find /etc/systemd -name '{UNIT}*'").stdout == ""
    assert host.run(f"find {PATH} -mindepth 1 | sort").stdout.split() == [
        f"{PATH}/shared",
        f"{PATH}/shared/data",
        f"{PATH}/shared/data/log",
    ]
    assert "shop-api" not in services.command("status")
    assert host.run("cat /srv/site/current/index.html").stdout == "site"

    # It comes back, and finds what it had.
    services.service = wanted
    services.release("2.0.0")
    services.deploy()
    assert ask(host)["version"] == "2.0.0"
    assert host.run(f"cat {PATH}/current/data/log").stdout == "1.0.0\n2.0.0\n"


def test_single_file_beside_a_site_and_an_adopted_unit(services: Services, host: Host) -> None:
    services.publish("1.0.0", {"index.html": "site"})
    services.put(
        "tool/tool-1",
        PROGRAM.replace("read(name)", "unread(name)")
        .replace('mode = read("mode")', 'read = {"version": "tool"}.get; mode = "ok"')
        .encode(),
    )
    services.publish_service("1.0.0")
    host.run(
        "cat > /etc/systemd/system/legacy.service; systemctl daemon-reload; systemctl start legacy",
        stdin="[Service]\nExecStart=/bin/sleep infinity\n",
    )
    legacy = unit(host, "legacy.service")["MainPID"]
    services.others = {
        "site": (
            {"version": "1.0.0", "artifact": {"repository": "raw", "path": "site/site-1.0.0.zip"}},
            {"deployment_path": "/srv/site"},
        ),
        "legacy": (
            {
                "version": "1.0.0",
                "kind": "service",
                "artifact": {"repository": "raw", "path": "shop-api/shop-api-1.0.0.tar.gz"},
            },
            {"deployment_path": "/opt/legacy", "service": {"unit": "legacy", "adopt": True}},
        ),
    }
    services.artifact = {"repository": "raw", "path": "tool/tool-1"}
    services.service["exec"] = "{current}/shop-api 9000"
    services.release("1")
    document = services.deploy()
    assert {one["result"] for one in document["placements"]} == {"deployed"}
    assert ask(host)["version"] == "tool"
    assert unit(host, "legacy.service")["MainPID"] != legacy
    assert host.run("cat /srv/site/current/index.html").stdout == "site"
    host.run("systemctl restart legacy")
    assert {one["result"] for one in services.deploy()["placements"]} == {"unchanged"}
