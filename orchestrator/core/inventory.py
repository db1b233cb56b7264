"""A plan as Ansible input: an inventory and extra-vars, in plain data.

Only the keys written here become connection variables; nothing from a document names a variable. Strings that
come from documents are marked when they are written, see `orchestrator.core.unsafe_yaml`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from orchestrator.core.artifacts import ResolvedArtifact
from orchestrator.core.checks import render_healthcheck, render_smoke_test
from orchestrator.core.drain_plan import render_drains
from orchestrator.core.kinds import render_kind
from orchestrator.core.model import Credentials, Desired, Host, Placement, Reference
from orchestrator.core.observed import Identity
from orchestrator.core.once_plan import due_hooks, first_group
from orchestrator.core.plan import Plan, Step
from orchestrator.core.release_settings import ONCE, render_release_settings
from orchestrator.core.services import service_digest
from orchestrator.core.units import Service

DEFAULT_PYTHON = "python3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What receipts say about who did it.

    Attributes:
        id: one per run; hosts tell by it what this run activated.
        time: the controller's clock, ISO 8601 in UTC.
        token: of the lock that it holds; hosts refuse a smaller one than they have seen. None: no lock.
        leaves_bad: what it replaces is marked bad: no later rollback goes there.
        teach: hosts learn the token when they are observed already, since a lock was broken.
    """

    id: str
    time: str
    actor: str
    token: int | None = None
    leaves_bad: bool = False
    teach: bool = False


