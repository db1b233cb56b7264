"""TOML from bytes, and on which line its tables and keys stand."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import Any

from orchestrator.core.violations import Path, Violations

MAX_SETTINGS_BYTES = 1024 * 1024

_KEY = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
_DOTTED = rf"{_KEY}(?:[ \t]*\.[ \t]*{_KEY})*"
_HEADER = re.compile(rf"[ \t]*\[[ \t]*({_DOTTED})[ \t]*\]")
_ASSIGNMENT = re.compile(rf"[ \t]*({_DOTTED})[ \t]*=")
_POSITION = re.compile(r" \(at line (\d+), column (\d+)\)$")


@dataclass(slots=True)
class TomlText:
    """A TOML document: its value, and where tables and keys stand in it."""

    label: str
    text: str
    value: dict[str, Any]
    _lines: dict[Path, int] | None = None

    def line_of(self, path: Path) -> int:
        """Return the line (from 1) of the key at `path`, or of its nearest ancestor that exists.

        Keys of inline tables stand where the table does.
        """
        if self._lines is None:
            self._lines = _find_lines(self.text)
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)


def parse_toml(content: bytes, label: str, violations: Violations) -> TomlText | None:
    """Return the document that `content` holds, or None (and a violation) when it cannot be read."""
    problem, line = "", 1
    try:
        if len(content) > MAX_SETTINGS_BYTES:
            problem = f"this is larger than {MAX_SETTINGS_BYTES // 1024} KiB; make it smaller"
        elif content.startswith(b"\xef\xbb\xbf"):
            problem = "this begins with a byte order mark; save it as UTF-8 without one"
        else:
            text = content.decode("utf-8").replace("\r\n", "\n")
            return TomlText(label=label, text=text, value=tomllib.loads(text))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problem = f"byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
    except RecursionError:
        problem = "this is nested too deeply; flatten it"
    except ValueError as error:  # TOMLDecodeError, and integers of more than 4,300 digits
        message = str(error)
        if position := _POSITION.search(message):
            line = int(position[1])
            message = f"{message[: position.start()]} (column {position[2]})"
        elif message.endswith("(at end of document)"):
            line = content.rstrip().count(b"\n") + 1
        problem = f"this is not TOML: {message.encode('ascii', 'backslashreplace').decode('ascii')}"
    violations.add_at(label, line, (), problem)
    return None


def _find_lines(text: str) -> dict[Path, int]:
    lines: dict[Path, int] = {}
    table: Path = ()
    for number, line in enumerate(text.split("\n"), start=1):
        if header := _HEADER.match(line):
            table = _keys(header[1])
            path = table
        elif assignment := _ASSIGNMENT.match(line):
            path = (*table, *_keys(assignment[1]))
        else:
            continue
        for length in range(1, len(path) + 1):
            lines.setdefault(path[:length], number)
    return lines


def _keys(dotted: str) -> Path:
    return tuple(_unquote(key) for key in re.findall(_KEY, dotted))


def _unquote(key: str) -> str:
    if key[0] == '"':
        try:
            return str(next(iter(tomllib.loads(f"{key} = 0"))))
        except tomllib.TOMLDecodeError:  # a line of a multi-line string that looks like an assignment
            return key
    return key.strip("'")
