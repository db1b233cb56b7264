"""What people see of a deployment: notes and waiting, the plan, hosts while they work, and how it ended."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import click

from orchestrator.cli.progress import Progress
from orchestrator.cli.tables import line, make_console, print_outcome, print_plan
from orchestrator.cli.written import show_diff
from orchestrator.edges.ci import LogGroups

if TYPE_CHECKING:
    from orchestrator.attempt import Attempt
    from orchestrator.core.host_report import HostReport
    from orchestrator.core.lock_state import LockState
    from orchestrator.core.observed import ObservedHost
    from orchestrator.core.outcome import Outcome
    from orchestrator.core.plan import Plan
    from orchestrator.errors import OrchestratorError
    from orchestrator.intent import Intent
    from orchestrator.order import Order

SHOWN_FAILURES = 20


class DeploymentView:
    """The listener of an attempt that prints.

    Args:
        quiet: standard output belongs to machines.
        log_path: where ansible's own output goes; empty: below `.git/orchestrator/logs`.
    """

    def __init__(self, order: Order, *, quiet: bool, log_path: str) -> None:
        self._order, self._quiet, self._log_path = order, quiet, log_path
        self._groups = LogGroups(order.ci.name)
        self._progress = Progress(())
        self._began = time.monotonic()
        self._open_group = contextlib.ExitStack()

    def __enter__(self) -> DeploymentView:
        self._progress.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.__exit__(kind, error, trace)
        self._open_group.close()

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._began

    def note(self, text: str) -> None:
        """See `orchestrator.attempt.Listener`."""
        with self._progress.paused():
            line(make_console(error=True), f"note: {text}", "yellow")

    def waiting(self, state: LockState) -> None:
        """See `orchestrator.attempt.Listener`."""
        holder = state.holder
        with self._progress.paused():
            line(
                make_console(error=True),
                f"waiting for the lock of {state.environment}: held by {holder} since {state.since} "
                f"(at most {self._order.lock_timeout_seconds:g} s, --lock-timeout)",
                "yellow",
            )

    def planned(self, intent: Intent, plan: Plan, observed: Mapping[str, ObservedHost]) -> None:
        """See `orchestrator.attempt.Listener`."""
        mode = "Rollback" if self._order.is_rollback else "Check" if self._order.check else "Deployment"
        if self._order.adopt:
            mode = "Check of the takeover" if self._order.check else "Takeover"
        if self._order.rollback is not None and self._order.rollback.last_good:
            mode = f"{mode} of the last good state"
        title = f"{mode} of {plan.identity.environment} at {intent.revision.label}, manifest {plan.manifest_version}"
        with self._progress.paused():
            if not self._quiet:
                with self._groups.group(title):
                    print_plan(plan, title=title)
        self._progress.expect(sorted({step.host for step in plan.changes}))
        if plan.changes and not self._quiet:
            self._open_group.enter_context(self._groups.group("Hosts"))

    def reported(self, report: HostReport) -> None:
        """See `orchestrator.attempt.Listener`."""
        self._progress(report)
        differences = report.result.get("diff")
        if self._order.diff and isinstance(differences, list) and differences:
            with self._progress.paused():
                console = make_console(error=self._quiet)
                for one in differences:
                    line(console, f"{report.host}: {one['after_header']}", "bold")
                    show_diff(console, one["before"], one["after"])

    def failure_of(self, outcome: Outcome, refusal: str = "") -> OrchestratorError | None:
        """The error that an outcome amounts to; a cancelled one is none, it has an exit code of its own.

        Args:
            refusal: why the rollout did not go on after its canary.
        """
        from orchestrator.edges.failures import error_for_outcome
        from orchestrator.errors import ApprovalError

        if refusal and outcome.verdict not in ("cancelled", "unknown"):
            return ApprovalError(
                refusal,
                details=tuple(f"{one.application} on {one.host}: {one.result}" for one in outcome.placements),
                resolution="deploy again to begin with the canary anew, or release another version",
            )
        return None if outcome.verdict == "cancelled" else error_for_outcome(outcome)

    def conclude(self, attempt: Attempt) -> None:
        """How it ended, and where that is written."""
        console, plan, outcome = make_console(), attempt.plan, attempt.outcome
        log = self._write_log(attempt)
        if self._quiet:
            if attempt.record is not None and attempt.recorded is not None and attempt.recorded.problem:
                self._show_record(attempt)
            return
        if attempt.nothing:
            line(console, attempt.nothing)
        if plan is not None and outcome is not None:
            self._show_ansible(outcome, attempt.output, log)
            if plan.changes:
                print_outcome(outcome, check=self._order.check)
                line(console, _closing(plan, outcome, check=self._order.check), "bold")
        if attempt.record is not None and attempt.recorded is not None:
            self._show_record(attempt)

    def say_interrupted(self, attempt: Attempt) -> None:
        """What was done before it was interrupted."""
        placements = attempt.outcome.placements if attempt.outcome is not None else ()
        said = ", ".join(f"{one.application} on {one.host}: {one.result}" for one in placements)
        click.echo(f"interrupted; {said or 'no host was changed'}", err=True)

    def place(self, attempt: Attempt) -> tuple[str, str]:
        """Environment and branch as far as they are known."""
        target, choice = self._order.target, attempt.choice
        branch = choice.revision.branch if choice is not None else target.branch
        if attempt.intent is not None:
            return attempt.intent.desired.environment, branch
        return target.environment or target.branch, branch

    def next_commands(self, attempt: Attempt, directory: str) -> tuple[str, str]:
        """The command that goes on with this deployment, and the one that shows what is true now."""
        from orchestrator.core.resume import resume_command, status_command

        environment, branch = self.place(attempt)
        target = self._order.target
        if target.worktree or self._order.rollback is not None:
            status = status_command(environment=environment, directory=directory)
            return "", status
        resume = resume_command(
            environment=environment,
            branch="" if target.ref else branch,
            commit=attempt.choice.revision.commit if attempt.choice is not None else target.ref,
            directory=directory,
            applications=self._order.applications,
            limits=self._order.limits,
            rollback_to=None if self._order.rollback is None else self._order.rollback.to,
            adopt=self._order.adopt,
        )
        return resume, status_command(environment=environment, directory=directory)

    def _show_record(self, attempt: Attempt) -> None:
        record, recorded = attempt.record, attempt.recorded
        assert record is not None
        assert recorded is not None
        if recorded.problem is None:
            line(make_console(), f"record: {record.id} (orchestrator show {record.id})", "dim")
            return
        from orchestrator.core.record import record_document

        click.echo("the record, which could not be pushed:", err=True)
        click.echo(json.dumps(record_document(record), sort_keys=True), err=True)
        if recorded.pending:
            click.echo(f"kept in {recorded.pending}; the next deployment from here pushes it", err=True)

    def _write_log(self, attempt: Attempt) -> Path | None:
        from orchestrator.errors import UsageError

        if not attempt.output or attempt.intent is None or attempt.run is None:
            return None
        default = attempt.intent.repository.state_directory / "logs" / f"{attempt.run.id}.log"
        path = Path(self._log_path) if self._log_path else default
        try:
            default.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(attempt.output + "\n", encoding="utf-8")
        except OSError as error:
            raise UsageError(
                f"the log {path} cannot be written: {error.strerror}", resolution="see --log"
            ) from None
        return path

    def _show_ansible(self, outcome: Outcome, output: str, log: Path | None) -> None:
        if outcome.verdict == "success" or not output:
            return
        said = [json.dumps(one.message)[1:-1] for one in outcome.placements if one.message]
        lines = [
            text
            for text in output.splitlines()
            if text.startswith(("fatal:", "[ERROR]")) and not any(message in text for message in said)
        ]
        with self._groups.group("What ansible said of failed hosts") if lines else contextlib.nullcontext():
            for text in lines[:SHOWN_FAILURES]:
                click.echo(f"ansible: {text[:400]}", err=True)
        if log:
            click.echo(f"ansible's whole output: {log}", err=True)


def _closing(plan: Plan, outcome: Outcome, *, check: bool) -> str:
    counts: dict[str, int] = {}
    for one in outcome.placements:
        counts[one.result] = counts.get(one.result, 0) + 1
    said = ", ".join(f"{count} {result}" for result, count in sorted(counts.items()))
    if check:
        return (
            f"Check of {plan.identity.environment}: {outcome.verdict}; would be: {said}. Nothing was changed."
        )
    tests = [test.passed for one in outcome.placements for test in one.tests]
    if tests:
        said += f"; smoke tests: {sum(tests)} passed, {len(tests) - sum(tests)} failed"
    return f"{plan.identity.environment}: {outcome.verdict}; {said}."
