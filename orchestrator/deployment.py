"""Observe, compile, stage, activate and verify: one run of one playbook.

Ansible starts at once. Meanwhile hosts are asked what they have, over channels that need no ansible, and artifacts are
resolved; the playbook asks those hosts that are left. When every host was asked, the plan is made here, and the
playbook, which has waited for it, does what the plan says.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

from orchestrator import workflow
from orchestrator.core.artifacts import ResolvedArtifact
from orchestrator.core.drain_plan import (
    mark_drained,
    removed_in,
    render_drains,
    still_drained,
    without_removed,
)
from orchestrator.core.host_report import HostReport
from orchestrator.core.inventory import Run, render_deployment, render_run
from orchestrator.core.model import Desired, Host
from orchestrator.core.observed import ObservedHost
from orchestrator.core.outcome import Outcome, fold_outcome
from orchestrator.core.own_outcome import mark_own_failures
from orchestrator.core.plan import Plan
from orchestrator.core.rollout_text import describe_live
from orchestrator.edges.early_channels import EarlyChannels
from orchestrator.edges.observing import observe_on_channels, render_request
from orchestrator.edges.playbook_server import Rollout, owners_in
from orchestrator.edges.runner import RunningPlaybook, Workspace
from orchestrator.planning import Planner
from orchestrator.workflow import Intent

POLL_SECONDS = 0.1
OnPlan = Callable[[Plan, Mapping[str, ObservedHost]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """How it ended.

    Attributes:
        output: what ansible printed.
    """

    plan: Plan
    outcome: Outcome
    output: str


@dataclass(slots=True, kw_only=True)
class Deployment:
    """One rollout: `begin` it, then `execute` it; `run` and `cancelled` may be set in between.

    Attributes:
        selected: the placements that it is about.
        hosts: those that are asked.
        planner: makes the plan once the hosts were asked.
        on_plan: called with the plan and what hosts said before any of them is touched; what it raises ends
            the attempt.
        on_canary: asked whether the rollout goes on after its canary, with a sentence about what is live where, and
            with what says that the playbook has ended meanwhile.
        on_report: called with each report of a host.
        cancelled: whether the attempt is to end.
        plan: once it is made.
        phases: seconds by phase: `observe` (with resolving), `stage`, `activate` (up to the first smoke test, with what
            runs once), `smoke`.
    """

    intent: Intent
    selected: Desired
    hosts: tuple[Host, ...]
    planner: Planner
    run: Run
    check: bool = False
    diff: bool = False
    verify: bool = False
    forks: int | None = None
    on_plan: OnPlan = lambda plan, observed: None
    on_canary: Callable[[str, Callable[[], bool]], bool] = lambda what, ended: True
    on_report: Callable[[HostReport], None] = lambda report: None
    cancelled: Callable[[], bool] = lambda: False
    plan: Plan | None = None
    phases: dict[str, float] = field(default_factory=dict)
    _phase: tuple[str, float] = ("", 0.0)
    _asked: tuple[Host, ...] = ()
    _channels: EarlyChannels | None = None
    _running: RunningPlaybook | None = None
    _workspace: Workspace | None = None
    _has_own_roles: bool = False
    _rollout: Rollout = field(default_factory=Rollout)
    _artifacts: Future[Mapping[str, ResolvedArtifact]] = field(default_factory=Future)

    def begin(self, workspace: Workspace) -> None:
        """Hosts are connected to while ansible starts, and none is asked before `execute`."""
        self._workspace = workspace
        if not self.hosts:
            return
        self._asked = (*self.hosts, *self._balancers())
        self._export_own_roles(workspace)
        self._channels = workspace.connect({host.name for host in self._asked}, self.forks)
        if workspace.is_prepared:  # else it starts when the plan has work for it
            self._running = self._start(workspace, self._channels)

    def execute(self) -> Deployed:
        """Every placement is deployed, or what is true instead is said.

        Raises:
            KeyboardInterrupt: it was cancelled before there was a plan.
            OrchestratorError: it ended before any host was touched.
        """
        threading.Thread(target=self._resolve, name="resolve", daemon=True).start()
        self._enter("observe")
        try:
            return self._carry_out(self._observe())
        finally:
            self._enter("")

    def _start(self, workspace: Workspace, channels: EarlyChannels) -> RunningPlaybook:
        """Ansible starts, or has been started, and waits for the plan."""
        return workspace.start(
            "deploy",
            workflow.inventory_of(self.intent, self._asked),
            {
                **render_deployment(self.intent.desired, self.intent.identity, self.run),
                "release_planner": "orchestrator",
                "placement_planner": "orchestrator",
                "placement_identity": str(self.intent.identity),
                "placement_verify": self.verify,
            },
            references=workflow.become_passwords(self._asked) | self.planner.references(),
            check=self.check,
            diff=self.diff,
            forks=self.forks,
            channels=channels,
            cancelled=self._ended,
        )

    def _observe(self) -> tuple[HostReport, ...]:
        """What hosts say that can be asked without ansible; not while they read every file of a release."""
        if self._channels is None or self.verify:
            return ()
        request = render_request(str(self.intent.identity), self._told, check=self.check)
        return observe_on_channels(self._channels, request, self._note, self._ended)

    def _carry_out(self, observed: tuple[HostReport, ...]) -> Deployed:
        """The rest of it; ansible has no part in a deployment that finds nothing to do."""
        assert self._workspace is not None
        rollout = None
        if len(observed) == len(self._asked) or self._ended():
            rollout = self._decide(observed)
            if not rollout.placements:
                if self._running is not None:
                    self._running.abandon()
                return self._fold(observed, finished=True, cancelled=self.cancelled(), output="")
        assert self._channels is not None
        running = self._running or self._start(self._workspace, self._channels)
        done = running.follow(
            self._note, observation=self._told, observed=observed, rollout=rollout, decide=self._decide
        )
        if self.plan is None and not self.cancelled():
            self._artifacts.result(timeout=0)
        complete = done.finished and not done.cancelled
        if complete:
            self._channels.let_go()
        reports = (*done.reports, *self._put_back(done.reports, complete=complete))
        return self._fold(reports, finished=done.finished, cancelled=done.cancelled, output=done.output)

    @property
    def _told(self) -> dict[str, Any]:
        """What observed hosts learn of the run."""
        return {"token": self.run.token, "teach": self.run.teach}

    def _export_own_roles(self, workspace: Workspace) -> None:
        """The deployment repository's own roles, of the commit, are where ansible looks, if placements have one."""
        desired = self.intent.desired
        wanted = any(placement.role for placement in desired.placements)
        if not wanted and not (desired.prune and self.intent.repository.own_roles(self.intent.revision)):
            return
        self._has_own_roles = True
        target = workspace.path / "roles"
        target.mkdir(mode=0o700)
        self.intent.repository.export_roles(self.intent.revision, target)

    def _balancers(self) -> tuple[Host, ...]:
        return workflow.balancers_of(self.intent, self.selected, self.hosts)

    def _put_back(self, reports: tuple[HostReport, ...], *, complete: bool) -> tuple[HostReport, ...]:
        """Whatever is still drained is put back, however the run ended; what the places said of it."""
        drains = self._rollout.drains
        begun = any(report.phase == "drain" for report in reports)
        if self.check or self.plan is None or not drains or not begun:
            return ()
        removed = removed_in(self.plan, reports)
        if complete and not still_drained(reports, removed):
            return ()
        assert self._workspace is not None
        drains = without_removed(drains, removed)
        names = {place for places in drains.values() for place, items in places.items() if items}
        hosts = tuple(host for host in self.intent.desired.hosts if host.name in names)
        running = self._workspace.start(
            "undrain",
            workflow.inventory_of(self.intent, hosts),
            render_deployment(self.intent.desired, self.intent.identity, self.run),
            references=workflow.become_passwords(hosts),
        )
        running.server.decide(replace(self._rollout, drains=drains))
        return running.follow(self.on_report).reports

    def _fold(
        self, reports: tuple[HostReport, ...], *, finished: bool, cancelled: bool, output: str
    ) -> Deployed:
        if self.plan is None:
            raise KeyboardInterrupt
        outcome = fold_outcome(self.plan, reports, finished=finished, cancelled=cancelled)
        outcome = mark_own_failures(outcome, reports)
        left = {} if self.check else still_drained(reports, removed_in(self.plan, reports))
        outcome = mark_drained(outcome, left)
        return Deployed(plan=self.plan, outcome=outcome, output=output)

    def _note(self, report: HostReport) -> None:
        if report.phase in ("once", "activate") and self._phase[0] == "stage":
            self._enter("activate")
        elif report.phase == "smoke" and self._phase[0] == "activate":
            self._enter("smoke")
        self.on_report(report)

    def _enter(self, phase: str) -> None:
        now = time.monotonic()
        name, since = self._phase
        if name:
            self.phases[name] = now - since
        self._phase = (phase, now)

    def _resolve(self) -> None:
        try:
            self._artifacts.set_result(self.planner.prepare())
        except BaseException as error:
            self._artifacts.set_exception(error)

    def _ended(self) -> bool:
        failed = self._artifacts.done() and self._artifacts.exception() is not None
        return self.cancelled() or failed

    def _wait_for_artifacts(self) -> Mapping[str, ResolvedArtifact] | None:
        while not self.cancelled():
            try:
                return self._artifacts.result(timeout=POLL_SECONDS)
            except TimeoutError:
                if self._artifacts.done():
                    raise
        return None

    def _decide(self, reports: tuple[HostReport, ...]) -> Rollout:
        artifacts = self._wait_for_artifacts()
        if artifacts is None:
            return Rollout()
        observed = workflow.fold_observed(self.hosts, reports, self._balancers())
        planned = self.planner.plan(artifacts, observed)
        plan = self.plan = planned.plan
        self.on_plan(plan, observed)
        self._enter("stage" if plan.changes else "")
        drains = render_drains(plan, self.selected.placements, self.intent.desired)
        owners = owners_in(planned.placements)
        self._rollout = Rollout(
            run=render_run(self.run, plan),
            placements=planned.placements,
            groups=tuple(sorted({step.group for step in plan.changes if step.action != "remove"})),
            removals=tuple(sorted({step.group for step in plan.changes if step.action == "remove"})),
            canary=next((number for number, group in enumerate(plan.groups) if group.canary), -1),
            drains=drains,
            owners=owners,
            together=not (drains or owners or self._has_own_roles),
            own_roles=self._has_own_roles,
            wait=lambda ended: self.on_canary(describe_live(plan), ended),
        )
        return self._rollout
