"""Roles of the deployment repository: which there are, who uses them, and what becomes of a run when one fails."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.compile import configuration_digest
from orchestrator.core.documents import parse_documents
from orchestrator.core.host_report import HostReport
from orchestrator.core.inventory import render_placements
from orchestrator.core.model import Reference
from orchestrator.core.outcome import Outcome, fold_outcome
from orchestrator.core.own_outcome import mark_own_failures
from orchestrator.core.own_roles import OwnRole, read_roles, role_problem
from orchestrator.core.settings import Settings
from orchestrator.errors import DocumentError
from tests.core.builders import SCHEMAS, make_application, make_document, make_environment, make_manifest
from tests.core.values import make_artifacts, make_desired, make_observed, make_placement, make_plan

BILLING = OwnRole(name="billing", digest="d1", entries=("stage", "activate"))
LISTED = """\
040000 tree a0\tteam/roles
040000 tree a1\tteam/roles/billing
040000 tree a2\tteam/roles/billing/tasks
100644 blob b1\tteam/roles/billing/tasks/activate.yml
100644 blob b2\tteam/roles/billing/tasks/stage.yaml
100644 blob b3\tteam/roles/billing/tasks/other.yml
100644 blob b4\tteam/roles/README.md
040000 tree a3\tteam/roles/empty
160000 commit c1\tteam/roles/module"""


def parse(role: Any, *, kind: str = "site", **entry: Any) -> Any:
    placed = {"deployment_path": "/srv/shop", "hosts": ["web1"], "role": role, **entry}
    return parse_documents(
        manifest=make_document(
            "manifest.json", make_manifest(applications={"shop": make_application(kind=kind)})
        ),
        environment=make_document("staging-env.json", make_environment(applications={"shop": placed})),
        environment_name="staging",
        settings=Settings(),
        schemas=SCHEMAS,
        roles={"billing": BILLING, "broken": OwnRole(name="broken", digest="d2", entries=("stage",))},
    )


def test_roles_are_what_git_lists() -> None:
    assert read_roles(LISTED.splitlines(), "team/roles") == {
        "billing": OwnRole(name="billing", digest="a1", entries=("stage", "activate")),
        "empty": OwnRole(name="empty", digest="a3", entries=()),
    }
    assert read_roles([], "roles") == {}


def test_application_with_a_role_has_variables_and_secrets_for_it() -> None:
    desired = parse("billing", variables={"MODE": "a"}, secrets={"KEY": {"env": "KEY"}})
    (placement,) = desired.placements
    assert placement.role == BILLING
    assert placement.variables == {"MODE": "a"}
    assert placement.secrets == {"KEY": Reference(source="env", name="KEY")}


@pytest.mark.parametrize(
    ("role", "kind", "problem"),
    [
        ("billig", "site", "there is no role roles/billig at this commit; there is billing, broken"),
        ("broken", "site", "the role has no roles/broken/tasks/activate.yml"),
        ("service", "site", "service is a role of the orchestrator; give yours another name"),
        ("../billing", "site", "has to be the name of a role"),
        ("billing", "service", "a service is started by the role service; remove this"),
    ],
)
def test_wrong_roles_are_violations_with_their_line(role: str, kind: str, problem: str) -> None:
    more = {"service": {"exec": "/bin/app", "user": "app"}} if kind == "service" else {}
    with pytest.raises(DocumentError) as caught:
        parse(role, kind=kind, **more)
    (found,) = caught.value.details
    file, line, rest = found.split(":", 2)
    assert (file, line.isdigit()) == ("staging-env.json", True)
    assert rest.startswith(f" applications.shop.role: {problem}")


def test_hook_that_its_role_would_never_run_is_refused() -> None:
    hooks = {"before_activate": [{"command": ["bin/check"]}], "after_activate": []}
    assert list(parse("billing", hooks=hooks).placements[0].release.hooks) == ["before_activate"]
    with pytest.raises(DocumentError) as caught:
        parse("billing", hooks={**hooks, "after_activate": [{"command": ["bin/tell"]}]})
    (found,) = caught.value.details
    assert "applications.shop.hooks.after_activate: an application with a role of its own has none" in found
    assert found.endswith("do it in roles/billing/tasks/activate.yml, or as a smoke test")


def test_a_role_needs_no_service_and_has_none() -> None:
    with pytest.raises(DocumentError) as caught:
        parse("billing", service={"exec": "/bin/app", "user": "app"})
    assert "a site has no process" in caught.value.details[0]
    assert role_problem("x", {}) == "there is no role roles/x at this commit; commit it, or correct the name"


def test_changed_role_is_another_configuration_and_hosts_are_told_of_it() -> None:
    plain = make_placement()
    own = replace(plain, role=BILLING, variables={"A": "1"}, secrets={"K": Reference(source="env", name="K")})
    changed = replace(own, role=replace(BILLING, digest="d2"))
    assert len({configuration_digest(one) for one in (plain, own, changed)}) == 3
    desired = make_desired(own)
    (told,) = render_placements(make_plan(desired), desired, make_artifacts(desired))["web1"]
    assert told["role"] == {
        "name": "billing",
        "entries": ["stage", "activate"],
        "from_version": "",
        "variables": {"A": "1"},
        "secrets": {"K": {"env": "K"}},
    }
    assert "variables" not in told


def report(phase: str, **result: Any) -> HostReport:
    return HostReport(host="web1", phase=phase, status="ok", result=result)


def failure(entry: str, application: str = "site") -> HostReport:
    return report("own", own={"application": application, "entry": entry, "message": f"{entry} failed"})


def outcome(result: str) -> Outcome:
    plan = make_plan(make_desired(), make_observed("web1"))
    one = {"application": "site", "deployment_path": "/srv/site", "changed": True, "message": "m"}
    said = report("activate", placements=[{**one, "result": result}])
    return fold_outcome(plan, [said], finished=True, cancelled=False)


def test_what_a_role_fails_at_is_no_success() -> None:
    good, back = outcome("healthy"), outcome("switched_back")
    assert mark_own_failures(good, [report("activate"), report("own"), failure("activate", "other")]) == good
    marked = mark_own_failures(good, [failure("activate")])
    assert (marked.verdict, marked.placements[0].result, marked.placements[0].message) == (
        "failed",
        "failed",
        "activate failed",
    )
    assert mark_own_failures(back, [failure("activate")]) == back
    unknown = replace(good, verdict="unknown")
    assert mark_own_failures(unknown, [failure("stage")]).verdict == "unknown"
    marked = mark_own_failures(back, [failure("rollback")])
    assert (marked.verdict, marked.placements[0].result, marked.placements[0].version) == (
        "unknown",
        "unknown",
        None,
    )
