"""The deployment repository on another machine, reached by git over ssh, as forges have it."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from tests.fleet.deployments import Deployments, live_index, results, serve_site
from tests.fleet.hosts import Host, HostFactory
from tests.fleet.podman import podman

REPOSITORY = "/home/deploy/shop-deploy.git"


def make_git_server(host: Host) -> str:
    """Git runs there, with an empty repository; its address. The hosts' image is Debian, and so has git's libraries."""
    git = Path(subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout.strip())
    podman("cp", str(git), f"{host.container}:/usr/bin/git")
    host.run("cd /usr/bin && for name in upload-pack receive-pack; do ln -s git git-$name; done")
    host.run(f"git init --quiet --bare --template= --initial-branch=dev {REPOSITORY}", user="deploy")
    return f"ssh://deploy@{host.address}:{host.port}{REPOSITORY}"


def ssh_words(host: Host) -> str:
    *words, _ = host.ssh_command()
    return shlex.join(words)


@pytest.fixture
def server(deployments: Deployments, hosts: HostFactory) -> Host:
    """It keeps the repository, and is deployed to as well."""
    (host,) = hosts(1)
    url = make_git_server(host)
    deployments._git(deployments.clone, "remote", "set-url", "origin", url)
    deployments.add_hosts([host])
    serve_site(host)
    return host


@pytest.mark.parametrize("way", ["core.sshCommand", "GIT_SSH_COMMAND"])
def test_deployment_from_a_repository_that_is_reached_by_ssh(
    deployments: Deployments, server: Host, way: str
) -> None:
    if way == "GIT_SSH_COMMAND":
        deployments.secrets[way] = ssh_words(server)
    else:
        deployments._git(deployments.clone, "config", way, ssh_words(server))
    for version in ("1.0.0", "1.0.1"):
        deployments.publish(version, {"index.html": version})
        deployments.release(version)
        assert results(deployments.deploy()) == {server.name: "deployed"}
        assert live_index(server) == version
    assert deployments.deploy()["changed"] is False
    assert "in sync" in deployments.command("status", "--environment", "dev")
    assert deployments.command("history", "dev").count("1 deployed") == 2
    assert "free" in deployments.command("lock", "show", "dev")
    refs = server.run(f"git --git-dir={REPOSITORY} for-each-ref --format='%(refname)'", user="deploy").stdout
    assert {"refs/heads/orchestrator/ledger", "refs/heads/orchestrator/lock/dev"} <= set(refs.split())
    deployments.command("set", "--branch", "dev", "site=1.0.0", "--push")
    assert results(deployments.deploy()) == {server.name: "deployed"}
    assert live_index(server) == "1.0.0"


def test_key_that_the_git_server_does_not_know_is_said(deployments: Deployments, server: Host) -> None:
    key = deployments.directory / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    deployments._git(deployments.clone, "config", "core.sshCommand", ssh_words(server))
    deployments.publish("1.0.0", {"index.html": "1"})
    deployments.release("1.0.0")
    other = ssh_words(server).replace(str(server.private_key), str(key))
    deployments._git(deployments.clone, "config", "core.sshCommand", other)
    said = deployments.command("deploy", "--branch", "dev", expect=11)
    assert "cannot be reached" in said
    assert "Permission denied" in said
    assert live_index(server) == ""
