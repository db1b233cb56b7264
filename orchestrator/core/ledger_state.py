"""What is live as far as the ledger knows: each closed attempt folded into one document for an environment."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.core.observed import ObservedHost, ObservedPlacement
from orchestrator.core.promotion_rules import fold_holds
from orchestrator.core.record import INTERRUPTED, Record, RecordPlacement

FORMAT = 1
REMEMBERED_ATTEMPTS = 50

Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LivePlacement:
    """What the newest attempt that knows left on one host.

    Attributes:
        version: None: nobody can say; empty: nothing is live.
        record: that attempt's id; `time` and `token` are its end by its runner's clock, and its lock's token.
    """

    application: str
    host: str
    region: str
    deployment_path: str
    version: str | None
    release: str
    artifact_sha256: str
    configuration_digest: str
    result: str
    record: str
    time: str
    token: int | None

    @property
    def key(self) -> Key:
        """What tells placements of an environment apart."""
        return (self.application, self.host, self.deployment_path)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerState:
    """One environment.

    Attributes:
        holds: those in force, see `orchestrator.core.promotion_rules`.
        closed: ids of the latest attempts that have said themselves how they ended, the newest last.
        interrupted: ids of the latest that others have closed; such a one may still say how it ended.
    """

    environment: str
    placements: tuple[LivePlacement, ...] = ()
    holds: tuple[Mapping[str, Any], ...] = ()
    closed: tuple[str, ...] = ()
    interrupted: tuple[str, ...] = ()


def fold_record(state: LedgerState, record: Record, *, waited: bool = False) -> LedgerState:
    """Return the state after a closed attempt. An attempt that arrives late changes nothing newer.

    Args:
        waited: in a clone, until the ledger could be reached: others may have been there meanwhile.
    """
    live = {one.key: one for one in state.placements}
    dead = record.verdict == INTERRUPTED
    for one in record.placements:
        key = (one.application, one.host, one.deployment_path)
        before = live.get(key)
        if before is not None and _is_newer(before, record, waited):
            continue
        if one.version is not None or one.result == "unknown":
            live[key] = _live(one, record, before)
    return LedgerState(
        environment=record.environment,
        placements=tuple(live[key] for key in sorted(live)),
        holds=fold_holds(state.holds, record),
        closed=state.closed if dead else _remember(state.closed, record.id),
        interrupted=_remember(state.interrupted, record.id) if dead else state.interrupted,
    )


def observed_from_state(state: LedgerState, hosts: Iterable[str]) -> dict[str, ObservedHost]:
    """Return what the ledger knows of these hosts, in the form of their own answers.

    A host that the ledger does not know, or does not know everything of, is `unasked`.
    """
    by_host: dict[str, list[LivePlacement]] = {}
    for one in state.placements:
        by_host.setdefault(one.host, []).append(one)
    observed = {}
    for host in hosts:
        known = by_host.get(host, [])
        if not known or any(one.version is None for one in known):
            observed[host] = ObservedHost.unasked(host)
            continue
        placements = {(one.application, one.deployment_path): _observed(one) for one in known}
        observed[host] = ObservedHost(name=host, status="observed", placements=placements)
    return observed


def render_state(state: LedgerState) -> bytes:
    """Return state.json."""
    document = {"format": FORMAT, **asdict(state)}
    return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def parse_state(content: bytes | None, environment: str) -> LedgerState:
    """Return what state.json says; None (no file) is an environment that nothing is known of.

    Raises:
        ValueError: it is none; the message says why.
    """
    if content is None:
        return LedgerState(environment=environment)
    document = json.loads(content)
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(f"it has not format {FORMAT}")
    try:
        return LedgerState(
            environment=environment,
            placements=tuple(LivePlacement(**one) for one in document["placements"]),
            holds=tuple(document["holds"]),
            closed=tuple(document["closed"]),
            interrupted=tuple(document["interrupted"]),
        )
    except (KeyError, TypeError):
        raise ValueError("its fields are not those of this version") from None


def _remember(ids: tuple[str, ...], new: str) -> tuple[str, ...]:
    return (*ids, new)[-REMEMBERED_ATTEMPTS:]


def _live(one: RecordPlacement, record: Record, before: LivePlacement | None) -> LivePlacement:
    """What is said of a version once (its release, its digests) stays true while it is live."""
    same = before if before is not None and before.version == one.version else None
    return LivePlacement(
        application=one.application,
        host=one.host,
        region=one.region,
        deployment_path=one.deployment_path,
        version=one.version,
        release=one.release or (same.release if same else ""),
        artifact_sha256=one.artifact_sha256 or (same.artifact_sha256 if same else ""),
        configuration_digest=one.configuration_digest or (same.configuration_digest if same else ""),
        result=one.result,
        record=record.id,
        time=record.ended,
        token=record.lock_token,
    )


def _is_newer(live: LivePlacement, record: Record, waited: bool) -> bool:
    """Whether what is known came after the attempt.

    Of two that had the lock, the tokens say which came first; of others, that the ledger heard of one after the other.
    Only of one that waited without a lock nothing is certain, and the clocks of both runners have to do.
    """
    if live.token is not None and record.lock_token is not None:
        return live.token > record.lock_token
    return waited and live.time > record.ended


def _observed(live: LivePlacement) -> ObservedPlacement:
    return ObservedPlacement(
        application=live.application,
        deployment_path=live.deployment_path,
        version=live.version or "",
        release=live.release,
        artifact_sha256=live.artifact_sha256,
        configuration_digest=live.configuration_digest,
        state="none" if not live.version else "active" if live.result == "unproven" else "healthy",
    )
