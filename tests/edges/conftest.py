"""The host program as a package, as the controller loads it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from tests.edges.remotes import ISOLATED

ROLES = Path(__file__).resolve().parent.parent.parent / "roles"
PROGRAM = ROLES / "placement" / "files" / "host_program"

if "host_program" not in sys.modules:
    spec = importlib.util.spec_from_file_location(
        "host_program", PROGRAM / "__init__.py", submodule_search_locations=[str(PROGRAM)]
    )
    assert spec is not None
    assert spec.loader is not None
    sys.modules["host_program"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["host_program"])


@pytest.fixture
def isolated_git(monkeypatch: pytest.MonkeyPatch) -> None:
    """git knows nothing of the user and the machine."""
    for name, value in ISOLATED.items():
        monkeypatch.setenv(name, value)
