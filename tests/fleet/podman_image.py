"""The image of a test host that runs containers itself: the usual one, with podman in it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import secrets

from tests.fleet.image import cache_directory, ensure_image, recipe_digest
from tests.fleet.podman import podman, run_arguments

PACKAGES = ("podman", "crun", "netavark", "busybox-static")
# A container in a container: overlayfs does not stack, and neither cgroups nor sysctls can be written there.
_SETUP = r"""
set -eu
export DEBIAN_FRONTEND=noninteractive
mkdir -p /var/cache/apt/archives/partial /var/lib/apt/lists/partial
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod 0755 /usr/sbin/policy-rc.d
apt-get update -q
apt-get install -q --yes --no-install-recommends PACKAGES
apt-get clean
rm -rf /var/lib/apt/lists/* /usr/sbin/policy-rc.d
systemctl mask podman.service podman.socket podman-auto-update.timer podman-restart.service
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
"""


def ensure_podman_image() -> str:
    """Return the image's name; it is in podman's store afterwards. Only one process makes it, once.

    Raises:
        FleetError: it could not be made, with the tool's last words.
    """
    base = ensure_image()
    recipe = hashlib.sha256(json.dumps([recipe_digest(), PACKAGES, _SETUP]).encode()).hexdigest()[:16]
    name = f"localhost/gitops-orchestrator-fleet-podman:{recipe}"
    with (cache_directory() / "fleet-podman.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if podman("images", "--quiet", name).strip():
            return name
        builder = f"orchestrator-fleet-builder-{secrets.token_hex(3)}"
        options = run_arguments(labels={}, tmpfs={})
        podman("run", "--detach", "--name", builder, *options, base, "sleep", "1000")
        try:
            setup = _SETUP.replace("PACKAGES", " ".join(PACKAGES))
            podman("exec", "--interactive", builder, "sh", stdin=setup, timeout_seconds=600)
            change = ("--change", 'CMD ["/lib/systemd/systemd"]')
            podman("commit", "--quiet", *change, builder, name, timeout_seconds=300)
        finally:
            podman("rm", "--force", "--time", "0", builder)
    return name
