"""The files of a new deployment repository: they validate, and CI can read them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
import yaml

from orchestrator.core.documents import parse_documents
from orchestrator.core.scaffold import (
    FORGES,
    Form,
    Scaffold,
    codeowners_path,
    render_scaffold,
    scaffold_problem,
)
from orchestrator.core.settings import Settings, environment_for_branch, parse_settings
from orchestrator.edges.scaffold import read_templates
from tests.core.builders import SCHEMAS, SETTINGS_SCHEMA, make_document

TEMPLATES = read_templates()
ENVIRONMENTS = ("dev", "staging", "production")


def make_scaffold(**overrides: Any) -> Scaffold:
    scaffold = Scaffold(
        name="shop-deploy",
        application="shop",
        environments=ENVIRONMENTS,
        forges=FORGES,
        form="full",
        version="9.8.7",
    )
    return replace(scaffold, **overrides)


def render(**overrides: Any) -> dict[str, str]:
    return render_scaffold(make_scaffold(**overrides), TEMPLATES)


def settings_of(files: dict[str, str]) -> Settings:
    return parse_settings(files["orchestrator.toml"].encode(), "orchestrator.toml", SETTINGS_SCHEMA)


@pytest.mark.parametrize("form", ["full", "simple"])
@pytest.mark.parametrize("environments", [ENVIRONMENTS, ("1.0",), ("on", "null", "a.b-c_d")])
def test_documents_validate(form: Form, environments: tuple[str, ...]) -> None:
    files = render(form=form, environments=environments)
    settings = settings_of(files)
    for name in environments:
        assert environment_for_branch(settings, name) == name
        path = f"inventories/{name}-env.json"
        desired = parse_documents(
            manifest=make_document("manifest.json", files["manifest.json"]),
            environment=make_document(path, files[path]),
            environment_name=name,
            settings=settings,
            schemas=SCHEMAS,
        )
        assert not desired.warnings
        assert {placement.application.name for placement in desired.placements} == {"shop"}
        assert {host.user for host in desired.hosts} == {"deploy"}


def test_last_environment_has_two_hosts_and_no_address_is_real() -> None:
    files = render()
    hosts = {name: json.loads(files[f"inventories/{name}-env.json"])["hosts"] for name in ENVIRONMENTS}
    assert [len(hosts[name]) for name in ENVIRONMENTS] == [1, 1, 2]
    addresses = [host["address"] for some in hosts.values() for host in some.values()]
    assert len(set(addresses)) == 4
    assert all(address.startswith("192.0.2.") for address in addresses)


def test_secrets_are_bound_to_one_origin() -> None:
    assert settings_of(render()).credentials == {"env:NEXUS_PASSWORD": "https://nexus.example.net"}


def test_nothing_is_left_to_be_filled_in() -> None:
    for path, content in render().items():
        assert "%%" not in content, path
        assert content.endswith("\n"), path
        assert not content.endswith("\n\n"), path
        assert not re.search(r"[ \t]\n", content), path


@pytest.mark.parametrize(
    ("forges", "expected", "codeowners"),
    [
        (("github",), {".github/workflows/deploy.yml"}, ".github/CODEOWNERS"),
        (("gitlab",), {".gitlab-ci.yml"}, "CODEOWNERS"),
        (("jenkins",), {"Jenkinsfile"}, "CODEOWNERS"),
        (FORGES, {".github/workflows/deploy.yml", ".gitlab-ci.yml", "Jenkinsfile"}, "CODEOWNERS"),
    ],
)
def test_only_the_chosen_forges_have_files(
    forges: tuple[Any, ...], expected: set[str], codeowners: str
) -> None:
    files = render(forges=forges)
    ci = {".github/workflows/deploy.yml", ".gitlab-ci.yml", "Jenkinsfile"}
    assert files.keys() & ci == expected
    assert codeowners_path(make_scaffold(forges=forges)) == codeowners
    owned = [line.split()[0] for line in files[codeowners].splitlines() if not line.startswith("#")]
    assert f"/{codeowners}" in owned
    assert "/inventories/production-env.json" in owned
    for name in FORGES:
        assert (f"{name}: switch these on" in files["README.md"].lower()) == (name in forges)


def test_workflow_gives_no_job_more_than_it_needs() -> None:
    workflow = yaml.safe_load(render()[".github/workflows/deploy.yml"])
    # YAML 1.1 reads the key `on` as true.
    triggers = workflow[True]
    assert triggers.keys() == {"push", "pull_request"}
    assert triggers["push"]["branches"] == [*ENVIRONMENTS, "!orchestrator/**"]
    assert triggers["pull_request"]["branches"] == list(ENVIRONMENTS)
    assert workflow["permissions"] == {}
    jobs = workflow["jobs"]
    assert jobs["plan"]["permissions"] == {"contents": "read", "pull-requests": "write"}
    assert "DEPLOY_SSH_KEY" not in json.dumps(jobs["plan"])
    assert jobs["deploy"]["permissions"] == {
        "contents": "write",
        "statuses": "write",
        "deployments": "read",
    }
    for job in jobs.values():
        for step in job["steps"]:
            assert "${{" not in step.get("run", "")
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", step.get("uses", "actions/checkout@v5"))


def test_environments_that_yaml_would_misread_stay_names() -> None:
    workflow = yaml.safe_load(render(environments=("on", "1.0"))[".github/workflows/deploy.yml"])
    assert workflow[True]["pull_request"]["branches"] == ["on", "1.0"]


def test_gitlab_runs_nothing_for_the_ledger() -> None:
    pipeline = yaml.safe_load(render()[".gitlab-ci.yml"])
    first, *rest = pipeline["workflow"]["rules"]
    assert first == {"if": "$CI_COMMIT_BRANCH =~ /^orchestrator\\//", "when": "never"}
    assert {"if": '$CI_COMMIT_BRANCH == "production"'} in rest
    assert pipeline["deploy"]["rules"] == rest[1:]
    assert pipeline["deploy"]["artifacts"]["reports"] == {"junit": "reports/deploy.xml"}
    assert pipeline["plan"]["rules"] == [{"if": '$CI_PIPELINE_SOURCE == "merge_request_event"'}]


def test_jenkinsfile_is_declarative() -> None:
    text = render()["Jenkinsfile"]
    depth, names = 0, []
    for line in text.splitlines():
        code = re.sub(r"'[^']*'", "''", line.partition("//")[0])
        if (found := re.match(r"\s*(\w+)(\(.*\))? \{$", code)) and depth == 1:
            names.append(found[1])
        depth += code.count("{") - code.count("}")
        assert depth >= 0
    assert depth == 0
    assert text.partition("\npipeline {\n")[1]
    assert names == ["options", "stages", "post"]
    assert re.findall(r"stage\('(.*)'\)", text) == [
        "Install",
        "Plan",
        "Deploy to dev",
        "Deploy to staging",
        "Deploy to production",
        "Automated tests",
    ]
    assert "\n  agent any\n" in text


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({}, ""),
        ({"environments": ()}, "no environment"),
        ({"environments": ("dev", "dev")}, "twice"),
        ({"environments": ("a b",)}, "an environment cannot be called"),
        ({"environments": ("a..b",)}, "an environment cannot be called"),
        ({"environments": ("a.lock",)}, "an environment cannot be called"),
        ({"application": "shop'; rm"}, "the application cannot be called"),
        ({"name": "a/b"}, "the repository cannot be called"),
    ],
)
def test_names_that_cannot_be(overrides: dict[str, Any], said: str) -> None:
    problem = scaffold_problem(make_scaffold(**overrides))
    assert (said in problem) if said else not problem
