"""What a promotion carries from one manifest to another, what it leaves, and why."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from packaging.version import InvalidVersion, Version

from orchestrator.core.json_edit import Node, same, scalar
from orchestrator.core.manifest_edit import VERSION, ManifestText, next_version
from orchestrator.core.violations import Violations, quote
from orchestrator.errors import UsageError

FORMAT = 1
Verdict = Literal["moves", "there", "stays", "blocked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is to be promoted.

    Attributes:
        label: for people, such as `dev@1a2b3c4d5e`.
        simple: it comes from manifests in simple form.
        objects: each application as its manifest has it.
        versions: of these.
        manifest_version: empty: they come from several manifests.
        digests: SHA-256 that the ledger knows to have been live; only of a source in the ledger.
        unclear: why an application cannot be carried.
    """

    label: str
    simple: bool = False
    objects: Mapping[str, Node] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    manifest_version: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)
    unclear: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One application.

    Attributes:
        verdict: `moves`; `there`: the target has it just so; `stays`: the target keeps what it has;
            `blocked`: a hold or a rule of the target forbids it for now.
        from_version: what the target has; empty: nothing.
        to_version: what the source has; empty: nothing.
        why: one sentence.
    """

    application: str
    verdict: Verdict
    from_version: str
    to_version: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """Everything that is to be said and done.

    Attributes:
        manifest_version: of the target afterwards.
    """

    source: str
    target: str
    rows: tuple[Row, ...]
    manifest_version: str
    warnings: tuple[str, ...] = ()

    @property
    def moves(self) -> tuple[Row, ...]:
        """What is carried."""
        return tuple(row for row in self.rows if row.verdict == "moves")

    @property
    def blocked(self) -> tuple[Row, ...]:
        """What a hold or a rule forbids."""
        return tuple(row for row in self.rows if row.verdict == "blocked")


def source_of(manifest: ManifestText, label: str) -> Source:
    """Return a whole manifest as a source."""
    parsed = manifest.parsed
    objects = {name: manifest.object_of(name) for name in parsed.applications}
    return Source(
        label=label,
        simple=manifest.is_simple,
        objects={name: node for name, node in objects.items() if node is not None},
        versions={name: draft.version for name, draft in parsed.applications.items()},
        manifest_version=parsed.manifest_version,
    )


def compare_manifests(
    source: Source, target: ManifestText, applications: Collection[str], entries: Collection[str] | None
) -> tuple[Row, ...]:
    """Return a row for each application that is asked for, by name.

    Args:
        applications: empty: all of the source.
        entries: the applications that the target's environment JSON knows; None: it need not know them.

    Raises:
        UsageError: one that is asked for is in no source, or the forms of the manifests differ.
    """
    known = {*source.objects, *source.unclear}
    for name in applications:
        if name not in known:
            near = Violations().near_miss(name, known)
            raise UsageError(
                f"{source.label} has no application {quote(name)}{near}",
                resolution=f"it has {', '.join(sorted(known)) or 'none'}",
            )
    if source.objects and source.simple != target.is_simple:
        forms = ("simple", "full") if source.simple else ("full", "simple")
        raise UsageError(
            f"the manifest of {source.label} is in {forms[0]} form, the target's in {forms[1]} form",
            resolution="write both in the same form first",
        )
    names = set(applications) or known | set(target.parsed.applications)
    return tuple(_compare(name, source, target, entries) for name in sorted(names))


def block_rows(rows: Iterable[Row], reasons: Mapping[str, str]) -> tuple[Row, ...]:
    """Return the rows; what moves and has a reason not to is blocked."""
    return tuple(
        Row(
            application=row.application,
            verdict="blocked",
            from_version=row.from_version,
            to_version=row.to_version,
            why=reasons[row.application],
        )
        if row.verdict == "moves" and row.application in reasons
        else row
        for row in rows
    )


def carry(source: Source, target: ManifestText, rows: Iterable[Row]) -> Node:
    """Return the target's manifest with what moves; the source's manifest_version when it has all of it then."""
    rows = tuple(rows)
    wanted = target.tree
    for row in rows:
        if row.verdict == "moves":
            wanted = wanted.put(target.path_of(row.application), source.objects[row.application])
    if same(target.tree, wanted):
        return target.tree
    same_then = {row.application for row in rows if row.verdict in ("moves", "there")}
    everything = bool(source.manifest_version) and same_then >= {*source.objects, *source.unclear}
    version = source.manifest_version if everything else next_version(target.parsed.manifest_version)
    return wanted.put(VERSION, scalar(version))


def find_downgrades(rows: Iterable[Row]) -> tuple[str, ...]:
    """Return a warning for each application that goes back to an older version."""
    return tuple(
        f"downgrade: {row.application} goes from {row.from_version} back to {row.to_version}"
        for row in rows
        if row.verdict == "moves" and _is_older(row.to_version, row.from_version)
    )


def find_skipped(path: Iterable[str], source: str, target: str) -> tuple[str, ...]:
    """Return the environments that lie between both on the way to production; none on the way back."""
    names = list(path)
    if source not in names or target not in names:
        return ()
    return tuple(names[names.index(source) + 1 : names.index(target)])


def promotion_document(promotion: Promotion, **more: Any) -> dict[str, Any]:
    """Return the promotion as `promote --json` has it."""
    return {"format": FORMAT, **asdict(promotion), **more}


def describe_moves(promotion: Promotion) -> tuple[str, ...]:
    """Return a line for each application that moves, for the commit's message."""
    return tuple(
        f"{row.application}: {row.from_version or 'nothing'} → {row.to_version}"
        if row.from_version != row.to_version
        else f"{row.application}: {row.to_version}, {row.why}"
        for row in promotion.moves
    )


def _compare(name: str, source: Source, target: ManifestText, entries: Collection[str] | None) -> Row:
    draft = target.parsed.applications.get(name)
    has, there = draft.version if draft else "", target.object_of(name)
    verdict: Verdict = "stays"
    if target.is_simple and there is None and name in source.objects:
        why = "the target's only application is another; in simple form nothing is added"
    elif name in source.unclear:
        why = source.unclear[name]
    elif name not in source.objects:
        why = f"not in {source.label}; nothing is removed"
    elif there is not None and same(there, source.objects[name]):
        verdict, why = "there", "already there"
    elif entries is not None and name not in entries:
        why = "the target's environment JSON has no entry for it; add one there first"
    elif there is None:
        verdict, why = "moves", "new there"
    elif has != source.versions[name]:
        verdict, why = "moves", "another version"
    else:
        verdict, why = "moves", "other settings in the manifest"
    found = source.versions.get(name, "")
    return Row(application=name, verdict=verdict, from_version=has, to_version=found, why=why)


def _is_older(new: str, old: str) -> bool:
    try:
        return bool(new and old) and Version(new) < Version(old)
    except InvalidVersion:
        return False
