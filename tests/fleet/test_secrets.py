"""Known secrets are searched for on a real host, during a run and after it."""

from __future__ import annotations

import os

from tests.fleet.deployments import PASSWORD, Deployments, results
from tests.fleet.hosts import HostFactory, HostSpec
from tests.fleet.watching import search, watching

PLACES = ("/etc", "/home", "/opt", "/root", "/run", "/srv", "/tmp", "/var")


def test_no_secret_in_processes_files_or_the_journal_of_the_host(
    deployments: Deployments, hosts: HostFactory
) -> None:
    (host,) = hosts(HostSpec(name="watched"))
    secrets = [PASSWORD, host.sudo_password]
    deployments.secrets["SUDO_PASSWORD"] = host.sudo_password
    deployments.add_hosts([host], user="operator", become_password={"env": "SUDO_PASSWORD"})
    deployments.publish("1.0.0", {"index.html": "one", "big": os.urandom(2 << 20).hex()})
    deployments.release("1.0.0")
    with watching(host, secrets) as watched:
        assert results(deployments.deploy()) == {host.name: "deployed"}
        deployments.release("1.0.0", sha256="0" * 64)
        deployments.deploy(expect=14)
        deployments.secrets["NEXUS_PASSWORD"] = "another-s3cret-PASSWORD"
        deployments.release("1.0.0")
        deployments.deploy("--check", expect=15)
    assert watched.found == []
    assert watched.programs > 0
    assert watched.looked > 20
    assert search(host, [*secrets, "another-s3cret-PASSWORD"], *PLACES) == ""
    # What is searched is really read: sudo names its caller there.
    assert "operator" in search(host, ["operator : "], "/run/watcher.py")
