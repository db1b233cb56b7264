"""One deployment, end to end: read → resolve → observe → compile → stage → activate → verify → record.

The steps of `docs/` and `ARCHITECTURE.md`, in order. Everything that is decided is decided in `core`; here the
edges are called, one after the other.
"""

from __future__ import annotations

import contextlib
import datetime
import secrets as randomness
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from orchestrator.core.artifacts import ResolvedArtifact
from orchestrator.core.compile import compile_plan, select_placements
from orchestrator.core.drains import balancers_of as names_of_balancers
from orchestrator.core.host_report import HostReport
from orchestrator.core.inventory import Run, render_inventory
from orchestrator.core.model import Artifact, Desired, Host, Reference
from orchestrator.core.observed import ObservedHost, parse_observed
from orchestrator.core.outcome import Outcome, fold_outcome
from orchestrator.core.plan import Plan
from orchestrator.core.windows import judge_windows
from orchestrator.edges.clock import moment
from orchestrator.edges.git import DeploymentRepository
from orchestrator.edges.observing import observe_hosts, render_request
from orchestrator.edges.repositories import resolve_artifacts, resolve_offline
from orchestrator.edges.runner import Workspace
from orchestrator.errors import UsageError
from orchestrator.intent import Intent, Target, environments_of, read_intent, read_intent_at

__all__ = [
    "Intent",
    "Target",
    "asks_everybody",
    "balancers_of",
    "become_passwords",
    "closed_now",
    "compile_intent",
    "environments_of",
    "fingerprints_of",
    "fold_observed",
    "hosts_of",
    "hosts_to_ask",
    "inventory_of",
    "new_run",
    "nothing_done",
    "now",
    "observe",
    "open_workspace",
    "probe",
    "read_intent",
    "read_intent_at",
    "resolve",
    "select",
]


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
def open_workspace(intent: Intent, opened: Workspace | None = None) -> Iterator[Workspace]:
    """The private directory of one command's playbook runs, from which the environment's hosts can be reached.

    Args:
        opened: one that is open, and stays open; None: another one.
    """
    with (
        contextlib.nullcontext(opened) if opened is not None else Workspace.open() as workspace,
        workspace.reach(intent.desired.hosts, intent.secrets, intent.settings.known_hosts),
    ):
        yield workspace


