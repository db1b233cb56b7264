"""One deployment, end to end: read → resolve → observe → compile → stage → activate → verify → record.

The steps of `docs/` and `ARCHITECTURE.md`, in order. Everything that is decided is decided in `core`; here the
edges are called, one after the other.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import secrets as randomness
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from orchestrator import __version__
from orchestrator.core.artifacts import ResolvedArtifact
from orchestrator.core.compile import compile_plan, select_placements
from orchestrator.core.documents import Document, parse_documents
from orchestrator.core.inventory import Run, render_deployment, render_inventory
from orchestrator.core.model import Artifact, Desired, Host, Reference
from orchestrator.core.observed import Identity, ObservedHost, parse_observed
from orchestrator.core.outcome import HostReport, Outcome, fold_outcome
from orchestrator.core.plan import Plan
from orchestrator.core.settings import (
    Settings,
    branch_for_environment,
    environment_file_candidates,
    environment_for_branch,
    parse_settings,
)
from orchestrator.edges.credentials import ControllerSecrets
from orchestrator.edges.git import DeploymentRepository, Revision
from orchestrator.edges.ledger import LocalLedger
from orchestrator.edges.providers import read_environment
from orchestrator.edges.repositories import resolve_artifacts, resolve_offline
from orchestrator.edges.runner import Workspace
from orchestrator.edges.schemas import read_schema
from orchestrator.errors import DocumentError, RevisionError, UsageError

MANIFEST = "manifest.json"
SETTINGS = "orchestrator.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a command is about, as the command line says it.

    Attributes:
        strict: a missing branch is an error even where HEAD would do (deploy).
        worktree: read the dirty work tree instead of a commit.
    """

    directory: Path
    branch: str = ""
    environment: str = ""
    ref: str = ""
    worktree: bool = False
    offline: bool = False
    strict: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """Documents at one commit, parsed."""

    repository: DeploymentRepository
    revision: Revision
    settings: Settings
    desired: Desired
    identity: Identity
    secrets: ControllerSecrets


def read_intent(target: Target) -> Intent:
    """The documents of the environment that the target names, at its commit.

    Raises:
        GitError, RevisionError, DocumentError, ProviderError, UsageError.
    """
    repository = DeploymentRepository(target.directory)
    revision, environment = _choose(repository, target)
    settings = _read_settings(repository, revision)
    environment = environment or _environment_of(settings, revision)
    secrets = ControllerSecrets(dict(os.environ))
    manifest = repository.read(revision, MANIFEST)
    if manifest is None:
        raise DocumentError(
            f"there is no {MANIFEST} at {revision.label}",
            resolution=f"commit one in {repository.stack or 'the top directory'}, or correct -C",
        )
    desired = parse_documents(
        manifest=Document(label=MANIFEST, content=manifest),
        environment=_read_environment(repository, revision, settings, environment, secrets),
        environment_name=environment,
        settings=settings,
        schemas={name: read_schema(name) for name in ("manifest", "environment")},
    )
    return Intent(
        repository=repository,
        revision=revision,
        settings=settings,
        desired=desired,
        identity=Identity(
            repository=settings.name or repository.name,
            stack=repository.stack,
            environment=desired.environment,
        ),
        secrets=secrets,
    )


def environments_of(target: Target) -> tuple[str, ...]:
    """Every environment that the repository names: settings, files and the manifest, sorted."""
    repository = DeploymentRepository(target.directory)
    head = Revision(commit="") if target.worktree else repository.resolve_ref(target.ref or "HEAD")
    settings = _read_settings(repository, head)
    found = set(settings.environments)
    for folder in ("", "inventories"):
        for path in repository.list_files(head, folder):
            if path.endswith("-env.json"):
                found.add(path.removesuffix("-env.json"))
    found.update(_environments_in_manifest(repository.read(head, MANIFEST)))
    if "production" in found:
        found.discard("prod")
    return tuple(sorted(found))


def resolve(intent: Intent, *, offline: bool) -> dict[str, ResolvedArtifact]:
    """Every artifact of the environment, by application: exists, size, SHA-256.

    Raises:
        ArtifactNotFoundError, ChecksumError, CredentialsError, RepositoryError.
    """
    wanted: dict[str, Artifact] = {
        placement.application.name: placement.application.artifact for placement in intent.desired.placements
    }
    directory = intent.repository.directory
    if offline:
        return resolve_offline(wanted.items(), intent.desired.repositories, directory=directory)
    return resolve_artifacts(
        wanted.items(), intent.desired.repositories, secrets=intent.secrets, directory=directory
    )


@contextlib.contextmanager
def open_workspace(intent: Intent) -> Iterator[Workspace]:
    """The private directory of one command's playbook runs."""
    with Workspace.open(intent.desired.hosts, intent.secrets, intent.settings.known_hosts) as workspace:
        yield workspace


