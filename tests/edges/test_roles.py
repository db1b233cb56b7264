"""The seam between Python and Ansible: what is rendered is what the roles' specs accept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleActionFail
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from controller_program.checks import normalise_check
from controller_program.placements import normalise

from orchestrator.core.checks import render_healthcheck
from tests.cases.case import Case, all_cases
from tests.core.builders import make_environment, parse
from tests.role_docs import ROLES

ACCEPTED = [case for case in all_cases() if not (case.path / "errors.txt").exists()]
ALL_ROLES = sorted(path.parent.parent.name for path in ROLES.glob("*/meta/argument_specs.yml"))


def load(role: str, part: str) -> Any:
    return yaml.safe_load((ROLES / role / part).read_text())


@cache
def specs_of(role: str) -> Mapping[str, Any]:
    """Entry point → its options."""
    found = load(role, "meta/argument_specs.yml")["argument_specs"]
    return {entry: spec["options"] for entry, spec in found.items()}


def problems(role: str, entry: str, given: Mapping[str, Any]) -> list[str]:
    """What Ansible's own validator says about variables for that entry point."""
    return list(ArgumentSpecValidator(specs_of(role)[entry]).validate(dict(given)).error_messages)


def of_role(role: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """The variables that are the role's."""
    return {name: value for name, value in variables.items() if name.startswith(f"{role}_")}


@pytest.mark.parametrize("entry", specs_of("release"))
@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.name)
def test_rendered_variables_satisfy_every_entry_point_of_the_role(case: Case, entry: str) -> None:
    compiled = case.compile()
    assert set(compiled.inventory["all"]["hosts"]) == {step.host for step in compiled.plan.changes}
    for variables in compiled.inventory["all"]["hosts"].values():
        given = {**of_role("release", variables), **compiled.extra_vars}
        assert problems("release", entry, given) == []
        asked = {**of_role("placement", variables), "placement_identity": "x", "placement_placements": []}
        assert problems("placement", "observe", {**asked, "placement_verify": True}) == []
        assert problems("placement", "probe", asked) == []


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.name)
def test_only_connection_variables_and_those_of_a_role_are_rendered(case: Case) -> None:
    compiled = case.compile()
    known = {name for role in ALL_ROLES for options in specs_of(role).values() for name in options}
    assert set(compiled.extra_vars) <= known
    for variables in compiled.inventory["all"]["hosts"].values():
        ours = {name for name in variables if not name.startswith("ansible_")}
        assert ours <= known


@pytest.mark.parametrize("role", ALL_ROLES)
def test_defaults_equal_their_specs(role: str) -> None:
    defaults = load(role, "defaults/main.yml")
    specified: dict[str, Any] = {}
    for options in specs_of(role).values():
        for name, option in options.items():
            assert name.startswith(f"{role}_")
            if "default" in option:
                assert specified.setdefault(name, option["default"]) == option["default"]
            else:
                assert option.get("required") or name not in defaults
    assert defaults == specified


def test_defaults_of_a_placement_are_those_of_the_plugin_and_of_documents() -> None:
    options = specs_of("release")["main"]["release_placements"]["options"]
    settings = options["healthcheck"]["options"]
    assert options["healthchecks"]["options"] == settings
    check = {name: one["default"] for name, one in settings.items() if "default" in one}
    artifact = {"location": "https://files.example.net/a.zip", "sha256": "a" * 64}
    given = {"application": "a", "version": "1", "deployment_path": "/a", "artifact": artifact}
    made = normalise({**given, "healthcheck": {"url": "http://h/"}}, "stage")
    # What a document leaves out is the core's to fill in, and the role's where a plain playbook leaves it out.
    assert made["healthchecks"] == [
        {"url": "http://h/", **{name: check[name] for name in check if name != "user"}}
    ]
    for name in ("group", "keep_releases"):
        assert made[name] == options[name]["default"]
    for name in ("strip_components", "credentials"):
        assert made["artifact"][name] == options["artifact"]["options"][name]["default"]

    entry = {"deployment_path": "/srv/shop", "healthcheck_url": "http://{address}/"}
    (placement, *_) = parse(environment=make_environment(applications={"shop": entry})).placements
    assert placement.keep_releases == options["keep_releases"]["default"]
    (rendered,) = map(render_healthcheck, placement.healthchecks)
    assert rendered == {**made["healthchecks"][0], "url": "http://192.0.2.1/"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"release_rollback": "sometimes"}, "sometimes"),
        ({"release_max_failures": "many"}, "many"),
        ({"release_placements": [{"application": "a"}]}, "version"),
        ({"release_colour": "red"}, "release_colour"),
    ],
)
def test_the_specs_refuse_what_does_not_fit(change: dict[str, Any], words: str) -> None:
    assert words in " ".join(problems("release", "main", change))


