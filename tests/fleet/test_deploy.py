"""Deployments to real hosts by the real command."""

from __future__ import annotations

import json
import os
import shlex
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from tests.edges.remotes import wait_for
from tests.fleet.deployments import HEALTH, PASSWORD, Deployments, live_index, results, serve_site
from tests.fleet.hosts import HostFactory, HostSpec, changes

STATE = ["/srv", "/var/lib", "/tmp", "/root", "/home", "/etc"]
GOOD = {"index.html": "one", "health": "ok"}


def test_fresh_deploy_update_and_noop_on_three_hosts(deployments: Deployments, hosts: HostFactory) -> None:
    fresh = hosts(3)
    for host in fresh:
        serve_site(host)
    deployments.add_hosts(fresh)
    deployments.settings = {**HEALTH, "keep_releases": 2}
    for version in ("1.0.0", "1.10"):
        deployments.publish(version, {"index.html": version, "health": "ok"})
        deployments.release(version)
        assert set(results(deployments.deploy()).values()) == {"deployed"}
        assert {live_index(host) for host in fresh} == {version}
    before = [host.snapshot(["/srv", "/var/lib/gitops-orchestrator"]) for host in fresh]
    document = deployments.deploy()
    assert (document["verdict"], document["changed"]) == ("success", False)
    assert set(results(document).values()) == {"unchanged"}
    assert [host.snapshot(["/srv", "/var/lib/gitops-orchestrator"]) for host in fresh] == before
    assert deployments.command("plan", "--branch", "dev", "--detailed-exitcode", expect=0)
    assert deployments.command("status", "--verify").count("in sync") == 3


def test_files_of_old_releases_are_removed_when_the_connection_is_gone(
    deployments: Deployments, hosts: HostFactory
) -> None:
    """The command does not wait for that, whoever works on the host, and whatever becomes of its connection."""
    root, become = hosts(2)
    deployments.add_hosts([root])
    deployments.add_hosts([become], user="deploy")
    deployments.settings["keep_releases"] = 1
    files = {f"d{number % 50}/{number}": "x" for number in range(8000)}
    for version in ("1", "2", "3"):
        deployments.publish(version, files)
        deployments.release(version)
        deployments.deploy()
    for host in (root, become):
        wait_for(lambda host=host: not host.run("find /srv/site -name '.orchestrator-removed-*'").stdout)
        assert (
            len(host.run("ls /srv/site/releases").stdout.split()) == 2
        )  # the live one, and the good one before


def test_check_mode_changes_nothing_and_predicts_the_real_run(
    deployments: Deployments, hosts: HostFactory
) -> None:
    (host,) = hosts(1)
    serve_site(host)
    deployments.add_hosts([host])
    deployments.settings = HEALTH
    deployments.publish("1.0.0", GOOD)
    deployments.release("1.0.0")
    deployments.command("plan", "--branch", "dev", "--detailed-exitcode", expect=2)
    before = host.snapshot(STATE)
    predicted = deployments.deploy("--check")
    assert changes(before, host.snapshot(STATE)) == []
    assert results(predicted) == results(deployments.deploy()) == {host.name: "deployed"}


def test_one_host_down_leaves_the_others_untouched(deployments: Deployments, hosts: HostFactory) -> None:
    up, down = hosts(2)
    deployments.add_hosts([up, down])
    deployments.publish("1.0.0", GOOD)
    deployments.release("1.0.0")
    down.kill()
    document = deployments.deploy(expect=17)
    assert down.name in document["output"]
    assert live_index(up) == ""
    assert results(document)[down.name] == "left out"
    deployments.strategy = {"max_unreachable": 1}
    deployments.release("1.0.0")
    assert results(deployments.deploy(expect=24)) == {up.name: "deployed", down.name: "left out"}


def test_failing_health_check_is_switched_back_on_an_update_and_on_a_first_release(
    deployments: Deployments, hosts: HostFactory
) -> None:
    one, two = hosts(2)
    for host in (one, two):
        serve_site(host)
    deployments.add_hosts([one])
    deployments.settings = HEALTH
    deployments.publish("1.0.0", GOOD)
    deployments.publish("2.0.0", {"index.html": "two"})
    deployments.release("1.0.0")
    deployments.deploy()
    deployments.add_hosts([two])
    deployments.release("2.0.0")
    assert results(deployments.deploy(expect=23)) == {one.name: "switched back", two.name: "removed"}
    assert (live_index(one), live_index(two)) == ("one", "")
    assert two.run("test ! -e /srv/site/current && test ! -L /srv/site/current").returncode == 0


