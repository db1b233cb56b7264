"""What a deployment is made of once its hosts are observed: the plan, and what each host is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from orchestrator import workflow
from orchestrator.core.artifacts import ResolvedArtifact
from orchestrator.core.inventory import render_placements
from orchestrator.core.model import Credentials, Desired, Reference
from orchestrator.core.observed import ObservedHost
from orchestrator.core.plan import Plan
from orchestrator.workflow import Intent


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """The plan, and the elements of `release_placements` of every host that has something to do."""

    plan: Plan
    placements: Mapping[str, list[dict[str, Any]]]


class Planner(Protocol):
    """Who says what is to be on the hosts."""

    def references(self) -> frozenset[Reference]:
        """The secrets that hosts may need: to fetch artifacts, and for their processes."""

    def prepare(self) -> Mapping[str, ResolvedArtifact]:
        """What can be found out while the hosts are asked; in a thread of its own."""

    def plan(
        self, artifacts: Mapping[str, ResolvedArtifact], observed: Mapping[str, ObservedHost]
    ) -> Planned:
        """The plan, from what `prepare` returned and what the hosts said; raises to end the attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GitPlanner:
    """What git asks for, of the placements that are selected.

    Attributes:
        applications: that the run is about; empty: all. Orphans of others are not removed.
        adopt: what is live and not ours is taken over, and nothing else is done.
    """

    intent: Intent
    selected: Desired
    applications: tuple[str, ...] = ()
    adopt: bool = False

    def references(self) -> frozenset[Reference]:
        """See `Planner`."""
        used = {placement.application.artifact.repository for placement in self.selected.placements}
        found: set[Reference] = set(secrets_of(self.selected))
        for name in used - {""}:
            found |= references_in(self.intent.desired.repositories[name].credentials)
        return frozenset(found)

    def prepare(self) -> Mapping[str, ResolvedArtifact]:
        """See `Planner`."""
        return workflow.resolve(self.intent, offline=False)

    def plan(
        self, artifacts: Mapping[str, ResolvedArtifact], observed: Mapping[str, ObservedHost]
    ) -> Planned:
        """See `Planner`."""
        intent, fingerprints = self.intent, workflow.fingerprints_of(self.intent)
        plan = workflow.compile_intent(
            intent,
            artifacts,
            observed,
            self.selected,
            self.applications,
            fingerprints=fingerprints,
            adopt=self.adopt,
        )
        placements = render_placements(plan, intent.desired, artifacts, fingerprints)
        return Planned(plan=plan, placements=placements)


def secrets_of(selected: Desired) -> frozenset[Reference]:
    """The secrets that the processes of these placements are given."""
    return frozenset(secret for placement in selected.placements for secret in placement.secrets.values())


def references_in(credentials: Credentials | None) -> set[Reference]:
    """The secrets that these credentials name."""
    if credentials is None:
        return set()
    fields = (credentials.username, credentials.password, credentials.token)
    return {one for one in fields if isinstance(one, Reference)}
