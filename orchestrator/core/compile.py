"""Desired and observed in, a plan out. Pure and deterministic: the same inputs give the same bytes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from packaging.version import InvalidVersion, Version

from orchestrator.core.adoption import adopt_steps
from orchestrator.core.artifacts import ResolvedArtifact
from orchestrator.core.canonical import digest
from orchestrator.core.checks import render_healthcheck
from orchestrator.core.drain_plan import find_crowds, plan_drains
from orchestrator.core.groups import assign_groups
from orchestrator.core.kinds import configuration_of, process_of, restarts_of
from orchestrator.core.machines import Machine, record_of
from orchestrator.core.model import Artifact, Desired, Placement
from orchestrator.core.observed import Identity, ObservedHost, ObservedPlacement
from orchestrator.core.once_plan import plan_once
from orchestrator.core.plan import Action, Orphan, Plan, PlannedArtifact, Step
from orchestrator.core.pruning import WARNING, removal_steps, removes_everything, split_orphans
from orchestrator.core.release_entries import describe_releases, placement_layout

_NO_FINGERPRINTS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is done to one placement: see `Step`.

    Attributes:
        from_version: what is live now; None when nobody knows.
    """

    action: Action
    from_version: str | None
    reason: str
    restarts: tuple[str, ...]


def select_placements(
    desired: Desired, *, applications: Collection[str] = (), limits: Collection[str] = ()
) -> Desired:
    """The same intent, narrowed to some applications and to some hosts or regions.

    Args:
        applications: names; empty means all.
        limits: names of hosts, regions or groups; empty means all.
    """
    return replace(
        desired,
        placements=tuple(
            placement
            for placement in desired.placements
            if (not applications or placement.application.name in applications)
            and (not limits or not _names_of(placement).isdisjoint(limits))
        ),
    )


def compile_plan(
    desired: Desired,
    artifacts: Mapping[str, ResolvedArtifact],
    observed: Mapping[str, ObservedHost],
    *,
    identity: Identity,
    commit: str,
    selected: Desired | None = None,
    applications: Collection[str] = (),
    fingerprints: Mapping[str, str] = _NO_FINGERPRINTS,
    adopt: bool = False,
) -> Plan:
    """Every placement gets a step, and every step a reason.

    Args:
        desired: what git asks for, all of it: it makes the `intent_id`.
        artifacts: by application name.
        observed: by host name; a host that is missing counts as not asked.
        selected: what this run is about (`--application`, `--limit`); everything when None.
        applications: orphans of others are not removed; empty: of all.
        fingerprints: of the secrets, by application, where they are at hand; others are not compared.
        adopt: what is live and not ours is taken over, and nothing else is done.

    Raises:
        ConflictError: something cannot be taken over.
    """
    placements = (selected or desired).placements
    decided = [
        _compile_step(
            placement,
            artifacts[placement.application.name],
            observed.get(placement.host.name) or ObservedHost.unasked(placement.host.name),
            fingerprint=fingerprints.get(placement.application.name),
        )
        for placement in placements
    ]
    if adopt:
        decided = adopt_steps(decided, placements, observed)
    decided = plan_drains(decided, placements, observed)
    steps, groups = assign_groups(decided, placements, desired.strategy)
    crowds = find_crowds(steps, placements)
    removed, orphans = split_orphans(desired, _find_orphans(desired, observed), applications)
    removals, last_groups = removal_steps(desired, removed, observed, first_group=len(groups))
    steps, groups = (*steps, *removals), (*groups, *last_groups)
    refused = (WARNING,) if removes_everything(steps) else ()
    body = Plan(
        identity=identity,
        commit="",
        manifest_version=desired.manifest_version,
        intent_id=_intent_id(desired, artifacts),
        plan_id="",
        documents=dict(desired.documents),
        strategy=desired.strategy,
        artifacts=tuple(_planned_artifact(desired, artifacts)),
        groups=groups,
        steps=steps,
        orphans=orphans,
        maintenance=tuple(host.name for host in desired.hosts if host.maintenance),
        unknown_hosts={
            name: host.detail for name, host in sorted(observed.items()) if host.status == "unreachable"
        },
        warnings=(*desired.warnings, *refused, *crowds, *find_downgrades(steps)),
        releases=describe_releases(placements, {step.application for step in steps if step.changes}),
        once=plan_once(steps, groups, placements, desired.hosts, observed),
    )
    return replace(body, commit=commit, plan_id=digest(asdict(body)))


