"""Manifest and environment JSON as bytes in, what git asks for out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.core.canonical import digest
from orchestrator.core.entries import describe_unused, merge_entries, named_in
from orchestrator.core.environment import ParsedEnvironment, parse_environment
from orchestrator.core.json_text import parse_json
from orchestrator.core.manifest import parse_manifest
from orchestrator.core.model import Desired
from orchestrator.core.own_roles import OwnRole
from orchestrator.core.placements import make_placements
from orchestrator.core.plain_values import check_plain_values
from orchestrator.core.schema import check_schema
from orchestrator.core.settings import Settings
from orchestrator.core.violations import Report, Violations


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document as it was read.

    Attributes:
        label: what messages call it, usually the file's name.
    """

    label: str
    content: bytes


def parse_documents(
    *,
    manifest: Document,
    environment: Document | None,
    environment_name: str,
    settings: Settings,
    schemas: Mapping[str, Mapping[str, Any]],
    roles: Mapping[str, OwnRole] | None = None,
) -> Desired:
    """Return what git asks for in one environment.

    Args:
        environment: the environment JSON; None: there is none, the manifest says everything.
        settings: orchestrator.toml.
        environment_name: the one that is asked for. The result has the documents' own name for it, so that
            `prod` and `production` are one environment whoever asks.
        schemas: the JSON Schemas `manifest` and `environment`.
        roles: of the deployment repository at the same commit; None: it has none.

    Raises:
        DocumentError: with every violation of both documents at once.
    """
    violations = Violations()
    manifest_report, manifest_value = read_document(manifest, schemas["manifest"], violations)
    parsed_manifest = parse_manifest(manifest_value, manifest_report) if manifest_report else None
    environment_value: Any = None
    parsed_environment: ParsedEnvironment | None = ParsedEnvironment()
    if environment is not None:
        report, environment_value = read_document(environment, schemas["environment"], violations)
        parsed_environment = (
            parse_environment(environment_value, environment_name, settings, report) if report else None
        )
    if parsed_manifest is None or parsed_environment is None:
        raise violations.error()
    repositories = {**settings.repositories, **parsed_environment.repositories}
    entries = merge_entries(parsed_manifest, parsed_environment, environment_name)
    name = parsed_environment.name or named_in(parsed_manifest, environment_name) or environment_name
    placements = make_placements(
        parsed_manifest, parsed_environment, entries, name, repositories, roles or {}
    )
    warnings = describe_unused(parsed_manifest, entries)
    if violations:
        raise violations.error()
    return Desired(
        environment=name,
        manifest_version=parsed_manifest.manifest_version,
        description=parsed_manifest.description,
        repositories=repositories,
        hosts=tuple(sorted(parsed_environment.table.hosts.values(), key=lambda host: host.name)),
        placements=placements,
        strategy=parsed_environment.strategy,
        documents={"manifest": digest(manifest_value), "environment": digest(environment_value)},
        warnings=warnings,
        windows=parsed_environment.windows,
        prune=parsed_environment.prune,
        drains=parsed_environment.drains,
    )


def read_document(
    document: Document, schema: Mapping[str, Any], violations: Violations
) -> tuple[Report | None, Any]:
    """Return the document's value without what is wrong in it; no report when nothing can be read."""
    read = parse_json(document.content, document.label, violations)
    if read is None:
        return None, None
    report = Report(source=read, violations=violations)
    check_plain_values(read.value, report)
    value = check_schema(read.value, schema, report)
    return (None, None) if () in report.bad else (report, value)
