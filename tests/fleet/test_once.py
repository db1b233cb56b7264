"""What one host runs once for all of them, on real hosts."""

from __future__ import annotations

import os
import signal

from tests.edges.remotes import wait_for
from tests.fleet.deployments import Deployments, live_index, results
from tests.fleet.hosts import Host, HostFactory, changes

LOG = "/var/log/migrations"
MIGRATE = f"""\
echo "$ORCHESTRATOR_VERSION $TOKEN" >> {LOG}
while test -e /run/hold-migrations; do sleep 0.1; done
test ! -e /run/no-migrations || {{ echo "no such table, $TOKEN"; exit 3; }}
"""
HOOK = {"command": ["/bin/sh", "bin/migrate"], "user": "deploy", "secrets": True, "timeout_seconds": 60}
HEALTHY = "grep -q 1.0.0 /srv/site/current/index.html || ! test -e /run/sick"
STATE = ["/srv", "/var/lib/gitops-orchestrator", "/var/log/migrations"]


def migrations(every: list[Host]) -> list[tuple[str, str]]:
    """(host, what it noted) for each time that it ran anywhere."""
    return [
        (host.name, line)
        for host in every
        for line in host.run(f"cat {LOG}").stdout.splitlines()
        if not line.startswith("1.0.0")
    ]


def start(deployments: Deployments, hosts: HostFactory) -> list[Host]:
    """Version 1 is live on three hosts, which go in two batches, and version 2 is asked for."""
    fresh = hosts(3)
    for host in fresh:
        host.run(f"install -o deploy -m 0644 /dev/null {LOG}")
    deployments.add_hosts(fresh)
    deployments.secrets["TOKEN"] = "sesame"
    deployments.settings = {"secrets": {"TOKEN": {"env": "TOKEN"}}, "hooks": {"run_once": [HOOK]}}
    deployments.strategy = {"batches": ["1", "2"]}
    for version in ("1.0.0", "2.0.0"):
        deployments.publish(version, {"index.html": version, "bin/migrate": MIGRATE})
    deployments.release("1.0.0")
    deployments.deploy()
    deployments.release("2.0.0")
    return fresh


def test_migration_runs_once_for_three_hosts_in_two_batches(
    deployments: Deployments, hosts: HostFactory
) -> None:
    one, two, three = every = start(deployments, hosts)
    before = [host.snapshot(STATE) for host in every]
    document = deployments.deploy("--check")
    said = {placement["host"]: placement["message"] for placement in document["placements"]}
    assert said[one.name].startswith("would run run_once /bin/sh bin/migrate; ")
    assert "run_once" not in said[two.name] + said[three.name]
    after = [host.snapshot(STATE) for host in every]
    assert [changes(*pair) for pair in zip(before, after, strict=True)] == [[], [], []]

    one.run("touch /run/no-migrations")
    document = deployments.deploy(expect=22)
    assert results(document) == {one.name: "failed", two.name: "staged", three.name: "staged"}
    assert "hook run_once /bin/sh bin/migrate failed with 3: no such table, ***" in document["output"]
    assert "sesame" not in document["output"]
    assert {live_index(host) for host in every} == {"1.0.0"}
    assert migrations(every) == [(one.name, "2.0.0 sesame")]

    one.run(f"rm /run/no-migrations; install -o deploy /dev/null {LOG}")
    deployments.settings["healthcheck"] = {
        "type": "command",
        "command": ["/bin/sh", "-c", HEALTHY],
        "retries": 0,
        "deadline_seconds": 5,
    }
    deployments.release("2.0.0")
    two.run("touch /run/sick")
    document = deployments.deploy(expect=23)
    assert results(document) == {
        one.name: "deployed",
        two.name: "switched back",
        three.name: "switched back",
    }
    assert migrations(every) == [(one.name, "2.0.0 sesame")]
    two.run("rm /run/sick")
    assert f"has run for this artifact on {one.name}" in deployments.command("plan", "--branch", "dev")
    assert results(deployments.deploy()) == {
        one.name: "unchanged",
        two.name: "deployed",
        three.name: "deployed",
    }
    assert migrations(every) == [(one.name, "2.0.0 sesame")]


def test_controller_killed_while_a_migration_runs_and_the_next_run_waits_for_it(
    deployments: Deployments, hosts: HostFactory
) -> None:
    one, *_ = every = start(deployments, hosts)
    one.run("touch /run/hold-migrations")
    process = deployments.start_command("deploy", "--branch", "dev")
    wait_for(lambda: bool(migrations(every)), 60)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert {live_index(host) for host in every} == {"1.0.0"}
    process = deployments.start_command("deploy", "--branch", "dev")
    one.run("rm /run/hold-migrations")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert {live_index(host) for host in every} == {"2.0.0"}
    assert migrations(every) == [(one.name, "2.0.0 sesame")]


def test_host_that_dies_while_it_runs_a_migration_ends_the_rollout_and_the_next_run_runs_it_again(
    deployments: Deployments, hosts: HostFactory
) -> None:
    one, two, three = every = start(deployments, hosts)
    one.run("touch /run/hold-migrations")
    process = deployments.start_command("deploy", "--branch", "dev")
    wait_for(lambda: bool(migrations(every)), 60)
    one.kill()
    output, _ = process.communicate(timeout=180)
    assert process.returncode == 17, output
    assert {live_index(host) for host in (two, three)} == {"1.0.0"}
    one.start()
    assert {live_index(host) for host in every} == {"1.0.0"}
    deployments.deploy()
    assert {live_index(host) for host in every} == {"2.0.0"}
    assert migrations(every) == [(one.name, "2.0.0 sesame")] * 2