def test_health_asked_once_by_the_controller_switches_the_batch_back(
    deployments: Deployments, hosts: HostFactory
) -> None:
    one, two = hosts(2)
    serve_site(one)
    deployments.add_hosts([one, two])
    check = {"url": f"http://{one.address}:8080/health", "retries": 1, "interval_seconds": 0.2}
    deployments.settings = {"healthcheck": check}
    deployments.publish("1.0.0", GOOD)
    deployments.publish("2.0.0", {"index.html": "two"})
    deployments.release("1.0.0")
    assert set(results(deployments.deploy()).values()) == {"deployed"}
    deployments.release("2.0.0")
    assert set(results(deployments.deploy(expect=23)).values()) == {"switched back"}
    assert {live_index(host) for host in (one, two)} == {"one"}


def test_sudo_with_a_password_and_no_sudo_at_all(deployments: Deployments, hosts: HostFactory) -> None:
    one, two = hosts(2)
    deployments.secrets["SUDO_PASSWORD"] = one.sudo_password
    deployments.add_hosts([one], user="operator", become_password={"env": "SUDO_PASSWORD"})
    deployments.publish("1.0.0", GOOD)
    deployments.release("1.0.0")
    assert results(deployments.deploy()) == {one.name: "deployed"}
    deployments.secrets["SUDO_PASSWORD"] = "wrong"
    deployments.command("plan", "--branch", "dev", "--detailed-exitcode", expect=2)
    deployments.hosts.clear()
    deployments.add_hosts([two], user="plain", become=False)
    deployments.release("1.0.0")
    deployments.deploy(expect=19)
    assert live_index(two) == ""
    two.run("install -d -o plain /srv/site")
    assert results(deployments.deploy()) == {two.name: "deployed"}


def test_through_a_jump_host(deployments: Deployments, hosts: HostFactory) -> None:
    jump, inner = hosts(1, HostSpec(name="inner", behind="fresh1"))
    deployments.add_hosts([jump])
    deployments.add_hosts([inner], proxy_jump=jump.name)
    deployments.publish("1.0.0", GOOD)
    deployments.release("1.0.0")
    assert results(deployments.deploy()) == {jump.name: "deployed", inner.name: "deployed"}


def test_wrong_host_key_is_refused(deployments: Deployments, hosts: HostFactory) -> None:
    one, two = hosts(2)
    deployments.add_hosts([one], host_key=two.host_key)
    deployments.publish("1.0.0", GOOD)
    deployments.release("1.0.0")
    assert "host key" in deployments.deploy(expect=17)["output"].lower()


def test_host_without_python_full_disk_and_wrong_checksum_each_have_their_code(
    deployments: Deployments, hosts: HostFactory
) -> None:
    bare, small = hosts(
        HostSpec(name="bare", python=False), HostSpec(name="small", tmpfs={"/small": "size=2m"})
    )
    deployments.publish("1.0.0", {**GOOD, "big": os.urandom(3 << 20).hex()})
    deployments.add_hosts([bare])
    deployments.release("1.0.0")
    deployments.deploy(expect=20)
    deployments.hosts.clear()
    deployments.add_hosts([small])
    deployments.settings = {"deployment_path": "/small/site"}
    deployments.release("1.0.0")
    deployments.deploy("--check", expect=18)
    deployments.deploy(expect=18)
    assert live_index(small, "/small/site/current") == ""
    deployments.settings = {}
    deployments.release("1.0.0", sha256="0" * 64)
    deployments.deploy(expect=14)
    deployments.release("9.9.9")
    deployments.deploy(expect=13)


def test_signal_ends_the_run_cleanly(deployments: Deployments, hosts: HostFactory) -> None:
    (host,) = hosts(1)
    deployments.add_hosts([host])
    check = {"url": "http://{address}:9/none", "retries": 100, "interval_seconds": 1, "deadline_seconds": 100}
    deployments.settings = {"healthcheck": check}
    deployments.publish("1.0.0", GOOD)
    deployments.release("1.0.0")
    process = deployments.start_command("deploy", "--branch", "dev")
    deadline = time.monotonic() + 30
    while live_index(host) != "one":
        assert time.monotonic() < deadline
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "Traceback" not in output
    assert "unknown" in output


def test_hostile_strings_arrive_as_they_are_and_nothing_runs(
    deployments: Deployments, hosts: HostFactory
) -> None:
    (host,) = hosts(1)
    serve_site(host)
    deployments.add_hosts([host])
    template = "{{ lookup('pipe', 'touch /tmp/pwned') }} $(touch /tmp/pwned) `id` ; 'x' \"y\""
    deployments.settings = {
        "healthcheck": {**HEALTH["healthcheck"], "retries": 0, "body": template},
    }
    deployments.publish("1.0.0", {"index.html": "one", "health": template})
    deployments.release("1.0.0")
    assert results(deployments.deploy()) == {host.name: "deployed"}
    assert not Path("/tmp/pwned").exists()
    assert host.run("test ! -e /tmp/pwned").returncode == 0


def files_below(directory: Path, prefix: str) -> Iterator[Path]:
    """Regular files in directories of that prefix; what vanishes meanwhile is left out."""
    for top in directory.iterdir():
        if top.name.startswith(prefix):
            for folder, _, names in os.walk(top, onerror=lambda error: None):
                yield from (path for name in names if (path := Path(folder, name)).is_file())


