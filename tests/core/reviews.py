"""Reviews of pull requests for tests, and what a Markdown renderer makes of a comment."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

from orchestrator.core.observed import ObservedHost
from orchestrator.core.pull_request import Review
from tests.core.values import (
    make_application,
    make_desired,
    make_host,
    make_observed,
    make_placement,
    make_plan,
)

_PARSER = MarkdownIt("commonmark", {"html": True, "linkify": False}).enable(["table", "strikethrough"])
_ALLOWED = {
    "heading_open", "heading_close", "paragraph_open", "paragraph_close", "inline", "text", "code_inline",
    "table_open", "table_close", "thead_open", "thead_close", "tbody_open", "tbody_close", "tr_open", "tr_close",
    "th_open", "th_close", "td_open", "td_close", "bullet_list_open", "bullet_list_close", "ordered_list_open",
    "ordered_list_close", "list_item_open", "list_item_close", "strong_open", "strong_close", "softbreak",
    "hardbreak", "html_block",
}  # fmt: skip


def make_review(**overrides: Any) -> Review:
    """A pull request that updates `site` on four hosts of two regions; one host is new, one does not answer."""
    hosts = [
        make_host("north1", region="north", order=1),
        make_host("north2", region="north", order=1),
        make_host("south1", region="south", order=2),
        make_host("south2", region="south", order=2),
    ]
    site = make_application("site", "2.0.0")
    placements = [make_placement(site, host) for host in hosts]
    desired = make_desired(*placements, warnings=("the environment has an entry that nobody needs",))
    plan = make_plan(
        desired,
        make_observed("north1"),
        make_observed("north2"),
        ObservedHost.unasked("south1", "new in this pull request, not asked"),
        ObservedHost.unreachable("south2", "connection refused"),
    )
    review = Review(
        environment="production",
        base="production@1a2b3c4d5e",
        branch="production",
        head="staging@5e4d3c2b1a",
        commit="5e" * 20,
        source="hosts",
        from_version="1.9.0",
        plan=plan,
        unasked={"south1": "new in this pull request, not asked"},
        keys=("+regions.south.hosts.south1",),
        notes=("host south1 is new; it is not asked",),
    )
    return replace(review, **overrides)


def text_outside_of_code(markdown: str) -> str:
    """What a renderer shows outside of code spans, after checking that it is nothing but text, lists and tables.

    The one comment at the beginning is not part of it.
    """
    tokens = _PARSER.parse(markdown)
    assert tokens[0].type == "html_block"
    assert tokens[0].content.count("<!--") == tokens[0].content.count("-->") == 1
    assert tokens[0].content.strip().endswith("-->")
    return "\n".join(_texts(tokens[1:]))


def _texts(tokens: list[Token]) -> list[str]:
    texts = []
    for token in tokens:
        assert token.type in _ALLOWED - {"html_block"}, token
        if token.type == "text":
            texts.append(token.content)
        texts += _texts(token.children or [])
    return texts
