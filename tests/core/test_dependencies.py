from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.dependencies import find_cycles, waves


def test_cycles_are_found_with_their_members() -> None:
    graph = {"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"], "e": ["e"], "f": [], "g": ["f", "elsewhere"]}

    assert find_cycles(graph) == (("a", "b", "c", "a"), ("e", "e"))


def test_wave_is_the_longest_way_down() -> None:
    graph = {"web": ["api", "db"], "api": ["db", "db"], "db": [], "cron": []}

    assert waves(graph, graph) == {"db": 0, "cron": 0, "api": 1, "web": 2}


def test_applications_that_are_not_here_do_not_count_but_pass_the_order_on() -> None:
    assert waves({"web": ["api"], "api": ["db"], "db": []}, {"web", "db"}) == {"db": 0, "api": 1, "web": 1}


def test_long_chains_need_no_recursion() -> None:
    graph = {str(number): [str(number - 1)] if number else [] for number in range(20_000)}

    assert waves(graph, graph)["19999"] == 19_999
    assert find_cycles(graph) == ()


NAMES = "abcdef"


@given(st.dictionaries(st.sampled_from(NAMES), st.lists(st.sampled_from(NAMES))))
def test_either_there_is_a_cycle_or_everything_comes_after_what_it_depends_on(
    graph: dict[str, list[str]],
) -> None:
    cycles = find_cycles(graph)
    depths = waves(graph, graph)

    for cycle in cycles:
        assert cycle[0] == cycle[-1]
        assert all(after in graph[before] for before, after in itertools.pairwise(cycle))
    if not cycles:
        assert all(depths[one] > depths[other] for one in graph for other in graph[one] if other in graph)
