from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator.core.documents import Document
from orchestrator.core.manifest_edit import (
    ManifestText,
    artifact_of,
    next_version,
    pin_artifacts,
    read_manifest,
    set_versions,
    with_version,
)
from orchestrator.core.model import Repository
from orchestrator.edges.schemas import read_schema
from orchestrator.errors import DocumentError, UsageError


def manifest_of(value: Any) -> ManifestText:
    content = value if isinstance(value, str) else json.dumps(value, indent=2)
    return read_manifest(Document(label="manifest.json", content=content.encode()), read_schema("manifest"))


FULL = {
    "manifest_version": "1.4.9",
    "applications": {
        "a": {"version": "1", "artifact": {"path": "a/{version}/a-{version}.zip", "sha256": "0" * 64}},
        "b": {"version": "1.0", "artifact": {"maven": "net.example:b:1.0:jar", "repository": "maven"}},
        "c": {"version": "1.0", "artifact": {"path": "c/c-1.0.zip"}},
    },
}
SIMPLE = {"manifest_version": "7", "app_version": "shop-1.0.0.tar.gz"}


def test_versions_go_into_coordinates_without_placeholder_and_pins_of_other_bytes_go() -> None:
    manifest = manifest_of(FULL)
    wanted = set_versions(manifest, {"a": "2", "b": "1.1", "c": "1.1"})
    applications = json.loads(manifest.rewritten(wanted).content)["applications"]
    assert applications == {
        "a": {"version": "2", "artifact": {"path": "a/{version}/a-{version}.zip"}},
        "b": {"version": "1.1", "artifact": {"maven": "net.example:b:1.1:jar", "repository": "maven"}},
        "c": {"version": "1.1", "artifact": {"path": "c/c-1.1.zip"}},
    }


def test_same_version_is_no_change_and_keeps_its_pin() -> None:
    manifest = manifest_of(FULL)
    wanted = set_versions(manifest, {"a": "1"})
    assert pin_artifacts(manifest, wanted, {"a": "0" * 64}) is manifest.tree
    assert with_version(manifest, wanted) is manifest.tree
    pinned = with_version(manifest, pin_artifacts(manifest, wanted, {"a": "1" * 64, "b": "2" * 64}), "2.0")
    document = json.loads(manifest.rewritten(pinned).content)
    assert document["manifest_version"] == "2.0"
    assert document["applications"]["a"]["artifact"]["sha256"] == "1" * 64
    assert document["applications"]["b"]["artifact"]["sha256"] == "2" * 64


def test_simple_form_keeps_name_and_extension_and_has_no_pin() -> None:
    manifest = manifest_of(SIMPLE)
    wanted = pin_artifacts(manifest, set_versions(manifest, {"shop": "1.0.1"}), {"shop": "0" * 64})
    wanted = with_version(manifest, wanted)
    assert json.loads(manifest.rewritten(wanted).content) == {
        "manifest_version": "8",
        "app_version": "shop-1.0.1.tar.gz",
    }
    node = manifest.object_of("shop")
    assert node is not None
    assert node.raw == '"shop-1.0.0.tar.gz"'
    assert manifest.object_of("other") is None


@pytest.mark.parametrize(
    ("value", "versions", "said"),
    [
        (SIMPLE, {"shop": "next"}, '"next" cannot be the version of shop'),
        (SIMPLE, {"shop": "x-1"}, '"x-1" cannot be the version of shop'),
        (SIMPLE, {"shopp": "1"}, 'no application "shopp" (did you mean "shop"?)'),
        (FULL, {"d": "1"}, 'no application "d"'),
    ],
)
def test_version_that_cannot_be_is_refused(value: Any, versions: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=r".*") as caught:
        set_versions(manifest_of(value), versions)
    assert said in caught.value.brief


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("14.2.0", "14.2.1"),
        ("9", "10"),
        ("2026.11.24-09", "2026.11.24-10"),
        ("1.0-rc1.beta", "1.0-rc2.beta"),
        ("first", "first.1"),
    ],
)
def test_next_version_counts_the_last_number_up(before: str, after: str) -> None:
    assert next_version(before) == after


@pytest.mark.parametrize("text", ["[]", "{", '{"manifest_version": "1"}', '{"a": 1, "a": 2}'])
def test_manifest_that_is_wrong_is_refused(text: str) -> None:
    with pytest.raises(DocumentError):
        manifest_of(text)


def test_repository_of_an_artifact_is_the_named_the_default_or_the_only_one() -> None:
    drafts = manifest_of(FULL).parsed.applications
    one = Repository(name="one", type="directory", path="x")

    def repository(name: str, *names: str) -> str | None:
        artifact = artifact_of(drafts[name], dict.fromkeys(names, one))
        return artifact.repository if artifact else None

    assert repository("a", "one") == "one"
    assert repository("a", "one", "default") == "default"
    assert repository("b", "one", "maven") == "maven"
    assert (repository("a", "one", "two"), repository("b", "one"), repository("a")) == (None, None, None)
