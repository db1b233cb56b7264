"""Foreign text in Markdown: it is shown as it is, and means nothing there.

Follows GitHub Flavored Markdown 0.29; GitLab's references are covered too.
"""

from __future__ import annotations

import re

from orchestrator.core.hidden_text import one_line

_BACKTICKS = re.compile("`+")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "\\": "&#92;", '"': "&quot;"}
_MARKUP = re.compile(r'[&<>|\\"`*_\[\]()~^{}#!$]')
# What GitHub and GitLab turn into links without markup: @user, #1, !1, ~label, %milestone, $snippet, addresses.
_REFERENCE = re.compile(r"(?<=[@#!~%$&^])(?=\w)|(?<=:)(?=//)|(?<=www)(?=\.)", re.IGNORECASE)
_BREAK = "\u200b"
_MAX_CHARACTERS = 1000


def escape_cell(text: str) -> str:
    """Return `text` on one line as plain text of a table's cell or of a sentence.

    No markup, HTML, mention, reference or link comes of it; at most _MAX_CHARACTERS are shown.
    """
    broken = _REFERENCE.sub(_BREAK, _shortened(text))
    return _MARKUP.sub(lambda found: _ENTITIES.get(found[0], f"\\{found[0]}"), broken)


def code(text: str) -> str:
    """Return `text` on one line as code that may stand in a cell too; empty text stays empty."""
    plain = _shortened(text)
    if not plain:
        return ""
    if "|" in plain:
        # A pipe ends a cell even inside backticks, and its escape would show outside of a table.
        entities = re.sub(r"[^\w ]", lambda found: f"&#{ord(found[0])};", plain)
        return f"<code>{entities}</code>"
    longest = max((len(run) for run in _BACKTICKS.findall(plain)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if plain.startswith("`") or plain.endswith("`") else ""
    return f"{fence}{pad}{plain}{pad}{fence}"


def _shortened(text: str) -> str:
    plain = one_line(text)
    return plain if len(plain) <= _MAX_CHARACTERS else plain[: _MAX_CHARACTERS - 1] + "…"
