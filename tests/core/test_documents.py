from __future__ import annotations

import copy
import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.core.canonical import digest
from orchestrator.core.settings import Settings, parse_settings
from orchestrator.errors import DocumentError
from tests.core.builders import (
    ABSENT,
    KEY,
    SETTINGS_SCHEMA,
    make_application,
    make_environment,
    make_manifest,
    make_settings,
    make_simple_manifest,
    parse,
    problems,
)

EXAMPLES = Path(__file__).parent / "examples"


def test_everything_of_the_documents_arrives() -> None:
    manifest, environment = make_manifest(description="A shop"), make_environment()
    desired = parse(manifest, environment)

    assert (desired.environment, desired.manifest_version, desired.description) == (
        "staging",
        "1.0.0",
        "A shop",
    )
    assert desired.documents == {"manifest": digest(manifest), "environment": digest(environment)}
    assert desired.warnings == ()
    assert list(desired.repositories) == ["default"]


def test_missing_environment_has_the_digest_of_null() -> None:
    text = '[repositories.default]\ntype = "directory"\npath = "artifacts"\n'
    desired = parse(make_simple_manifest(), ABSENT, settings=make_settings(text))

    assert desired.documents["environment"] == digest(None)


def test_violations_carry_the_lines_of_their_documents() -> None:
    with pytest.raises(DocumentError) as caught:
        parse(
            '{\n"manifest_version": "1",\n"app_version": "a-1.zip",\n"colour": 1}',
            '{"environment":\n"staging",\n\n"hots": 1}',
        )

    assert [line.partition(": ")[0] for line in caught.value.details] == [
        "manifest.json:4",
        "staging-env.json:1",
        "staging-env.json:4",
    ]


def test_unreadable_document_does_not_hide_the_other_ones_violations() -> None:
    assert len(problems("{", make_environment(colour=1))) == 2
    assert len(problems(make_manifest(colour=1), "{")) == 2
    assert len(problems("[]", "[]")) == 2


def test_duplicate_keys_are_violations_beside_the_others() -> None:
    found = problems(
        '{"manifest_version": "1", "manifest_version": "2", "app_version": "a-1.zip", "x": 1}',
        make_environment(applications={}),
    )

    assert any("is here twice" in line for line in found)
    assert any("unknown key" in line for line in found)


def test_template_strings_stay_text_where_text_is_allowed() -> None:
    text = "{{ lookup('pipe', 'id') }} {% if x %} $(id) `id` ; | &"

    assert parse(make_manifest(description=text)).description == text


def test_simple_example_is_read() -> None:
    manifest = (EXAMPLES / "simple-manifest.json").read_bytes()
    repository = make_settings(
        '[repositories.default]\ntype = "nexus"\nurl = "https://nexus.example.net"\nrepository = "raw"\n'
    )
    for name, host in (
        ("dev", "web-dev.example.net"),
        ("staging", "web-staging.example.net"),
        ("production", "web.example.net"),
    ):
        (placement,) = parse(manifest, ABSENT, name=name, settings=repository).placements
        assert placement.host.name == host
        assert placement.application.artifact.path == "my-website-2.0.0.zip"


def test_stack_example_is_accepted() -> None:
    manifest = (EXAMPLES / "stack-manifest.json").read_bytes()
    environment = (EXAMPLES / "stack-production-env.json").read_bytes()
    placements = parse(manifest, environment, name="production").placements

    assert {one.application.kind for one in placements} == {"site", "service", "package"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(), values, max_size=4),
    max_leaves=20,
)


def parse_quietly(manifest: Any, environment: Any) -> None:
    try:
        parse(manifest, environment)
    except DocumentError as error:
        assert error.details
        assert all(line.isprintable() for line in error.details)


@given(st.binary(), st.binary())
def test_arbitrary_bytes_raise_nothing_but_document_errors(manifest: bytes, environment: bytes) -> None:
    parse_quietly(manifest, environment)


@given(JSON, JSON)
def test_arbitrary_json_raises_nothing_but_document_errors(manifest: Any, environment: Any) -> None:
    parse_quietly(json.dumps(manifest), json.dumps(environment))