def observe(
    intent: Intent,
    workspace: Workspace,
    hosts: tuple[Host, ...],
    *,
    balancers: tuple[Host, ...] = (),
    verify: bool = False,
    forks: int | None = None,
    on_report: Callable[[HostReport], None] = lambda report: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> dict[str, ObservedHost]:
    """One parallel round trip: what every host has. A host that does not answer is `unreachable`.

    Args:
        balancers: hosts that are asked only whom they have drained, see `balancers_of`.
    """
    if not hosts:
        return {}
    everybody = (*hosts, *balancers)
    run = observe_hosts(
        workspace,
        inventory_of(intent, everybody),
        {
            "placement_planner": "orchestrator",
            "placement_identity": str(intent.identity),
            "placement_verify": verify,
        },
        b"" if verify else render_request(str(intent.identity), {}),
        references=become_passwords(everybody),
        forks=forks,
        on_report=on_report,
        cancelled=cancelled,
    )
    if run.cancelled:
        raise KeyboardInterrupt
    return fold_observed(hosts, run.reports, balancers)


def fold_observed(
    hosts: Iterable[Host], reports: Iterable[HostReport], balancers: Iterable[Host] = ()
) -> dict[str, ObservedHost]:
    """What every host said when it was observed; one that said nothing is `unreachable`."""
    found = {
        report.host: _observed(report)
        for report in reports
        if report.phase == "observe" and report.status != "started"
    }
    said = {
        host.name: found.get(host.name) or ObservedHost.unreachable(host.name, "it did not answer")
        for host in (*hosts, *balancers)
    }
    return said | {host.name: replace(said[host.name], placements={}) for host in balancers}


def balancers_of(intent: Intent, selected: Desired, hosts: Iterable[Host]) -> tuple[Host, ...]:
    """The load balancers of these placements, and of orphans that are removed, that are not among the hosts."""
    drains = [placement.drain for placement in selected.placements]
    drains += intent.desired.drains.values() if intent.desired.prune else ()
    names = names_of_balancers(drains) - {host.name for host in hosts}
    return tuple(host for host in intent.desired.hosts if host.name in names)


def probe(intent: Intent, workspace: Workspace, hosts: tuple[Host, ...]) -> dict[str, HostReport]:
    """What `orchestrator doctor` wants to know of every host."""
    paths: dict[str, list[dict[str, str]]] = {}
    for placement in intent.desired.placements:
        entry = {"application": placement.application.name, "deployment_path": placement.deployment_path}
        paths.setdefault(placement.host.name, []).append(entry)
    inventory = inventory_of(intent, hosts)
    for name, variables in inventory["all"]["hosts"].items():
        variables["placement_placements"] = paths.get(name, [])
    run = workspace.run(
        "probe",
        inventory,
        {"placement_identity": str(intent.identity)},
        references=become_passwords(hosts),
    )
    return {report.host: report for report in run.reports if report.status != "started"}


def compile_intent(
    intent: Intent,
    artifacts: Mapping[str, ResolvedArtifact],
    observed: Mapping[str, ObservedHost],
    selected: Desired | None = None,
    applications: tuple[str, ...] = (),
    fingerprints: Mapping[str, str] | None = None,
    *,
    adopt: bool = False,
) -> Plan:
    """The plan of this intent against what hosts said.

    Args:
        applications: orphans of others are not removed; empty: of all.
        fingerprints: of the secrets, see `fingerprints_of`; without them secrets are not compared.
        adopt: what is live and not ours is taken over, and nothing else is done.
    """
    return compile_plan(
        intent.desired,
        artifacts,
        observed,
        identity=intent.identity,
        commit=intent.revision.commit,
        selected=selected,
        applications=applications,
        fingerprints=fingerprints or {},
        adopt=adopt,
    )


def fingerprints_of(intent: Intent) -> dict[str, str]:
    """What lets changed secrets be noticed, by application, where this machine has the secrets."""
    from orchestrator.edges.fingerprints import fingerprints_of as find

    return find(intent.desired, intent.identity, intent.secrets)


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


def new_run(repository: DeploymentRepository, actor: str = "") -> Run:
    """The identity of one attempt.

    Args:
        actor: empty: as the repository says.
    """
    return Run(
        id=f"{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%S}-{randomness.token_hex(4)}",
        time=now(),
        actor=actor or repository.actor,
    )


def now() -> str:
    """As records and receipts have it."""
    return moment()


def hosts_of(desired: Desired) -> tuple[Host, ...]:
    """The hosts that have a placement, sorted by name."""
    named = {placement.host.name: placement.host for placement in desired.placements}
    return tuple(named[name] for name in sorted(named))


def closed_now(desired: Desired) -> str:
    """That a deployment would be refused now, one sentence; empty when the environment's windows allow it."""
    state = judge_windows(desired.windows, datetime.datetime.now(datetime.UTC))
    if state.is_open:
        return ""
    return f"{desired.environment} is closed for deployments now: {state.why}; it opens {state.opening}"


def hosts_to_ask(intent: Intent, selected: Desired, limits: tuple[str, ...]) -> tuple[Host, ...]:
    """The hosts of the selected placements; when orphans are removed, also those that have no placement any more.

    A host that is only jumped through is left alone.
    """
    hosts = {host.name: host for host in hosts_of(selected)}
    if intent.desired.prune:
        busy = {placement.host.name for placement in intent.desired.placements}
        jumps = {hop for host in intent.desired.hosts for hop in host.proxy_jump.split(",")}
        for host in intent.desired.hosts:
            names = {host.name, host.region, *host.groups}
            if host.name not in busy | jumps and not host.maintenance and (not limits or names & {*limits}):
                hosts[host.name] = host
    return tuple(hosts[name] for name in sorted(hosts))


def inventory_of(intent: Intent, hosts: tuple[Host, ...]) -> dict[str, Any]:
    """The connection variables of these hosts, as an inventory."""
    inventory = render_inventory(intent.desired.hosts, {})
    wanted = {host.name for host in hosts}
    kept = {name: value for name, value in inventory["all"]["hosts"].items() if name in wanted}
    return {"all": {"hosts": kept}}


def _observed(report: HostReport) -> ObservedHost:
    if report.status == "ok" and "observed" in report.result:
        return parse_observed(report.host, report.result["observed"], report.result.get("drained", ()))
    problem = report.result.get("problem") or {}
    kind = "unreachable" if report.status == "unreachable" else str(problem.get("kind", "host"))
    detail = str(problem.get("message") or report.result.get("msg") or "no answer")
    return ObservedHost.unreachable(report.host, " ".join(detail.split()), kind)


def become_passwords(hosts: tuple[Host, ...]) -> frozenset[Reference]:
    """References to the sudo passwords of these hosts."""
    return frozenset(host.become_password for host in hosts if host.become_password is not None)


def asks_everybody(desired: Desired, plan: Plan) -> bool:
    """Whether every host of the environment was asked for that plan, and has answered."""
    asked = {step.host for step in plan.steps} - set(plan.unknown_hosts)
    resting = any(host.maintenance for host in desired.hosts)
    return not resting and {host.name for host in hosts_of(desired)} <= asked


def nothing_done(plan: Plan) -> Outcome:
    """The outcome of a run that ended before any host was touched."""
    return fold_outcome(plan, (), finished=False, cancelled=False)
