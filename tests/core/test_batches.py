"""Batches are those of Ansible's `serial`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.batches import split_hosts

SIZES = st.one_of(
    st.integers(min_value=1, max_value=50).map(str),
    st.integers(min_value=1, max_value=100).map(lambda part: f"{part}%"),
)


@pytest.mark.parametrize(
    ("sizes", "count", "expected"),
    [
        (["100%"], 3, [3]),
        (["1"], 3, [1, 1, 1]),
        (["1", "50%", "100%"], 40, [1, 20, 19]),
        (["10%"], 25, [2] * 12 + [1]),
        (["1%"], 3, [1, 1, 1]),
        (["29%"], 100, [29, 29, 29, 13]),
        (["5"], 3, [3]),
        (["1", "2"], 0, []),
    ],
)
def test_last_size_repeats_and_parts_are_rounded_down(
    sizes: list[str], count: int, expected: list[int]
) -> None:
    hosts = [f"h{number}" for number in range(count)]
    assert [len(batch) for batch in split_hosts(hosts, sizes, whole=count)] == expected


def test_part_is_one_of_the_whole_wave_even_where_few_hosts_are_left() -> None:
    assert split_hosts(["a", "b", "c"], ["50%"], whole=4) == (("a", "b"), ("c",))


@given(st.lists(SIZES, min_size=1), st.integers(min_value=0, max_value=60))
def test_every_host_is_in_one_batch_in_order(sizes: list[str], count: int) -> None:
    hosts = tuple(f"h{number:02}" for number in range(count))
    batches = split_hosts(hosts, sizes, whole=max(1, count))
    assert tuple(host for batch in batches for host in batch) == hosts
    assert all(batches)
