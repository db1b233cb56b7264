"""What is wrong with documents, all of it at once, each with file, line and path."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Protocol

from orchestrator.errors import DocumentError

Path = tuple[str | int, ...]

_PLAIN_KEY = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]*")
_WORD_SEPARATORS = re.compile(r"[\s_.-]+")
_SHOWN_CHARACTERS = 80
# Comparing with difflib costs about 20 µs a candidate: a hostile document must not make that minutes.
_MAX_CANDIDATES = 500
_MAX_SUGGESTIONS = 50


class Source(Protocol):
    """A document that knows on which line each of its values stands."""

    @property
    def label(self) -> str:
        """What the document is called in messages, usually its file name."""
        ...

    def line_of(self, path: Path) -> int:
        """Return the line (from 1) of the value at `path`, or of its nearest ancestor that exists."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Violation:
    """One thing that is wrong: where, what, and what to do about it.

    Attributes:
        line: from 1.
        path: such as `applications.shop.artifact.path`.
    """

    file: str
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.path}: {self.message}"


@dataclass(slots=True)
class Violations:
    """Collects violations of several documents, each once."""

    _found: set[Violation] = field(default_factory=set)
    _suggestions: int = 0

    def __bool__(self) -> bool:
        return bool(self._found)

    def sorted(self) -> tuple[Violation, ...]:
        """Return what was found, by file and line."""
        return tuple(sorted(self._found))

    def add(self, source: Source, path: Path, message: str) -> None:
        """Remember that the value at `path` is wrong."""
        self.add_at(source.label, source.line_of(path), path, message)

    def add_at(self, label: str, line: int, path: Path, message: str) -> None:
        """Remember that the value at `path`, on a known line, is wrong."""
        self._found.add(Violation(file=label, line=line, path=render_path(path), message=message))

    def near_miss(self, word: str, candidates: Iterable[str]) -> str:
        """Return ` (did you mean "x"?)` for the candidate that looks like `word`, or nothing.

        Case and separators do not count: `deploymentPath` is near `deployment_path`.
        """
        if self._suggestions >= _MAX_SUGGESTIONS:
            return ""
        self._suggestions += 1
        plain = _plain(word)
        by_plain: dict[str, str] = {}
        for candidate in candidates:
            if abs(len(candidate) - len(word)) <= 4 and len(by_plain) < _MAX_CANDIDATES:
                by_plain.setdefault(_plain(candidate), candidate)
        close = get_close_matches(plain, by_plain, n=1, cutoff=0.7)
        return f" (did you mean {quote(by_plain[close[0]])}?)" if close else ""

    def error(self) -> DocumentError:
        """Return the error that has every violation in its `details`, by file and line."""
        found = self.sorted()
        files = ", ".join(sorted({violation.file for violation in found}))
        count = "one thing is" if len(found) == 1 else f"{len(found)} things are"
        return DocumentError(
            f"{count} wrong in {files}",
            details=tuple(str(violation) for violation in found),
            resolution="Correct what is listed and run the command again; nothing was touched.",
        )


@dataclass(slots=True)
class Report:
    """Where one document's violations go.

    Attributes:
        bad: paths that are known to be wrong, so that nothing is said about their consequences.
    """

    source: Source
    violations: Violations
    bad: set[Path] = field(default_factory=set)

    def add(self, path: Path, message: str) -> None:
        """Remember that the value at `path` is wrong."""
        self.bad.add(path)
        self.violations.add(self.source, path, message)

    def near_miss(self, word: str, candidates: Iterable[str]) -> str:
        """Return ` (did you mean "x"?)`, or nothing."""
        return self.violations.near_miss(word, candidates)


def render_path(path: Path) -> str:
    """Return a path as people write it: `hosts["web1.north"].groups[0]`, in printable ASCII."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN_KEY.fullmatch(part) and len(part) <= _SHOWN_CHARACTERS:
            text += f".{part}" if text else part
        else:
            text += f"[{quote(part)}]"
    return text or "(top level)"


def quote(text: str) -> str:
    """Return a document's text in quotes, in printable ASCII, shortened when long."""
    if len(text) > _SHOWN_CHARACTERS:
        text = text[: _SHOWN_CHARACTERS - 3] + "..."
    return json.dumps(text).replace("\x7f", "\\u007f")


def _plain(word: str) -> str:
    return _WORD_SEPARATORS.sub("", word[:300]).casefold()
