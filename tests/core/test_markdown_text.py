"""Foreign text in Markdown."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.markdown_text import code, escape_cell


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("deployed 2.0.0, healthy", "deployed 2.0.0, healthy"),
        ("a | b", "a &#124; b"),
        ("<img src=x>", "&lt;img src=x&gt;"),
        ("[x](y)", r"\[x\]\(y\)"),
        ("`**_~", r"\`\*\*\_\~"),
        ("one\ntwo\x1b[0m\u202e", r"one two \[0m"),
        ("C:\\x", "C:&#92;x"),
        ("@team", "@\u200bteam"),
        ("#12 !3 ~bug", "\\#\u200b12 \\!\u200b3 \\~\u200bbug"),
        ("https://x.test", "https:\u200b//x.test"),
        ("WWW.x.test", "WWW\u200b.x.test"),
    ],
)
def test_text_in_a_cell_means_nothing(text: str, shown: str) -> None:
    assert escape_cell(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("web1", "`web1`"),
        ("a`b", "``a`b``"),
        ("`", "`` ` ``"),
        ("a | <b>", "<code>a &#124; &#60;b&#62;</code>"),
        ("x\r\ny", "`x y`"),
    ],
)
def test_code_cannot_be_left(text: str, shown: str) -> None:
    assert code(text) == shown


def test_long_text_is_shortened() -> None:
    assert escape_cell("x" * 5000).endswith("…")
    assert len(code("x" * 5000)) == 1002


@given(st.text())
def test_no_text_ends_a_cell_or_a_line(text: str) -> None:
    for shown in (escape_cell(text), code(text)):
        assert "|" not in shown
        assert len(shown.splitlines()) <= 1
    assert not re.search(r"[<>]", escape_cell(text))
