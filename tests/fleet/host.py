"""One test host: log in, look at it, hurt it."""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.fleet.image import OPERATOR_PASSWORD, PYTHON
from tests.fleet.podman import FleetError, podman, podman_command, run
from tests.fleet.snapshot import PROGRAM, Snapshot, parse_snapshot
from tests.fleet.variants import Variant

BOOT_SECONDS = 60.0
POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSpec:
    """What a host is to be like.

    Args:
        name: unique in its fleet; also its host name.
        tmpfs: small file systems by mount point, such as `{"/small": "size=8m"}` (mount options of tmpfs).
        directories: of this machine, by mount point; the host writes to them.
        python: false removes `python3` from the host.
        variant: what it can do beside; None: the usual.
        behind: name of the only host that may reach this one's port 22; everybody else is refused.
    """

    name: str
    tmpfs: Mapping[str, str] = field(default_factory=dict)
    directories: Mapping[str, Path] = field(default_factory=dict)
    python: bool = True
    variant: Variant | None = None
    behind: str | None = None


class HostFactory(Protocol):
    """What the fixture `hosts` is: starts that many hosts, or those that are described, and returns them."""

    def __call__(self, *wanted: int | HostSpec) -> list[Host]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A running host, with systemd and sshd, reached at its address.

    Users, all by key: `root`; `deploy` (sudo without password); `operator` (sudo with `sudo_password`);
    `plain` (no sudo). Methods without `user` act as root through podman, so they work when SSH does not.
    """

    name: str
    container: str
    address: str
    host_key: str
    private_key: Path
    known_hosts: Path
    gateway: str
    allowed_from: str | None = None
    port: int = 22
    sudo_password: str = OPERATOR_PASSWORD

    def run(
        self,
        command: str | Sequence[str],
        *,
        user: str = "root",
        stdin: str | None = None,
        check: bool = True,
        timeout_seconds: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command (a string is for `sh -c`) through podman and return what it printed.

        Raises:
            FleetError: it failed and `check` is true, or took too long.
        """
        words = ["sh", "-c", command] if isinstance(command, str) else list(command)
        arguments = [*podman_command(), "exec", "--interactive", "--user", user, self.container, *words]
        return _completed(arguments, stdin=stdin, check=check, timeout_seconds=timeout_seconds)

    def ssh(
        self,
        command: str,
        *,
        user: str = "deploy",
        via: Host | None = None,
        stdin: str | None = None,
        check: bool = False,
        timeout_seconds: float = 30,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command over SSH, through the host `via` if given; exit code 255: SSH itself failed."""
        arguments = [*self.ssh_command(user=user, via=via), command]
        return _completed(arguments, stdin=stdin, check=check, timeout_seconds=timeout_seconds)

    def ssh_command(self, *, user: str = "deploy", via: Host | None = None) -> list[str]:
        """Return an `ssh` command line that checks the host key and reads no configuration here."""
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": "5",
            "ControlMaster": "no",
            "GlobalKnownHostsFile": "/dev/null",
            "IdentitiesOnly": "yes",
            "LogLevel": "ERROR",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": str(self.known_hosts),
        }
        if via is not None:
            *jump, destination = via.ssh_command(user=user)
            options["ProxyCommand"] = shlex.join([*jump, "-W", "%h:%p", destination])
        words = ["ssh", "-F", "none", "-i", str(self.private_key), "-p", str(self.port)]
        for name, value in options.items():
            words += ["-o", f"{name}={value}"]
        return [*words, f"{user}@{self.address}"]

    def snapshot(self, paths: Sequence[str], *, exclude: Sequence[str] = ()) -> Snapshot:
        """Return every path below `paths`: type, mode, owner, size, mtime, inode, target and SHA-256.

        What is mounted below them is left out. `exclude` names paths (with all below them) to leave
        out, such as `LOGIN_TRACES`.
        """
        stdin = json.dumps([list(paths), list(exclude)])
        return parse_snapshot(self.run([PYTHON, "-I", "-B", "-c", PROGRAM], stdin=stdin).stdout)

    def kill(self) -> None:
        """Stop everything at once, as when the power goes; `start` boots it again with its disk as it was."""
        podman("kill", self.container)
        podman("wait", self.container)

    def stop(self) -> None:
        """Shut down in order."""
        podman("stop", "--time", "10", self.container)

    def start(self) -> None:
        """Boot after `kill` or `stop` and wait. The address stays, `/tmp` and `/run` do not."""
        podman("start", self.container)
        self.wait_until_ready()
        self.raise_barrier()

    def pause(self) -> None:
        """Freeze all processes: connections open but nobody answers."""
        podman("pause", self.container)

    def unpause(self) -> None:
        """Let the processes go on."""
        podman("unpause", self.container)

    def disconnect(self) -> None:
        """Drop every packet from and to the host, as when its network fails; `run` still works."""
        for chain in ("INPUT", "OUTPUT"):
            self._iptables("--insert", chain, "1", "--jump", "DROP")

    def reconnect(self) -> None:
        """Undo `disconnect`."""
        for chain in ("INPUT", "OUTPUT"):
            self._iptables("--delete", chain, "--jump", "DROP")

    def raise_barrier(self) -> None:
        """Refuse SSH from anywhere but `allowed_from`, if that is set."""
        if self.allowed_from is None:
            return
        others = ["--protocol", "tcp", "--dport", str(self.port), "!", "--source", self.allowed_from]
        self._iptables("--append", "INPUT", *others, "--jump", "REJECT", "--reject-with", "tcp-reset")

    def wait_until_ready(self, timeout_seconds: float = BOOT_SECONDS) -> None:
        """Return when systemd says that it is running and sshd greets.

        Raises:
            FleetError: not in time, or systemd is degraded; with the failed units.
        """
        deadline = time.monotonic() + timeout_seconds
        _poll(self._systemd_has_booted, deadline, f"{self.name}: no systemd in {timeout_seconds:g} s")
        state = self.run(["systemctl", "is-system-running", "--wait"], check=False).stdout.strip()
        if state != "running":
            failed = self.run(["systemctl", "--failed", "--no-legend"], check=False).stdout
            raise FleetError(f"{self.name}: systemd is {state or 'not answering'}\n{failed}")
        _poll(self._sshd_greets, deadline, f"{self.name}: no sshd at {self.address} in {timeout_seconds:g} s")

    def _systemd_has_booted(self) -> bool:
        return self.run(["test", "-S", "/run/dbus/system_bus_socket"], check=False).returncode == 0

    def _sshd_greets(self) -> bool:
        try:
            with socket.create_connection((self.address, self.port), timeout=2) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    def _iptables(self, *arguments: str) -> None:
        """Change the host's firewall from outside: the image needs no iptables; a boot forgets it."""
        pid = podman("inspect", "--format", "{{.State.Pid}}", self.container).strip()
        run(["nsenter", "--target", pid, "--net", "iptables", "--wait", *arguments])


def _completed(
    arguments: list[str], *, stdin: str | None, check: bool, timeout_seconds: float
) -> subprocess.CompletedProcess[str]:
    try:
        done = subprocess.run(
            arguments, input=stdin or "", capture_output=True, text=True, check=False, timeout=timeout_seconds
        )
    except subprocess.TimeoutExpired as error:
        raise FleetError(f"{shlex.join(arguments)} did not end within {timeout_seconds:g} s") from error
    if check and done.returncode != 0:
        raise FleetError(f"{shlex.join(arguments)} failed ({done.returncode}): {done.stdout}{done.stderr}")
    return done


def _poll(condition: Callable[[], bool], deadline: float, message: str) -> None:
    while not condition():
        if time.monotonic() > deadline:
            raise FleetError(message)
        time.sleep(POLL_SECONDS)
