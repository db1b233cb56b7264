"""Documents for tests: valid ones, to be changed by one thing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator.core.documents import Document, parse_documents
from orchestrator.core.model import Desired
from orchestrator.core.settings import Settings, parse_settings
from orchestrator.edges.schemas import read_schema
from orchestrator.errors import DocumentError

SCHEMAS = {"manifest": read_schema("manifest"), "environment": read_schema("environment")}
SETTINGS_SCHEMA = read_schema("settings")
ABSENT: Any = object()
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ2RxYw4mvtJdXc0V8mNnNqfKkX5bq3O9yq1m7f0h2aZ"


def make_application(**overrides: Any) -> dict[str, Any]:
    """An application of a full-form manifest."""
    return _merge({"version": "1.2.3", "artifact": {"path": "shop/shop-{version}.zip"}}, overrides)


def make_manifest(**overrides: Any) -> dict[str, Any]:
    """A full-form manifest with one application, `shop`."""
    return _merge({"manifest_version": "1.0.0", "applications": {"shop": make_application()}}, overrides)


def make_simple_manifest(**overrides: Any) -> dict[str, Any]:
    """A simple-form manifest with the environment `staging`."""
    target = {"host": "web.example.net", "deployment_path": "/srv/shop"}
    simple = {
        "manifest_version": "1.0.0",
        "app_version": "shop-1.2.3.zip",
        "environments": {"staging": target},
    }
    return _merge(simple, overrides)


def make_environment(**overrides: Any) -> dict[str, Any]:
    """The environment `staging` with two hosts, one repository and an entry for `shop`."""
    environment = {
        "environment": "staging",
        "repositories": {"default": {"type": "http", "url": "https://files.example.net/releases"}},
        "hosts": {"web1": {"address": "192.0.2.1", "groups": ["web"]}, "web2": {"address": "192.0.2.2"}},
        "applications": {"shop": {"deployment_path": "/srv/shop"}},
    }
    return _merge(environment, overrides)


def make_settings(text: str = "") -> Settings:
    """What orchestrator.toml with this text says."""
    return parse_settings(f"format = 1\n{text}".encode(), "orchestrator.toml", SETTINGS_SCHEMA)


def settings_problems(text: str | bytes) -> list[str]:
    """What is wrong in orchestrator.toml with this text."""
    content = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(DocumentError) as caught:
        parse_settings(content, "orchestrator.toml", SETTINGS_SCHEMA)
    return list(caught.value.details)


def parse(
    manifest: Any = None, environment: Any = None, *, name: str = "staging", settings: Settings | None = None
) -> Desired:
    """Parse documents, which are valid ones where none are given; ABSENT: no environment JSON."""
    manifest = make_manifest() if manifest is None else manifest
    environment = make_environment() if environment is None else environment
    return parse_documents(
        manifest=make_document("manifest.json", manifest),
        environment=None if environment is ABSENT else make_document("staging-env.json", environment),
        environment_name=name,
        settings=settings or Settings(),
        schemas=SCHEMAS,
    )


def problems(manifest: Any = None, environment: Any = None, **options: Any) -> list[str]:
    """What is wrong in these documents, every line without its line number."""
    with pytest.raises(DocumentError) as caught:
        parse(manifest, environment, **options)
    return [_without_line(line) for line in caught.value.details]


def make_document(label: str, content: Any) -> Document:
    """A document from a value, or from text or bytes as they are."""
    if isinstance(content, str):
        content = content.encode("utf-8", "surrogatepass")
    elif not isinstance(content, bytes):
        content = json.dumps(content, indent=2).encode()
    return Document(label=label, content=content)


def _merge(base: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in {**base, **overrides}.items() if value is not ABSENT}


def _without_line(line: str) -> str:
    label, _, rest = line.partition(":")
    return f"{label}:{rest.partition(':')[2]}"
