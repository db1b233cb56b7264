"""One CI runner of a test: locks, deploys (so to say) and records, in a process of its own.

`python -m tests.edges.state_worker CLONE ACTION ...`; what it did is a JSON document on each line of its output.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from orchestrator.core.lock_state import Holder
from orchestrator.core.settings import Settings
from orchestrator.edges.clock import moment
from orchestrator.edges.git import DeploymentRepository
from orchestrator.edges.state import State, open_state, this_process
from orchestrator.errors import OrchestratorError
from tests.edges.remotes import closed, make_record, make_settings


def main() -> int:
    """Runs the action."""
    directory, action, *arguments = sys.argv[1:]
    repository = DeploymentRepository(Path(directory))
    settings = make_settings(os.environ.get("WORKER_SETTINGS", ""))
    with open_state(repository, settings) as state:
        match action:
            case "deploy":
                _deploy(repository, settings, state, Path(arguments[0]), int(arguments[1]))
            case "hold":
                _hold(state, this_process(repository, actor="holder", run="r1"))
            case "append":
                _append(state, arguments[0], int(arguments[1]))
    return 0


def _say(**what: object) -> None:
    print(json.dumps(what), flush=True)  # noqa: T201


def _deploy(
    repository: DeploymentRepository, settings: Settings, state: State, journal: Path, times: int
) -> None:
    """Deploys that many times; each writes to one file that it shares with all others, without any lock of its own."""
    for number in range(times):
        run = f"{moment().replace('-', '').replace(':', '')}-{os.getpid()}-{number}"
        lock = state.lock("production", this_process(repository, actor=f"runner {os.getpid()}", run=run))
        with lock.acquire(timeout_seconds=240) as held:
            record = make_record(id=run, lock_token=held.token)
            opened = state.ledger.open(record)
            _write(journal, f"begin {held.token} {run}")
            _write(journal, f"end {held.token} {run}")
            recorded = state.ledger.close(closed(record), held)
            _say(
                token=held.token,
                run=run,
                problem=str(opened.problem or recorded.problem or ""),
                released=recorded.lock_released,
            )


def _append(state: State, name: str, times: int) -> None:
    """Records attempts without a lock."""
    for number in range(times):
        record = make_record(id=f"{name}-{number}")
        for recorded in (state.ledger.open(record), state.ledger.close(closed(record))):
            _say(run=record.id, problem=str(recorded.problem or ""))


def _hold(state: State, holder: Holder) -> None:
    """Takes the lock; a line of the input later says whether it still has it, and gives it back."""
    held = state.lock("production", holder).acquire(timeout_seconds=60)
    _say(token=held.token, fence=held.fence)
    sys.stdin.readline()
    lost = held.lost.wait(20)
    try:
        held.release(fenced=False)
        _say(lost=lost, released=True)
    except OrchestratorError as error:
        _say(lost=lost, released=False, error=error.brief)


def _write(journal: Path, line: str) -> None:
    with open(journal, "a", encoding="utf-8") as file:
        file.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
