"""The image of a test host: Debian with systemd and sshd, built once and cached outside the repository."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fleet.podman import FleetError, podman, run, system_path

SUITE = "bookworm"
PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "openssh-server",
    "python3",
    "sudo",
    "acl",
    "ca-certificates",
    "curl",
    "faketime",
    "haproxy",
    "iproute2",
    "procps",
    "unzip",
    "xz-utils",
    "zstd",
)
OPERATOR_PASSWORD = "correct \"horse\" $HOME 'staple' {{ 6 * 7 }}"
"""What `operator` must give to sudo. Awkward on purpose: whoever quotes or templates it, fails."""

PYTHON = "/usr/libexec/fleet-python"
"""An interpreter that no discovery finds, so that a host without `python3` can still be looked at."""

DEFAULT_MIRROR = "http://deb.debian.org/debian"

_SETUP = r"""
set -eu
useradd --create-home --shell /bin/bash deploy
useradd --create-home --shell /bin/bash --gid operator operator
useradd --create-home --shell /bin/bash plain
echo 'deploy ALL=(ALL:ALL) NOPASSWD: ALL' > /etc/sudoers.d/deploy
echo 'operator ALL=(ALL:ALL) ALL' > /etc/sudoers.d/operator
chmod 0440 /etc/sudoers.d/*
chpasswd
rm -f /etc/ssh/ssh_host_*
cat > /etc/ssh/sshd_config.d/fleet.conf <<'CONFIG'
PasswordAuthentication no
PermitRootLogin prohibit-password
AuthorizedKeysFile /etc/ssh/fleet_authorized_keys
HostKey /etc/ssh/ssh_host_ed25519_key
MaxStartups 100
UseDNS no
CONFIG
systemctl disable haproxy.service
systemctl mask getty.target console-getty.service systemd-logind.service systemd-tmpfiles-clean.timer \
  apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \
  systemd-ask-password-console.path systemd-ask-password-wall.path
mkdir -p /usr/libexec
ln "$(readlink -f /usr/bin/python3)" /usr/libexec/fleet-python
: > /etc/machine-id
"""
_COMMAND = 'CMD ["/lib/systemd/systemd"]'
_LEFT_OUT = (
    *("proc", "sys", "dev", "run", "tmp", "var/cache/apt", "var/lib/apt/lists"),
    *("usr/share/doc", "usr/share/man", "usr/share/locale"),
)


def cache_directory() -> Path:
    """Return the directory that outlives checkouts, `~/.cache/gitops-orchestrator` by default."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "gitops-orchestrator"


def recipe_digest() -> str:
    """Return the name under which the image of this recipe is kept; another recipe gets another one."""
    recipe = [SUITE, PACKAGES, OPERATOR_PASSWORD, _SETUP, _COMMAND, _LEFT_OUT]
    return hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:16]


def ensure_image() -> str:
    """Return the image's name; it is in podman's store afterwards.

    Taken, in order, from podman, the cached tar, debootstrap (about a minute). Only one process builds.

    Raises:
        FleetError: it could not be built, with the tool's last words.
    """
    name = f"localhost/gitops-orchestrator-fleet:{recipe_digest()}"
    if _exists(name):
        return name
    with _locked(cache_directory()) as cache:
        if not _exists(name):
            archive = cache / f"fleet-{recipe_digest()}.tar"
            if not archive.exists():
                _build(archive)
            podman("import", "--quiet", "--change", _COMMAND, str(archive), name, timeout_seconds=300)
    return name


def mirror() -> str:
    """Return the Debian mirror that apt uses here, else Debian's own."""
    if chosen := os.environ.get("ORCHESTRATOR_FLEET_MIRROR"):
        return chosen
    if shutil.which("apt-get") is None:
        return DEFAULT_MIRROR
    sites = run(["apt-get", "indextargets", "--format", "$(SITE)"]).split()
    return next((site for site in sites if re.search(r"/debian/?$", site)), DEFAULT_MIRROR)


def _exists(name: str) -> bool:
    return bool(podman("images", "--quiet", name).strip())


@contextmanager
def _locked(cache: Path) -> Iterator[Path]:
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "fleet.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield cache


def _build(archive: Path) -> None:
    if shutil.which("debootstrap", path=system_path()) is None:
        raise FleetError("debootstrap not found, it makes the test hosts' image; apt-get install debootstrap")
    print(f"building the test hosts' image ({SUITE}, about a minute) …", file=sys.stderr)  # noqa: T201
    for stale in archive.parent.glob("building-*"):
        shutil.rmtree(stale)
    with tempfile.TemporaryDirectory(prefix="building-", dir=archive.parent) as scratch:
        root = Path(scratch) / "root"
        # In a mount namespace of its own nothing stays mounted below `root`, whatever happens to debootstrap.
        isolated = ["env", *_proxies(), "unshare", "--mount", "--propagation", "private"]
        include = "--include=" + ",".join(PACKAGES)
        debootstrap = ["debootstrap", "--variant=minbase", include, SUITE, str(root), mirror()]
        _step([*isolated, *debootstrap], timeout_seconds=900)
        _step([*isolated, "chroot", str(root), "sh", "-c", _SETUP], stdin=f"operator:{OPERATOR_PASSWORD}\n")
        left_out = [f"--exclude=./{path}/*" for path in _LEFT_OUT]
        partial = Path(scratch) / "image.tar"
        options = ["--numeric-owner", "--one-file-system", *left_out]
        _step(["tar", *options, "-C", str(root), "-cf", str(partial), "."])
        partial.rename(archive)


def _step(command: list[str], *, stdin: str | None = None, timeout_seconds: float = 300) -> None:
    try:
        run(command, stdin=stdin, timeout_seconds=timeout_seconds)
    except FleetError as error:
        said = re.sub(r"//[^/@\s]*@", "//***@", str(error))
        raise FleetError(f"the test hosts' image cannot be built: {said}") from error


def _proxies() -> list[str]:
    """apt's proxies, for debootstrap's wget; the environment's own come first."""
    proxies = []
    for scheme in ("http", "https"):
        if f"{scheme}_proxy" not in os.environ and shutil.which("apt-config"):
            line = run(["apt-config", "shell", "PROXY", f"Acquire::{scheme}::Proxy"]).strip()
            if line.startswith("PROXY="):
                proxies.append(f"{scheme}_proxy=" + line.removeprefix("PROXY=").strip("'\""))
    return [proxy for proxy in proxies if not proxy.endswith("=DIRECT")]
