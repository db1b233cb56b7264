"""Which applications have to be there before which."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence

Graph = Mapping[str, Sequence[str]]


def find_cycles(graph: Graph) -> tuple[tuple[str, ...], ...]:
    """Return circles of dependencies, each as `(a, b, a)`; enough of them to break all of the others' chains.

    Args:
        graph: application → what it depends on; names that are no keys are left out.
    """
    remaining = {name: [one for one in graph[name] if one in graph] for name in sorted(graph)}
    for name in _in_order(remaining):
        del remaining[name]
    cycles = []
    done: set[str] = set()
    for start in remaining:
        position: dict[str, int] = {}
        name = start
        while name not in position and name not in done:
            position[name] = len(position)
            name = next(one for one in remaining[name] if one in remaining)
        if name not in done:
            cycles.append((*list(position)[position[name] :], name))
        done.update(position)
    return tuple(cycles)


def waves(graph: Graph, present: Collection[str]) -> dict[str, int]:
    """Return how many applications in a row have to be there before each one; 0 for the first.

    Args:
        graph: without cycles.
        present: the applications that this environment has; only they count.
    """
    known = {name: [one for one in graph[name] if one in graph] for name in graph}
    depths: dict[str, int] = {}
    for name in _in_order(known):
        depths[name] = max((depths[one] + (one in present) for one in known[name]), default=0)
    return depths


def _in_order(graph: Graph) -> list[str]:
    """Return the names that are in no cycle and behind none, each after what it depends on (Kahn)."""
    dependents: dict[str, list[str]] = {name: [] for name in graph}
    missing = {name: len(set(graph[name])) for name in graph}
    for name in graph:
        for dependency in set(graph[name]):
            dependents[dependency].append(name)
    ready = deque(name for name in graph if not missing[name])
    order = []
    while ready:
        name = ready.popleft()
        order.append(name)
        for dependent in dependents[name]:
            missing[dependent] -= 1
            if not missing[dependent]:
                ready.append(dependent)
    return order
