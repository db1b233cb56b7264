"""Phase `probe`: can a deployment work here? Facts for `orchestrator doctor`; changes nothing."""

from __future__ import annotations

import os
import platform
import shutil
import time

from host_program import paths, receipts
from host_program.problems import Problem, user_name


def probe(request):
    """Python, user, clock, and for each deployment path what would stop a deployment there."""
    found = {
        "python": platform.python_version(),
        "user": user_name(),
        "time": time.time(),
        "state_root": receipts.state_root(),
        "zstd": bool(shutil.which("zstd")),
        "findings": [],
        "free_bytes": {},
    }
    for path in [receipts.state_root()] + [entry["deployment_path"] for entry in request["placements"]]:
        try:
            paths.refuse_unwritable(path, staging_bytes(), 16)
            if path != receipts.state_root():
                paths.refuse_controlled(path)
                paths.Paths(path).live_directory()
        except Problem as problem:
            found["findings"].append(problem.as_json())
        existing = path
        while not os.path.isdir(existing):
            existing = os.path.dirname(existing)
        space = os.statvfs(existing)
        found["free_bytes"][path] = space.f_bavail * space.f_frsize
    return found


def staging_bytes():
    """The least that anything needs."""
    return 1 << 20
