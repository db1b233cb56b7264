"""The JSON Schemas that the package carries."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any, Literal

SchemaName = Literal["manifest", "environment", "settings", "record"]


def read_schema(name: SchemaName) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of manifest.json, `<name>-env.json`, orchestrator.toml or a record."""
    resource = files("orchestrator") / "schemas" / f"{name}.schema.json"
    schema: dict[str, Any] = json.loads(resource.read_text(encoding="utf-8"))
    return schema
