"""A private directory for the playbook runs of one command, and ansible, started in it before anything is known.

Imports little: a command starts ansible with this before it imports the rest of itself. Follows what is known of
ansible-runner 2.4: settings and extra-vars are files of ours (0600 in a 0700 directory).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.edges.ansible_content import ansible_content
from orchestrator.edges.ansible_process import EventStream, ansible_environment
from orchestrator.edges.playbook_server import PlaybookServer
from orchestrator.edges.scratch import make_scratch, write_private

SOCKET_VARIABLE = "ORCHESTRATOR_SOCKET"
# How often ansible looks for results (seconds); its own 0.001 costs half of a core while a task runs.
ANSIBLE_CONFIGURATION = "[defaults]\ninternal_poll_interval = 0.02\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What decides how ansible-playbook is started."""

    playbook: str
    check: bool = False
    diff: bool = False
    forks: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Ansible, which waits for its inventory."""

    wanted: Wanted
    stream: EventStream
    server: PlaybookServer

    def close(self) -> None:
        """It has ended."""
        self.stream.close()
        self.server.close()


@contextlib.contextmanager
def private_directory() -> Iterator[Path]:
    """A directory that is ours alone, gone after the context; whatever runs in it has to end before."""
    path = make_scratch()
    try:
        (path / "cp").mkdir(mode=0o700)
        yield path
    finally:
        _close_connections(path / "cp")
        shutil.rmtree(path, ignore_errors=True)


def prepare_ansible(path: Path, wanted: Wanted) -> Prepared:
    """Ansible starts in that private directory, and waits. Nothing has to be known of hosts yet, and none is asked."""
    content = ansible_content()
    for name in ("env", "inventory", "artifacts"):
        shutil.rmtree(path / name, ignore_errors=True)
        (path / name).mkdir(mode=0o700)
    write_private(path / "inventory" / "hosts.yml", "")
    write_private(path / "env" / "extravars", "{}")
    flags = " ".join(flag for flag, is_set in (("--check", wanted.check), ("--diff", wanted.diff)) if is_set)
    write_private(path / "env" / "cmdline", f"--forks {wanted.forks or default_forks()} {flags}\n")
    write_private(path / "ansible.cfg", ANSIBLE_CONFIGURATION)
    write_private(path / "env" / "settings", "pexpect_timeout: 0.1\npexpect_use_poll: true\n")
    socket = path / "socket"
    environment = {**ansible_environment(path, content), SOCKET_VARIABLE: str(socket)}
    stream = EventStream(path, content / "playbooks" / f"{wanted.playbook}.yml", environment)
    server = PlaybookServer(socket, stream.report, stream.finish)
    server.start()
    stream.start()
    return Prepared(wanted=wanted, stream=stream, server=server)


def default_forks() -> int:
    """How many hosts are worked on at once: bounded by what this machine bears."""
    return min(10 * (os.cpu_count() or 1), 50)


def _close_connections(directory: Path) -> None:
    leaving = [
        subprocess.Popen(
            ["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "leaving"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for socket in (directory.iterdir() if directory.is_dir() else ())
    ]
    for process in leaving:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=2)
