"""The seam between core and the roles `package` and `container`: the same settings on both sides."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from controller_program.placements import normalise, references
from host_program import package_managers

from orchestrator.core.containers import CHOICES, Container
from orchestrator.core.kinds import process_of, render_container
from orchestrator.core.model import Placement
from orchestrator.core.packages import Package
from orchestrator.edges.schemas import read_schema
from tests.cases.case import CASES, Case
from tests.edges.test_roles import ROLES
from tests.edges.test_service_role import options

ARTIFACT = {"location": "/a/b.deb", "sha256": "a" * 64}
IMAGE = f"registry.example.net/shop@sha256:{'b' * 64}"


def rendered(name: str) -> list[tuple[Placement, dict[str, Any]]]:
    """Every placement of that golden case with what is rendered for it."""
    case = Case(path=CASES / name)
    hosts = case.compile().inventory["all"]["hosts"]
    found = {
        (host, one["application"]): one
        for host, variables in hosts.items()
        for one in variables["release_placements"]
    }
    return [
        (one, found[one.host.name, one.application.name])
        for one in case._parse("production").placements
        if (one.host.name, one.application.name) in found
    ]


def test_both_sides_make_the_same_package_and_release() -> None:
    assert len(rendered("packages")) == 3
    for placement, variables in rendered("packages"):
        assert placement.package is not None
        again = normalise({key: value for key, value in variables.items() if key != "release"}, "stage")
        assert again["package"] == asdict(placement.package)
        assert again["release"] == variables["release"]
        assert again["service"] is None


def test_both_sides_make_the_same_unit_of_a_container() -> None:
    assert len(rendered("containers")) == 3
    for placement, variables in rendered("containers"):
        process = process_of(placement)
        assert process is not None
        plain = {key: value for key, value in variables.items() if key not in ("service_digest", "release")}
        again = normalise(plain, "stage")
        assert again["service"]["unit_file"] == render_container(placement)
        assert again["service"]["digest"] == process.digest == variables["service_digest"]
        assert again["release"] == variables["release"]
    made = [normalise(variables, "stage") for _, variables in rendered("containers")]
    assert references(made, "stage") == {"env:SHOP_KEY"}


def test_plain_playbook_needs_no_path_and_no_digest_of_a_registry_image() -> None:
    package = normalise({"application": "a", "version": "1", "artifact": ARTIFACT, "package": {}}, "stage")
    assert package["deployment_path"] == "/var/lib/gitops-orchestrator/packages/a"
    assert package["artifact"]["filename"] == "a.deb"
    wanted = {"application": "a", "version": "1", "artifact": {"image": IMAGE}, "container": {}}
    container = normalise(wanted, "stage")
    assert container["deployment_path"] == "/var/lib/gitops-orchestrator/containers/a"
    assert (container["artifact"]["sha256"], container["artifact"]["packing"]) == ("b" * 64, "file")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"package": {"unit": "a/b"}}, "package.unit"),
        ({"package": {}, "artifact": {**ARTIFACT, "location": "/a/b.zip"}}, "neither a .deb nor an .rpm"),
        ({"package": {}, "service": {"exec": "/a", "user": "a"}}, "a package has no process"),
        ({"container": {"user": "a b"}}, "container.user"),
        ({"container": {"volumes": ["/a:/b --privileged"]}}, "container.volumes.0"),
        ({"container": {}, "application": "a b\nUser=root"}, "application:"),
        ({"container": {}, "artifact": {"image": "registry.example.net/a:1"}}, "a tag moves"),
        ({"container": {}, "service": {"exec": "/a", "user": "a"}}, "runs as its own unit"),
        ({"container": {}, "secrets": {"A": "value"}}, "never a value"),
        ({"container": {}, "variables": {"A": "x\ny"}}, "control character"),
    ],
)
def test_plain_playbook_is_refused_what_documents_are(change: dict[str, Any], words: str) -> None:
    with pytest.raises(AnsibleActionFail, match=words):
        normalise({"application": "a", "version": "1", "artifact": ARTIFACT, **change}, "stage")


def test_documents_and_roles_know_the_same_settings_and_choices() -> None:
    definitions = read_schema("environment")["$defs"]
    package, container = definitions["package"]["properties"], definitions["container"]["properties"]
    known = {field.name for field in fields(Package)} - {"format"}
    assert set(package) == set(options("package")["package"]["options"]) == known
    settings = options("container")["container"]["options"]
    assert set(container) == set(settings) == {field.name for field in fields(Container)}
    for name, choices in CHOICES.items():
        assert tuple(container[name]["enum"]) == tuple(settings[name]["choices"]) == choices


@pytest.mark.parametrize("role", ["package", "container"])
def test_role_hands_everything_to_the_role_release(role: str) -> None:
    ours, theirs = options(role), options("release")
    assert set(ours) <= set(theirs)
    assert ours["artifact"]["options"].keys() <= theirs["artifact"]["options"].keys()


def test_modules_of_the_roles_are_those_of_the_core() -> None:
    core = Path(__file__).resolve().parent.parent.parent / "orchestrator" / "core"
    for name in ("packages.py", "containers.py", "container_units.py"):
        here = ROLES / "placement" / "files" / "controller_program" / name
        assert here.read_bytes() == (core / name).read_bytes()


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("1.2-1", "1.10-1"),
        ("1.0~rc1-1", "1.0-1"),
        ("1.0-1", "1.0^git1-1"),
        ("1.0^git1-1", "1.0.1-1"),
        ("1.0a-1", "1.0.1-1"),
        ("9-1", "1:1-1"),
        ("1.0-1.el8", "1.0-1.el9"),
        ("1.0", "1.0-1"),
    ],
)
def test_versions_of_rpm_are_ordered_as_rpm_orders_them(older: str, newer: str) -> None:
    rpm = package_managers.Rpm()
    assert rpm.is_older(older, newer)
    assert not rpm.is_older(newer, older)
    assert not rpm.is_older(newer, newer)
