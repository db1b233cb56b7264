"""The seam between core and the role `service`: the same settings make the same unit on both sides."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from controller_program.placements import normalise, references

from orchestrator.core.model import Placement
from orchestrator.core.services import render_service, service_digest
from orchestrator.core.units import CHOICES, Service
from orchestrator.edges.schemas import read_schema
from tests.cases.case import CASES, Case
from tests.edges.test_roles import ROLES, problems, specs_of

CASE = Case(path=CASES / "services")


def options(role: str) -> dict[str, Any]:
    found: dict[str, Any] = specs_of(role)["main"][f"{role}_placements"]["options"]
    return found


def rendered() -> list[tuple[Placement, dict[str, Any]]]:
    """Every service of the golden case with what is rendered for it."""
    desired = CASE._parse("production")
    hosts = CASE.compile().inventory["all"]["hosts"]
    found = {
        (host, one["application"]): one
        for host, variables in hosts.items()
        for one in variables["release_placements"]
    }
    pairs = [
        (one, found.get((one.host.name, one.application.name))) for one in desired.placements if one.service
    ]
    return [(placement, variables) for placement, variables in pairs if variables is not None]


def test_both_sides_make_the_same_unit_release_and_digest() -> None:
    assert len(rendered()) == 3
    for placement, variables in rendered():
        made = normalise(variables, "stage")
        assert made["service"]["unit_file"] == render_service(placement)
        plain = {key: value for key, value in variables.items() if key not in ("service_digest", "release")}
        again = normalise(plain, "stage")
        assert again["service"]["digest"] == made["service"]["digest"] == service_digest(placement)
        assert again["release"] == variables["release"]


def test_values_of_secrets_are_asked_for_where_they_are_needed() -> None:
    made = [normalise(variables, "stage") for _, variables in rendered()]
    assert references(made, "stage") == references(made, "activate") == {"env:SHOP_DB_PASSWORD"}
    known = [{**one, "secrets_fingerprint": "scrypt:1"} for one in made]
    assert references(known, "activate") == references(known, "settle") == set()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"service": {"exec": "/bin/a"}}, '"user" is missing'),
        ({"application": "a b\nUser=root"}, "application:"),
        ({"deployment_path": "/opt/a\nUser=root"}, "deployment_path:"),
        ({"deployment_path": "/opt/../etc"}, "deployment_path:"),
        ({"secrets": {"A": "value"}}, "never a value"),
        ({"secrets": {"A": {"env": "X", "file": "/y"}}}, "never a value"),
        ({"variables": {"A": "x\ny"}}, "control character"),
        ({"service": {"exec": "/bin/a", "user": "a", "restart": "always\nRoot=yes"}}, "has to be one of"),
    ],
)
def test_plain_playbook_cannot_write_other_lines_into_a_unit(change: dict[str, Any], words: str) -> None:
    artifact = {"location": "/a/b.tar.gz", "sha256": "a" * 64}
    good = {"application": "a", "version": "1", "deployment_path": "/opt/a", "artifact": artifact}
    with pytest.raises(AnsibleActionFail, match=words):
        normalise({**good, "service": {"exec": "/bin/a", "user": "a"}, **change}, "stage")


def test_documents_and_role_know_the_same_settings_and_choices() -> None:
    schema = read_schema("environment")["$defs"]["service"]["properties"]
    known = {name: value for name, value in schema.items() if "x-not-implemented" not in value}
    settings = options("service")["service"]["options"]
    assert set(known) == set(settings) == {field.name for field in fields(Service)}
    for name, choices in CHOICES.items():
        assert tuple(known[name]["enum"]) == tuple(settings[name]["choices"]) == choices
    assert {name for name, value in known.items() if "enum" in value} == set(CHOICES)


def test_role_hands_everything_to_the_role_release() -> None:
    ours, theirs = options("service"), options("release")
    assert set(ours) <= set(theirs)
    assert ours["artifact"]["options"].keys() <= theirs["artifact"]["options"].keys()
    example = {"application": "a", "version": "1", "deployment_path": "/a", "artifact": {"location": "a"}}
    assert "service" in " ".join(problems("service", "main", {"service_placements": [example]}))


def test_modules_of_the_role_are_those_of_the_core() -> None:
    core = Path(__file__).resolve().parent.parent.parent / "orchestrator" / "core"
    for name in ("units.py", "unit_files.py", "fingerprints.py"):
        here = ROLES / "placement" / "files" / "controller_program" / name
        assert here.read_bytes() == (core / name).read_bytes()
