"""Runs that meet on real hosts: each in its turn, and none after its lock was taken."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.demo.artifact_server import ArtifactServer
from orchestrator.edges.clock import moment
from tests.edges.deliveries import DEPLOY, Running, host_program, turns
from tests.edges.remotes import git, wait_for
from tests.fleet.deployments import PASSWORD, Deployments, live_index
from tests.fleet.hosts import Fleet, Host, HostFactory

WATCHED = "/var/lib/watched"
LOCK = "orchestrator/lock/dev:lock.json"


@pytest.fixture
def deployments(fleet: Fleet, tmp_path: Path) -> Iterator[Deployments]:
    with ArtifactServer(
        tmp_path / "nexus", username="ci", password=PASSWORD, address=fleet.gateway
    ) as server:
        made = Deployments(directory=tmp_path, server=server)
        made.start()
        (made.clone / "orchestrator.toml").write_text("format = 1\n[lock]\nexpiry_seconds = 8\n")
        for version in ("1.0.0", "2.0.0", "3.0.0"):
            made.publish(version, {"index.html": version})
        yield made


def watch(host: Host) -> None:
    """The host notes what it is asked, and can be told to wait before it does so."""
    program = host_program(python="/usr/bin/python3", directory=WATCHED)
    host.run(
        f"mkdir -p {WATCHED}/hold {WATCHED}/held && cat > {WATCHED}/python && chmod 755 {WATCHED}/python",
        stdin=program,
    )


def journal(host: Host) -> list[dict[str, Any]]:
    return [json.loads(line) for line in host.run(f"cat {WATCHED}/journal").stdout.splitlines()]


def start(deployments: Deployments, clone: Path, *arguments: str, wrap: tuple[str, ...] = ()) -> Running:
    log = deployments.directory / f"{clone.name}.log"
    with open(log, "w", encoding="utf-8") as file:
        process = subprocess.Popen(
            [*wrap, sys.executable, "-m", "orchestrator", *arguments],
            cwd=clone,
            env=deployments.environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            text=True,
        )
    return Running(process, log)


def clone_of(deployments: Deployments, name: str) -> Path:
    path = deployments.directory / name
    git(deployments.directory, "clone", "--quiet", str(deployments.directory / "shop-deploy.git"), str(path))
    return path


def expires(deployments: Deployments) -> str:
    return str(json.loads(git(deployments.directory / "shop-deploy.git", "show", LOCK))["expires"])


def test_command_that_reaches_a_host_after_the_lock_was_taken_is_refused_there(
    deployments: Deployments, hosts: HostFactory
) -> None:
    both = hosts(2)
    for host in both:
        watch(host)
    deployments.add_hosts(both, python=f"{WATCHED}/python")
    deployments.release("1.0.0")
    deployments.deploy()
    deployments.release("2.0.0")
    other = clone_of(deployments, "other")
    for host in both:
        host.run(f"touch {WATCHED}/hold/activate-2")
    stalled = start(deployments, deployments.clone, *DEPLOY)
    try:
        for host in both:
            wait_for(
                lambda host=host: host.run(f"test -e {WATCHED}/held/activate-2", check=False).returncode == 0
            )
        stalled.stop()
        deployments.release("3.0.0")
        wait_for(lambda: expires(deployments) <= moment())
        assert "expired" in start(deployments, other, *DEPLOY).end(expect=29)
        start(deployments, other, "lock", "break", "dev", "--reason", "it does not answer").end()
        start(deployments, other, *DEPLOY).end()
        for host in both:
            host.run(f"rm {WATCHED}/hold/activate-2")
            wait_for(lambda host=host: turns(journal(host)) == [1, 2, 3, 2])
    finally:
        stalled.go_on()
    assert "this run lost the lock of dev" in stalled.end(expect=29)
    assert {live_index(host) for host in both} == {"3.0.0"}
    assert deployments.command("status", "--verify").count("in sync") == 2


def test_runner_killed_in_another_container_is_never_followed_silently(
    deployments: Deployments, hosts: HostFactory
) -> None:
    (host,) = hosts(1)
    watch(host)
    deployments.add_hosts([host], python=f"{WATCHED}/python")
    deployments.release("1.0.0")
    host.run(f"touch {WATCHED}/hold/stage-1")
    container = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
    killed = start(deployments, deployments.clone, *DEPLOY, wrap=container)
    wait_for(lambda: host.run(f"test -e {WATCHED}/held/stage-1", check=False).returncode == 0)
    killed.kill_tree()
    jobs = [start(deployments, clone_of(deployments, f"runner{number}"), *DEPLOY) for number in range(3)]
    for job in jobs:
        said = job.end(expect=29)
        assert "waiting for the lock of dev" in said
        assert "orchestrator lock break dev" in said
    assert live_index(host) == ""
    deployments.command("lock", "break", "dev", "--reason", "its container is gone")
    jobs = [start(deployments, deployments.directory / f"runner{number}", *DEPLOY) for number in range(3)]
    for job in jobs:
        job.end()
    host.run(f"rm {WATCHED}/hold/stage-1")
    wait_for(lambda: turns(journal(host)) == [1, 2, 3, 4, 1])
    assert live_index(host) == "1.0.0"
    assert deployments.command("status", "--verify").count("in sync") == 1
    history = json.loads(deployments.command("history", "dev", "--all", "--json", "-"))["attempts"]
    assert sorted(one["verdict"] for one in history) == ["failed"] * 3 + ["interrupted"] + ["success"] * 3
    assert sum(one["result"] == "deployed" for attempt in history for one in attempt["placements"]) == 1
