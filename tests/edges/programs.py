"""Programs of this machine that a test needs."""

from __future__ import annotations

import os
import shutil

import pytest


def require(program: str) -> None:
    """The test is skipped where the program is missing, and fails where nothing may be skipped."""
    if shutil.which(program) is None:
        reason = f"{program} not found; apt-get install {program}"
        if os.environ.get("ORCHESTRATOR_REQUIRE_ALL") == "1":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
