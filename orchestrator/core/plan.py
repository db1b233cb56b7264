"""The plan: a frozen, ordered value. `plan`, `deploy`, `--check` and every report read the same steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from orchestrator.core.model import Strategy
from orchestrator.core.observed import Identity

Action = Literal["install", "adopt", "reconfigure", "verify", "remove", "skip", "unknown"]

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What happens to one placement, and why.

    Attributes:
        action: `install` (another release goes live), `adopt` (what is live and not ours is taken over),
            `reconfigure` (same release, other settings), `verify` (same release and settings, health not
            proven), `remove` (an orphan goes away), `skip` (converged) or `unknown` (the host did not answer:
            nothing is done there).
        from_version: what is live now; empty when nothing is, None when nobody could say.
        release: directory name of the release; empty when the artifact is not resolved.
        restarts: what will restart, by unit name.
        group: index of the group that it is activated in.
        reason: one sentence.
    """

    application: str
    kind: str
    host: str
    region: str
    deployment_path: str
    action: Action
    from_version: str | None
    to_version: str
    artifact_sha256: str
    release: str
    configuration_digest: str
    restarts: tuple[str, ...]
    group: int
    reason: str

    @property
    def changes(self) -> bool:
        """Whether anything is to be done on the host."""
        return self.action not in ("skip", "unknown")


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Placements that are activated at once; groups follow each other in their order.

    Attributes:
        batch: which one of the wave's `batches` it is, the first one is 0.
        removal: nothing is activated: orphans are removed once everything else went well.
        canary: the rollout waits after it, as the strategy's canary says.
        steps: how many there are, those that do nothing included.
    """

    region: str
    wave: int
    batch: int = 0
    batches: int = 1
    canary: bool = False
    removal: bool = False
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedArtifact:
    """One application's artifact as the plan shows it."""

    application: str
    version: str
    location: str
    size_bytes: int | None
    sha256: str
    digest_source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """A placement that a host has a receipt of and git no longer asks for."""

    application: str
    host: str
    deployment_path: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """A command that one host runs for all of a region before the first of them gets the artifact.

    Attributes:
        group: index of the group before which it runs.
        host: who runs it, unless it has failed by then: then the next one of the region.
        user: whom it runs as; empty: whoever deploys.
        on_failure: `stop` or `continue`.
        done_on: the host that has run it for this artifact; empty: it is to run.
    """

    application: str
    region: str
    group: int
    host: str
    command: tuple[str, ...]
    user: str
    on_failure: str
    done_on: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Manifest and environment at one commit, compiled against what hosts said.

    Attributes:
        intent_id: digest of what git asks for (documents, artifacts, targets); the same before and after
            a merge that leaves the documents alone.
        plan_id: digest of everything below but `commit`, which may change without changing the plan.
        commit: 40 hex digits, or empty for a dirty work tree.
        documents: canonical digests of manifest and environment; with `artifacts` and the placements they make
            the intent, and say what differs when two intents do.
        steps: by group, application and host.
        unknown_hosts: host → why it could not be asked.
        releases: application → what its releases are beside the artifact and what runs around them, a line each.
        once: what runs once, for applications that get another artifact.
    """

    identity: Identity
    commit: str
    manifest_version: str
    intent_id: str
    plan_id: str
    documents: Mapping[str, str]
    strategy: Strategy
    artifacts: tuple[PlannedArtifact, ...]
    groups: tuple[Group, ...]
    steps: tuple[Step, ...]
    orphans: tuple[Orphan, ...]
    maintenance: tuple[str, ...]
    unknown_hosts: Mapping[str, str]
    warnings: tuple[str, ...]
    releases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    once: tuple[Once, ...] = ()

    @property
    def changes(self) -> tuple[Step, ...]:
        """The steps that do something."""
        return tuple(step for step in self.steps if step.changes)


def plan_document(plan: Plan) -> dict[str, Any]:
    """The plan as published by `plan --json`: `format`, then the plan's fields, in plain JSON types."""
    return {"format": FORMAT, **asdict(plan)}
