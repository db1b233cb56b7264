"""What hosts have: asked over channels of ssh where those get there, without ansible, and elsewhere by a playbook.

A host that does not answer on its channel is left to the playbook, which says what is wrong in ansible's words.
"""

from __future__ import annotations

import contextlib
import functools
import json
import queue
from collections.abc import Callable, Mapping
from concurrent.futures import wait
from typing import Any

from orchestrator.core.host_report import HostReport
from orchestrator.core.model import Reference
from orchestrator.edges.early_channels import EarlyChannels
from orchestrator.edges.runner import PlaybookRun, Workspace

PLAYBOOK = "observe"
POLL_SECONDS = 0.1
OnReport = Callable[[HostReport], None]


def render_request(identity: str, run: Mapping[str, Any], *, check: bool = False) -> bytes:
    """What a host program is asked.

    Args:
        identity: whose receipts.
        run: `token` and `teach`, where the hosts are to learn them.
    """
    request = {"phase": PLAYBOOK, "identity": identity, "run": dict(run), "check": check, "verify": False}
    return json.dumps({**request, "placements": [], "secrets": {}}).encode() + b"\n"


def observe_on_channels(
    channels: EarlyChannels, request: bytes, on_report: OnReport, cancelled: Callable[[], bool]
) -> tuple[HostReport, ...]:
    """What the hosts that answered have, as the observing action would report it.

    Args:
        request: see `render_request`.
        on_report: called in this thread.
    """
    said: queue.SimpleQueue[HostReport] = queue.SimpleQueue()
    asked = []
    for host in sorted(channels.hosts):
        on_report(_report(host, "started", {}))
        asked.append(channels.ask(host, request, functools.partial(_take, host, said.put)))
    reports: list[HostReport] = []
    is_over = False
    while not is_over and not cancelled():
        is_over = not wait(asked, POLL_SECONDS).not_done
        with contextlib.suppress(queue.Empty):
            while True:
                reports.append(said.get_nowait())
                on_report(reports[-1])
    return tuple(reports)


def observe_hosts(
    workspace: Workspace,
    inventory: Mapping[str, Any],
    extra_vars: Mapping[str, Any],
    request: bytes,
    *,
    references: frozenset[Reference] = frozenset(),
    forks: int | None = None,
    on_report: OnReport = lambda report: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> PlaybookRun:
    """What every host of the inventory answers; ansible starts only where it is needed, and then at once.

    Args:
        request: see `render_request`; empty: the playbook asks all of them.

    Raises:
        AnsibleError: ansible-runner could not be started.
    """
    hosts = inventory["all"]["hosts"]
    channels = workspace.connect(hosts if request else (), forks)
    try:
        if set(hosts) - channels.hosts:
            workspace.prepare(PLAYBOOK, forks=forks)
        observed = observe_on_channels(channels, request, on_report, cancelled)
        known = {report.host for report in observed}
        left = {name: variables for name, variables in hosts.items() if name not in known}
        is_cancelled = bool(left) and cancelled()
        if is_cancelled or not left:
            return PlaybookRun(finished=not is_cancelled, cancelled=is_cancelled, reports=observed, output="")
        running = workspace.start(
            PLAYBOOK,
            {"all": {"hosts": left}},
            extra_vars,
            references=references,
            forks=forks,
            channels=channels,
            cancelled=cancelled,
        )
        return running.follow(on_report, observed=observed)
    finally:
        channels.close()


def _take(host: str, tell: OnReport, answer: str) -> bool:
    """Whether that is an answer to the request. It is told then."""
    try:
        found = json.loads(answer)
    except ValueError:
        return False
    if not isinstance(found, dict) or "observed" not in found or found.get("problem"):
        return False
    tell(_report(host, "ok", {**found, "placements": [], "changed": False}))
    return True


def _report(host: str, status: Any, result: Mapping[str, Any]) -> HostReport:
    return HostReport(host=host, phase="observe", status=status, result=result)
