"""`orchestrator set`: other versions in a branch's manifest, once their artifacts are there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.changes import Lookup, branch_word, trailers
from orchestrator.core.documents import Document
from orchestrator.core.manifest_edit import (
    ManifestText,
    artifact_of,
    pin_artifacts,
    read_manifest,
    set_versions,
    with_version,
)
from orchestrator.core.model import Repository
from orchestrator.core.settings import environment_for_branch
from orchestrator.edges.branch_documents import (
    MANIFEST,
    BranchTree,
    Change,
    Means,
    Written,
    parse_desired,
    read_branch,
    read_environment_document,
    write_branch,
)
from orchestrator.edges.clone import read_clone
from orchestrator.edges.credentials import ControllerSecrets
from orchestrator.edges.git import DeploymentRepository
from orchestrator.edges.lock_branch import short
from orchestrator.edges.schemas import read_schema
from orchestrator.edges.state_repository import StateRepository
from orchestrator.errors import RevisionError


@dataclass(frozen=True, slots=True, kw_only=True)
class SetOrder:
    """What was asked for.

    Attributes:
        versions: by application.
        pin: whether the artifacts' SHA-256 are written.
        manifest_version: empty: the next one.
        trailers: of the commit.
    """

    directory: Path
    branch: str
    versions: Mapping[str, str]
    means: Means
    pin: bool = True
    manifest_version: str = ""
    trailers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRow:
    """One application.

    Attributes:
        sha256: of its artifact; empty when nobody could say where that is.
        why: what is done, one sentence.
    """

    application: str
    from_version: str
    to_version: str
    sha256: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetResult:
    """What has become of it.

    Attributes:
        from_version, to_version: of the manifest.
        before, after: the manifest.
    """

    rows: tuple[SetRow, ...]
    from_version: str
    to_version: str
    before: str
    after: str
    written: Written

    @property
    def is_change(self) -> bool:
        """Whether the manifest differs."""
        return self.before != self.after

    @property
    def title(self) -> str:
        """The commit's subject."""
        return _title(self.rows, short(self.written.tree.ref))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Edited:
    """The manifest as it is to be."""

    rows: tuple[SetRow, ...]
    before: ManifestText
    after: Document
    to_version: str


@contextmanager
def open_remote(repository: DeploymentRepository, location: str = "") -> Iterator[StateRepository]:
    """The remote (or another repository), as seen from a scratch repository."""
    with StateRepository(read_clone(repository.directory), location, actor=repository.actor) as remote:
        yield remote


def set_in_branch(order: SetOrder) -> SetResult:
    """The branch has these versions, by a commit on top of whatever is there when it is pushed.

    Raises:
        OrchestratorError: a document is wrong, an artifact is missing, or the push is refused; nothing was changed.
    """
    clone = DeploymentRepository(order.directory)
    lookup = Lookup(secrets=ControllerSecrets(dict(os.environ)), directory=clone.directory)
    edited: list[_Edited] = []

    def make(tree: BranchTree) -> Change | None:
        edited.append(_edit(order, tree, lookup))
        now = edited[-1]
        if now.after.content.decode() == now.before.text:
            return None
        return Change(files={MANIFEST: now.after.content}, message=_message(order, now, short(tree.ref)))

    with open_remote(clone) as remote:
        written = write_branch(
            lambda: read_branch(remote, (order.branch,), clone.stack),
            make,
            means=order.means,
            own_branch=lambda tree: _own_branch(order, tree.stack),
        )
    last = edited[-1]
    return SetResult(
        rows=last.rows,
        from_version=last.before.parsed.manifest_version,
        to_version=last.to_version,
        before=last.before.text,
        after=last.after.content.decode(),
        written=written,
    )


def _edit(order: SetOrder, tree: BranchTree, lookup: Lookup) -> _Edited:
    settings = tree.settings()
    environment = environment_for_branch(settings, short(tree.ref))
    if environment is None:
        raise RevisionError(
            f"{short(tree.ref)} belongs to no environment, so nobody knows where its artifacts are",
            resolution="name an environment's branch, or map this one in orchestrator.toml",
        )
    schema = read_schema("manifest")
    before = read_manifest(tree.manifest(), schema)
    wanted = set_versions(before, order.versions)
    document = read_environment_document(
        tree, settings, environment, secrets=lookup.secrets, directory=lookup.directory
    )
    draft = before.rewritten(wanted)
    desired = parse_desired(draft, document, environment, settings)
    digests = _digests(order, read_manifest(draft, schema), desired.repositories, lookup)
    if order.pin:
        wanted = pin_artifacts(before, wanted, digests)
    wanted = with_version(before, wanted, order.manifest_version)
    after = before.rewritten(wanted)
    parse_desired(after, document, environment, settings)
    return _Edited(
        rows=tuple(_row(before, after, name, version, digests) for name, version in order.versions.items()),
        before=before,
        after=after,
        to_version=read_manifest(after, schema).parsed.manifest_version,
    )


def _digests(
    order: SetOrder, manifest: ManifestText, repositories: Mapping[str, Repository], lookup: Lookup
) -> dict[str, str]:
    found = {name: artifact_of(manifest.parsed.applications[name], repositories) for name in order.versions}
    wanted = {name: artifact for name, artifact in found.items() if artifact is not None}
    return {name: one.sha256 for name, one in lookup.resolve(wanted, repositories).items()}


def _row(
    before: ManifestText, after: Document, name: str, version: str, digests: Mapping[str, str]
) -> SetRow:
    draft = before.parsed.applications[name]
    if draft.version != version:
        why = "another version"
    elif after.content.decode() != before.text and not draft.sha256 and not before.is_simple:
        why = "its SHA-256 is pinned"
    else:
        why = "already there"
    if name not in digests:
        why += "; its artifact was not looked up: nobody says in which repository it is"
    return SetRow(
        application=name,
        from_version=draft.version,
        to_version=version,
        sha256=digests.get(name, ""),
        why=why,
    )


def _message(order: SetOrder, edited: _Edited, branch: str) -> str:
    lines = [f"{row.application}: {row.from_version} → {row.to_version} ({row.why})" for row in edited.rows]
    lines.append(f"manifest_version: {edited.before.parsed.manifest_version} → {edited.to_version}")
    end = trailers(order.trailers)
    return f"{_title(edited.rows, branch)}\n\n" + "\n".join(lines) + "\n" + (f"\n{end}" if end else "")


def _title(rows: tuple[SetRow, ...], branch: str) -> str:
    if len(rows) == 1:
        return f"Set {rows[0].application} {rows[0].to_version} in {branch}"
    return f"Set {len(rows)} applications in {branch}"


def _own_branch(order: SetOrder, stack: str) -> str:
    """The same for the same applications: a later version replaces an earlier one's pull request."""
    names = branch_word("+".join(sorted(order.versions)))
    end = f"--{branch_word(stack)}" if stack else ""
    return f"orchestrator/set/{branch_word(order.branch)}/{names}{end}"
