"""Texts on their way to a forge: within its limits, and without commands that it would obey.

Sources: GitHub REST (a comment has 65,536 characters at most, a status' description 140), GitLab "Quick actions" (a
line of a description or comment that begins with a slash is a command, through the API too).
"""

from __future__ import annotations

import re

from orchestrator.core.hidden_text import one_line

MAX_TITLE, MAX_DESCRIPTION = 250, 140
_SHORTENED = "\n\n**Shortened:** this forge takes no longer comments; `orchestrator plan` shows all of it.\n"
_QUICK_ACTION = re.compile(r"(?m)^([ \t>]*)/(?=[A-Za-z])")
# Code fences and spans are not ended by a cut, so the notice has to stand outside of both.
_FENCE = re.compile(r"(?m)^(```+|~~~+)")


def shorten(markdown: str, limit: int) -> str:
    """Return a comment of at most `limit` characters, cut after a line, with a last line that says so."""
    if len(markdown) <= limit:
        return markdown
    kept = markdown[: limit - len(_SHORTENED) - 4]
    kept = kept[: max(kept.rfind("\n"), 0)]
    open_fence = "\n```" if len(_FENCE.findall(kept)) % 2 else ""
    return f"{kept}{open_fence}{_SHORTENED}"


def title_of(text: str) -> str:
    """Return a pull request's title: one line, nothing hidden, cut where forges would."""
    return _cut(one_line(text).strip(), MAX_TITLE)


def description_of(text: str) -> str:
    """Return a commit status' description: one line, cut where GitHub would refuse it."""
    return _cut(one_line(text).strip(), MAX_DESCRIPTION)


def without_quick_actions(markdown: str) -> str:
    """Return the text as GitLab shows it, with no line of it being a command (`/approve`, `/merge`)."""
    return _QUICK_ACTION.sub(r"\1&#47;", markdown)


def same_text(one: str, other: str) -> bool:
    """Return whether a forge's copy is what was sent: forges end lines with CRLF, and cut blanks at the end."""
    return one.replace("\r\n", "\n").rstrip() == other.replace("\r\n", "\n").rstrip()


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
