from __future__ import annotations

import pytest

from orchestrator.core.forge_text import (
    description_of,
    same_text,
    shorten,
    title_of,
    without_quick_actions,
)


def test_what_fits_stays() -> None:
    assert shorten("a\nb\n", 100) == "a\nb\n"


def test_what_does_not_fit_ends_after_a_line_and_says_so() -> None:
    short = shorten("first\n" + "line\n" * 100, 200)
    assert len(short) <= 200
    assert short.startswith("first\nline\n")
    assert "\nline\n\n**Shortened:**" in short


def test_a_cut_inside_a_code_block_ends_it() -> None:
    short = shorten("first\n```\n" + "line\n" * 100, 200)
    assert "line\n```\n\n**Shortened:**" in short
    assert len(short) <= 200


def test_one_endless_line_leaves_only_the_notice() -> None:
    assert "x" * 10 not in shorten("x" * 1000, 200)


def test_titles_and_descriptions_are_one_line_of_bounded_length() -> None:
    assert title_of(" Promote\nqa\u202e to\x00 production ") == title_of("Promote qa to production")
    assert len(title_of("x" * 1000)) == 250
    assert description_of("x" * 140) == "x" * 140
    assert description_of("x" * 141) == "x" * 139 + "…"


@pytest.mark.parametrize("text", ["/merge", "text\n/approve\n", "text\n  /assign me", "> /close", "\t/merge"])
def test_no_line_commands_gitlab(text: str) -> None:
    assert "\n/" not in "\n" + without_quick_actions(text).replace(" ", "").replace(">", "").replace("\t", "")


def test_a_path_inside_of_a_line_stays() -> None:
    assert without_quick_actions("see `/srv/site` and a / b") == "see `/srv/site` and a / b"


def test_a_forges_copy_is_the_same_text() -> None:
    assert same_text("a\r\nb", "a\nb\n")
    assert not same_text("a\nb", "a\nc")
