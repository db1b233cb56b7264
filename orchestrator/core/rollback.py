"""Where a rollback goes: for each placement to a release that was good there, kept or to be had again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from orchestrator.core.model import Placement
from orchestrator.core.observed import KeptRelease, ObservedPlacement
from orchestrator.core.promotion_rules import ROLLBACK
from orchestrator.core.record import INTERRUPTED, Record

GOOD = ("deployed", "unchanged")
UNTOUCHED = ("unchanged", "not started", "left out")
UNFINISHED = ("", INTERRUPTED, "cancelled", "partial", "unknown")

Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Good:
    """A release that was live and healthy, as the ledger has it.

    Attributes:
        commit: whose documents say where its artifact is.
    """

    version: str
    release: str
    artifact_sha256: str
    commit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What was asked for; nothing: the good release before the live one.

    Attributes:
        version: of every placement.
        going: where a rollback that did not come to its end was bringing placements.
        exact: for each placement, what was live after some attempt.
        latest: for each application, what is to be live wherever it goes, even where nothing is live yet.
    """

    version: str = ""
    going: Mapping[Key, Good] = field(default_factory=dict)
    exact: Mapping[Key, Good] | None = None
    latest: Mapping[str, Good] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Where one placement goes.

    Attributes:
        stays: it is live already.
        kept: it lies on the host; nothing is downloaded.
    """

    good: Good
    stays: bool = False
    kept: bool = False


def key_of(placement: Placement) -> Key:
    """Return what tells a placement apart in the ledger."""
    return (placement.application.name, placement.host.name, placement.deployment_path)


def goods_of(records: Iterable[Record]) -> dict[Key, tuple[Good, ...]]:
    """Return what was live and healthy on each placement, each release once.

    Args:
        records: newest first.
    """
    found: dict[Key, dict[str, Good]] = {}
    for record in records:
        for one in record.placements:
            if one.result in GOOD and one.version and one.artifact_sha256:
                key = (one.application, one.host, one.deployment_path)
                good = Good(
                    version=one.version,
                    release=one.release,
                    artifact_sha256=one.artifact_sha256,
                    commit=record.commit,
                )
                found.setdefault(key, {}).setdefault(one.release or one.version, good)
    return {key: tuple(goods.values()) for key, goods in found.items()}


def interrupted_rollback(records: Iterable[Record]) -> Record | None:
    """Return the newest attempt that may have changed anything, if it is a rollback that did not come to its end.

    Args:
        records: newest first, open ones among them.
    """
    for record in records:
        if record.is_open or any(one.result not in UNTOUCHED for one in record.placements):
            return record if record.kind == ROLLBACK and record.verdict in UNFINISHED else None
    return None


def planned_by(record: Record) -> dict[Key, Good]:
    """Return what the attempt was about to make live."""
    return {
        (one.application, one.host, one.deployment_path): Good(
            version=one.to_version, release="", artifact_sha256="", commit=""
        )
        for one in record.placements
        if one.to_version
    }


def newest_change(records: Iterable[Record], keys: Collection[Key]) -> Record | None:
    """Return the newest attempt that made something live on one of these placements.

    Args:
        records: newest first.
    """
    for record in records:
        if any(
            one.result == "deployed" and (one.application, one.host, one.deployment_path) in keys
            for one in record.placements
        ):
            return record
    return None


def last_changed(records: Iterable[Record]) -> frozenset[Key]:
    """Return the placements that the newest attempt that made anything live has changed.

    Args:
        records: newest first.
    """
    for record in records:
        changed = frozenset(
            (one.application, one.host, one.deployment_path)
            for one in record.placements
            if one.result == "deployed"
        )
        if changed:
            return changed
    return frozenset()


def live_after(record: Record) -> dict[Key, Good]:
    """Return what was live once the attempt had ended, as far as it says."""
    return {
        (one.application, one.host, one.deployment_path): Good(
            version=one.version,
            release=one.release,
            artifact_sha256=one.artifact_sha256,
            commit=record.commit if one.result in GOOD else "",
        )
        for one in record.placements
        if one.version
    }


def last_good(records: Iterable[Record]) -> dict[str, Good]:
    """Return for each application what the newest attempt that succeeded has left live.

    Args:
        records: newest first.
    """
    found: dict[str, Good] = {}
    for record in records:
        if record.verdict == "success":
            for (name, _, _), good in live_after(record).items():
                found.setdefault(name, good)
    return found


def commits_with(records: Iterable[Record], name: str, good: Good) -> tuple[str, ...]:
    """Return the commits that made that release live, the newest first; one of them asks for it.

    The others are of attempts that found it there, or went back to it, while git asked for something else.
    """
    found = [good.commit] + [
        record.commit
        for record in records
        for one in record.placements
        if one.result in GOOD and one.application == name and one.artifact_sha256 == good.artifact_sha256
    ]
    return tuple(dict.fromkeys(commit for commit in found if commit))


def choose_release(
    key: Key, found: ObservedPlacement | None, wish: Wish, goods: Mapping[Key, tuple[Good, ...]]
) -> Choice | str:
    """Return where the placement goes; a sentence when there is no such release.

    Args:
        goods: as `goods_of` returns them.
    """
    if wish.latest is not None:
        return _choose_latest(key[0], found, wish.latest)
    if found is None or found.state == "none":
        return "nothing is live there"
    mine = goods.get(key, ())
    if wish.exact is not None:
        return _choose_exact(wish.exact[key], found, mine)
    if wish.version:
        others = [good for (name, _, _), known in goods.items() if name == key[0] for good in known]
        return _choose_version(wish.version, found, (*mine, *others))
    if key in wish.going:
        for kept in found.releases:  # `active`: it was about to go live there when the rollback died
            if (
                kept.version == wish.going[key].version
                and kept.state == "active"
                and kept.release != found.release
            ):
                return Choice(good=_as_good(kept), kept=True)
        if not isinstance(going := _choose_exact(wish.going[key], found, mine), str):
            return going
    bad = _bad(found)
    for kept in found.releases:
        if kept.state == "healthy" and kept.release != found.release:
            return Choice(good=_as_good(kept), kept=True)
    for good in mine:
        if good.version != found.version and good.release not in bad:
            return Choice(good=good)
    return f"no good release before {found.version} is known; {describe_kept(found)}"


def describe_kept(found: ObservedPlacement) -> str:
    """Return what lies there."""
    said = [
        f"{one.version} ({'live' if one.release == found.release else one.state})" for one in found.releases
    ]
    return f"kept there: {', '.join(said)}" if said else "nothing is kept there"


def _choose_exact(good: Good, found: ObservedPlacement, known: Iterable[Good]) -> Choice | str:
    def is_it(release: str, version: str, sha256: str) -> bool:
        if good.release:
            return release == good.release
        return version == good.version and good.artifact_sha256 in ("", sha256)

    if is_it(found.release, found.version, found.artifact_sha256):
        return _stay(found)
    kept = [one for one in found.releases if is_it(one.release, one.version, one.artifact_sha256)]
    again = [one for one in known if is_it(one.release, one.version, one.artifact_sha256)]
    return _take(good.version, kept, again, found)


def _choose_latest(name: str, found: ObservedPlacement | None, latest: Mapping[str, Good]) -> Choice | str:
    if name not in latest:
        return "the ledger knows of no attempt that succeeded with it"
    good = latest[name]
    for kept in found.releases if found is not None else ():
        if kept.release == good.release and kept.state == "healthy":
            stays = found is not None and found.release == good.release
            return Choice(good=good, stays=stays, kept=not stays)
    return Choice(good=good)


def _choose_version(version: str, found: ObservedPlacement, known: Iterable[Good]) -> Choice | str:
    if found.version == version:
        return _stay(found)
    kept = [one for one in found.releases if one.version == version]
    return _take(version, kept, [one for one in known if one.version == version], found)


def _stay(found: ObservedPlacement) -> Choice:
    good = Good(
        version=found.version,
        release=found.release,
        artifact_sha256=found.artifact_sha256,
        commit="",
    )
    return Choice(good=good, stays=True)


def _take(
    version: str, kept: Collection[KeptRelease], again: Collection[Good], found: ObservedPlacement
) -> Choice | str:
    for one in kept:
        if one.state == "healthy":
            return Choice(good=_as_good(one), kept=True)
    bad = _bad(found)
    if any(one.release in bad for one in kept):
        return f"{version} is marked bad there; {describe_kept(found)}"
    for good in again:
        if good.release not in bad:
            return Choice(good=good)
    return f"{version} is not kept there, and the ledger does not know it as good; {describe_kept(found)}"


def _bad(found: ObservedPlacement) -> set[str]:
    return {one.release for one in found.releases if one.state == "bad"}


def _as_good(kept: KeptRelease) -> Good:
    return Good(version=kept.version, release=kept.release, artifact_sha256=kept.artifact_sha256, commit="")
