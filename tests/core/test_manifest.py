from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.model import Application, Artifact
from tests.core.builders import (
    ABSENT,
    make_application,
    make_environment,
    make_manifest,
    make_simple_manifest,
    parse,
    problems,
)

SHA256 = "9F86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


def artifact_of(name: str = "shop", **artifact: Any) -> Artifact:
    manifest = make_manifest(applications={name: make_application(artifact=artifact)})
    entries = {name: {"deployment_path": "/srv/shop"}}
    return parse(manifest, make_environment(applications=entries)).placements[0].application.artifact


def test_full_form_gives_the_application() -> None:
    (application,) = {placement.application for placement in parse().placements}

    assert application == Application(
        name="shop",
        version="1.2.3",
        kind="site",
        depends_on=(),
        artifact=Artifact(
            repository="default",
            path="shop/shop-1.2.3.zip",
            sha256=None,
            packing="zip",
            strip_components=0,
            filename="",
        ),
    )


def test_simple_form_gives_the_same_types() -> None:
    settings_environment = make_environment(hosts=ABSENT, applications=ABSENT)
    (placement,) = parse(make_simple_manifest(), settings_environment).placements

    assert placement.application == Application(
        name="shop",
        version="1.2.3",
        kind="site",
        depends_on=(),
        artifact=Artifact(
            repository="default",
            path="shop-1.2.3.zip",
            sha256=None,
            packing="zip",
            strip_components=0,
            filename="",
        ),
    )


def test_archive_keeps_its_settings() -> None:
    artifact = artifact_of(path="a.tar.gz", sha256=SHA256, strip_components=1)

    assert (artifact.packing, artifact.sha256, artifact.strip_components) == ("tar", SHA256.lower(), 1)


@pytest.mark.parametrize(
    ("artifact", "filename"),
    [
        ({"path": "x/shop-{version}.jar"}, "shop.jar"),
        ({"path": "x/tool-{version}"}, "shop"),
        ({"maven": "com.example:api:{version}"}, "shop.jar"),
        ({"maven": "com.example:api:{version}:war"}, "shop.war"),
        ({"path": "shop.jar", "filename": "app.jar"}, "app.jar"),
        ({"path": "shop.jar", "strip_components": 0}, "shop.jar"),
    ],
)
def test_single_file_has_a_name_without_version(artifact: dict[str, Any], filename: str) -> None:
    assert artifact_of(**artifact).filename == filename


@pytest.mark.parametrize(
    ("artifact", "expected"),
    [
        ({}, ": an artifact has exactly one of `path` and `maven`"),
        ({"path": "a.zip", "maven": "a:b:1"}, ": an artifact has exactly one of `path` and `maven`"),
        ({"path": "../a.zip"}, ".path: has a segment . or .."),
        ({"maven": "a:b"}, ".maven: has to be group:artifact:version"),
        (
            {"path": "a.jar", "strip_components": 1},
            ".strip_components: a single file has no directories to strip",
        ),
        ({"path": "a.zip", "filename": "b.zip"}, ".filename: an archive is unpacked and needs no file name"),
        (
            {"path": "a.zip", "repository": "defualt"},
            '.repository: there is no repository "defualt" (did you mean "default"?)',
        ),
    ],
)
def test_artifact_that_is_wrong_is_explained(artifact: dict[str, Any], expected: str) -> None:
    (found,) = problems(make_manifest(applications={"shop": make_application(artifact=artifact)}))

    assert found.startswith(f"manifest.json: applications.shop.artifact{expected}")


@pytest.mark.parametrize("artifact", [{"path": "a-{version}.zip"}, {"maven": "g:a:{version}"}])
def test_snapshot_version_is_refused_by_name_and_once(artifact: dict[str, str]) -> None:
    application = make_application(version="1.0-SNAPSHOT", artifact=artifact)
    (found,) = problems(make_manifest(applications={"shop": application}))

    assert found.startswith(
        "manifest.json: applications.shop.version: SNAPSHOT versions are not implemented yet"
    )


@pytest.mark.parametrize(
    ("app_version", "expected"),
    [
        ("shop.zip", 'has to be <name>-<version>.<extension>, such as "my-website-2.0.0.zip"'),
        ("x/shop-1.0.zip", "has to be the artifact's file name"),
        ("shop-1.0-SNAPSHOT.zip", "SNAPSHOT versions are not implemented yet"),
        ("{{ shop }}-1.0.zip", "has to be the artifact's file name"),
        (2, "has to be the artifact's file name"),
    ],
)
def test_simple_form_with_another_file_name_is_refused(app_version: Any, expected: str) -> None:
    (found,) = problems(
        make_simple_manifest(app_version=app_version), make_environment(hosts=ABSENT, applications=ABSENT)
    )

    assert found.startswith(f"manifest.json: app_version: {expected}")


def test_forms_exclude_each_other() -> None:
    (found,) = problems(make_manifest(app_version="shop-1.2.3.zip"))

    assert found.startswith(
        "manifest.json: app_version: `app_version` (simple form) and `applications` (full form)"
    )


def test_one_of_the_forms_is_needed() -> None:
    assert problems({"manifest_version": "1"}) == [
        "manifest.json: (top level): neither `applications` nor `app_version` is here; add one of them"
    ]


def test_unknown_dependency_is_refused_with_a_near_miss() -> None:
    applications = {"shop": make_application(depends_on=["shop-apo"]), "shop-api": make_application()}
    entries = {"shop": {"deployment_path": "/srv/a"}, "shop-api": {"deployment_path": "/srv/b"}}
    (found,) = problems(make_manifest(applications=applications), make_environment(applications=entries))

    assert found == (
        'manifest.json: applications.shop.depends_on[0]: there is no application "shop-apo" (did you mean '
        '"shop-api"?); add it to `applications` or remove it here'
    )


@pytest.mark.parametrize(("count", "chain"), [(1, "a0 → a0"), (3, "a0 → a1 → a2 → a0"), (30, "a18 → … → a0")])
def test_dependency_cycle_is_refused_with_the_cycle(count: int, chain: str) -> None:
    names = [f"a{number}" for number in range(count)]
    applications = {
        name: make_application(depends_on=[names[(number + 1) % count]]) for number, name in enumerate(names)
    }
    entries = {name: {"deployment_path": f"/srv/{name}"} for name in names}
    (found,) = problems(make_manifest(applications=applications), make_environment(applications=entries))

    assert found.startswith(
        "manifest.json: applications.a0.depends_on: these applications wait for each other: a0 → "
    )
    assert f"{chain}; remove one of the dependencies" in found


def test_targets_of_all_environments_are_checked() -> None:
    targets = {
        "staging": {"host": "web.example.net", "deployment_path": "/srv/shop"},
        "production": {"host": "-x", "deployment_path": "/", "healthcheck_url": "web", "hots": 1},
        "a b": {},
    }
    found = problems(
        make_simple_manifest(environments=targets), make_environment(hosts=ABSENT, applications=ABSENT)
    )

    assert [line.partition(": ")[2].partition(": ")[0] for line in found] == [
        "environments.production.host",
        "environments.production.deployment_path",
        "environments.production.healthcheck_url",
        "environments.production.hots",
        'environments["a b"]',
    ]