def render_inventory(hosts: Iterable[Host], variables: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """An inventory of these hosts: connection variables by white list, and what `variables` has for each."""
    known = {host.name: host for host in hosts}
    return {
        "all": {
            "hosts": {
                name: {**connection_variables(host, known), **variables.get(name, {})}
                for name, host in sorted(known.items())
            }
        }
    }


def connection_variables(host: Host, hosts: Mapping[str, Host]) -> dict[str, Any]:
    """How Ansible reaches that host. A secret is a reference that the action looks up by itself."""
    variables: dict[str, Any] = {
        "ansible_connection": host.connection,
        "ansible_host": host.address,
        "ansible_python_interpreter": host.python or DEFAULT_PYTHON,
        "ansible_become": host.become,
    }
    if host.connection == "ssh":
        variables["ansible_port"] = host.port
        if host.user:
            variables["ansible_user"] = host.user
        key = private_key_path(host.private_key)
        if key:
            variables["ansible_ssh_private_key_file"] = key
        if host.proxy_jump:
            variables["ansible_ssh_common_args"] = f"-J {jump_chain(host, hosts)}"
    if host.become:
        variables["ansible_become_method"] = "sudo"
        variables["ansible_become_user"] = host.become_user or "root"
    if host.become_password is not None:
        secret = render_reference(host.become_password)
        variables["release_become_password"] = secret
        variables["placement_become_password"] = secret
    return variables


def private_key_path(key: Reference | str | None) -> str:
    """The key's path on the controller; empty when it is none or lies in an environment variable."""
    match key:
        case Reference(source="file", name=path):
            return path
        case str():
            return key
        case _:
            return ""


def jump_chain(host: Host, hosts: Mapping[str, Host]) -> str:
    """`proxy_jump` as ssh takes it, names of hosts of the environment replaced by what reaches them."""
    return ",".join(_jump(hop, hosts) for hop in host.proxy_jump.split(","))


def _jump(hop: str, hosts: Mapping[str, Host]) -> str:
    target = hosts.get(hop)
    if target is None:
        return hop
    user = f"{target.user}@" if target.user else ""
    address = f"[{target.address}]" if ":" in target.address else target.address
    return f"{user}{address}:{target.port}"


def render_by_hand(
    plan: Plan, desired: Desired, artifacts: Mapping[str, ResolvedArtifact], run: Run
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Inventory and extra-vars of `playbooks/deploy.yml` without an orchestrator: what is done is in variables.

    Only hosts and placements with something to do are there, and the load balancers of these.
    """
    plan = _without_removals(plan)
    variables: dict[str, dict[str, Any]] = {
        host: {"release_placements": placements}
        for host, placements in render_placements(plan, desired, artifacts).items()
    }
    drains = render_drains(plan, desired.placements, desired)
    for place in sorted({place for places in drains.values() for place in places}):
        variables.setdefault(place, {})
    hosts = [host for host in desired.hosts if host.name in variables or _is_jump(host, desired)]
    inventory = render_inventory(hosts, variables)
    inventory["all"]["hosts"] = {name: inventory["all"]["hosts"][name] for name in sorted(variables)}
    extra = {
        **render_deployment(desired, plan.identity, run),
        "release_run": render_run(run, plan),
        "release_groups": sorted({step.group for step in plan.changes}) or [0],
        **({"release_drains": {str(group): places for group, places in drains.items()}} if drains else {}),
    }
    return inventory, extra


def _without_removals(plan: Plan) -> Plan:
    return replace(plan, steps=tuple(step for step in plan.steps if step.action != "remove"))


def render_deployment(desired: Desired, identity: Identity, run: Run) -> dict[str, Any]:
    """Extra-vars that are known before the plan is."""
    return {
        "release_identity": str(identity),
        "release_run": _render_run(run),
        "release_max_failures": desired.strategy.max_failures,
        "release_rollback": desired.strategy.rollback,
    }


def render_run(run: Run, plan: Plan) -> dict[str, Any]:
    """What receipts say about the run."""
    return {**_render_run(run), "commit": plan.commit, "plan_id": plan.plan_id}


def _render_run(run: Run) -> dict[str, Any]:
    told: dict[str, Any] = {"id": run.id, "time": run.time, "actor": run.actor, "token": run.token}
    return {**told, "leaves_bad": True} if run.leaves_bad else told


def render_placements(
    plan: Plan,
    desired: Desired,
    artifacts: Mapping[str, ResolvedArtifact],
    fingerprints: Mapping[str, str] | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """`release_placements` of every host that has something to do, in the plan's order.

    Args:
        fingerprints: of the secrets, by application; without them the action finds them out.
    """
    placements = {
        (one.application.name, one.host.name, one.deployment_path): one for one in desired.placements
    }
    rendered: dict[str, list[dict[str, Any]]] = {}
    for step in plan.changes:
        if step.action == "remove":
            rendered.setdefault(step.host, []).append(render_removal(step))
            continue
        placement = placements[(step.application, step.host, step.deployment_path)]
        placement = due_hooks(plan, step, placement)
        fingerprint = (fingerprints or {}).get(step.application, "")
        one = render_placement(step, placement, artifacts[step.application], fingerprint)
        if ONCE in placement.release.hooks:
            one["wave"] = first_group(plan, step)
        rendered.setdefault(step.host, []).append(one)
    return rendered


def render_removal(step: Step) -> dict[str, Any]:
    """What the phase `absent` is told of an orphan."""
    return {
        "application": step.application,
        "version": step.from_version or "",
        "deployment_path": step.deployment_path,
        "action": step.action,
        "group": step.group,
    }


def _is_jump(host: Host, desired: Desired) -> bool:
    return any(host.name in other.proxy_jump.split(",") for other in desired.hosts if other.proxy_jump)


def render_placement(
    step: Step, placement: Placement, artifact: ResolvedArtifact, fingerprint: str = ""
) -> dict[str, Any]:
    """One element of the role `release`'s `release_placements`.

    Args:
        fingerprint: of its secrets; empty: there are none, or the action finds it out.
    """
    wanted = placement.application.artifact
    return {
        "application": step.application,
        "version": step.to_version,
        "deployment_path": step.deployment_path,
        "release": step.release,
        "action": step.action,
        "group": step.group,
        "configuration_digest": step.configuration_digest,
        "keep_releases": placement.keep_releases,
        "artifact": {
            "location": artifact.location,
            "delivery": artifact.delivery,
            "sha256": artifact.sha256,
            "size_bytes": artifact.size_bytes,
            "packing": wanted.packing,
            "strip_components": wanted.strip_components,
            "filename": wanted.filename,
            "credentials": render_credentials(artifact.credentials),
            **({"executable": True} if wanted.executable else {}),
            **({"image": wanted.image} if wanted.image else {}),
        },
        "healthchecks": [render_healthcheck(check) for check in placement.healthchecks],
        "smoke": [render_smoke_test(test) for test in placement.smoke],
        **_render_process(step, placement),
        **render_kind(placement),
        **_render_release(placement),
        **({"secrets_fingerprint": fingerprint} if fingerprint else {}),
    }


def _render_process(step: Step, placement: Placement) -> dict[str, Any]:
    """How it runs, as far as that is not the default; nothing for what does not run."""
    if placement.role is not None:
        return {
            "role": {
                "name": placement.role.name,
                "entries": list(placement.role.entries),
                "from_version": step.from_version or "",
                "variables": dict(placement.variables),
                "secrets": {
                    name: render_reference(reference) for name, reference in placement.secrets.items()
                },
            }
        }
    if placement.service is None:
        return {}
    usual = asdict(Service(unit=""))
    settings = {name: value for name, value in asdict(placement.service).items() if value != usual[name]}
    return {
        "service": {
            name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()
        },
        "service_digest": service_digest(placement),
        "variables": dict(placement.variables),
        "secrets": {name: render_reference(reference) for name, reference in placement.secrets.items()},
    }


def _render_release(placement: Placement) -> dict[str, Any]:
    """What its release is beside the artifact, what runs around it, and what both are given; mostly nothing."""
    rendered = render_release_settings(placement.release)
    if placement.release.templates:
        rendered["template_variables"] = dict(placement.template_variables)
    if placement.release.templates or placement.release.hooks:
        rendered["variables"] = dict(placement.variables)
    if placement.release.wants_secrets:
        rendered["secrets"] = {
            name: render_reference(reference) for name, reference in placement.secrets.items()
        }
    return rendered


def render_credentials(credentials: Credentials | None) -> dict[str, Any]:
    """Credentials as references; a plain user name stays one."""
    if credentials is None:
        return {}
    fields = {
        "username": credentials.username,
        "password": credentials.password,
        "token": credentials.token,
    }
    return {
        name: render_reference(value) if isinstance(value, Reference) else value
        for name, value in fields.items()
        if value is not None
    }


def render_reference(reference: Reference) -> dict[str, str]:
    """`{"env": NAME}` or `{"file": PATH}`, as documents write it."""
    return {reference.source: reference.name}
