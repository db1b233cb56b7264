"""manifest.json with other versions: what a build sets, and what is written for it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.core.coordinates import CoordinateError, extension_of, split_artifact_name
from orchestrator.core.documents import Document, read_document
from orchestrator.core.json_edit import Node, parse_tree, rewrite, same, scalar
from orchestrator.core.manifest import ApplicationDraft, ParsedManifest, parse_manifest
from orchestrator.core.model import Artifact, Repository
from orchestrator.core.violations import Violations, quote
from orchestrator.errors import UsageError

VERSION = ("manifest_version",)
SIMPLE = ("app_version",)
_DIGITS = re.compile(r"\d+(?!.*\d)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestText:
    """A manifest that can be rewritten.

    Attributes:
        tree: of the whole document.
    """

    label: str
    tree: Node
    parsed: ParsedManifest

    @property
    def text(self) -> str:
        """The document."""
        return self.tree.text

    @property
    def is_simple(self) -> bool:
        """Whether it is in simple form: one application, named by its artifact."""
        return self.tree.find(SIMPLE) is not None

    def path_of(self, application: str) -> tuple[str, ...]:
        """Where the application stands."""
        return SIMPLE if self.is_simple else ("applications", application)

    def object_of(self, application: str) -> Node | None:
        """The application as it is written; None when it is not there."""
        return self.tree.find(self.path_of(application)) if application in self.parsed.applications else None

    def rewritten(self, wanted: Node) -> Document:
        """The document that says what `wanted` says."""
        return Document(label=self.label, content=rewrite(self.tree, wanted).encode())


def read_manifest(document: Document, schema: Mapping[str, Any]) -> ManifestText:
    """Return the manifest, which fits the schema.

    Raises:
        DocumentError: with every violation at once.
    """
    violations = Violations()
    report, value = read_document(document, schema, violations)
    parsed = parse_manifest(value, report) if report else None
    if violations or parsed is None:
        raise violations.error()
    return ManifestText(label=document.label, tree=parse_tree(document.content.decode()), parsed=parsed)


def artifact_of(draft: ApplicationDraft, repositories: Mapping[str, Repository]) -> Artifact | None:
    """Return the application's artifact there; None when it is not said in which repository it is."""
    only = next(iter(repositories), "") if len(repositories) == 1 else ""
    name = draft.repository or ("default" if "default" in repositories else only)
    return draft.complete(name).artifact if name in repositories else None


def set_versions(manifest: ManifestText, versions: Mapping[str, str]) -> Node:
    """Return the tree with these versions; a pin of other bytes is gone, and coordinates name the new version.

    Raises:
        UsageError: an application is not there, or its artifact cannot have that version.
    """
    wanted = manifest.tree
    for application, version in versions.items():
        draft = manifest.parsed.applications.get(application)
        if draft is None:
            known = manifest.parsed.applications
            near = Violations().near_miss(application, known)
            raise UsageError(
                f"{manifest.label} has no application {quote(application)}{near}",
                resolution=f"it has {', '.join(sorted(known))}; a new one is added by hand, with its artifact",
            )
        if draft.version == version:
            continue
        if manifest.is_simple:
            wanted = wanted.put(SIMPLE, scalar(_file_name(manifest, draft, version)))
            continue
        path = manifest.path_of(application)
        wanted = wanted.put((*path, "version"), scalar(version)).drop((*path, "artifact", "sha256"))
        for key in ("path", "maven"):
            coordinates = manifest.tree.find((*path, "artifact", key))
            if coordinates is not None:
                text = _with_version(str(json.loads(coordinates.raw)), draft.version, version)
                wanted = wanted.put((*path, "artifact", key), scalar(text))
    return wanted


def pin_artifacts(manifest: ManifestText, wanted: Node, digests: Mapping[str, str]) -> Node:
    """Return the tree with these SHA-256 by application; the simple form has no place for them."""
    if not manifest.is_simple:
        for application, sha256 in digests.items():
            path = (*manifest.path_of(application), "artifact", "sha256")
            there = wanted.find(path)
            if there is None or str(json.loads(there.raw)).lower() != sha256:
                wanted = wanted.put(path, scalar(sha256))
    return wanted


def with_version(manifest: ManifestText, wanted: Node, manifest_version: str = "") -> Node:
    """Return the tree with its manifest_version: the given one, else the next; itself when nothing differs."""
    if same(manifest.tree, wanted):
        return manifest.tree
    version = manifest_version or next_version(manifest.parsed.manifest_version)
    return wanted.put(VERSION, scalar(version))


def next_version(version: str) -> str:
    """Return the version that follows: its last number counts up (`14.2.0` → `14.2.1`)."""
    found = _DIGITS.search(version)
    if found is None:
        return f"{version}.1"
    number = str(int(found[0]) + 1).zfill(len(found[0]))
    return version[: found.start()] + number + version[found.end() :]


def _with_version(text: str, old: str, new: str) -> str:
    """Coordinates without a placeholder name the version themselves."""
    return text if "{version}" in text else text.replace(old, new)


def _file_name(manifest: ManifestText, draft: ApplicationDraft, version: str) -> str:
    name = f"{draft.name}-{version}.{extension_of(draft.artifact_path)}"
    try:
        found = split_artifact_name(name)
    except CoordinateError:
        found = None
    if found is None or (found.application, found.version) != (draft.name, version):
        raise UsageError(
            f"{quote(version)} cannot be the version of {draft.name} in {manifest.label}",
            resolution="app_version is <name>-<version>.<extension>, and the version begins with a digit; or use "
            "`applications`",
        )
    return name
