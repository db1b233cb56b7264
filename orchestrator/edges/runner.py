"""ansible-runner: one playbook run from a private directory that is gone afterwards.

Follows what is known of ansible-runner 2.4: a run without `playbook_on_stats` is not a finished one, unless its
action has said that everything is done.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.core.host_report import HostReport
from orchestrator.core.model import Host, Reference
from orchestrator.core.ssh import quick_key_exchange, render_known_hosts, render_ssh_config
from orchestrator.core.unsafe_yaml import render_unsafe_yaml
from orchestrator.edges.ansible_content import ansible_content
from orchestrator.edges.ansible_process import STATISTICS, EventStream, ansible_environment, read_event
from orchestrator.edges.credentials import SecretSource
from orchestrator.edges.early_channels import EarlyChannels, open_early
from orchestrator.edges.playbook_server import PlaybookServer, Rollout
from orchestrator.edges.preparing import (
    Prepared,
    Wanted,
    default_forks,
    prepare_ansible,
    private_directory,
)
from orchestrator.edges.scratch import write_private
from orchestrator.edges.ssh_agent import keys_in_agent
from orchestrator.errors import AnsibleError

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


class Workspace:
    """A private directory for all playbook runs of one command; ssh connections are shared by them."""

    def __init__(self, path: Path, prepared: Prepared | None = None) -> None:
        self.path = path
        self._hosts: tuple[Host, ...] = ()
        self._secrets: SecretSource | None = None
        self._running: list[RunningPlaybook] = []
        self._channels: list[EarlyChannels] = []
        self._prepared = prepared

    @classmethod
    @contextlib.contextmanager
    def open(cls) -> Iterator[Workspace]:
        """One in a directory of its own, which exists while the context is open."""
        with private_directory() as path, cls(path).until_closed() as workspace:
            yield workspace

    @contextlib.contextmanager
    def until_closed(self) -> Iterator[Workspace]:
        """Whatever runs in it has ended when the context is closed."""
        try:
            yield self
        finally:
            self._close_all()

    def prepare(
        self, playbook: str, *, check: bool = False, diff: bool = False, forks: int | None = None
    ) -> None:
        """Ansible starts, which saves the `start` that asks for the same most of a second; see `prepare_ansible`."""
        self._close_runs()
        wanted = Wanted(playbook=playbook, check=check, diff=diff, forks=forks)
        self._prepared = prepare_ansible(self.path, wanted)

    @property
    def is_prepared(self) -> bool:
        """Whether ansible starts already."""
        return self._prepared is not None

    @contextlib.contextmanager
    def reach(self, hosts: tuple[Host, ...], secrets: SecretSource, known_hosts: str = "") -> Iterator[None]:
        """While the context is open, these hosts can be reached from here, with their keys.

        Args:
            known_hosts: a file besides the user's own; empty: none.
        """
        self._hosts, self._secrets = hosts, secrets
        write_private(self.path / "known_hosts", render_known_hosts(hosts))
        with keys_in_agent(hosts, secrets) as agent:
            config = render_ssh_config(
                hosts,
                directory=str(self.path),
                known_hosts=known_hosts,
                agent=agent,
                key_exchange=quick_key_exchange(supported_key_exchanges(hosts)),
            )
            write_private(self.path / "ssh_config", config)
            try:
                yield
            finally:
                self._close_all()

    def run(
        self,
        playbook: str,
        inventory: Mapping[str, Any],
        extra_vars: Mapping[str, Any],
        *,
        references: frozenset[Reference] = frozenset(),
        forks: int | None = None,
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
        forks: int | None = None,
        channels: EarlyChannels | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> RunningPlaybook:
        """One of our playbooks has begun; `reach` is open. With `release_planner: orchestrator` it waits before it asks
        any host.

        Args:
            forks: how many hosts are worked on at once; None: as many as this machine bears.
            channels: what the playbook's action, which works on all hosts, may take over.
        """
        assert self._secrets is not None
        wanted = Wanted(playbook=playbook, check=check, diff=diff, forks=forks)
        if self._prepared is None or self._prepared.wanted != wanted:
            self.prepare(playbook, check=check, diff=diff, forks=forks)
        assert self._prepared is not None
        stream, server = self._prepared.stream, self._prepared.server
        self._prepared = None
        running = RunningPlaybook(hosts=frozenset(inventory["all"]["hosts"]), stream=stream, server=server)
        self._running.append(running)
        write_private(self.path / "inventory" / "hosts.yml", render_unsafe_yaml(inventory))
        write_private(self.path / "env" / "extravars", render_unsafe_yaml(dict(extra_vars)))
        stream.cancelled = cancelled
        server.admit(self._secrets, references, channels)
        return running

    def connect(self, names: Collection[str], forks: int | None) -> EarlyChannels:
        """Channels to those of these hosts that need nothing of ansible, until they or `reach` are closed."""
        content = ansible_content()
        channels = open_early(
            (host for host in self._hosts if host.name in names),
            everybody=self._hosts,
            content=content,
            config=self.path / "ssh_config",
            environment=ansible_environment(self.path, content),
            at_once=forks or default_forks(),
        )
        self._channels.append(channels)
        return channels

    def _close_runs(self) -> None:
        if self._prepared is not None:
            self._prepared.close()
            self._prepared = None
        while self._running:
            self._running.pop().close()

    def _close_all(self) -> None:
        self._close_runs()
        while self._channels:
            self._channels.pop().close()


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
        observed: Sequence[HostReport] = (),
        rollout: Rollout | None = None,
        decide: Decide | None = None,
    ) -> PlaybookRun:
        """It has ended, as far as hosts are concerned; returns what each of them answered.

        Args:
            observation: what the observing action is told about the run, see `PlaybookServer.let_observe`.
            observed: what hosts have said that need not be observed any more.
            rollout: what the plan says, if it is made.
            decide: makes the plan of a playbook that waits for one, once every host was observed; called
                exactly once, in this thread, unless the run is cancelled before, or `rollout` is given.

        Raises:
            AnsibleError: ansible-runner could not be started.
            Exception: what `decide` raises, once the playbook has ended.
        """
        known = frozenset(report.host for report in observed)
        self.server.let_observe(observation or {}, known)
        if rollout is not None:
            self.server.decide(rollout)
        planning = _Planning(set(self.hosts - known), decide if rollout is None else None, self.server)
        done = _follow(self.stream, planning, on_report, list(observed))
        self.server.close()
        return done

    def abandon(self) -> None:
        """It is not needed any more, and ends; `close` waits for that."""
        self.stream.abandon()

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


def _follow(
    stream: EventStream,
    planning: _Planning,
    on_report: Callable[[HostReport], None],
    reports: list[HostReport],
) -> PlaybookRun:
    finished, began, output = False, False, []
    for event in stream:
        finished = finished or event.get("event") == STATISTICS
        if event.get("stdout"):
            output.append(event["stdout"])
        report = read_event(event)
        if report is not None:
            began = True
            reports.append(report)
            on_report(report)
            planning.note(report, reports)
    cancelled = stream.status == "canceled"
    if not finished and not began and not cancelled:
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


def supported_key_exchanges(hosts: Iterable[Host]) -> tuple[str, ...]:
    """What ssh here can do; nothing when no host needs it, or it cannot be asked."""
    if not any(host.connection == "ssh" for host in hosts):
        return ()
    try:
        asked = subprocess.run(["ssh", "-Q", "kex"], capture_output=True, text=True, check=False, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(asked.stdout.split())
