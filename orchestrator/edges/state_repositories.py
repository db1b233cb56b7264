"""The repositories with locks and ledgers that one command talks to, each opened once."""

from __future__ import annotations

from types import TracebackType

from orchestrator.edges.clone import Clone
from orchestrator.edges.state_repository import StateRepository


class StateRepositories:
    """Use as a context manager: what was opened is gone when it is closed.

    Args:
        clone: whose remote and credentials are used.
        actor: author of commits where git knows none.
    """

    def __init__(self, clone: Clone, *, actor: str = "") -> None:
        self.clone = clone
        self._actor = actor
        self._opened: dict[tuple[str, str], StateRepository] = {}

    def __enter__(self) -> StateRepositories:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._opened:
            self._opened.popitem()[1].close()

    def at(self, location: str = "", *, signing_key: str = "") -> StateRepository:
        """The one at that URL or path; empty: the clone's remote, or the clone itself without one.

        Raises:
            GitError: git cannot make a scratch repository for it.
        """
        key = (location, signing_key)
        if key not in self._opened:
            self._opened[key] = StateRepository(
                self.clone, location, actor=self._actor, signing_key=signing_key
            )
        return self._opened[key]
