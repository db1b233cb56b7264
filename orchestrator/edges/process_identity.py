"""What tells a process of this machine from every other, and whether it is gone."""

from __future__ import annotations

import os
from pathlib import Path

_PROC = Path("/proc")


def this_process_identity() -> str:
    """`boot id:pid namespace:pid:start time`; empty where the system does not tell."""
    started = _started(os.getpid())
    place = _place()
    return f"{place}:{os.getpid()}:{started}" if place and started else ""


def is_gone(identity: str) -> bool:
    """Whether that process is certainly over: it ran under this kernel, seen from here, and does not any more.

    A process of another machine or container, or of an earlier boot of an unknown machine, is never said to be
    gone: nobody here can know.
    """
    place, _, process = identity.partition(":")
    namespace, _, process = process.partition(":")
    pid, _, started = process.partition(":")
    if not pid.isdecimal() or f"{place}:{namespace}" != _place():
        return False
    return _started(int(pid)) != started


def _place() -> str:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = str((_PROC / "self/ns/pid").readlink())
    except OSError:
        return ""
    return f"{boot}:{namespace.strip('pid:[]')}"


def _started(pid: int) -> str:
    """When the process began, in clock ticks since boot; empty when there is none, or it is a zombie."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    state, *rest = fields.rpartition(")")[2].split()
    return "" if state in ("Z", "X") else rest[18]
