"""`orchestrator promote`: applications from one manifest to another's branch, without a merge."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.changes import Lookup, branch_word, trailers
from orchestrator.core.documents import Document
from orchestrator.core.hidden_text import one_line
from orchestrator.core.manifest_edit import ManifestText, artifact_of, read_manifest
from orchestrator.core.promotion import (
    Promotion,
    Row,
    Source,
    block_rows,
    carry,
    compare_manifests,
    describe_moves,
    find_downgrades,
    find_skipped,
)
from orchestrator.core.settings import Settings, branches_for_environment, environment_for_branch
from orchestrator.core.state_settings import git_repository_problem
from orchestrator.edges.branch_documents import (
    MANIFEST,
    BranchTree,
    Change,
    Means,
    Written,
    applications_in,
    environment_in,
    parse_desired,
    read_branch,
    read_environment_document,
    write_branch,
)
from orchestrator.edges.credentials import ControllerSecrets
from orchestrator.edges.git import DeploymentRepository
from orchestrator.edges.lock_branch import short
from orchestrator.edges.schemas import read_schema
from orchestrator.errors import CredentialsError, PromotionError, RepositoryError, UsageError
from orchestrator.intent import read_settings
from orchestrator.ledger_source import Judged, LedgerFacts, Moment, read_source
from orchestrator.set_versions import open_remote

_COMMIT = re.compile(r"@[0-9a-f]{10}$")


@dataclass(frozen=True, slots=True, kw_only=True)
class PromoteOrder:
    """What was asked for.

    Attributes:
        source: an environment or a branch; or what `moment` means, in the words of who asked.
        moment: of the ledger; None: the branch as it is now.
        target: an environment or a branch.
        to_repository: the address of the target's own repository; empty: the clone's remote.
        applications: empty: all.
        is_revert: the source is what a rollback left live at the target: no hold and no rule is asked.
    """

    directory: Path
    source: str
    target: str
    means: Means
    moment: Moment | None = None
    to_repository: str = ""
    applications: tuple[str, ...] = ()
    is_revert: bool = False
    trailers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PromoteResult:
    """What has become of it.

    Attributes:
        before, after: the target's manifest.
        title: the commit's subject.
        refusal: why nothing was done though something would move.
    """

    promotion: Promotion
    before: str
    after: str
    written: Written
    title: str
    refusal: PromotionError | None = None


@dataclass(slots=True, kw_only=True)
class _Promoter:
    """One promotion; made anew for each tip of the target that is met."""

    order: PromoteOrder
    clone: DeploymentRepository
    source: Source
    source_environment: str
    facts: LedgerFacts
    lookup: Lookup
    promotion: Promotion | None = None
    before: str = ""
    after: str = ""
    refusal: PromotionError | None = None

    def make(self, tree: BranchTree) -> Change | None:
        """The commit on top of `tree`; None when there is nothing to carry."""
        settings = tree.settings()
        environment = environment_for_branch(settings, short(tree.ref)) or self.order.target
        schema = read_schema("manifest")
        target = read_manifest(tree.manifest(), schema)
        directory = None if self.order.to_repository else self.lookup.directory
        document = read_environment_document(
            tree, settings, environment, secrets=self.lookup.secrets, directory=directory
        )
        entries = applications_in(document, tree.manifest(), environment)
        rows = compare_manifests(self.source, target, self.order.applications, entries)
        digests, notes = self._digests(target, rows, document, environment, settings)
        name = environment_in(document) or environment
        judged = Judged()
        if not self.order.is_revert:
            judged = self.facts.judge(name, settings, rows, digests)
        rows = block_rows(rows, {**judged.blocked, **self._other_bytes(rows, digests)})
        after = target.rewritten(carry(self.source, target, rows))
        parse_desired(after, document, environment, settings)
        skipped = find_skipped(settings.promotion_path, self.source_environment, environment)
        self.promotion = Promotion(
            source=self.source.label,
            target=tree.label,
            rows=rows,
            manifest_version=read_manifest(after, schema).parsed.manifest_version,
            warnings=(
                *find_downgrades(rows),
                *self.facts.skipped(skipped, rows, digests),
                *notes,
                *judged.notes,
            ),
        )
        self.before, self.after = target.text, after.content.decode()
        self.refusal = self._refusal()
        if self.before == self.after or self.refusal is not None:
            return None
        return Change(files={MANIFEST: after.content}, message=self._message())

    def _digests(
        self,
        target: ManifestText,
        rows: tuple[Row, ...],
        document: Document | None,
        environment: str,
        settings: Settings,
    ) -> tuple[dict[str, str], tuple[str, ...]]:
        """The SHA-256 of what would move, as the target's repositories have it; and what could not be found out."""
        moving = [row.application for row in rows if row.verdict == "moves"]
        if not moving:
            return {}, ()
        draft = target.rewritten(carry(self.source, target, rows))
        repositories = parse_desired(draft, document, environment, settings).repositories
        manifest = read_manifest(draft, read_schema("manifest"))
        found = {name: artifact_of(manifest.parsed.applications[name], repositories) for name in moving}
        wanted = {name: artifact for name, artifact in found.items() if artifact is not None}
        pins = {name: one.sha256 for name, one in wanted.items() if one.sha256}
        try:
            resolved = self.lookup.resolve(wanted, repositories)
        except (CredentialsError, RepositoryError) as error:
            return pins, (f"whether the artifacts are there was not found out: {error.brief}",)
        return {name: one.sha256 for name, one in resolved.items()}, ()

    def _other_bytes(self, rows: Iterable[Row], digests: Mapping[str, str]) -> dict[str, str]:
        """What ran at the source had other bytes than the target's repository has now."""
        return {
            row.application: f"{self.source.label} ran other bytes: {self.source.digests[row.application][:12]}, the "
            f"target's repository has {digests[row.application][:12]}"
            for row in rows
            if row.application in digests
            and self.source.digests.get(row.application, digests[row.application]) != digests[row.application]
        }

    def _refusal(self) -> PromotionError | None:
        """Why nothing is done: what is asked for by name may not move, or nothing of what would may."""
        assert self.promotion is not None
        blocked = self.promotion.blocked
        if not blocked or (self.promotion.moves and not self.order.applications):
            return None
        return PromotionError(
            f"{len(blocked)} of what is asked for may not be promoted to {self.order.target} now",
            details=tuple(f"{row.application} {row.to_version}: {row.why}" for row in blocked),
            resolution="do what is said there, or name others with --application; `orchestrator history ENV` shows "
            "what was deployed where",
        )

    def _message(self) -> str:
        assert self.promotion is not None
        lines = list(describe_moves(self.promotion))
        lines += [f"stays: {row.application} ({one_line(row.why)})" for row in self.promotion.blocked]
        lines += [f"warning: {one_line(text)}" for text in self.promotion.warnings]
        end = trailers({"Promoted-From": self.source.label, **self.order.trailers})
        return (
            f"{title_of(self.promotion, is_revert=self.order.is_revert)}\n\n"
            + "\n".join(lines)
            + f"\n\n{end}"
        )


