"""One golden case: read, computed, written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from orchestrator.core.artifacts import ResolvedArtifact
from orchestrator.core.compile import compile_plan, configuration_digest, release_name, select_placements
from orchestrator.core.documents import Document, parse_documents
from orchestrator.core.inventory import Run, render_by_hand
from orchestrator.core.model import Desired, Placement
from orchestrator.core.observed import Identity, ObservedHost, parse_observed
from orchestrator.core.plan import Plan, plan_document
from orchestrator.core.release_entries import placement_layout, read_templates
from orchestrator.core.settings import parse_settings
from orchestrator.edges.repositories import resolve_offline
from orchestrator.edges.schemas import read_schema
from orchestrator.errors import DocumentError

CASES = Path(__file__).resolve().parent
RUN = Run(id="20261101T000000-00000000", time="2026-11-01T00:00:00+00:00", actor="ci@example.net")
COMMIT = "c" * 40
OUTPUTS = ("errors.txt", "extravars.json", "inventory.json", "plan.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """What a case's documents and state come to."""

    plan: Plan
    inventory: dict[str, Any]
    extra_vars: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A directory below `tests/cases`."""

    path: Path

    @property
    def name(self) -> str:
        """The directory's name."""
        return self.path.name

    def compile(self) -> Compiled:
        """The plan, and what ansible is given.

        Raises:
            DocumentError: the documents are refused.
        """
        request = self._read_json("request.json")
        desired = self._parse(request.get("environment", ""))
        artifacts = self._resolve(desired)
        selected = select_placements(
            desired, applications=request.get("applications", ()), limits=request.get("limits", ())
        )
        plan = compile_plan(
            desired,
            artifacts,
            self._observe(desired, artifacts),
            identity=Identity(repository="shop-deploy", stack="", environment=desired.environment),
            commit=COMMIT,
            selected=selected,
        )
        inventory, extra_vars = render_by_hand(plan, desired, artifacts, RUN)
        return Compiled(plan=plan, inventory=inventory, extra_vars=extra_vars)

    def outputs(self) -> dict[str, str]:
        """File name → what has to be in it."""
        try:
            compiled = self.compile()
        except DocumentError as error:
            return {"errors.txt": "".join(f"{line}\n" for line in (error.brief, *error.details))}
        return {
            "plan.json": _text(plan_document(compiled.plan)),
            "inventory.json": _text(compiled.inventory),
            "extravars.json": _text(compiled.extra_vars),
        }

    def recorded(self) -> dict[str, str]:
        """File name → what is in it."""
        paths = [self.path / name for name in OUTPUTS]
        return {path.name: path.read_text(encoding="utf-8") for path in paths if path.exists()}

    def write(self) -> None:
        """What is recorded is what comes out."""
        outputs = self.outputs()
        for name in OUTPUTS:
            if name in outputs:
                (self.path / name).write_text(outputs[name], encoding="utf-8")
            else:
                (self.path / name).unlink(missing_ok=True)

    def _parse(self, environment: str) -> Desired:
        document = self.path / "environment.json"
        if not environment:
            environment = json.loads(document.read_bytes())["environment"]
        settings = self.path / "orchestrator.toml"
        desired = parse_documents(
            manifest=Document(label="manifest.json", content=(self.path / "manifest.json").read_bytes()),
            environment=(
                Document(label="environment.json", content=document.read_bytes())
                if document.exists()
                else None
            ),
            environment_name=environment,
            settings=parse_settings(
                settings.read_bytes() if settings.exists() else None, settings.name, read_schema("settings")
            ),
            schemas={name: read_schema(name) for name in ("manifest", "environment")},
        )
        return read_templates(desired, self._read_template)

    def _read_template(self, path: str) -> bytes | None:
        file = self.path / path
        return file.read_bytes() if file.is_file() else None

    def _resolve(self, desired: Desired) -> dict[str, ResolvedArtifact]:
        """Every artifact, found: its digest is that of its pin or of its location's text."""
        wanted = {one.application.name: one.application.artifact for one in desired.placements}
        offline = resolve_offline(wanted.items(), desired.repositories, directory=Path("/deployment"))
        given = self._read_json("artifacts.json")
        resolved = {}
        for name, artifact in offline.items():
            fields: dict[str, Any] = {"size_bytes": 1000}
            if not artifact.sha256:
                digest = sha256(artifact.location.encode()).hexdigest()
                fields |= {"sha256": digest, "digest_source": "repository API"}
            resolved[name] = replace(artifact, **{**fields, **given.get(name, {})})
        return resolved

    def _observe(
        self, desired: Desired, artifacts: Mapping[str, ResolvedArtifact]
    ) -> dict[str, ObservedHost]:
        placements = {(one.host.name, one.application.name): one for one in desired.placements}
        observed = {}
        for host, said in self._read_json("state.json").items():
            if "unreachable" in said:
                observed[host] = ObservedHost.unreachable(host, said["unreachable"])
                continue
            entries = [
                _filled(entry, placements.get((host, entry["application"])), artifacts)
                for entry in said["placements"]
            ]
            observed[host] = parse_observed(host, entries)
        return observed

    def _read_json(self, name: str) -> dict[str, Any]:
        path = self.path / name
        found: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
        return found


def all_cases() -> list[Case]:
    """Every case, by name."""
    return [Case(path=path.parent) for path in sorted(CASES.glob("*/manifest.json"))]


def _filled(
    entry: Mapping[str, Any], placement: Placement | None, artifacts: Mapping[str, ResolvedArtifact]
) -> dict[str, Any]:
    """The entry with the fields of a converged placement where it has none of its own."""
    usual: dict[str, Any] = {"state": "healthy", "previous_version": "", "problems": []}
    if placement is not None:
        application = placement.application
        digest = artifacts[application.name].sha256
        version = entry.get("version", application.version)
        usual |= {
            "deployment_path": placement.deployment_path,
            "version": application.version,
            "artifact_sha256": digest,
            "release": (
                release_name(application.artifact, application.version, digest, placement_layout(placement))
                if version == application.version
                else f"{version}-{'0' * 12}"
            ),
            "configuration_digest": configuration_digest(placement),
        }
    return {**usual, **entry}


def _text(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True) + "\n"
