"""What is done once nobody asks any more, or for a while, because nobody has to wait for it.

A program that is killed before leaves it to the next one that stages there.
"""

from __future__ import annotations

import contextlib

from host_program.problems import Problem

_waiting = []


def add(work):
    """That is called once there is time for it."""
    _waiting.append(work)


def is_waiting():
    """Whether there is something to do."""
    return bool(_waiting)


def do():
    """What was added is done, as far as that is possible."""
    while _waiting:
        with contextlib.suppress(OSError, Problem):
            _waiting.pop(0)()
