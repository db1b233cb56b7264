"""Characters that a reader does not see, or that change what a reader sees."""

from __future__ import annotations

import re

HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]+")
"""Controls, line separators, lone surrogates, bidirectional controls and zero-width characters."""


def one_line(text: str) -> str:
    """Return `text` on one line without anything hidden; runs of white space are one space."""
    return " ".join(HIDDEN.sub(" ", text).split())
