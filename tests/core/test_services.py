from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.compile import configuration_digest
from orchestrator.core.fingerprints import fingerprint
from orchestrator.core.inventory import Run, render_by_hand, render_placements
from orchestrator.core.model import Placement, Reference
from orchestrator.core.observed import ObservedPlacement, parse_observed
from orchestrator.core.plan import Plan, Step
from orchestrator.core.services import render_service, service_digest
from orchestrator.core.units import make_service
from tests.core.builders import (
    make_application,
    make_environment,
    make_manifest,
    make_settings,
    parse,
    problems,
)
from tests.core.values import make_application as make_parsed
from tests.core.values import make_artifacts, make_desired, make_observed, make_placement, make_plan

SETTINGS = {"exec": "{current}/bin/shop", "user": "shop"}
ENTRY = {"deployment_path": "/opt/shop"}
RUN = Run(id="r", time="t", actor="a")


def manifest(**overrides: Any) -> dict[str, Any]:
    application = make_application(
        kind="service", artifact={"path": "shop/shop-{version}.tar.gz"}, **overrides
    )
    return make_manifest(applications={"shop": application})


def environment(**entry: Any) -> dict[str, Any]:
    return make_environment(
        applications={"shop": {"deployment_path": "/opt/shop", "service": SETTINGS, **entry}}
    )


def only_problem(environment: Any, manifest: Any = None, **options: Any) -> str:
    (found,) = problems(manifest or globals()["manifest"](), environment, **options)
    return found.removeprefix("staging-env.json: applications.shop")


def test_service_of_the_documents_arrives() -> None:
    entry = environment(variables={"SHOP_URL": "x"}, secrets={"SHOP_KEY": {"env": "KEY"}})
    one, two = parse(manifest(), entry).placements

    assert one.service == two.service == make_service("shop", SETTINGS)
    assert one.variables == {"SHOP_URL": "x"}
    assert one.secrets == {"SHOP_KEY": Reference(source="env", name="KEY")}
    assert "ExecStart=/opt/shop/current/bin/shop\n" in render_service(one)


def test_single_file_of_a_service_may_be_executed() -> None:
    application = make_application(kind="service", artifact={"path": "shop/shop-{version}"})
    (one, _) = parse(make_manifest(applications={"shop": application}), environment()).placements
    assert one.application.artifact.executable
    (site, _) = parse().placements
    assert not site.application.artifact.executable


def test_service_without_its_settings_and_a_site_with_them_are_refused() -> None:
    entry = make_environment()
    assert '"service" is missing: its kind is service' in only_problem(entry)
    found = problems(make_manifest(), environment(variables={}, secrets={}))
    assert {line.partition(": ")[2].partition(": ")[0] for line in found} == {
        "applications.shop.secrets",
        "applications.shop.service",
        "applications.shop.variables",
    }
    assert all("a site has no process" in line for line in found)
    (wrong,) = problems(make_manifest(), make_environment(applications={"shop": {**ENTRY, "service": 7}}))
    assert "has to be an object" in wrong


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"service": 7}, ".service: has to be an object"),
        ({"service": {**SETTINGS, "exec": 7}}, ".service.exec: has to be a command"),
        ({"service": {**SETTINGS, "exec": "bin/shop"}}, ".service.exec: 'bin/shop' is no program"),
        ({"service": {**SETTINGS, "user": 7}}, ".service.user: has to be a user's name"),
        ({"service": {"user": "shop"}}, '.service: "exec" is missing; add it'),
        ({"service": {**SETTINGS, "usr": "x"}}, '.service.usr: unknown key "usr" (did you mean "user"?)'),
        ({"service": {**SETTINGS, "create_user": True}}, '.service.create_user: "create_user" is not impl'),
        ({"service": {**SETTINGS, "restart": "allways"}}, ".service.restart: has to be one of"),
        ({"service": {**SETTINGS, "stable_seconds": -1}}, ".service.stable_seconds: has to be a number"),
        ({"variables": {"A": 1}}, ".variables.A: has to be text in quotes"),
        ({"variables": {"A B": "1"}}, '.variables["A B"]: "A B" is no name of a variable'),
        ({"variables": 7}, ".variables: has to be an object"),
        ({"secrets": {"A": "value"}}, ".secrets.A: has to be a reference to a secret"),
        ({"secrets": {"A": {"env": "X"}}, "variables": {"A": "1"}}, ".secrets.A: is among `variables` too"),
    ],
)
def test_settings_that_do_not_fit_are_refused_once(entry: dict[str, Any], words: str) -> None:
    assert only_problem(environment(**entry)).startswith(words)


