"""The files at the tip of the ledger's branch, and the commits that add events to them.

However long the history is, the tip stays small: what is open, what closed last, and what is live.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from orchestrator.core.ledger_entry import render_message
from orchestrator.core.ledger_state import LedgerState, fold_record, parse_state, render_state
from orchestrator.core.protection import is_base, is_overtaken
from orchestrator.core.record import Record, interrupt_record, parse_record, render_record
from orchestrator.edges.clock import moment
from orchestrator.edges.state_repository import StateRepository

MARK = "ledger.json"
README = "README.md"
_MARK = b'{"format": 1, "kind": "ledger"}\n'
_README = b"""# Ledger of deployments

Every attempt to deploy, written by `orchestrator`: one commit when it begins and one when it has ended. `git log` of
this branch is the record; `orchestrator history`, `show` and `when` read it.

- `<environment>/open/<id>.json`: attempts that have begun and not ended.
- `<environment>/last.json`: the last attempt that ended, or the last hold.
- `<environment>/deployed.json`: the last successful deployment of the branch, whose commit protects the next one.
- `<environment>/state.json`: what is live on each host as far as is known here, and what is held.

Do not edit, rebase or delete it. Nothing is built from it: its commits say `[skip ci]`.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerTree:
    """A commit of the branch and its files.

    Attributes:
        tip: empty: there is no branch yet.
        files: blob by path.
    """

    repository: StateRepository
    tip: str
    files: dict[str, str]

    @property
    def is_foreign(self) -> bool:
        """Whether the branch is something else than a ledger."""
        return bool(self.tip) and MARK not in self.files

    def state(self, environment: str) -> LedgerState:
        """What is live there as far as is known; what cannot be read is not known."""
        blob = self.files.get(f"{environment}/state.json")
        try:
            return parse_state(self.repository.read(blob) if blob else None, environment)
        except ValueError:
            return LedgerState(environment=environment)

    def open_records(self, environment: str) -> Iterator[Record]:
        """The attempts there that have begun and not ended."""
        for path, blob in sorted(self.files.items()):
            if path.startswith(f"{environment}/open/"):
                try:
                    yield parse_record(self.repository.read(blob))
                except ValueError:
                    continue

    def deployed(self, environment: str) -> Record | None:
        """The last deployment there that rules may come from; None: there is none, or it cannot be read."""
        blob = self.files.get(f"{environment}/deployed.json")
        try:
            return parse_record(self.repository.read(blob)) if blob else None
        except ValueError:
            return None

    def knows(self, environment: str) -> bool:
        """Whether any attempt there has ended."""
        return f"{environment}/last.json" in self.files

    def append(self, record: Record, *, waited: bool = False) -> tuple[LedgerTree, tuple[Record, ...]]:
        """The tree after that event, and the attempts that were found dead with it; itself if it is there already.

        An attempt with a lock closes those that held the lock before it: they can do nothing any more.

        Args:
            waited: see `fold_record`.

        Raises:
            GitFailureError: the commit cannot be made (signed).
        """
        if self._has(record):
            return self, ()
        tree, dead = self, []
        if record.lock_token is not None:
            for other in self.open_records(record.environment):
                if other.lock_token is not None and other.lock_token < record.lock_token:
                    dead.append(interrupt_record(other, ended=moment()))
                    tree = tree._append_closed(dead[-1])
        tree = tree._append_open(record) if record.is_open else tree._append_closed(record, waited)
        return tree, tuple(dead)

    def _has(self, record: Record) -> bool:
        """Whether nothing is left to say; of an open attempt more may be known than when another command said so."""
        state = self.state(record.environment)
        if record.id in state.closed or not record.is_open:
            return record.id in state.closed
        said = self.files.get(_open_path(record)) == self.repository.write(render_record(record))
        return said or record.id in state.interrupted

    def _append_open(self, record: Record) -> LedgerTree:
        blob = self.repository.write(render_record(record))
        return self._commit({_open_path(record): blob}, record, blob)

    def _append_closed(self, record: Record, waited: bool = False) -> LedgerTree:
        blob = self.repository.write(render_record(record))
        state = fold_record(self.state(record.environment), record, waited=waited)
        changes: dict[str, str | None] = {
            f"{record.environment}/last.json": blob,
            f"{record.environment}/state.json": self.repository.write(render_state(state)),
        }
        if _open_path(record) in self.files:
            changes[_open_path(record)] = None
        if self._is_newest_base(record):
            changes[f"{record.environment}/deployed.json"] = blob
        return self._commit(changes, record, blob)

    def _is_newest_base(self, record: Record) -> bool:
        if not is_base(record):
            return False
        deployed = self.deployed(record.environment)
        return deployed is None or not is_overtaken(record, deployed)

    def _commit(self, changes: dict[str, str | None], record: Record, document: str) -> LedgerTree:
        for path, content in ((MARK, _MARK), (README, _README)):
            if path not in self.files:
                changes[path] = self.repository.write(content)
        commit = self.repository.commit(
            changes, parent=self.tip, message=render_message(record, document), signed=True
        )
        files = {**self.files, **{path: blob for path, blob in changes.items() if blob is not None}}
        for path, blob in changes.items():
            if blob is None:
                del files[path]
        return replace(self, tip=commit, files=files)


def read_tree(repository: StateRepository, ref: str, *, ahead: Sequence[str] = ()) -> LedgerTree:
    """The ledger as it is at the remote now.

    Args:
        ahead: see `StateRepository.fetch`.

    Raises:
        GitError: the remote cannot be reached.
    """
    tip = repository.fetch(ref, ahead=ahead)
    return LedgerTree(repository=repository, tip=tip, files=repository.files(tip))


def _open_path(record: Record) -> str:
    return f"{record.environment}/open/{record.id}.json"