@pytest.mark.parametrize("digest", ["abc", "", "g" * 64, "a" * 65, f"sha256:{'a' * 64}"])
def test_digest_that_is_none_is_refused_before_a_host_is_asked(digest: str) -> None:
    artifact = {"location": "https://files.example.net/a.zip", "sha256": digest}
    with pytest.raises(AnsibleActionFail, match=r"artifact\.sha256 of a has to be 64 hex digits"):
        normalise({"application": "a", "path": "/a", "artifact": artifact}, "fetch")


@pytest.mark.parametrize(
    "check",
    [
        {"url": "https://{address}/", "json": {"v": 1, "w": None}, "headers": {"A": "b"}, "ca_file": "/a"},
        {"type": "tcp", "port": 80},
        {"type": "command", "command": ["{current}/check", "{{ x }}"], "user": "shop"},
        {"type": "systemd", "unit": "shop.service", "stays_healthy_seconds": 3},
    ],
)
def test_rendered_check_is_what_the_roles_make_of_it(check: dict[str, Any]) -> None:
    entry = {"deployment_path": "/srv/shop", "healthchecks": [check]}
    (placement, *_) = parse(environment=make_environment(applications={"shop": entry})).placements
    (rendered,) = map(render_healthcheck, placement.healthchecks)
    assert normalise_check(rendered) == rendered
    options = specs_of("release")["main"]["release_placements"]["options"]["healthcheck"]["options"]
    assert not ArgumentSpecValidator(options).validate(rendered).error_messages


@pytest.mark.parametrize(
    ("check", "words"),
    [
        ({"type": "udp"}, "type 'udp' is none of http, tcp, command, systemd"),
        ({}, "url '' is no http or https URL"),
        ({"url": "file:///etc/passwd"}, "is no http or https URL"),
        ({"url": "http://h/", "port": 80}, "`port` belongs to type tcp, and this is type http"),
        ({"url": "http://h/", "method": "DELETE"}, "method 'DELETE' is none of"),
        ({"url": "http://h/", "method": "HEAD", "body": "x"}, "the answer to HEAD has no body"),
        ({"url": "http://h/", "insecure": True, "ca_file": "/a"}, "keep one of them"),
        ({"url": "http://h/", "headers": {"A": "b\r\nC: d"}}, "`headers` has control characters"),
        ({"url": "http://h/", "json": {"a": [1]}}, "json 'a' is compared with a text"),
        ({"url": "http://h/", "origin": "us"}, "origin 'us' is neither"),
        ({"url": "http://h/", "successes": 0}, "successes is 0, which is too small"),
        ({"url": "http://h/", "initial_delay_seconds": 60}, "has to be less than deadline_seconds"),
        ({"type": "tcp", "host": "h"}, "a tcp check needs `host` and `port`"),
        ({"type": "command"}, "`command` has to be a list"),
        ({"type": "command", "command": "rm -rf /"}, "`command` has to be a list"),
        ({"type": "command", "command": ["a\0"]}, "a NUL character"),
        ({"type": "command", "command": ["a"], "origin": "controller"}, "is asked on the host"),
        ({"type": "systemd", "unit": "--all"}, "is no name of a unit"),
    ],
)
def test_check_of_a_playbook_that_does_not_fit_is_refused(check: dict[str, Any], words: str) -> None:
    with pytest.raises(AnsibleActionFail, match=re.escape(words)):
        normalise_check(check)
