"""Images of test hosts that can do more than the usual one: run containers, or install .rpm files."""

from __future__ import annotations

import fcntl
import hashlib
import json
import secrets
from dataclasses import astuple, dataclass

from tests.fleet.image import cache_directory, ensure_image, recipe_digest
from tests.fleet.podman import podman, run_arguments

_INSTALL = r"""
set -eu
export DEBIAN_FRONTEND=noninteractive
mkdir -p /var/cache/apt/archives/partial /var/lib/apt/lists/partial
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod 0755 /usr/sbin/policy-rc.d
apt-get update -q
apt-get install -q --yes --no-install-recommends PACKAGES
apt-get clean
rm -rf /var/lib/apt/lists/* /usr/sbin/policy-rc.d
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """The usual image with more packages, and what has to be set up for them."""

    name: str
    packages: tuple[str, ...]
    setup: str


# A container in a container: overlayfs does not stack, and neither cgroups nor sysctls can be written there.
PODMAN = Variant(
    name="podman",
    packages=("podman", "crun", "netavark", "busybox-static", "docker-registry", "openssl"),
    setup=r"""
systemctl mask podman.service podman.socket podman-auto-update.timer podman-restart.service docker-registry.service
cat > /etc/containers/storage.conf <<'CONFIG'
[storage]
driver = "vfs"
runroot = "/run/containers/storage"
graphroot = "/var/lib/containers/storage"
CONFIG
cat > /etc/containers/containers.conf <<'CONFIG'
[containers]
cgroups = "disabled"
default_sysctls = []
netns = "host"
[engine]
runtime = "crun"
cgroup_manager = "cgroupfs"
CONFIG
: > /etc/machine-id
""",
)
# Debian's own dnf and rpm, without any repository of theirs, and rpm's database where others have it.
RPM = Variant(
    name="rpm",
    packages=("rpm", "dnf"),
    setup=r"""
systemctl mask dnf-makecache.timer dnf-makecache.service
mkdir -p /etc/rpm /etc/dnf/vars
echo '%_dbpath /var/lib/rpm' > /etc/rpm/macros
echo 12 > /etc/dnf/vars/releasever
rpm --initdb
: > /etc/machine-id
""",
)


def ensure_variant(variant: Variant) -> str:
    """Return the image's name; it is in podman's store afterwards. Only one process makes it, once.

    Raises:
        FleetError: it could not be made, with the tool's last words.
    """
    base = ensure_image()
    setup = _INSTALL.replace("PACKAGES", " ".join(variant.packages)) + variant.setup
    recipe = hashlib.sha256(json.dumps([recipe_digest(), astuple(variant), setup]).encode()).hexdigest()[:16]
    name = f"localhost/gitops-orchestrator-fleet-{variant.name}:{recipe}"
    with (cache_directory() / f"fleet-{variant.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if podman("images", "--quiet", name).strip():
            return name
        builder = f"orchestrator-fleet-builder-{secrets.token_hex(3)}"
        options = run_arguments(labels={}, tmpfs={})
        podman("run", "--detach", "--name", builder, *options, base, "sleep", "1000")
        try:
            podman("exec", "--interactive", builder, "sh", stdin=setup, timeout_seconds=600)
            change = ("--change", 'CMD ["/lib/systemd/systemd"]')
            podman("commit", "--quiet", *change, builder, name, timeout_seconds=300)
        finally:
            podman("rm", "--force", "--time", "0", builder)
    return name
