"""Foreign text in a CI's log commands nothing, and groups are written as each CI reads them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.ci import CiName
from orchestrator.core.ci_log import can_nest, group_end, group_start, has_groups, neutralise


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("web1: deployed", "web1: deployed"),
        ("::add-mask::x", "| ::add-mask::x"),
        ("  \t::set-env name=A::b", "|   \t::set-env name=A::b"),
        ("\u200b::error::x", "| \u200b::error::x"),
        ("\x1b[31m::error::x\x1b[0m", "| \x1b[31m::error::x\x1b[0m"),
        ("web1: ::1 is up", "web1: ::1 is up"),
        ("x ##vso[task.complete]y", "x ## vso[task.complete]y"),
        ("x ##VSO[task.complete]y", "x ## VSO[task.complete]y"),
        ("##[add-mask]x", "## [add-mask]x"),
        ("##\x00[add-mask]x", "## [add-mask]x"),
        ("a\r::set-env::b", "a ::set-env::b"),
        ("\x1b[0Ksection_end:1:x\r\x1b[0K", " [0Ksection_end:1:x  [0K"),
        ("\x1b[8mha:AAAA\x1b[0m", " [8mha:AAAA\x1b[0m"),
        ("\x1b[1;31mred\x1b[0m\tend", "\x1b[1;31mred\x1b[0m\tend"),
    ],
)
def test_line_is_shown_and_commands_nothing(line: str, shown: str) -> None:
    assert neutralise(line) == shown


@given(st.text(alphabet=st.sampled_from(list("#[]: \tvso\r\n\x1b0mK\u200bx"))))
def test_no_line_is_a_command(line: str) -> None:
    shown = neutralise(line)
    assert "##[" not in shown
    assert "##vso[" not in shown.lower()
    assert not re.match(r"[\s\u200b]*::", shown)
    assert "\r" not in shown
    assert "\n" not in shown
    assert neutralise(shown) == shown


@pytest.mark.parametrize(
    ("name", "start", "end"),
    [
        ("github", "::group::100%25 of a", "::endgroup::"),
        ("gitea", "::group::100%25 of a", "::endgroup::"),
        ("forgejo", "::group::100%25 of a", "::endgroup::"),
        ("azure", "##[group]100% of a", "##[endgroup]"),
        (
            "gitlab",
            "\x1b[0Ksection_start:9:orchestrator_3_100_of_a[collapsed=true]\r\x1b[0K100% of a",
            "\x1b[0Ksection_end:9:orchestrator_3_100_of_a\r\x1b[0K",
        ),
        ("jenkins", "", ""),
        ("bitbucket", "", ""),
        ("plain", "", ""),
    ],
)
def test_groups_of_each_ci(name: CiName, start: str, end: str) -> None:
    title = "100% of\na"
    assert group_start(name, title, number=3, time_seconds=9, collapsed=True) == start
    assert group_end(name, title, number=3, time_seconds=9) == end
    assert has_groups(name) == bool(start)
    assert can_nest(name) == (name == "gitlab")


def test_open_section_of_gitlab_and_a_title_without_letters() -> None:
    start = group_start("gitlab", "…", number=1, time_seconds=9, collapsed=False)
    assert start == "\x1b[0Ksection_start:9:orchestrator_1\r\x1b[0K…"
