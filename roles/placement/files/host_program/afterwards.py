"""What is done once the answer is on its way, because nobody has to wait for it.

A program that is killed before leaves it to the next one that stages there.
"""

from __future__ import annotations

import contextlib

from host_program.problems import Problem

_waiting = []


def add(work):
    """That is called when the answer was given."""
    _waiting.append(work)


def do():
    """What was added is done, as far as that is possible."""
    while _waiting:
        with contextlib.suppress(OSError, Problem):
            _waiting.pop(0)()