def test_bad_name_of_a_variable_and_bad_unit_are_named() -> None:
    entry = environment(service={**SETTINGS, "unit": "a/b"}, secrets={"1": {"env": "X"}})
    unit, secret = sorted(problems(manifest(), entry), key=lambda line: "secrets" in line)
    assert "applications.shop.service.unit: has to be the name of a service unit" in unit
    assert 'applications.shop.secrets["1"]: "1" is no name of a variable' in secret


def test_credential_of_a_repository_is_no_secret_for_hosts() -> None:
    settings = make_settings('[credentials]\n"env:NEXUS" = "https://nexus.example.net"\n')
    entry = environment(secrets={"KEY": {"env": "NEXUS"}})
    found = only_problem(entry, settings=settings)
    assert "only towards https://nexus.example.net, and not to hosts" in found
    assert parse(manifest(), environment(secrets={"KEY": {"env": "OTHER"}}), settings=settings).placements


def test_two_applications_do_not_share_a_unit_on_one_machine() -> None:
    both = make_manifest(
        applications={
            name: make_application(kind="service", artifact={"path": f"{name}.tar.gz"})
            for name in ("shop", "till")
        }
    )
    entries = {
        "shop": {"deployment_path": "/opt/shop", "service": SETTINGS},
        "till": {"deployment_path": "/opt/till", "service": {**SETTINGS, "unit": "shop.service"}},
    }
    (found,) = problems(both, make_environment(applications=entries))
    assert "applications.till.service: shop.service is the unit of shop on web1 too" in found
    entries["till"]["hosts"], entries["shop"]["hosts"] = ["web1"], ["web2"]
    assert len(parse(both, make_environment(applications=entries)).placements) == 2


def service_placement(**overrides: Any) -> Placement:
    service = make_service("api", {**SETTINGS, **overrides.pop("settings", {})})
    application = make_parsed("api", kind="service")
    return make_placement(application, service=service, **overrides)


def converged(placement: Placement, plan: Plan, **overrides: Any) -> ObservedPlacement:
    (step,) = plan.steps
    usual = ObservedPlacement(
        application="api",
        deployment_path=placement.deployment_path,
        version=step.to_version,
        release=step.release,
        artifact_sha256=step.artifact_sha256,
        configuration_digest=configuration_digest(placement),
        state="healthy",
        running="active",
        service_digest=service_digest(placement),
    )
    return replace(usual, **overrides)


def step_for(placement: Placement, fingerprints: dict[str, str] | None = None, **overrides: Any) -> Step:
    """The step of a placement whose host is converged but for `overrides`."""
    from orchestrator.core.compile import compile_plan
    from tests.core.values import IDENTITY

    desired = make_desired(placement)
    found = converged(placement, make_plan(desired), **overrides)
    host = make_observed(placement.host.name, found)
    plan = compile_plan(
        desired,
        make_artifacts(desired),
        {host.name: host},
        identity=IDENTITY,
        commit="c" * 40,
        fingerprints=fingerprints or {},
    )
    return plan.steps[0]


