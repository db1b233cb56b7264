"""What a ledger proves where keys are listed: only what an entry says that one of them signed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from orchestrator.core.history import in_turn
from orchestrator.core.history_index import Indexed
from orchestrator.core.promotion_rules import GOOD
from orchestrator.core.protection_rules import ledger_signers
from orchestrator.core.record import Record, parse_record
from orchestrator.core.settings import Settings, environment_names
from orchestrator.edges.history import History
from orchestrator.edges.signatures import Signatures

CLOSED = ("success", "partial", "failed", "unknown", "cancelled", "superseded", "interrupted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proofs:
    """What is to be proven, and by whom.

    Attributes:
        settings: orchestrator.toml wherever its keys count; an entry has to satisfy all of them that list any.
        environment: where the proven artifacts are to go.
        digests: their SHA-256.
    """

    settings: tuple[Settings, ...] = ()
    environment: str = ""
    digests: frozenset[str] = field(default_factory=frozenset)

    @property
    def needs_signatures(self) -> bool:
        """Whether any keys are listed."""
        return any(one.protection.keys for one in self.settings)


def read_signed_records(
    history: History, names: tuple[str, ...], proofs: Proofs, *, object_format: str
) -> tuple[Record, ...]:
    """Every closed attempt of the environments `names`, without those that would prove something and are not signed.

    They stand in the order of their turns, see `in_turn`; a lock's token that nobody signed moves none.
    An entry that was made later for the same attempt hides nothing: whoever may push could make one.

    Raises:
        GitError: a program that verifies is missing.
    """
    with ExitStack() as stack:
        checks: list[Callable[[bytes], bool]] = []
        for settings in proofs.settings:
            if settings.protection.keys:
                signatures = stack.enter_context(
                    Signatures(settings.protection.keys, object_format=object_format)
                )
                allowed = ledger_signers(settings.protection, environment_names(proofs.environment))
                checks.append(_checker(signatures, allowed))

        def is_signed(commit: str) -> bool:
            raw = history.raw_commit(commit)
            return all(check(raw) for check in checks)

        attempts = {(one.environment, one.id): one for one in history.attempts()}
        found: list[tuple[Indexed, Record, str]] = []
        for entry, document in history.events(names, CLOSED):
            try:
                record = parse_record(document or b"")
            except ValueError:
                continue
            is_meant = (record.id, record.environment) == (entry.id, entry.environment)
            if _proves(record, proofs.digests) and not (is_meant and is_signed(entry.commit)):
                continue
            found.append((attempts[entry.environment, entry.id], record, entry.commit))
        return _in_turn(found, is_signed)


def _in_turn(
    found: list[tuple[Indexed, Record, str]], is_signed: Callable[[str], bool]
) -> tuple[Record, ...]:
    """The records in the order of their turns; where tokens say another than the ledger, only signed ones count."""
    told = sorted(found, key=lambda one: one[0].place)
    attempts = [one for one, _, _ in told]
    if in_turn(attempts) != attempts:
        attempts = [
            replace(one, lock_token=record.lock_token if is_signed(commit) else None)
            for one, record, commit in told
        ]
    turns = {(one.environment, one.id): number for number, one in enumerate(in_turn(attempts))}
    return tuple(
        record for _, record, _ in sorted(told, key=lambda one: turns[one[0].environment, one[0].id])
    )


def _checker(signatures: Signatures, allowed: tuple[str, ...]) -> Callable[[bytes], bool]:
    return lambda raw: bool(signatures.verify(raw, allowed).name)


def _proves(record: Record, digests: Iterable[str]) -> bool:
    return any(one.result in GOOD and one.artifact_sha256 in digests for one in record.placements)