def observe(
    intent: Intent,
    workspace: Workspace,
    hosts: tuple[Host, ...],
    *,
    verify: bool = False,
    forks: int | None = None,
    on_report: Callable[[HostReport], None] = lambda report: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> dict[str, ObservedHost]:
    """One parallel round trip: what every host has. A host that does not answer is `unreachable`."""
    if not hosts:
        return {}
    run = workspace.run(
        "observe",
        _inventory_of(intent, hosts),
        {"placement_identity": str(intent.identity), "placement_verify": verify},
        references=_become_passwords(hosts),
        forks=forks or default_forks(len(hosts)),
        on_report=on_report,
        cancelled=cancelled,
    )
    if run.cancelled:
        raise KeyboardInterrupt
    found = {report.host: _observed(report) for report in run.reports if report.status != "started"}
    return {
        host.name: found.get(host.name) or ObservedHost.unreachable(host.name, "it did not answer")
        for host in hosts
    }


def probe(intent: Intent, workspace: Workspace, hosts: tuple[Host, ...]) -> dict[str, HostReport]:
    """What `orchestrator doctor` wants to know of every host."""
    paths: dict[str, list[dict[str, str]]] = {}
    for placement in intent.desired.placements:
        entry = {"application": placement.application.name, "deployment_path": placement.deployment_path}
        paths.setdefault(placement.host.name, []).append(entry)
    inventory = _inventory_of(intent, hosts)
    for name, variables in inventory["all"]["hosts"].items():
        variables["placement_placements"] = paths.get(name, [])
    run = workspace.run(
        "probe",
        inventory,
        {"placement_identity": str(intent.identity)},
        references=_become_passwords(hosts),
        forks=default_forks(len(hosts)),
    )
    return {report.host: report for report in run.reports if report.status != "started"}


def compile_intent(
    intent: Intent,
    artifacts: Mapping[str, ResolvedArtifact],
    observed: Mapping[str, ObservedHost],
    selected: Desired | None = None,
) -> Plan:
    """The plan of this intent against what hosts said."""
    return compile_plan(
        intent.desired,
        artifacts,
        observed,
        identity=intent.identity,
        commit=intent.revision.commit,
        selected=selected,
    )


def select(intent: Intent, applications: tuple[str, ...], limits: tuple[str, ...]) -> Desired:
    """The intent narrowed to some applications, hosts, groups or regions.

    Raises:
        UsageError: a name that the environment does not have.
    """
    names = {placement.application.name for placement in intent.desired.placements}
    targets = {name for host in intent.desired.hosts for name in (host.name, host.region, *host.groups)}
    for given, known, what in (
        (applications, names, "application"),
        (limits, targets, "host, group or region"),
    ):
        for name in given:
            if name not in known:
                raise UsageError(
                    f"{intent.desired.environment} has no {what} {name!r}",
                    resolution=f"it has {', '.join(sorted(filter(None, known)))}",
                )
    return select_placements(intent.desired, applications=applications, limits=limits)


def execute(
    intent: Intent,
    plan: Plan,
    artifacts: Mapping[str, ResolvedArtifact],
    workspace: Workspace,
    *,
    run: Run,
    check: bool = False,
    diff: bool = False,
    forks: int | None = None,
    on_report: Callable[[HostReport], None] = lambda report: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> tuple[Outcome, str]:
    """Stages and activates what the plan changes; returns what is true now, and ansible's own output."""
    if not plan.changes:
        return fold_outcome(plan, (), finished=True, cancelled=False), ""
    inventory, extra_vars = render_deployment(plan, intent.desired, artifacts, run)
    hosts = {step.host for step in plan.changes}
    done = workspace.run(
        "deploy",
        inventory,
        extra_vars,
        references=_references(intent, artifacts, hosts),
        check=check,
        diff=diff,
        forks=forks or default_forks(len(hosts)),
        on_report=on_report,
        cancelled=cancelled,
    )
    outcome = fold_outcome(plan, done.reports, finished=done.finished, cancelled=done.cancelled)
    return outcome, done.output


def new_run(intent: Intent) -> Run:
    """The identity of one attempt."""
    now = datetime.datetime.now(datetime.UTC)
    return Run(
        id=f"{now:%Y%m%dT%H%M%S}-{randomness.token_hex(4)}",
        time=now.isoformat(timespec="seconds"),
        actor=intent.repository.actor,
    )


def record(intent: Intent, plan: Plan, outcome: Outcome, run: Run, *, started: float) -> str:
    """The attempt is in the record; returns where."""
    from importlib.metadata import version

    return LocalLedger(intent.repository.state_directory).append(
        {
            "id": run.id,
            "time": run.time,
            "actor": run.actor,
            "environment": str(plan.identity.environment),
            "repository": plan.identity.repository,
            "stack": plan.identity.stack,
            "branch": intent.revision.branch,
            "commit": plan.commit,
            "manifest_version": plan.manifest_version,
            "intent_id": plan.intent_id,
            "plan_id": plan.plan_id,
            "verdict": outcome.verdict,
            "duration_seconds": round(time.monotonic() - started, 3),
            "placements": [asdict(one) for one in outcome.placements],
            "tools": {
                "orchestrator": __version__,
                "ansible-core": version("ansible-core"),
                "ansible-runner": version("ansible-runner"),
            },
        }
    )


def default_forks(hosts: int) -> int:
    """How many hosts ansible works on at once: bounded by what this machine bears."""
    return max(1, min(hosts, 10 * (os.cpu_count() or 1), 50))


def _choose(repository: DeploymentRepository, target: Target) -> tuple[Revision, str]:
    """The revision, and the environment's name where the command line gives it."""
    if target.worktree:
        return Revision(commit="", branch=repository.current_branch()), target.environment
    if target.ref:
        return repository.resolve_ref(target.ref), target.environment
    if target.branch:
        return repository.resolve_branch(target.branch, offline=target.offline), target.environment
    if target.environment:
        return _choose_for_environment(repository, target), target.environment
    branch = repository.current_branch()
    if not branch:
        raise UsageError(
            "HEAD is detached, so there is no branch to follow",
            resolution="say which one with --branch, --environment or --ref",
        )
    return repository.resolve_branch(branch, offline=target.offline), ""


def _environment_of(settings: Settings, revision: Revision) -> str:
    environment = environment_for_branch(settings, revision.branch) if revision.branch else None
    if environment is None:
        raise RevisionError(
            f"{revision.branch or revision.label} belongs to no environment",
            resolution="name one with --environment, or map the branch in orchestrator.toml",
        )
    return environment


def _choose_for_environment(repository: DeploymentRepository, target: Target) -> Revision:
    head = repository.resolve_ref("HEAD")
    branch = branch_for_environment(_read_settings(repository, head), target.environment)
    try:
        return repository.resolve_branch(branch, offline=target.offline)
    except RevisionError as error:
        if target.strict:
            raise RevisionError(
                error.brief,
                details=error.details,
                resolution="push that branch, or say what to deploy: "
                f"--environment {target.environment} --ref HEAD",
            ) from None
        note = f"there is no branch {branch!r}; reading HEAD"
        return Revision(commit=head.commit, branch="", note=note)


def _read_settings(repository: DeploymentRepository, revision: Revision) -> Settings:
    return parse_settings(repository.read(revision, SETTINGS), SETTINGS, read_schema("settings"))


def _read_environment(
    repository: DeploymentRepository,
    revision: Revision,
    settings: Settings,
    environment: str,
    secrets: ControllerSecrets,
) -> Document | None:
    provider = settings.environments[environment].provider if environment in settings.environments else None
    if provider is not None:
        return read_environment(provider, environment, secrets=secrets, directory=repository.directory)
    for path in environment_file_candidates(settings, environment):
        content = repository.read(revision, path)
        if content is not None:
            return Document(label=path, content=content)
    return None


def _environments_in_manifest(content: bytes | None) -> tuple[str, ...]:
    import json

    try:
        manifest = json.loads(content or b"{}")
    except ValueError:
        return ()
    named = manifest.get("environments") if isinstance(manifest, dict) else None
    return tuple(named) if isinstance(named, dict) else ()


def _inventory_of(intent: Intent, hosts: tuple[Host, ...]) -> dict[str, Any]:
    inventory = render_inventory(intent.desired.hosts, {})
    wanted = {host.name for host in hosts}
    kept = {name: value for name, value in inventory["all"]["hosts"].items() if name in wanted}
    return {"all": {"hosts": kept}}


def _observed(report: HostReport) -> ObservedHost:
    if report.status == "ok" and "observed" in report.result:
        return parse_observed(report.host, report.result["observed"])
    problem = report.result.get("problem") or {}
    kind = "unreachable" if report.status == "unreachable" else str(problem.get("kind", "host"))
    detail = str(problem.get("message") or report.result.get("msg") or "no answer")
    return ObservedHost.unreachable(report.host, " ".join(detail.split()), kind)


def _become_passwords(hosts: tuple[Host, ...]) -> frozenset[Reference]:
    return frozenset(host.become_password for host in hosts if host.become_password is not None)


def _references(
    intent: Intent, artifacts: Mapping[str, ResolvedArtifact], hosts: set[str]
) -> frozenset[Reference]:
    targets = tuple(host for host in intent.desired.hosts if host.name in hosts)
    fields = [
        value
        for artifact in artifacts.values()
        if artifact.credentials is not None
        for value in (
            artifact.credentials.username,
            artifact.credentials.password,
            artifact.credentials.token,
        )
    ]
    return _become_passwords(targets) | {value for value in fields if isinstance(value, Reference)}


def nothing_done(plan: Plan) -> Outcome:
    """The outcome of a run that ended before any host was touched."""
    return fold_outcome(plan, (), finished=False, cancelled=False)
