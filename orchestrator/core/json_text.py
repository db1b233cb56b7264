"""Strict JSON from bytes, and on which line each value stands.

The standard library reads the value. It knows no positions and accepts more than JSON (duplicate keys
among it), so a scanner of our own finds lines and duplicates; it only runs when a line is asked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from orchestrator.core.violations import Path, Violations, quote

MAX_DOCUMENT_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 64

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)
_MAX_DIGITS = 30


@dataclass(slots=True)
class JsonText:
    """A JSON document: its value, and where things stand in it."""

    label: str
    text: str
    value: Any = None
    _lines: dict[Path, int] | None = None

    def line_of(self, path: Path) -> int:
        """Return the line (from 1) of the value at `path`, or of its nearest ancestor that exists."""
        if self._lines is None:
            self._lines = {}
            for token in _scan(self.text):
                self._lines.setdefault(token.path, token.line)
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)


def parse_json(content: bytes, label: str, violations: Violations) -> JsonText | None:
    """Return the document that `content` holds, or None when it cannot be read at all.

    Violations are added for everything that is not strict JSON: bytes that are no UTF-8, a byte order
    mark, duplicate keys, too much nesting. Numbers and strings are left to `check_plain_values`.
    """
    text = _decode(content, label, violations)
    if text is None:
        return None
    document = JsonText(label=label, text=text)
    duplicates = False

    def as_dictionary(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal duplicates
        dictionary = dict(pairs)
        duplicates = duplicates or len(dictionary) != len(pairs)
        return dictionary

    try:
        document.value = json.loads(text, object_pairs_hook=as_dictionary)
    except json.JSONDecodeError as error:
        message = f"this is not JSON: {error.msg} (column {error.colno})"
        violations.add_at(label, error.lineno, (), message)
        return None
    except RecursionError:
        line = next((token.line for token in _scan(text) if token.too_deep), 1)
        violations.add_at(label, line, (), f"this is nested more than {MAX_DEPTH} levels deep; flatten it")
        return None
    except ValueError:  # Python converts no integers of more than 4,300 digits
        for token in _scan(text):
            if len(token.number) > _MAX_DIGITS:
                violations.add_at(
                    label, token.line, token.path, "this number is too large; use a smaller one"
                )
        return None
    if duplicates:
        for token in _scan(text):
            if token.first_line:
                key = quote(str(token.path[-1]))
                message = f"the key {key} is here twice (first on line {token.first_line}); keep one"
                violations.add_at(label, token.line, token.path, message)
    return document


def _decode(content: bytes, label: str, violations: Violations) -> str | None:
    problem, line = "", 1
    if len(content) > MAX_DOCUMENT_BYTES:
        problem = f"this is larger than {MAX_DOCUMENT_BYTES // 1024 // 1024} MiB; split it"
    elif not content.strip():
        problem = "this is empty; it has to be a JSON object"
    elif content.startswith(b"\xef\xbb\xbf"):
        problem = "this begins with a byte order mark; save it as UTF-8 without one"
    else:
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            problem = f"byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
    violations.add_at(label, line, (), problem)
    return None


@dataclass(slots=True)
class _Token:
    """The beginning of a value: a key in an object, else the value itself.

    `first_line` is set on a duplicate key, `number` on numbers and literals.
    """

    path: Path
    line: int
    first_line: int = 0
    number: str = ""
    too_deep: bool = False


@dataclass(slots=True)
class _Frame:
    path: Path
    is_object: bool
    keys: dict[str, int] = field(default_factory=dict)
    index: int = 0
    key: str | None = None


def _scan(text: str) -> Iterator[_Token]:
    """Yield where each value begins, in order; end below MAX_DEPTH. Never raises, whatever the text."""
    line, position = 1, 0
    frames: list[_Frame] = []
    for match in _TOKEN.finditer(text):
        line += text.count("\n", position, match.start())
        position = match.start()
        token = match.group()
        frame = frames[-1] if frames else None
        if token in "}]":
            frames = frames[:-1]
        elif token == ",":
            if frame:
                frame.index += 1
                frame.key = None
        elif token == ":":
            continue
        elif frame and frame.is_object and frame.key is None and token[0] == '"':
            frame.key = _unquote(token)
            first_line = frame.keys.get(frame.key, 0)
            frame.keys.setdefault(frame.key, line)
            yield _Token(path=(*frame.path, frame.key), line=line, first_line=first_line)
        else:
            path = _path_in(frame)
            if token in "{[":
                too_deep = len(frames) >= MAX_DEPTH
                yield _Token(path=path, line=line, too_deep=too_deep)
                if too_deep:
                    return
                frames.append(_Frame(path=path, is_object=token == "{"))
            else:
                yield _Token(path=path, line=line, number="" if token[0] == '"' else token)


def _path_in(frame: _Frame | None) -> Path:
    if frame is None:
        return ()
    return (*frame.path, frame.key or "") if frame.is_object else (*frame.path, frame.index)


def _unquote(token: str) -> str:
    try:
        return str(json.loads(token))
    except ValueError:
        return token
