"""Packages in documents and plans."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.downgrades import check_package_downgrades
from orchestrator.core.inventory import render_placements
from orchestrator.core.kinds import may_go_back
from orchestrator.core.model import Desired
from orchestrator.core.observed import ObservedPlacement
from orchestrator.core.packages import Package, is_older_version
from orchestrator.core.plan import Plan
from orchestrator.errors import ConflictError
from tests.core.builders import make_application, make_environment, make_manifest, parse, problems
from tests.core.values import make_artifacts, make_observed, make_plan


def manifest(path: str = "shop/shop_{version}_amd64.deb", **overrides: Any) -> dict[str, Any]:
    artifact = {"path": path, **overrides.pop("artifact", {})}
    return make_manifest(
        applications={"shop": make_application(kind="package", artifact=artifact, **overrides)}
    )


def environment(**entry: Any) -> dict[str, Any]:
    return make_environment(applications={"shop": entry})


def desired(**entry: Any) -> Desired:
    return parse(manifest(), environment(**entry))


def plan_of(wanted: Desired, version: str) -> Plan:
    path = wanted.placements[0].deployment_path
    found = ObservedPlacement(
        application="shop",
        deployment_path=path,
        version=version,
        release=f"{version}-x",
        artifact_sha256="",
        configuration_digest="",
        state="healthy",
    )
    return make_plan(wanted, make_observed("web1", found))


def test_package_has_its_usual_settings_and_a_place_for_its_files() -> None:
    one, two = desired().placements
    assert one.package == two.package == Package(format="deb")
    assert one.deployment_path == "/var/lib/gitops-orchestrator/packages/shop"
    assert one.application.artifact.filename == "shop.deb"
    assert desired(deployment_path="/srv/kept").placements[0].deployment_path == "/srv/kept"
    (rpm, _) = parse(manifest("shop-{version}.x86_64.RPM"), environment()).placements
    assert (rpm.package, rpm.application.artifact.filename) == (Package(format="rpm"), "shop.rpm")


def test_settings_arrive_and_reach_hosts() -> None:
    settings = {"unit": "shop-agent", "purge": True, "allow_downgrade": True, "timeout_seconds": 60}
    wanted = desired(package=settings)
    package = wanted.placements[0].package
    assert package == Package(
        format="deb", unit="shop-agent.service", purge=True, allow_downgrade=True, timeout_seconds=60.0
    )
    plan = plan_of(wanted, "1.0.0")
    (one,) = render_placements(plan, wanted, make_artifacts(wanted))["web1"]
    assert one["package"] == {**settings, "unit": "shop-agent.service"}
    (step, _) = plan.steps
    assert (step.kind, step.restarts) == ("package", ("shop-agent.service",))
    (plain, _) = plan_of(desired(), "1.0.0").steps
    assert plain.restarts == ()


def test_allowing_a_downgrade_configures_nothing_and_a_rollback_may_always_go_back() -> None:
    digests = {
        plan_of(desired(package=settings), "1.0.0").steps[0].configuration_digest
        for settings in ({}, {"allow_downgrade": True})
    }
    assert len(digests) == 1
    assert plan_of(desired(package={"purge": True}), "1.0.0").steps[0].configuration_digest not in digests
    placement = may_go_back(desired().placements[0])
    assert placement.package == Package(format="deb", allow_downgrade=True)
    (site, _) = parse().placements
    assert may_go_back(site) == site


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"package": 7}, ".package: has to be an object"),
        ({"package": {"unit": "a/b"}}, ".package.unit: is no name of a unit"),
        ({"package": {"unit": 7}}, ".package.unit: has to be the name of a unit"),
        ({"package": {"purged": True}}, '.package.purged: unknown key "purged" (did you mean "purge"?)'),
        ({"package": {"timeout_seconds": 1}}, ".package.timeout_seconds: has to be a number of seconds"),
        ({"service": {"exec": "/a", "user": "a"}}, ".service: a package has no process"),
        ({"variables": {"A": "1"}}, ".variables: a package has no process"),
    ],
)
def test_settings_that_do_not_fit_are_refused_once(entry: dict[str, Any], words: str) -> None:
    (found,) = problems(manifest(), environment(**entry))
    assert found.removeprefix("staging-env.json: applications.shop").startswith(words)


def test_site_with_package_settings_and_package_that_is_no_file_of_one_are_refused() -> None:
    site = make_environment(applications={"shop": {"deployment_path": "/srv/shop", "package": {}}})
    (found,) = problems(make_manifest(), site)
    assert "applications.shop.package: a site is no package" in found
    (found,) = problems(manifest("shop-{version}.zip"), environment())
    assert "artifact.path: a package is one file, .deb or .rpm" in found
    (found,) = problems(manifest(artifact={"filename": "a.deb"}), environment())
    assert "artifact.filename: a package's file needs no name" in found


def test_two_packages_in_one_directory_are_refused_at_the_entry() -> None:
    applications = {
        name: make_application(kind="package", artifact={"path": "a.deb"}) for name in ("shop", "tools")
    }
    entries = {"shop": {}, "tools": {"deployment_path": "/var/x"}}
    entries["shop"] = {"deployment_path": "/var/x/y"}
    found = problems(make_manifest(applications=applications), make_environment(applications=entries))
    assert any("share a directory" in line for line in found)


def test_downgrade_is_refused_before_a_host_is_touched_unless_it_is_allowed() -> None:
    wanted = desired()
    with pytest.raises(ConflictError) as caught:
        check_package_downgrades(plan_of(wanted, "1.10.0"), wanted)
    assert caught.value.details == ("shop on web1: 1.10.0 → 1.2.3",)
    check_package_downgrades(plan_of(wanted, "1.2.2"), wanted)
    allowed = desired(package={"allow_downgrade": True})
    check_package_downgrades(plan_of(allowed, "1.10.0"), allowed)
    site = parse()
    check_package_downgrades(plan_of(site, "9"), site)


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("1.2", "1.10"),
        ("1.0~rc1", "1.0"),
        ("1.0", "1.0a"),
        ("1.0a", "1.0+b"),
        ("1.0-1", "1.0-2"),
        ("1.0", "1.0-1"),
        ("9", "1:1"),
        ("1.0-1", "1.0-1.1"),
    ],
)
def test_versions_are_ordered_as_debian_orders_them(older: str, newer: str) -> None:
    assert is_older_version(older, newer)
    assert not is_older_version(newer, older)
    assert not is_older_version(newer, newer)
