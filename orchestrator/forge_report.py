"""Tells the forge of a deployment: a commit status and an entry among its deployments, while it runs and when it ends.

It listens to an attempt and passes on what it hears. A forge that is away, slow or refuses never changes how the
attempt ends: that becomes a note, and a reason in the record. Beginnings are told from a thread of their own, so
that no host waits for the forge.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator.core.forge_report import Telling, describe_beginning, describe_end
from orchestrator.edges.git import DeploymentRepository
from orchestrator.errors import OrchestratorError

if TYPE_CHECKING:
    from orchestrator.attempt import Attempt
    from orchestrator.core.host_report import HostReport
    from orchestrator.core.lock_state import LockState
    from orchestrator.core.observed import ObservedHost
    from orchestrator.core.plan import Plan
    from orchestrator.core.record import Record
    from orchestrator.core.settings import Settings
    from orchestrator.edges.forges import Forge
    from orchestrator.intent import Intent
    from orchestrator.order import Listener, Order

END_SECONDS = 15.0


@dataclass(slots=True)
class ForgeReport:
    """The listener of an attempt, in front of another one.

    Attributes:
        behind: hears everything.
    """

    order: Order
    behind: Listener
    _forge: Forge | None = None
    _opened: bool = False
    _beginning: threading.Thread | None = None
    _problems: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """See `orchestrator.attempt.Listener`."""
        self.behind.note(text)

    def waiting(self, state: LockState) -> None:
        """See `orchestrator.attempt.Listener`."""
        self.behind.waiting(state)

    def reported(self, report: HostReport) -> None:
        """See `orchestrator.attempt.Listener`."""
        self.behind.reported(report)

    def planned(self, intent: Intent, plan: Plan, observed: Mapping[str, ObservedHost]) -> None:
        """See `orchestrator.attempt.Listener`. The forge hears that it begins."""
        self.behind.planned(intent, plan, observed)
        if self._is_told(intent.settings) and intent.revision.commit and self.order.rollback is None:
            telling = describe_beginning(
                commit=intent.revision.commit,
                branch=intent.revision.branch,
                environment=intent.desired.environment,
                stack=intent.repository.stack,
                changes=len(plan.changes),
                url=self.order.ci.url,
            )
            self._beginning = self._start(lambda: self._tell(intent.repository, intent.settings, telling))

    def closing(self, attempt: Attempt, record: Record) -> tuple[str, ...]:
        """The forge has heard how it ended; returns what it could not be told, for the record."""
        choice = attempt.choice
        telling = describe_end(record, url=self.order.ci.url, is_begun=self._beginning is not None)
        if choice is None or telling is None or not self._is_told(choice.settings):
            return ()
        began, settings = self._beginning, choice.settings

        def tell() -> None:
            if began is not None:
                began.join()
            self._tell(DeploymentRepository(self.order.target.directory), settings, telling)

        ending = self._start(tell)
        ending.join(END_SECONDS)
        if ending.is_alive():
            self._problems.append(f"it did not answer within {END_SECONDS:g} seconds")
        problems = tuple(f"the forge was not told: {one}" for one in dict.fromkeys(self._problems))
        for problem in problems:
            self.behind.note(problem)
        return problems

    def _is_told(self, settings: Settings) -> bool:
        return settings.forge.report and not self.order.check

    def _start(self, tell: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=tell, name="forge", daemon=True)
        thread.start()
        return thread

    def _tell(self, repository: DeploymentRepository, settings: Settings, telling: Telling) -> None:
        try:
            if not self._opened:
                from orchestrator.edges.forges import open_forge

                self._opened = True
                self._forge = open_forge(repository, settings)
            if self._forge is not None:
                _tell(self._forge, telling, self._problems)
        except OrchestratorError as error:
            self._problems.append(_said(error))
        except Exception as error:  # a thread's defect must not be silent, and must not end a deployment
            self._problems.append(f"a defect of the orchestrator ({type(error).__name__})")


def _tell(forge: Forge, telling: Telling, problems: list[str]) -> None:
    """One that fails does not keep the other from being told."""

    def attempt(tell: Callable[[], Any]) -> None:
        try:
            tell()
        except OrchestratorError as error:
            problems.append(_said(error))

    attempt(
        lambda: forge.commit_status(
            telling.commit,
            state=telling.state,
            context=telling.context,
            description=telling.description,
            url=telling.url,
        )
    )
    deployment = telling.deployment
    if deployment is not None:
        attempt(
            lambda: forge.deployment(
                telling.commit,
                branch=telling.branch,
                environment=telling.place,
                state=deployment,
                url=telling.url,
            )
        )


def _said(error: OrchestratorError) -> str:
    return "; ".join((error.brief, *error.details[:2]))
