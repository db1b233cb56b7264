"""Which molecule scenarios the roles have."""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.fleet.image import cache_directory

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """`roles/<role>/molecule/<name>/`. Its host has the scenario's name, so names are unique across roles."""

    role: str
    name: str

    @property
    def glob(self) -> str:
        """Return what molecule is to look through: it fills the scenario's name into every bare `*`."""
        return f"{{tests/molecule,roles/{self.role}/molecule}}/*/molecule.yml"


def find_scenarios(repository: Path = REPOSITORY) -> list[Scenario]:
    """Return the scenarios of all roles, by role and name.

    Raises:
        ValueError: two roles have a scenario of the same name, or one is called `default`.
    """
    found: dict[str, Scenario] = {}
    for path in sorted(repository.glob("roles/*/molecule/*/molecule.yml")):
        scenario = Scenario(role=path.parents[2].name, name=path.parent.name)
        if scenario.name == "default":
            raise ValueError(f"{path.parent}: `default` makes the hosts; call it {scenario.role}-default")
        if scenario.name in found:
            raise ValueError(f"{path.parent}: role {found[scenario.name].role} has this scenario; rename one")
        found[scenario.name] = scenario
    return list(found.values())


def session(repository: Path = REPOSITORY) -> str:
    """Return the fleet's name for this checkout, so that two checkouts do not share hosts or state."""
    return f"molecule-{hashlib.sha256(str(repository).encode()).hexdigest()[:8]}"


def state_directory(repository: Path = REPOSITORY) -> Path:
    """Return the `ANSIBLE_HOME` of molecule's runs in this checkout."""
    return cache_directory() / session(repository)


@contextmanager
def the_only_run() -> Iterator[None]:
    """Hold this checkout's hosts and state for as long as the block runs.

    Raises:
        BlockingIOError: another run holds them.
    """
    state_directory().mkdir(parents=True, exist_ok=True)
    with (state_directory() / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BlockingIOError("another run of molecule in this checkout has not ended") from error
        yield
