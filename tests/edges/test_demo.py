"""The demo, as somebody who has lost patience with it leaves it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.edges.remotes import ROOT


@pytest.mark.parametrize("moment", ["The demo lives", "1. Version", "$ orchestrator deploy"])
def test_ctrl_c_ends_the_demo_without_a_traceback(tmp_path: Path, moment: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestrator", "demo"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    while moment not in process.stdout.readline():
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: everything in the foreground gets it
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert "interrupted; nothing was deployed" in said
    assert list(tmp_path.glob("orchestrator-demo-*")) == []
