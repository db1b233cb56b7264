"""ansible-runner: one playbook run from a private directory that is gone afterwards.

Follows what is known of ansible-runner 2.4: settings and extra-vars are files of ours (0600 in a 0700
directory), and a run without `playbook_on_stats` is not a finished one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.core.model import Host, Reference
from orchestrator.core.outcome import HostReport
from orchestrator.core.ssh import quick_key_exchange, render_known_hosts, render_ssh_config
from orchestrator.core.unsafe_yaml import render_unsafe_yaml
from orchestrator.edges.ansible_content import ansible_content
from orchestrator.edges.ansible_process import STATISTICS, EventStream, ansible_environment, read_event
from orchestrator.edges.credentials import SecretSource
from orchestrator.edges.playbook_server import PlaybookServer, Rollout
from orchestrator.edges.process_identity import is_gone, this_process_identity
from orchestrator.edges.ssh_agent import keys_in_agent
from orchestrator.errors import AnsibleError

PREFIX, OWNER = "orch-", "owner"
# How often ansible looks for results (seconds); its own 0.001 costs half of a core while a task runs.
ANSIBLE_CONFIGURATION = "[defaults]\ninternal_poll_interval = 0.02\n"
SOCKET_VARIABLE = "ORCHESTRATOR_SOCKET"
Decide = Callable[[tuple[HostReport, ...]], Rollout]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaybookRun:
    """How a playbook run ended.

    Attributes:
        finished: ansible wrote its closing statistics.
        cancelled: a signal ended it.
        reports: one for each task of ours on each host, in the order in which they came.
        output: what ansible printed.
    """

    finished: bool
    cancelled: bool
    reports: tuple[HostReport, ...]
    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """A private directory for all playbook runs of one command; ssh connections are shared by them."""

    path: Path
    hosts: tuple[Host, ...]
    secrets: SecretSource
    known_hosts: str = ""
    running: list[RunningPlaybook] = field(default_factory=list)

    @classmethod
    @contextlib.contextmanager
    def open(
        cls, hosts: tuple[Host, ...], secrets: SecretSource, known_hosts: str = ""
    ) -> Iterator[Workspace]:
        """The directory exists while the context is open, its ssh connections too."""
        remove_abandoned(Path(tempfile.gettempdir()))
        path = Path(tempfile.mkdtemp(prefix=PREFIX))
        write_private(path / OWNER, this_process_identity())
        running: list[RunningPlaybook] = []
        try:
            for name in ("env", "inventory", "cp"):
                (path / name).mkdir(mode=0o700)
            write_private(path / "known_hosts", render_known_hosts(hosts))
            write_private(
                path / "ssh_config",
                render_ssh_config(
                    hosts,
                    directory=str(path),
                    known_hosts=known_hosts,
                    key_exchange=quick_key_exchange(supported_key_exchanges(hosts)),
                ),
            )
            with keys_in_agent(hosts, secrets):
                yield cls(path=path, hosts=hosts, secrets=secrets, known_hosts=known_hosts, running=running)
        finally:
            for playbook in running:
                playbook.close()
            _close_connections(path / "cp")
            shutil.rmtree(path, ignore_errors=True)

    def run(
        self,
        playbook: str,
        inventory: Mapping[str, Any],
        extra_vars: Mapping[str, Any],
        *,
        references: frozenset[Reference] = frozenset(),
        forks: int = 10,
        on_report: Callable[[HostReport], None] = lambda report: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> PlaybookRun:
        """Runs one of our playbooks, from its beginning to its end, and returns what each host answered.

        Raises:
            AnsibleError: ansible-runner could not be started.
        """
        running = self.start(
            playbook, inventory, extra_vars, references=references, forks=forks, cancelled=cancelled
        )
        return running.follow(on_report)

    def start(
        self,
        playbook: str,
        inventory: Mapping[str, Any],
        extra_vars: Mapping[str, Any],
        *,
        references: frozenset[Reference] = frozenset(),
        check: bool = False,
        diff: bool = False,
        forks: int = 10,
        roles: Path | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> RunningPlaybook:
        """One of our playbooks has begun. With `release_planner: orchestrator` it waits before it asks any host."""
        content = ansible_content()
        while self.running:
            self.running.pop().close()
        for name in ("env", "inventory", "artifacts"):
            shutil.rmtree(self.path / name, ignore_errors=True)
            (self.path / name).mkdir(mode=0o700)
        write_private(self.path / "inventory" / "hosts.yml", render_unsafe_yaml(inventory))
        write_private(self.path / "env" / "extravars", render_unsafe_yaml(dict(extra_vars)))
        flags = " ".join(flag for flag, wanted in (("--check", check), ("--diff", diff)) if wanted)
        write_private(self.path / "env" / "cmdline", f"--forks {forks} {flags}\n")
        write_private(self.path / "ansible.cfg", ANSIBLE_CONFIGURATION)
        write_private(self.path / "env" / "settings", "pexpect_timeout: 0.1\npexpect_use_poll: true\n")
        socket = self.path / "socket"
        environment = ansible_environment(self.path, content)
        if roles is not None:  # ours come first: no other role takes their place
            environment["ANSIBLE_ROLES_PATH"] += f":{roles}"
        environment[SOCKET_VARIABLE] = str(socket)
        stream = EventStream(self.path, content / "playbooks" / f"{playbook}.yml", environment, cancelled)
        server = PlaybookServer(socket, self.secrets, references, stream.report)
        running = RunningPlaybook(hosts=frozenset(inventory["all"]["hosts"]), stream=stream, server=server)
        self.running.append(running)
        server.start()
        stream.start()
        return running


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningPlaybook:
    """A playbook that has begun."""

    hosts: frozenset[str]
    stream: EventStream
    server: PlaybookServer

    def follow(
        self,
        on_report: Callable[[HostReport], None],
        *,
        observation: Mapping[str, Any] | None = None,
        decide: Decide | None = None,
    ) -> PlaybookRun:
        """It has ended, as far as hosts are concerned; returns what each of them answered.

        Args:
            observation: what the observing action is told about the run, see `PlaybookServer.let_observe`.
            decide: makes the plan of a playbook that waits for one, once every host was observed; called
                exactly once, in this thread, unless the run is cancelled before.

        Raises:
            AnsibleError: ansible-runner could not be started.
            Exception: what `decide` raises, once the playbook has ended.
        """
        self.server.let_observe(observation or {})
        done = _follow(self.stream, _Planning(set(self.hosts), decide, self.server), on_report)
        self.server.close()
        return done

    def close(self) -> None:
        """It has ended; one that was not followed to its end is cancelled."""
        self.stream.close()
        self.server.close()


class _Planning:
    """Waits until every host was observed, then lets the plan be made, once."""

    def __init__(self, hosts: set[str], decide: Decide | None, server: PlaybookServer) -> None:
        self._missing, self._decide, self._server = hosts, decide, server
        self.error: Exception | None = None

    def note(self, report: HostReport, reports: list[HostReport]) -> None:
        if report.phase == "observe" and report.status != "started":
            self._missing.discard(report.host)
            if not self._missing:
                self.conclude(reports)

    def conclude(self, reports: list[HostReport]) -> None:
        decide, self._decide = self._decide, None
        if decide is None:
            return
        rollout = Rollout()
        try:
            rollout = decide(tuple(reports))
        except Exception as error:
            self.error = error
        finally:
            self._server.decide(rollout)


def _follow(stream: EventStream, planning: _Planning, on_report: Callable[[HostReport], None]) -> PlaybookRun:
    reports: list[HostReport] = []
    finished, output = False, []
    for event in stream:
        finished = finished or event.get("event") == STATISTICS
        if event.get("stdout"):
            output.append(event["stdout"])
        report = read_event(event)
        if report is not None:
            reports.append(report)
            on_report(report)
            planning.note(report, reports)
    cancelled = stream.status == "canceled"
    if not finished and not reports and not cancelled:
        raise AnsibleError(
            "ansible-playbook ended before it did anything",
            details=tuple("\n".join(output).splitlines()[-15:]),
            resolution="the lines above are ansible's own; `orchestrator doctor` checks this machine",
        )
    if not cancelled:
        planning.conclude(reports)
    if planning.error is not None:
        raise planning.error
    return PlaybookRun(
        finished=finished, cancelled=cancelled, reports=tuple(reports), output="\n".join(output)
    )


def remove_abandoned(parent: Path) -> None:
    """Private directories there whose commands were killed on this machine are gone, with nobody else's."""
    for owner in parent.glob(f"{PREFIX}*/{OWNER}"):
        with contextlib.suppress(OSError):
            if owner.stat().st_uid == os.getuid() and is_gone(owner.read_text(encoding="utf-8")):
                shutil.rmtree(owner.parent, ignore_errors=True)


def supported_key_exchanges(hosts: Iterable[Host]) -> tuple[str, ...]:
    """What ssh here can do; nothing when no host needs it, or it cannot be asked."""
    if not any(host.connection == "ssh" for host in hosts):
        return ()
    try:
        asked = subprocess.run(["ssh", "-Q", "kex"], capture_output=True, text=True, check=False, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(asked.stdout.split())


def write_private(path: Path, content: str) -> None:
    """A file that only we can read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)


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
