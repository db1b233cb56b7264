"""One attempt to deploy: choose, lock, look whether it is still the tip, deploy, record, unlock.

What is known of it grows while it runs, so that whoever asked can report it however it ends.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from orchestrator import workflow
from orchestrator.canary import canary_wait
from orchestrator.core.downgrades import check_package_downgrades
from orchestrator.core.inventory import Run
from orchestrator.core.model import Desired
from orchestrator.core.observed import ObservedHost
from orchestrator.core.outcome import Outcome
from orchestrator.core.plan import Plan
from orchestrator.core.promotion_rules import rollback_holds
from orchestrator.core.pruning import check_pruning
from orchestrator.core.record import Record
from orchestrator.core.required_plan import check_required_plan
from orchestrator.core.settings import Settings
from orchestrator.deployment import Deployment
from orchestrator.edges.clone import read_clone
from orchestrator.edges.git import DeploymentRepository
from orchestrator.edges.git_ledger import OUTAGE_SECONDS, Recorded
from orchestrator.edges.held_lock import HeldLock
from orchestrator.edges.runner import Workspace
from orchestrator.edges.state import State, open_state, this_process
from orchestrator.edges.state_repositories import StateRepositories
from orchestrator.errors import DocumentError, GitError, OrchestratorError, ProtectionError, ProviderError
from orchestrator.intent import Intent, manifest_version_at
from orchestrator.order import Listener, Order
from orchestrator.plan_checks import PlanChecks
from orchestrator.planning import GitPlanner, Planner
from orchestrator.promotion_gate import left_behind
from orchestrator.protection import Judgement, asked_by, checked_by, judge_deployment
from orchestrator.recording import (
    abandoned_record,
    begun_record,
    closed_record,
    failed_record,
    opened_record,
)
from orchestrator.rollback import RollbackPlanner
from orchestrator.tip import Choice, choose, moved_on


@dataclass(slots=True, kw_only=True)
class Attempt:
    """Made with the first five; the others are there once they are known.

    Attributes:
        closing: called before the record is closed; returns what the record is to say as well.
        workspace: one in which ansible starts already; None: one is opened.
        nothing: why there is nothing to do (no environment's branch, superseded), one sentence.
        output: what ansible printed.
        recorded: where the record is.
        error: what it ended with, besides what its outcome amounts to.
        refusal: why the rollout did not go on after its canary; empty when it did.
    """

    order: Order
    listener: Listener
    cancelled: Callable[[], bool] = lambda: False
    closing: Callable[[Attempt, Record], tuple[str, ...]] = lambda _attempt, _record: ()
    workspace: Workspace | None = None
    nothing: str = ""
    choice: Choice | None = None
    protection: Judgement | None = None
    intent: Intent | None = None
    run: Run | None = None
    plan: Plan | None = None
    outcome: Outcome | None = None
    output: str = ""
    record: Record | None = None
    recorded: Recorded | None = None
    error: OrchestratorError | None = None
    refusal: str = ""
    _repositories: StateRepositories | None = None
    _said: list[str] = field(default_factory=list)
    _started: float = field(default_factory=time.monotonic)
    _phases: dict[str, float] = field(default_factory=dict)

    def execute(self) -> None:
        """The attempt has ended, and is recorded unless it was a dry run.

        Raises:
            OrchestratorError: it could not be done; hosts are as `outcome` says, or untouched without one.
            KeyboardInterrupt: it was cancelled before it did anything.
        """
        order = self.order
        repository = DeploymentRepository(order.target.directory)
        choice = self.choice = choose(
            repository, order.target, order.ci, may_be_offline=bool(order.no_lock_reason or order.check)
        )
        for note in choice.notes:
            self.listener.note(note)
        self.nothing = choice.nothing
        if choice.nothing:
            return
        if order.rollback is not None and choice.tip is not None:
            choice = self.choice = replace(choice, revision=choice.tip, superseded="")
        run = workflow.new_run(repository, actor=order.ci.actor)
        run = self.run = replace(run, leaves_bad=order.is_rollback)
        with StateRepositories(read_clone(repository.directory), actor=run.actor) as self._repositories:
            self._deploy(repository, choice, run)

    def _deploy(self, repository: DeploymentRepository, choice: Choice, run: Run) -> None:
        order = self.order
        if choice.superseded and not order.allow_older_reason:
            self._give_way_at_once(repository, choice)
            return
        self._protect(repository, choice)
        intent = self.intent = self._read(repository, choice)
        if order.prune:
            intent = self.intent = replace(intent, desired=replace(intent.desired, prune=True))
        elif order.adopt or order.rollback is not None:
            intent = self.intent = replace(intent, desired=replace(intent.desired, prune=False))
        selected = workflow.select(intent, order.applications, order.limits)
        if order.rollback is not None:
            selected = order.rollback.select(intent, selected, order.applications)
        if order.check:
            self._deploy_alone(intent, selected, run)
        else:
            with self._state(repository, intent.settings) as state:
                self._deploy_in_turn(state, intent, selected, run)

    def _protect(self, repository: DeploymentRepository, choice: Choice) -> None:
        """The rules of the environment hold: before a document of that commit is read, and any host is asked."""
        refused = self._judge(repository, choice)
        if refused is None or self.order.check:
            assert self.protection is not None
            for note in self.protection.notes():
                self.listener.note(note)
            return
        with contextlib.suppress(GitError), self._state(repository, choice.settings) as state:
            self._close(state, failed_record(self._begun(repository, choice), None, refused), None)
        raise refused

    def _judge(self, repository: DeploymentRepository, choice: Choice) -> ProtectionError | None:
        self.protection = judge_deployment(
            repository, choice.revision, choice.environment_name, asked_by(self.order), self._repositories
        )
        return self.protection.error()

    def _read(self, repository: DeploymentRepository, choice: Choice) -> Intent:
        """The documents; that a branch's tip has none that can be deployed is recorded."""
        try:
            return workflow.read_intent_at(repository, choice.revision, choice.environment)
        except (DocumentError, ProviderError) as error:
            if choice.revision is choice.tip and choice.environment_name and not self.order.check:
                with contextlib.suppress(GitError), self._state(repository, choice.settings) as state:
                    self._close(state, failed_record(self._begun(repository, choice), None, error), None)
            raise

    def _begun(self, repository: DeploymentRepository, choice: Choice) -> Record:
        assert self.run is not None
        version = manifest_version_at(repository, choice.revision)
        begun = begun_record(choice.identity_in(repository), choice.revision, self.run, self.order)
        return replace(begun, manifest_version=version)

    def _state(
        self, repository: DeploymentRepository, settings: Settings
    ) -> contextlib.AbstractContextManager[State]:
        """A remote that is away is waited for no longer than the lock holds; with `--no-lock` not at all."""
        patience = 0.0 if self.order.no_lock_reason else min(OUTAGE_SECONDS, settings.lock.expiry_seconds)
        return open_state(repository, settings, repositories=self._repositories, outage_seconds=patience)

    def _deploy_alone(self, intent: Intent, selected: Desired, run: Run) -> None:
        """A dry run: no lock, no record."""
        with workflow.open_workspace(intent, self.workspace) as workspace:
            deployment = self._deployment(intent, selected, run)
            deployment.on_plan = self._planned_alone
            deployment.begin(workspace)
            self._execute(deployment)

    def _deploy_in_turn(self, state: State, intent: Intent, selected: Desired, run: Run) -> None:
        """Ansible starts while the lock is taken, and asks no host before it is."""
        assert self.choice is not None
        with workflow.open_workspace(intent, self.workspace) as workspace:
            deployment = self._deployment(intent, selected, run)
            deployment.begin(workspace)
            with self._locked(state, intent, run) as lock:
                opened = opened_record(intent, run, self.order, lock)
                state.ledger.remember(opened)
                if lock is not None:
                    state.ledger.read_ahead()
                try:
                    superseded = self._look_again(intent.repository, self.choice)
                    if lock is not None:
                        self._read_rollback_again(intent, deployment)
                except OrchestratorError as error:
                    self._close(state, failed_record(opened, None, error), lock)
                    raise
                if superseded:
                    self._give_way(state, opened, superseded, lock)
                else:
                    self._deploy_and_record(state, intent, deployment, lock)

    @contextlib.contextmanager
    def _locked(self, state: State, intent: Intent, run: Run) -> Iterator[HeldLock | None]:
        if self.order.no_lock_reason:
            self.listener.note(f"without a lock: {self.order.no_lock_reason}")
            yield None
            return
        ci = self.order.ci
        holder = this_process(intent.repository, actor=run.actor, run=run.id, ci_name=ci.name, ci_url=ci.url)
        lock = state.lock(intent.desired.environment, holder)
        began = time.monotonic()
        try:
            held = lock.acquire(
                timeout_seconds=self.order.lock_timeout_seconds,
                on_wait=self.listener.waiting,
                on_dead=lambda state, why: self.listener.note(why),
                cancelled=self.cancelled,
            )
        except OrchestratorError as error:
            self._close(state, failed_record(opened_record(intent, run, self.order, None), None, error), None)
            raise
        except KeyboardInterrupt:
            opened = opened_record(intent, run, self.order, None)
            self._close(state, replace(opened, verdict="cancelled"), None)
            raise
        with held:
            self._phases["lock"] = time.monotonic() - began
            yield held

    def _look_again(self, repository: DeploymentRepository, choice: Choice) -> str:
        """Inside the lock the commit has to be the branch's tip, still."""
        if self.order.allow_older_reason or self.order.rollback or choice.tip is None:
            return ""
        try:
            return moved_on(repository, choice)
        except GitError:
            if not self.order.no_lock_reason:
                raise
            return ""

    def _read_rollback_again(self, intent: Intent, deployment: Deployment) -> None:
        """What is to be undone is what it was before the lock was waited for."""
        order = self.order
        if order.rollback is None:
            return
        selected = workflow.select(intent, order.applications, order.limits)
        rollback = order.rollback.again(intent, selected, order.applications, deployment.selected)
        self.order = replace(order, rollback=rollback)
        deployment.planner = RollbackPlanner(intent=intent, selected=deployment.selected, order=rollback)

    def _give_way_at_once(self, repository: DeploymentRepository, choice: Choice) -> None:
        """Without a look at documents: those of this run do not count any more, and others are not its business."""
        self.nothing = choice.superseded
        if not self.order.check:
            with self._state(repository, choice.settings) as state:
                self._give_way(state, self._begun(repository, choice), choice.superseded)

    def _give_way(self, state: State, begun: Record, why: str, lock: HeldLock | None = None) -> None:
        self.nothing = why
        self._close(state, replace(begun, verdict="superseded", reasons=(*begun.reasons, why)), lock)

    def _deploy_and_record(
        self, state: State, intent: Intent, deployment: Deployment, lock: HeldLock | None
    ) -> None:
        assert self.run is not None
        token = lock.token if lock is not None else None
        self.run = run = replace(self.run, token=token, teach=lock is not None and lock.fence)
        opened = opened_record(intent, run, self.order, lock)
        left: dict[tuple[str, str], str] = {}

        def open_record(plan: Plan, observed: Mapping[str, ObservedHost]) -> None:
            nonlocal opened
            opened = opened_record(intent, run, self.order, lock, plan)
            self._planned(plan, observed)
            if plan.changes:
                self._check_gate(state, plan)
                left.update(left_behind(plan, observed))
                holds = rollback_holds(opened, left) if self.order.is_rollback else ()
                self._open(state, replace(opened, holds=holds), again=lambda: self._check_gate(state, plan))

        deployment.run, deployment.on_plan = run, open_record
        if lock is not None:
            deployment.cancelled = lambda: self.cancelled() or lock.lost.is_set()
        deployment.on_canary = self._asking(state, intent, run, deployment.cancelled)
        try:
            self._execute(deployment)
        except OrchestratorError as error:
            self.error = error
            self._close(state, failed_record(opened, self.plan, error), lock)
            raise
        except KeyboardInterrupt:
            if lock is not None and lock.lost.is_set():
                self._close(state, failed_record(opened, self.plan, lock.error()), lock)
                raise lock.error() from None
            self._close(state, replace(opened, verdict="cancelled"), lock)
            raise
        except BaseException:
            with contextlib.suppress(OrchestratorError):
                self._close(state, abandoned_record(opened), lock)
            raise
        assert self.plan is not None
        assert self.outcome is not None
        record = closed_record(opened, self.plan, self.outcome)
        record = replace(record, error=self.refusal or record.error)
        if self.order.rollback is not None and self.order.is_rollback:
            before = self.order.rollback.holds_before(left)
            record = replace(record, holds=(*rollback_holds(record, left), *before))
        refused = any(one.kind == "fenced" for one in self.outcome.placements)
        if lock is not None and lock.is_lost(look=refused):
            verdict = "failed" if record.verdict == "cancelled" else record.verdict
            record = replace(record, verdict=verdict, error=lock.error().brief)
        fenced = lock is not None and lock.fence and workflow.asks_everybody(intent.desired, self.plan)
        self._close(state, record, lock, fenced=fenced)

    def _asking(
        self, state: State, intent: Intent, run: Run, cancelled: Callable[[], bool]
    ) -> Callable[[str, Callable[[], bool]], bool]:
        """What decides whether the rollout goes on after its canary; every decision is recorded."""

        def ask(what: str, ended: Callable[[], bool]) -> bool:
            waiting = canary_wait(
                intent.desired, state, run, self.listener.note, lambda: cancelled() or ended()
            )
            began = time.monotonic()
            decision = waiting.decide(what)
            self._phases["canary"] = time.monotonic() - began
            self._said.append(f"canary ({what}): {decision.why}")
            if not decision.goes_on and not waiting.cancelled():
                self.refusal = f"the rollout stopped after its canary ({what}): {decision.why}"
            return decision.goes_on

        return ask

    def _check_gate(self, state: State, plan: Plan) -> None:
        """What the ledger says now lets the plan be carried out: holds, proofs, and the rules that bind."""
        assert self.intent is not None
        assert self.choice is not None
        with self._untouched(plan):
            self._checks.check_gate(state, plan)
            if (
                self.order.no_lock_reason
                or self.protection is None
                or state.ledger.tip == self.protection.ledger
            ):
                return
            refused = self._judge(self.intent.repository, self.choice)
            if refused is not None:
                raise refused
            self._checks.check_gate(state, plan)

    def _open(self, state: State, record: Record, again: Callable[[], None]) -> None:
        """A hold that is in the ledger before this attempt is, holds it."""
        self.record = record = replace(record, protection=checked_by(self.protection))
        recorded = state.ledger.open(record, again=again)
        for one in recorded.interrupted:
            self.listener.note(f"the attempt {one.id} of {one.actor} was interrupted; the ledger says so now")
        if recorded.problem is not None and not self.order.no_lock_reason:
            raise recorded.problem

    def _close(self, state: State, record: Record, lock: HeldLock | None, *, fenced: bool = False) -> None:
        self.record = replace(
            record,
            reasons=(*record.reasons, *self._said, *self.closing(self, record)),
            protection=checked_by(self.protection),
            ended=workflow.now(),
            duration_seconds=round(time.monotonic() - self._started, 3),
            phases={name: round(seconds, 3) for name, seconds in self._phases.items()},
        )
        self.recorded = state.ledger.close(self.record, lock, fenced=fenced)
        if lock is None or self.recorded.lock_released:
            return
        if self.recorded.problem is None:
            lock.release(fenced=fenced)
            return
        try:  # the remote was waited for already
            lock.release(fenced=fenced, patient=False)
        except GitError as error:
            self.listener.note(f"{error.brief}: {error.resolution}")

    def _deployment(self, intent: Intent, selected: Desired, run: Run) -> Deployment:
        applications = self.order.applications
        planner: Planner = GitPlanner(
            intent=intent, selected=selected, applications=applications, adopt=self.order.adopt
        )
        if self.order.rollback is not None:
            planner = RollbackPlanner(intent=intent, selected=selected, order=self.order.rollback)
        return Deployment(
            intent=intent,
            selected=selected,
            hosts=workflow.hosts_to_ask(intent, selected, self.order.limits),
            planner=planner,
            run=run,
            check=self.order.check,
            diff=self.order.diff,
            verify=self.order.verify,
            forks=self.order.forks,
            on_report=self.listener.reported,
            cancelled=self.cancelled,
        )

    def _execute(self, deployment: Deployment) -> None:
        try:
            done = deployment.execute()
        finally:
            self._phases.update(deployment.phases)
        self.outcome, self.output = done.outcome, done.output

    @property
    def _checks(self) -> PlanChecks:
        assert self.intent is not None
        return PlanChecks(
            order=self.order,
            intent=self.intent,
            note=self.listener.note,
            trusted=None if self.protection is None else self.protection.trusted,
        )

    @contextlib.contextmanager
    def _untouched(self, plan: Plan) -> Iterator[None]:
        """What refuses the plan inside leaves every placement as it was, and the reports say so."""
        try:
            yield
        except OrchestratorError:
            self.outcome = workflow.nothing_done(plan)
            raise

    def _planned_alone(self, plan: Plan, observed: Mapping[str, ObservedHost]) -> None:
        """Of a dry run: what would refuse the deployment is said."""
        self._planned(plan, observed)
        self._checks.show_gate(plan)

    def _planned(self, plan: Plan, observed: Mapping[str, ObservedHost]) -> None:
        assert self.intent is not None
        self.plan, checks = plan, self._checks
        self.listener.planned(self.intent, plan, observed)
        with self._untouched(plan):
            checks.check_answers(plan, observed)
        check_pruning(plan)
        if self.order.rollback is None:
            check_package_downgrades(plan, self.intent.desired)
        if plan.changes:
            with self._untouched(plan):
                self._said += checks.check_windows()
        if self.order.required is not None:
            for note in check_required_plan(self.order.required, plan):
                self.listener.note(note)