RICH_MANIFEST = make_manifest(
    description="x",
    environments={
        "staging": {},
        "dev": {"host": "a", "deployment_path": "/srv/a", "healthcheck_url": "http://a/"},
    },
    applications={
        "shop": make_application(kind="site", depends_on=["api"]),
        "api": make_application(
            artifact={
                "maven": "g:a:{version}",
                "filename": "a.jar",
                "sha256": "0" * 64,
                "repository": "default",
            }
        ),
        "old": make_application(artifact={"path": "a.tgz", "strip_components": 1}),
    },
)
RICH_HOST = {
    "address": "192.0.2.1",
    "port": 22,
    "user": "u",
    "private_key": {"env": "K"},
    "host_key": [KEY],
    "proxy_jump": "web2",
    "become": True,
    "become_user": "r",
    "become_password": {"file": "/a"},
    "groups": ["web"],
    "connection": "ssh",
    "python": "/p",
    "maintenance": False,
}
RICH_ENVIRONMENT = make_environment(
    hosts=ABSENT,
    defaults={"user": "u", "groups": ["every"], "host_key": KEY},
    regions={"eu": {"order": 1, "hosts": {"web1": RICH_HOST}}, "us": {"order": 2, "hosts": {"web2": {}}}},
    repositories={
        "default": {
            "type": "nexus",
            "url": "https://a.example",
            "repository": "r",
            "credentials": {"username": {"env": "U"}, "password": {"env": "P"}},
        },
        "local": {"type": "directory", "path": "p"},
    },
    applications={
        "shop": {
            "hosts": ["web", "web2"],
            "deployment_path": "/srv/{host}",
            "healthcheck_url": "http://{address}/",
        },
        "api": {
            "deployment_path": "/srv/api",
            "keep_releases": 2,
            "healthcheck": {
                "url": "http://{host}:{port}/",
                "from": "host",
                "port": 80,
                "status": [200],
                "retries": 1,
            },
        },
        "old": {"hosts": []},
    },
    strategy={"batches": ["100%"], "max_failures": 1, "rollback": "all"},
)


def paths_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    return [path, *(one for key, child in children for one in paths_of(child, (*path, key)))]


HOSTILE = st.sampled_from(
    [
        "{{ 7 * 7 }}",
        "{host}",
        "all",
        "web1",
        "shop",
        "../x",
        "/",
        "-x",
        "a\nb",
        "\ud800",
        "\0",
        ":",
        "@",
        "[",
        "]",
        ",",
    ]
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_valid_documents_with_anything_in_any_place_raise_nothing_but_document_errors(
    data: st.DataObject,
) -> None:
    documents = {"manifest": copy.deepcopy(RICH_MANIFEST), "environment": copy.deepcopy(RICH_ENVIRONMENT)}
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(paths_of(documents)[3:]))
        parent: Any = documents
        for part in path[:-1]:
            parent = parent[part]
        match data.draw(st.sampled_from(["replace", "remove", "rename"])):
            case "remove" if isinstance(parent, dict) and len(path) > 1:
                del parent[path[-1]]
            case "rename" if isinstance(parent, dict) and len(path) > 1:
                parent[data.draw(HOSTILE | st.text())] = parent.pop(path[-1])
            case _:
                parent[path[-1]] = data.draw(HOSTILE | JSON)
    parse_quietly(json.dumps(documents["manifest"]), json.dumps(documents["environment"]))


def test_rich_documents_are_valid() -> None:
    assert len(parse(RICH_MANIFEST, RICH_ENVIRONMENT).placements) == 4


@given(
    st.binary() | JSON.map(lambda value: f"format = 1\nname = {json.dumps(value)}".encode("utf-8", "replace"))
)
def test_arbitrary_settings_raise_nothing_but_document_errors(content: bytes) -> None:
    try:
        assert isinstance(parse_settings(content, "orchestrator.toml", SETTINGS_SCHEMA), Settings)
    except DocumentError as error:
        assert all(line.isprintable() for line in error.details)


def large(hosts: int, applications: int) -> tuple[str, str]:
    names = [f"app{number}" for number in range(applications)]
    manifest = make_manifest(applications={name: make_application() for name in names})
    environment = make_environment(
        hosts={
            f"web{number}": {"address": f"10.1.{number // 250}.{number % 250}", "port": 22}
            for number in range(hosts)
        },
        applications={name: {"deployment_path": f"/srv/{name}/{{host}}"} for name in names},
    )
    return json.dumps(manifest), json.dumps(environment)


def test_ten_thousand_placements_are_read_in_seconds() -> None:
    """Generous bounds (each takes less than a tenth): they catch quadratic time, not a slow machine."""
    for hosts, applications in ((10_000, 1), (1_000, 10)):
        manifest, environment = large(hosts, applications)
        start = time.process_time()
        assert len(parse(manifest, environment).placements) == 10_000
        assert time.process_time() - start < 10


def test_ten_thousand_violations_are_found_in_seconds() -> None:
    manifest, environment = large(10_000, 1)
    start = time.process_time()
    found = problems(manifest, environment.replace('"port": 22', '"prot": 22'))

    assert len(found) == 10_000
    assert time.process_time() - start < 20