def release_name(artifact: Artifact, version: str, sha256: str, layout: Sequence[Any] = ()) -> str:
    """The directory name of a release: the version and what its content follows from; empty without digest.

    Args:
        layout: see `placement_layout`.
    """
    if not sha256:
        return ""
    content = [sha256, artifact.packing, artifact.strip_components, artifact.filename]
    content += ["executable"] if artifact.executable else []
    content += [artifact.image] if artifact.image else []
    content += [list(layout)] if layout else []
    return f"{version}-{digest(content)[:12]}"


def configuration_digest(placement: Placement) -> str:
    """What a placement is configured with beside its release."""
    configuration: dict[str, Any] = {
        "healthchecks": [render_healthcheck(check) for check in placement.healthchecks],
        "keep_releases": placement.keep_releases,
    }
    if layout := placement_layout(placement):
        configuration["layout"] = layout
    if placement.role is not None:
        configuration["role"] = {
            "name": placement.role.name,
            "digest": placement.role.digest,
            "variables": dict(placement.variables),
            "secrets": {name: str(reference) for name, reference in placement.secrets.items()},
        }
    return digest({**configuration, **configuration_of(placement)})


def _names_of(placement: Placement) -> set[str]:
    return {placement.host.name, placement.host.region, *placement.host.groups}


def _compile_step(
    placement: Placement, artifact: ResolvedArtifact, host: ObservedHost, *, fingerprint: str | None
) -> Step:
    application = placement.application
    layout = placement_layout(placement)
    release = release_name(application.artifact, application.version, artifact.sha256, layout)
    decided = decide(placement, application.version, release, host, fingerprint=fingerprint)
    return Step(
        application=application.name,
        kind=application.kind,
        host=host.name,
        region=placement.host.region,
        deployment_path=placement.deployment_path,
        action=decided.action,
        from_version=decided.from_version,
        to_version=application.version,
        artifact_sha256=artifact.sha256,
        release=release,
        configuration_digest=configuration_digest(placement),
        restarts=decided.restarts,
        group=0,
        reason=decided.reason,
    )


def decide(
    placement: Placement, version: str, release: str, host: ObservedHost, *, fingerprint: str | None
) -> Decision:
    """Return what that release of that version needs there.

    Args:
        fingerprint: of the placement's secrets; None: they are not at hand and not compared.
    """
    found = host.placements.get((placement.application.name, placement.deployment_path))
    action, from_version, reason = _decide(version, release, configuration_digest(placement), host, found)
    other_secrets = bool(
        found and placement.service and fingerprint is not None and found.secrets_fingerprint != fingerprint
    )
    if action == "skip" and other_secrets:
        action, reason = "reconfigure", "a secret changed"
    elif action == "skip" and placement.service and placement.secrets and fingerprint is None:
        reason += "; its secrets are not at hand to be compared"
    restarts = _restarts(placement, action, found, other_secrets)
    return Decision(action=action, from_version=from_version, reason=reason, restarts=restarts)


def _restarts(
    placement: Placement, action: Action, found: ObservedPlacement | None, other_secrets: bool
) -> tuple[str, ...]:
    """The unit that the step restarts (one that only reloads is none)."""
    process = process_of(placement)
    if process is None or action in ("skip", "unknown"):
        return restarts_of(placement) if action == "install" else ()
    goes_on = (
        found is not None
        and found.running == "active"
        and found.service_digest == process.digest
        and not other_secrets
    )
    if goes_on and (action != "install" or process.reloads):
        return ()
    return (process.unit,)