def test_step_names_the_unit_when_it_restarts() -> None:
    (first,) = make_plan(make_desired(service_placement()), make_observed("web1")).steps
    assert (first.action, first.restarts) == ("install", ("api.service",))
    cases: list[tuple[dict[str, Any], str, tuple[str, ...]]] = [
        ({}, "skip", ()),
        ({"release": "other", "version": "1"}, "install", ("api.service",)),
        ({"configuration_digest": "x"}, "reconfigure", ()),
        ({"configuration_digest": "x", "service_digest": "x"}, "reconfigure", ("api.service",)),
        ({"running": "failed", "problems": ("it failed",)}, "verify", ("api.service",)),
        ({"state": "active"}, "verify", ()),
    ]
    for change, action, restarts in cases:
        step = step_for(service_placement(), **change)
        assert (step.action, step.restarts) == (action, restarts), change


def test_release_that_only_reloads_restarts_nothing() -> None:
    placement = service_placement(
        settings={"on_release": "reload", "reload_exec": "/bin/kill -HUP ${MAINPID}"}
    )
    assert step_for(placement, release="other").restarts == ()
    assert step_for(placement, release="other", service_digest="x").restarts == ("api.service",)


def test_changed_secret_is_noticed_where_it_is_at_hand() -> None:
    placement = service_placement(secrets={"KEY": Reference(source="env", name="K")})
    old, new = (fingerprint("i", "api", {"KEY": value}) for value in ("old", "new"))
    same = step_for(placement, {"api": old}, secrets_fingerprint=old)
    other = step_for(placement, {"api": new}, secrets_fingerprint=old)
    unknown = step_for(placement, {}, secrets_fingerprint=old)
    assert (same.action, same.restarts) == ("skip", ())
    assert (other.action, other.reason, other.restarts) == (
        "reconfigure",
        "a secret changed",
        ("api.service",),
    )
    assert unknown.action == "skip"
    assert unknown.reason.endswith("its secrets are not at hand to be compared")


def test_configuration_is_of_settings_variables_and_references() -> None:
    placement = service_placement()
    digests = {
        configuration_digest(one)
        for one in (
            placement,
            service_placement(settings={"umask": "0077"}),
            service_placement(settings={"stable_seconds": 9}),
            replace(placement, variables={"A": "1"}),
            replace(placement, secrets={"A": Reference(source="env", name="A")}),
            replace(placement, secrets={"A": Reference(source="env", name="B")}),
        )
    }
    assert len(digests) == 6


def test_adopted_unit_has_no_file() -> None:
    placement = make_placement(service=make_service("api", {"adopt": True}))
    assert render_service(placement) == ""
    assert service_digest(make_placement()) == ""


def test_what_is_rendered_holds_settings_references_and_the_fingerprint_only_for_the_orchestrator() -> None:
    placement = service_placement(
        settings={"address_families": []},
        variables={"A": "1"},
        secrets={"KEY": Reference(source="env", name="K")},
    )
    desired = make_desired(placement)
    plan, artifacts = make_plan(desired), make_artifacts(desired)
    ((one,),) = render_placements(plan, desired, artifacts, {"api": "scrypt:1"}).values()
    assert one["service"] == {
        "unit": "api.service",
        "exec": ["{current}/bin/shop"],
        "user": "shop",
        "address_families": [],
    }
    assert (one["variables"], one["secrets"]) == ({"A": "1"}, {"KEY": {"env": "K"}})
    assert one["secrets_fingerprint"] == "scrypt:1"
    inventory, _ = render_by_hand(plan, desired, artifacts, RUN)
    (other,) = inventory["all"]["hosts"]["web1"]["release_placements"]
    assert "secrets_fingerprint" not in other


def test_host_says_what_runs() -> None:
    names = ("application", "deployment_path", "version", "release", "artifact_sha256")
    entry: dict[str, Any] = dict.fromkeys(names, "")
    entry |= {"configuration_digest": "", "previous_version": "", "state": "healthy", "problems": []}
    (silent,) = parse_observed("web1", [entry]).placements.values()
    assert (silent.running, silent.service_digest, silent.secrets_fingerprint) == ("", "", "")
    said = {"running": "act\x1bive", "service_digest": "d", "secrets_fingerprint": "f"}
    (found,) = parse_observed("web1", [{**entry, **said}]).placements.values()
    assert (found.running, found.service_digest, found.secrets_fingerprint) == ("act\\x1bive", "d", "f")