def promote(order: PromoteOrder) -> PromoteResult:
    """The target's branch, or a branch of its own on top of it, has what the source has.

    Raises:
        OrchestratorError: a document is wrong, an artifact is missing, or the push is refused; nothing was changed.
    """
    if order.to_repository and (problem := git_repository_problem(order.to_repository)):
        raise UsageError(
            f"--to-repo: {problem}", resolution="write an https or ssh URL, host:path, or a directory"
        )
    clone = DeploymentRepository(order.directory)
    head = read_settings(clone, clone.resolve_ref("HEAD"))
    lookup = Lookup(secrets=ControllerSecrets(dict(os.environ)), directory=clone.directory)
    with ExitStack() as stack:
        here = stack.enter_context(open_remote(clone))
        there = stack.enter_context(open_remote(clone, order.to_repository)) if order.to_repository else here
        source, environment = read_source(clone, head, here, order.moment or order.source)
        promoter = _Promoter(
            order=order,
            clone=clone,
            source=source,
            source_environment=environment,
            facts=LedgerFacts(
                clone=clone, settings=head, remote=here, target=there if order.to_repository else None
            ),
            lookup=lookup,
        )
        written = write_branch(
            lambda: read_branch(there, branches_for_environment(head, order.target), clone.stack),
            promoter.make,
            means=order.means,
            own_branch=lambda tree: own_branch(order, tree.stack),
        )
    assert promoter.promotion is not None
    return PromoteResult(
        promotion=promoter.promotion,
        before=promoter.before,
        after=promoter.after,
        written=written,
        title=title_of(promoter.promotion, is_revert=order.is_revert),
        refusal=promoter.refusal,
    )


def own_branch(order: PromoteOrder, stack: str) -> str:
    """Where a pull request is made from: the same each time, so that an open one is updated."""
    end = f"--{branch_word(stack)}" if stack else ""
    if order.is_revert:
        return f"orchestrator/revert/{branch_word(order.target)}{end}"
    return f"orchestrator/promote/{branch_word(order.source)}-to-{branch_word(order.target)}{end}"


def title_of(promotion: Promotion, *, is_revert: bool) -> str:
    """Return the subject of the commit, and of a pull request."""
    source, target = (_COMMIT.sub("", one) for one in (promotion.source, promotion.target))
    moves = promotion.moves
    what = (
        f"{moves[0].application} {moves[0].to_version}" if len(moves) == 1 else f"{len(moves)} applications"
    )
    if is_revert:
        return f"Go back to {what} in {target}, as was rolled back"
    return f"Promote {what} from {source} to {target}"