def _decide(
    version: str,
    release: str,
    configuration: str,
    host: ObservedHost,
    found: ObservedPlacement | None,
) -> tuple[Action, str | None, str]:
    """Return what is to be done, what is live now (None: nobody knows), and why."""
    if host.status == "unasked":
        reason = host.detail or "the host was not asked"
        return "install", None, f"{reason}; nothing happens there if it is converged"
    if host.status == "unreachable":
        return "unknown", None, f"the host did not answer: {host.detail}"
    if found is None:
        return "install", "", "first release there"
    if found.state == "none":
        return "install", "", "; ".join(found.problems) or "nothing is live there"
    if not release:
        return "install", found.version, "the artifact is not resolved; nothing happens if it is the same"
    if found.release != release:
        return "install", found.version, _reason_to_install(version, release, found)
    if found.problems:
        return "verify", found.version, "; ".join(found.problems)
    if found.state == "bad":
        return "verify", found.version, "the release is marked bad and is asked for again"
    if found.state != "healthy":
        return "verify", found.version, "the release is live, its health is not proven"
    if found.configuration_digest != configuration:
        return "reconfigure", found.version, "settings changed"
    return "skip", found.version, f"already on {version}, receipt verified"


def _reason_to_install(version: str, release: str, found: ObservedPlacement) -> str:
    known = next((one for one in found.releases if one.release == release), None)
    if known is not None and known.state == "bad":
        return f"git asks for {version}, which is marked bad here"
    if found.version != version:
        return f"git asks for {version}"
    return f"{version} has other bytes or is unpacked otherwise than the release that is live"


def _intent_id(desired: Desired, artifacts: Mapping[str, ResolvedArtifact]) -> str:
    named = {placement.application.name: placement.application for placement in desired.placements}
    return digest(
        {
            "environment": desired.environment,
            "documents": dict(desired.documents),
            "artifacts": {
                name: {
                    "version": application.version,
                    "location": artifacts[name].location,
                    "sha256": artifacts[name].sha256,
                }
                for name, application in named.items()
            },
            "targets": [
                [placement.application.name, placement.host.name, placement.deployment_path]
                for placement in desired.placements
            ],
        }
    )


def _planned_artifact(desired: Desired, artifacts: Mapping[str, ResolvedArtifact]) -> list[PlannedArtifact]:
    versions = {placement.application.name: placement.application.version for placement in desired.placements}
    return [
        PlannedArtifact(
            application=name,
            version=versions[name],
            location=artifacts[name].location,
            size_bytes=artifacts[name].size_bytes,
            sha256=artifacts[name].sha256,
            digest_source=artifacts[name].digest_source,
        )
        for name in sorted(versions)
    ]


def _find_orphans(desired: Desired, observed: Mapping[str, ObservedHost]) -> list[Orphan]:
    records = {host.name: record_of(host) for host in desired.hosts}
    wanted = {
        (record_of(placement.host), placement.application.name, placement.deployment_path)
        for placement in desired.placements
    }
    # What a resting host is to have is not in `placements`; another name of its machine would show it.
    resting = {record_of(host) for host in desired.hosts if host.maintenance}
    orphans: dict[tuple[Machine, str, str], Orphan] = {}
    for name, host in sorted(observed.items()):
        record = records.get(name, (name,))
        for (application, path), found in sorted(host.placements.items()):
            key = (record, application, path)
            if record not in resting and key not in wanted and key not in orphans:
                orphans[key] = Orphan(
                    application=application, host=name, deployment_path=path, version=found.version
                )
    return list(orphans.values())


def find_downgrades(steps: tuple[Step, ...]) -> list[str]:
    """Return a warning for each application that goes back to an older version somewhere."""
    moves = {(step.application, step.from_version, step.to_version) for step in steps if step.from_version}
    return [
        f"downgrade: {application} goes from {old} back to {new}"
        for application, old, new in sorted(moves, key=_move_key)
        if old and _is_older(new, old)
    ]


def _move_key(move: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple(str(part) for part in move)


def _is_older(new: str, old: str) -> bool:
    try:
        return Version(new) < Version(old)
    except InvalidVersion:
        return False
