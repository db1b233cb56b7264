"""One phase at a time for a placement, and never one of a run whose lock was taken from it.

<state>/environments/<environment>--<12 hex>/
    fence.json   `{"format": 1, "token": N}`: the highest lock token that any run showed here
    lock         held (flock) while that is read and written
<state>/placements/<...>/lock  held while a phase works on the placement
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import time

from host_program import receipts
from host_program.problems import Problem

FORMAT = 1
LOCK_SECONDS = 60


def directory_of(identity):
    """Where lock and fence of that identity lie."""
    key = hashlib.sha256(identity.encode()).hexdigest()[:12]
    name = "{}--{}".format(identity.rsplit("/", 1)[-1], key)
    return os.path.join(receipts.state_root(), "environments", name)


@contextlib.contextmanager
def entered(identity, token, directory):
    """This phase is the only one on the placement, and no later run has been on this host.

    Args:
        token: the run's lock token; None where it holds no lock (a plain playbook, `--no-lock`).
        directory: of the placement's receipt.

    Raises:
        Problem: another phase does not end (`busy`), or a run with a higher token was here (`fenced`).
    """
    with locked(directory):
        teach(identity, token)
        yield


def teach(identity, token):
    """The host knows that token; a run that shows a smaller one is refused from now on.

    Raises:
        Problem: it knows a higher one.
    """
    if token is None:
        return
    directory = directory_of(identity)
    with locked(directory):
        known = _read(directory)
        if token < known:
            raise Problem(
                "fenced",
                "a later deployment (lock token {}) was here; this run's token is {}".format(known, token),
                "its lock was taken from it; run `orchestrator status`, then deploy again",
            )
        if token > known:
            receipts.write_json(os.path.join(directory, "fence.json"), {"format": FORMAT, "token": token})


def _read(directory):
    try:
        with open(os.path.join(directory, "fence.json"), encoding="utf-8") as file:
            return int(json.load(file)["token"])
    except FileNotFoundError:
        return 0
    except (ValueError, KeyError, TypeError):
        raise Problem(
            "conflict",
            "the fence in {} is not readable".format(directory),
            "make sure that no deployment runs, then remove that file",
        ) from None


@contextlib.contextmanager
def locked(directory):
    """Nobody else is in there who asks; a lock of 60 s is somebody's who does not end."""
    receipts.make_private(directory)
    path = os.path.join(directory, "lock")
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b") as file:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Problem(
                        "busy",
                        "another deployment works on this placement for more than {} s".format(LOCK_SECONDS),
                        "wait for it to end, then run this one again",
                    ) from None
                time.sleep(0.1)
        yield
