"""Rolling batches: how many hosts of a wave go at once, as Ansible's `serial` counts them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from orchestrator.core.violations import Path, Report

ALL_AT_ONCE = ("100%",)
_SIZE = re.compile(r"[1-9][0-9]{0,6}|(?:[1-9][0-9]?|100)%")
_PROBLEM = 'has to be a number of hosts such as "1", or a part of them such as "10%", from "1%" to "100%"'


def parse_batches(raw: str | int | Sequence[str | int | None], report: Report, path: Path) -> tuple[str, ...]:
    """Return the sizes that `batches` names, in order; what is none goes to `report`.

    Args:
        raw: one size or a list of them; None where the schema has refused one already.
    """
    if not isinstance(raw, list):
        if _SIZE.fullmatch(str(raw)):
            return (str(raw),)
        report.add(path, _PROBLEM)
        return ALL_AT_ONCE
    for index, size in enumerate(raw):
        if size is not None and not _SIZE.fullmatch(str(size)):
            report.add((*path, index), _PROBLEM)
    return tuple(str(size) for size in raw)


def split_hosts(hosts: Sequence[str], sizes: Sequence[str], *, whole: int) -> tuple[tuple[str, ...], ...]:
    """Return the hosts in batches of these sizes, the last of which repeats.

    Args:
        whole: how many hosts 100 % are; a part of them is rounded down, and is one host at least.
    """
    batches: list[tuple[str, ...]] = []
    rest = tuple(hosts)
    while rest:
        size = _count(sizes[min(len(batches), len(sizes) - 1)], whole)
        batches.append(rest[:size])
        rest = rest[size:]
    return tuple(batches)


def _count(size: str, whole: int) -> int:
    return max(1, whole * int(size[:-1]) // 100) if size.endswith("%") else int(size)
