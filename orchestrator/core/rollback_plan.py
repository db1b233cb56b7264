"""The plan of a rollback: the same steps and groups as those of a deployment, towards releases that were good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from orchestrator.core.artifacts import ResolvedArtifact
from orchestrator.core.canonical import digest
from orchestrator.core.compile import configuration_digest, decide, release_name
from orchestrator.core.drain_plan import find_crowds, plan_drains
from orchestrator.core.groups import assign_groups
from orchestrator.core.model import Desired, Placement
from orchestrator.core.observed import Identity, ObservedHost
from orchestrator.core.plan import Plan, PlannedArtifact, Step
from orchestrator.core.release_entries import describe_releases, placement_layout
from orchestrator.core.rollback import Choice

KEPT = "kept on the hosts"
_NO_FINGERPRINTS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """One placement and where it goes.

    Attributes:
        placement: its application is that of the release, where that is fetched again.
        choice: None: the host did not answer.
        artifact: where it is fetched from; None: it is kept, or stays.
    """

    placement: Placement
    choice: Choice | None = None
    artifact: ResolvedArtifact | None = None

    @property
    def release(self) -> str:
        """The directory name of the release that is to be live."""
        if self.choice is None:
            return ""
        if self.artifact is None:
            return self.choice.good.release
        application = self.placement.application
        layout = placement_layout(self.placement)
        return release_name(application.artifact, application.version, self.artifact.sha256, layout)


def compile_rollback(
    desired: Desired,
    aims: Sequence[Aim],
    observed: Mapping[str, ObservedHost],
    *,
    identity: Identity,
    commit: str,
    fingerprints: Mapping[str, str] = _NO_FINGERPRINTS,
) -> Plan:
    """Return the plan; batches and policy are the environment's, a canary is not waited for.

    Args:
        fingerprints: of the secrets, by application, where they are at hand; others are not compared.
    """
    strategy = replace(desired.strategy, canary=None)
    decided = [
        _compile_step(
            aim, observed[aim.placement.host.name], fingerprints.get(aim.placement.application.name)
        )
        for aim in aims
    ]
    placements = [aim.placement for aim in aims]
    steps, groups = assign_groups(plan_drains(decided, placements, observed), placements, strategy)
    targets = sorted([step.application, step.host, step.deployment_path, step.release] for step in steps)
    body = Plan(
        identity=identity,
        commit="",
        manifest_version=desired.manifest_version,
        intent_id=digest({"environment": desired.environment, "rollback": targets}),
        plan_id="",
        documents=dict(desired.documents),
        strategy=strategy,
        artifacts=_artifacts(aims),
        groups=groups,
        steps=steps,
        orphans=(),
        maintenance=tuple(host.name for host in desired.hosts if host.maintenance),
        unknown_hosts={
            name: host.detail for name, host in sorted(observed.items()) if host.status == "unreachable"
        },
        warnings=(*desired.warnings, *find_crowds(steps, placements)),
        releases=describe_releases(placements, {step.application for step in steps if step.changes}),
    )
    return replace(body, commit=commit, plan_id=digest(asdict(body)))


def describe_wishes_of_git(desired: Desired, plan: Plan) -> tuple[str, ...]:
    """Return what git still asks for, where the rollback left something else live; one sentence each."""
    wanted = {one.application.name: one.application.version for one in desired.placements}
    left: dict[tuple[str, str], int] = {}
    for step in plan.steps:
        if step.action != "unknown" and wanted[step.application] != step.to_version:
            key = (step.application, step.to_version)
            left[key] = left.get(key, 0) + 1
    return tuple(
        f"git still wants {name} {wanted[name]}, not {version} (on {hosts} host{'' if hosts == 1 else 's'})"
        for (name, version), hosts in sorted(left.items())
    )


def _compile_step(aim: Aim, host: ObservedHost, fingerprint: str | None) -> Step:
    placement, choice = aim.placement, aim.choice
    good = None if choice is None else choice.good
    version = placement.application.version if good is None else good.version
    decided = decide(placement, version, aim.release, host, fingerprint=fingerprint)
    reason = decided.reason
    if decided.action == "install" and choice is not None:
        reason = "it was good before, and is kept there"
        if not choice.kept:
            reason = "it was good before; it is not kept there and is fetched again"
    return Step(
        application=placement.application.name,
        kind=placement.application.kind,
        host=host.name,
        region=placement.host.region,
        deployment_path=placement.deployment_path,
        action=decided.action,
        from_version=decided.from_version,
        to_version=version,
        artifact_sha256="" if good is None else good.artifact_sha256,
        release=aim.release,
        configuration_digest=configuration_digest(placement),
        restarts=decided.restarts,
        group=0,
        reason=reason,
    )


def _artifacts(aims: Sequence[Aim]) -> tuple[PlannedArtifact, ...]:
    found = {}
    for aim in aims:
        if aim.choice is None:
            continue
        good, artifact = aim.choice.good, aim.artifact
        name = aim.placement.application.name
        found[name, good.version, good.artifact_sha256, artifact is None] = PlannedArtifact(
            application=name,
            version=good.version,
            location=KEPT if artifact is None else artifact.location,
            size_bytes=None if artifact is None else artifact.size_bytes,
            sha256=good.artifact_sha256,
            digest_source="receipt" if artifact is None else "ledger",
        )
    return tuple(found[key] for key in sorted(found))
