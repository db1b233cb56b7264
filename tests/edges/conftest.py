"""The host's and the controller's programs as packages, as the action loads them; a host to work on."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.edges.remotes import ISOLATED

if TYPE_CHECKING:
    from tests.edges.host import Host

ROLES = Path(__file__).resolve().parent.parent.parent / "roles"

for name in ("host_program", "controller_program"):
    if name not in sys.modules:
        program = ROLES / "placement" / "files" / name
        spec = importlib.util.spec_from_file_location(
            name, program / "__init__.py", submodule_search_locations=[str(program)]
        )
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """A host with a state directory of its own, and a repository that it may read."""
    import host_program.receipts

    from orchestrator.demo.artifact_server import ArtifactServer
    from tests.edges.host import PASSWORD, Host

    state = str(tmp_path / "state")
    monkeypatch.setattr(host_program.receipts, "state_root", lambda: state)
    with ArtifactServer(tmp_path / "store", username="ci", password=PASSWORD) as server:
        yield Host(tmp_path, server)


@pytest.fixture
def isolated_git(monkeypatch: pytest.MonkeyPatch) -> None:
    """git knows nothing of the user and the machine."""
    for name, value in ISOLATED.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A short path: Unix sockets lie below it."""
    path = tmp_path_factory.mktemp("d")
    yield path
    shutil.rmtree(path, ignore_errors=True)
