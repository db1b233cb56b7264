from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from orchestrator.edges.schemas import SchemaName, read_schema
from tests.core.builders import make_application, make_environment, make_manifest, parse, problems


@pytest.mark.parametrize("name", ["manifest", "environment", "settings"])
def test_schemas_are_valid_and_describe_every_key(name: SchemaName) -> None:
    schema = read_schema(name)
    Draft202012Validator.check_schema(schema)

    def undescribed(node: Any, path: str) -> list[str]:
        if not isinstance(node, dict):
            return []
        found = []
        for key, child in node.get("properties", {}).items():
            if "description" not in child and "$ref" not in child:
                found.append(f"{path}.{key}")
            found += undescribed(child, f"{path}.{key}")
        for child in ("items", "additionalProperties"):
            found += undescribed(node.get(child), f"{path}.{child}")
        for key, child in node.get("$defs", {}).items():
            found += undescribed(child, f"{path}.{key}")
        return found

    assert undescribed(schema, name) == []


@pytest.mark.parametrize("name", ["manifest", "environment", "settings"])
def test_every_object_of_the_schemas_refuses_unknown_keys(name: SchemaName) -> None:
    def open_objects(node: Any, path: str) -> list[str]:
        if isinstance(node, list):
            return [
                one for index, child in enumerate(node) for one in open_objects(child, f"{path}[{index}]")
            ]
        if not isinstance(node, dict):
            return []
        is_open = node.get("type") == "object" and "additionalProperties" not in node
        found = [path] if is_open else []
        return found + [one for key, child in node.items() for one in open_objects(child, f"{path}.{key}")]

    assert open_objects(read_schema(name), name) == []


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"manifest_version": 2.0}, "manifest_version: has to be a version as a string in quotes"),
        ({"description": ["x"]}, "description: has to be a string in quotes"),
        ({"description": "x" * 5000}, "description: is too long; 4096 characters at most"),
        ({"applications": []}, "applications: has to name at least one application"),
        ({"applications": {}}, "applications: has to name at least one application"),
        ({"applications": {"shop": []}}, "applications.shop: has to be an object {...}"),
        ({"aplications": {}}, 'aplications: unknown key "aplications" (did you mean "applications"?)'),
        ({"colour": 1}, 'colour: unknown key "colour"; known here: $schema, app_version, applications'),
        ({"signatures": {"any": 1}}, 'signatures: "signatures" is not implemented in version'),
    ],
)
def test_what_does_not_fit_the_schema_is_explained(overrides: dict[str, Any], expected: str) -> None:
    found = problems(make_manifest(**overrides))

    assert len(found) == 1
    assert found[0].startswith(f"manifest.json: {expected}")


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"version": 1}, "version: has to be a version as a string in quotes"),
        ({"version": "1..2"}, "version: has to be a version"),
        ({"version": "1 2"}, "version: has to be a version"),
        ({"version": "1.0\u0661"}, "version: has to be a version"),
        (
            {"kind": "billing"},
            'kind: kind "billing" is not implemented in version 0.1.0 yet; only "site", "service", "package", "container" is',
        ),
        (
            {"kind": "sites"},
            'kind: kind "sites" is not implemented in version 0.1.0 yet; only "site", "service", "package", "container" is (did you mean',
        ),
        ({"kind": 7}, "kind: has to be a string in quotes"),
        ({"depends_on": "shop"}, "depends_on: has to be a list [...]"),
        ({"depends_on": [1]}, "depends_on[0]: has to be a string in quotes"),
        ({"smoke": []}, 'smoke: "smoke" is not implemented in version 0.1.0 yet; remove it'),
        (
            {"artifact": {"path": "a.zip", "sha256": "abc"}},
            "artifact.sha256: has to be a SHA-256: 64 hexadecimal",
        ),
        (
            {"artifact": {"path": "a.zip", "strip_components": 1.0}},
            "artifact.strip_components: has to be a whole",
        ),
        (
            {"artifact": {"path": "a.zip", "strip_components": True}},
            "artifact.strip_components: has to be a whole",
        ),
        (
            {"artifact": {"path": "a.jar", "filename": "../a"}},
            "artifact.filename: has to be one plain file name",
        ),
        ({"artifact": {"path": 1}}, "artifact.path: has to be a string in quotes"),
        ({"artifact": {"maven": 1}}, "artifact.maven: has to be a string in quotes"),
        ({"artifact": "a.zip"}, "artifact: has to be an object {...}"),
        (
            {"artifact": {"search": "x"}},
            'artifact.search: "search" is not implemented in version 0.1.0 yet; name',
        ),
        (
            {"artifact": {"path": "a.zip", "delivery": "push"}},
            'artifact.delivery: "delivery" is not implemented',
        ),
    ],
)
def test_application_that_does_not_fit_the_schema_is_explained(
    overrides: dict[str, Any], expected: str
) -> None:
    found = problems(make_manifest(applications={"shop": make_application(**overrides)}))

    assert len(found) == 1
    assert found[0].startswith(f"manifest.json: applications.shop.{expected}")