def test_no_secret_in_arguments_environments_files_or_output(
    deployments: Deployments, hosts: HostFactory
) -> None:
    (host,) = hosts(1)
    deployments.secrets["SUDO_PASSWORD"] = host.sudo_password
    secrets = [PASSWORD, host.sudo_password]
    deployments.add_hosts([host], user="operator", become_password={"env": "SUDO_PASSWORD"})
    deployments.publish("1.0.0", {**GOOD, "big": os.urandom(4 << 20).hex()})
    deployments.release("1.0.0")
    process = deployments.start_command("deploy", "--branch", "dev")
    seen, looked = [], 0
    while process.poll() is None:
        looked += 1
        for entry in Path("/proc").iterdir():
            if not entry.name.isdecimal() or int(entry.name) in (process.pid, os.getpid()):
                continue
            for name in ("cmdline", "environ"):
                try:
                    content = (entry / name).read_bytes()
                except OSError:
                    continue
                if any(secret.encode() in content for secret in secrets) and b"ansible" in content:
                    seen.append((entry.name, name))
        for path in files_below(deployments.directory, "orch-"):
            try:
                content = path.read_bytes()
            except OSError:
                continue
            if any(secret.encode() in content for secret in secrets):
                seen.append((str(path), "file"))
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert looked > 3
    assert seen == []
    assert not list(deployments.directory.glob("orch-*"))
    kept = [path for path in (deployments.clone / ".git").rglob("*") if path.is_file()]
    text = output.encode() + b"".join(path.read_bytes() for path in kept)
    assert not [secret for secret in secrets if secret.encode() in text]
    patterns = " ".join(f"-e {shlex.quote(secret)}" for secret in secrets)
    found = host.run(f"grep -rlF {patterns} /var/lib /srv /tmp /home || true")
    assert found.stdout.strip() == ""


def test_groups_follow_each_other_and_stop_at_the_first_that_fails(
    deployments: Deployments, hosts: HostFactory
) -> None:
    first, second, third = hosts(3)
    for host in (first, second, third):
        serve_site(host)
    deployments.add_hosts([first, second, third])
    named, deployments.hosts = deployments.hosts, {}
    regions = {
        name: {"order": order, "hosts": {host.name: named[host.name]}}
        for order, (name, host) in enumerate((("north", first), ("south", second), ("west", third)))
    }
    deployments.settings = HEALTH
    deployments.regions = regions
    deployments.publish("1.0.0", GOOD)
    deployments.release("1.0.0")
    assert set(results(deployments.deploy()).values()) == {"deployed"}
    deployments.publish("2.0.0", {"index.html": "two", "health": "ok"})
    second.run("systemctl stop site")
    deployments.release("2.0.0")
    document = deployments.deploy(expect=25)
    assert results(document) == {first.name: "deployed", second.name: "unknown", third.name: "staged"}
    assert [live_index(host) for host in (first, second, third)] == ["two", "one", "one"]


def test_scan_prints_the_key_that_the_host_really_has(deployments: Deployments, hosts: HostFactory) -> None:
    (host,) = hosts(1)
    deployments.add_hosts([host])
    del deployments.hosts[host.name]["host_key"]
    deployments.release("1.0.0")
    output = deployments.command("hosts", "scan", "--branch", "dev")
    found = json.loads(output[: output.rindex("}") + 1])
    assert host.host_key in found[host.name]["host_key"]


def test_host_that_is_alone_in_its_batch_and_vanishes_stops_the_rollout(
    deployments: Deployments, hosts: HostFactory
) -> None:
    """h2 cannot be reached when it is its turn: no later batch begins, and `all` switches h1 back."""
    one, two, three = hosts(3)
    deployments.add_hosts([one, two, three])
    gate = deployments.directory / "go"
    deployments.publish("1.0.0", GOOD)
    deployments.publish("2.0.0", {"index.html": "two"})
    deployments.release("1.0.0")
    deployments.deploy()
    deployments.strategy = {
        "batches": ["1"],
        "rollback": "all",
        "canary": {"approval": {"file": str(gate)}, "approval_timeout_seconds": 120},
    }
    deployments.release("2.0.0")
    process = deployments.start_command("deploy", "--branch", "dev")
    deadline = time.monotonic() + 60
    while live_index(one) != "two" and time.monotonic() < deadline:
        time.sleep(0.1)
    two.disconnect()
    gate.touch()
    output, _ = process.communicate(timeout=180)
    assert process.returncode == 25, output
    assert [live_index(host) for host in (one, three)] == ["one", "one"]
    two.reconnect()
    assert live_index(two) == "one"
    gate.unlink()
    deployments.strategy = {"batches": ["1"]}
    deployments.release("2.0.0")
    assert set(results(deployments.deploy()).values()) == {"deployed"}
    assert {live_index(host) for host in (one, two, three)} == {"two"}
