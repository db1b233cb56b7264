"""No value of a document is code, control sequence or trick, whatever key it stands under."""

from __future__ import annotations

import re
from math import isfinite
from typing import Any

from orchestrator.core.json_text import MAX_DEPTH
from orchestrator.core.violations import Path, Report, quote

MAX_STRING_CHARACTERS = 16 * 1024
MAX_NUMBER = 2**53

# C0 and C1 controls, line and paragraph separators, lone surrogates, and the invisible characters that
# reorder or hide text when a reviewer reads it (bidirectional controls, soft hyphen, zero width space, word
# joiner, BOM, interlinear annotation, tags). Joiners that scripts and emoji need are text.
_NOT_PLAIN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def check_plain_values(value: Any, report: Report) -> None:
    """Add a violation for every key and value that is not plain, and mark its path as bad.

    Not plain are control and invisible characters, text of more than MAX_STRING_CHARACTERS, numbers that
    JSON readers disagree on, keys that begin with `__ansible`, and more than MAX_DEPTH levels.
    """
    stack: list[tuple[Path, Any]] = [((), value)]
    while stack:
        path, current = stack.pop()
        if isinstance(current, str):
            if problem := _string_problem(current):
                report.add(path, problem)
        elif isinstance(current, dict | list):
            if len(path) >= MAX_DEPTH:
                report.add(path, f"this is nested more than {MAX_DEPTH} levels deep; flatten it")
            elif isinstance(current, list):
                stack.extend(((*path, index), item) for index, item in enumerate(current))
            else:
                for key, item in current.items():
                    stack.append(((*path, key), item))
                    if problem := _key_problem(key):
                        report.add((*path, key), problem)
        elif isinstance(current, int | float) and not (isfinite(current) and abs(current) <= MAX_NUMBER):
            report.add(path, "this is no number that every JSON reader understands; use a smaller one")


def _string_problem(text: str) -> str:
    if len(text) > MAX_STRING_CHARACTERS:
        return f"this has {len(text)} characters; {MAX_STRING_CHARACTERS} at most are allowed"
    if found := _NOT_PLAIN.search(text):
        place = f"character {found.start() + 1}"
        return f"{place} is a control or invisible character (U+{ord(found[0]):04X}); remove it"
    return ""


def _key_problem(key: str) -> str:
    if key.casefold().startswith("__ansible"):
        return f"the key {quote(key)} is Ansible's own; remove it, nothing in documents is code"
    if problem := _string_problem(key):
        return f"the key: {problem}"
    return ""
