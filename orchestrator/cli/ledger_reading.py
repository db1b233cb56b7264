"""What `history`, `show`, `when` and `lock` share: where lock and ledger are, and records for people."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO

import click

from orchestrator.core.history_index import Indexed
from orchestrator.core.record import Record, parse_record
from orchestrator.core.settings import Settings, branch_for_environment, environment_names, parse_settings
from orchestrator.core.state_refs import ledger_ref
from orchestrator.edges.clone import read_clone
from orchestrator.edges.git import DeploymentRepository, Revision
from orchestrator.edges.history import History
from orchestrator.edges.schemas import read_schema
from orchestrator.errors import RevisionError, UsageError

SETTINGS = "orchestrator.toml"


class LedgerReader:
    """The ledger of the stack in `directory`, fetched; what is wrong with it is said on standard error.

    Args:
        environment: whose branch says where the ledger is; empty: HEAD.
    """

    def __init__(self, directory: str, environment: str = "") -> None:
        self.repository = DeploymentRepository(Path(directory))
        self.settings = state_settings(self.repository, environment)
        clone = read_clone(self.repository.directory)
        ref = ledger_ref(self.settings, self.repository.stack)
        self._skipped: list[str] = []
        self._history = History(clone, self.settings.ledger.repository, ref)
        for warning in self._history.refresh():
            click.echo(f"warning: {warning}", err=True)

    def attempts(self, environment: str = "") -> Iterator[Indexed]:
        """Each attempt that can be read; first the one of which something was said last."""
        return self._readable(self._history.attempts(), environment)

    def by_turn(self, environment: str) -> list[Indexed]:
        """As `attempts`, the one that had its turn last first: a run that stalled may be the last to say how it ended.

        Turns are those of the lock and of the ledger. What the clocks of runners said does not matter.
        """
        return list(self._readable(reversed(self._history.turns()), environment))

    def _readable(self, attempts: Iterable[Indexed], environment: str) -> Iterator[Indexed]:
        names = environment_names(environment)
        for one in attempts:
            if environment and one.environment not in names:
                continue
            if one.problem:
                self._skipped.append(f"{one.id} in commit {one.commit[:10]} ({plain(one.problem)})")
            else:
                yield one

    def texts(self, attempts: Iterable[Indexed], now: Mapping[str, str] | None = None) -> Iterator[str]:
        """The attempts' documents.

        Args:
            now: what is to be said of open ones besides, as `now`, by id.
        """
        for one, text in self._history.documents(attempts):
            if one.is_open and now is not None:
                text = json.dumps({**json.loads(text), "now": now[one.id]}, ensure_ascii=False)
            yield text

    def records(self, attempts: Iterable[Indexed]) -> Iterator[Record]:
        """The attempts' records; one with a field that is wrong is skipped."""
        for one, text in self._history.documents(attempts):
            try:
                yield parse_record(text)
            except ValueError as error:
                self._skipped.append(f"{one.id} in commit {one.commit[:10]} ({plain(str(error))})")

    def warn(self) -> None:
        """Standard error says what was skipped."""
        if self._skipped:
            more = f" and {len(self._skipped) - 3} more" if len(self._skipped) > 3 else ""
            shown = "; ".join(self._skipped[:3])
            click.echo(
                f"warning: entries of the ledger cannot be read and are left out: {shown}{more}", err=True
            )


def state_settings(repository: DeploymentRepository, environment: str) -> Settings:
    """orchestrator.toml at the environment's branch as far as it is known here, else at HEAD; else the defaults."""
    try:
        settings = _read(repository, repository.resolve_ref("HEAD"))
    except RevisionError:  # no commit yet
        settings = Settings()
    if not environment:
        return settings
    try:
        branch = branch_for_environment(settings, environment)
        return _read(repository, repository.resolve_branch(branch, offline=True))
    except RevisionError:
        return settings


def plain(text: str) -> str:
    """Text of a record, on one line and without control characters: it was written by others."""
    return text if text.isprintable() else "".join(one if one.isprintable() else " " for one in text)


def shown_moment(text: str) -> str:
    """A moment in a table: UTC, to the second."""
    return plain(text[:19].replace("T", " "))


def shown_version(version: str | None) -> str:
    """A version in a table."""
    return "unknown" if version is None else plain(version) or "-"


@contextlib.contextmanager
def json_output(path: str) -> Iterator[IO[str]]:
    """That file, or standard output for `-`, to be written bit by bit.

    Raises:
        UsageError: it cannot be written.
    """
    if path == "-":
        yield sys.stdout
        return
    try:
        with open(path, "w", encoding="utf-8") as file:
            yield file
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}", resolution="correct --json") from None


def write_documents(path: str, name: str, documents: Iterable[str], **fields: str) -> None:
    """`{"format": 1, ..., NAME: [...]}` of documents that are JSON text already."""
    head = ", ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in fields.items())
    with json_output(path) as file:
        file.write(f'{{"format": 1, {head}{", " if head else ""}{json.dumps(name)}: [')
        separator = "\n"
        for document in documents:
            file.write(separator + document.strip())
            separator = ",\n"
        file.write("\n]}\n")


def _read(repository: DeploymentRepository, revision: Revision) -> Settings:
    return parse_settings(repository.read(revision, SETTINGS), SETTINGS, read_schema("settings"))