@pytest.mark.parametrize(
    "name", ["", "-a", ".a", "a.", "a/b", "a b", "a..b", "x" * 65, "caf\u00e9", "\u0430pp", "{{ x }}"]
)
def test_application_name_that_is_no_file_name_is_refused(name: str) -> None:
    entries = {name: {"deployment_path": "/srv/shop"}}
    found = problems(
        make_manifest(applications={name: make_application()}), make_environment(applications=entries)
    )

    assert len(found) == 2
    assert all("is no application name; it becomes file names" in line for line in found)


def test_only_the_missing_key_is_named() -> None:
    assert problems(make_manifest(applications={"shop": {"artifact": {"path": "a.zip"}}})) == [
        'manifest.json: applications.shop: "version" is missing; add it'
    ]


def test_missing_keys_are_named() -> None:
    found = problems(
        {"applications": {"shop": {}}}, {"applications": {"shop": {"deployment_path": "/srv/a"}}}
    )

    assert 'manifest.json: (top level): "manifest_version" is missing; add it' in found
    assert 'manifest.json: applications.shop: "version" is missing; add it' in found
    assert 'manifest.json: applications.shop: "artifact" is missing; add it' in found
    assert 'staging-env.json: (top level): "environment" is missing; add it' in found


@pytest.mark.parametrize(
    "key",
    ["signatures", "delivery", "protection", "variables", "secrets"],
)
def test_later_features_of_environments_are_refused_by_name(key: str) -> None:
    found = problems(None, make_environment(**{key: {"whatever": ["it", 1]}}))

    assert len(found) == 1
    assert found[0].startswith(
        f'staging-env.json: {key}: "{key}" is not implemented in version 0.1.0 yet; remove it'
    )


@pytest.mark.parametrize(
    "key",
    [
        "mode",
        "delivery",
        "prune",
        "windows",
        "strategy",
    ],
)
def test_later_features_of_applications_are_refused_by_name(key: str) -> None:
    entry = {"deployment_path": "/srv/shop", key: {"whatever": ["it", 1]}}
    found = problems(None, make_environment(applications={"shop": entry}))

    assert len(found) == 1
    path = f"staging-env.json: applications.shop.{key}"
    assert found[0].startswith(f'{path}: "{key}" is not implemented in version 0.1.0 yet; ')


def test_all_violations_of_both_documents_come_at_once() -> None:
    found = problems(
        make_manifest(colour=1, applications={"shop": make_application(version=7, depends_on=["shp"])}),
        make_environment(windows={}, hosts={"web1": {"port": 0, "usr": "x"}}),
    )

    assert sorted(line.split(": ")[1] for line in found) == [
        "applications.shop.depends_on[0]",
        "applications.shop.version",
        "colour",
        "hosts.web1.port",
        "hosts.web1.usr",
        "windows",
    ]


@pytest.mark.parametrize("document", [b"[]", b"null", b'"text"', b"7"])
def test_document_that_is_no_object_is_one_violation(document: bytes) -> None:
    assert problems(document) == ["manifest.json: (top level): has to be an object {...}"]


def test_schema_key_is_allowed_in_both_documents() -> None:
    extra = {"$schema": "https://example.net/schema.json"}

    assert parse(make_manifest(**extra), make_environment(**extra)).placements
