from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.toml_text import MAX_SETTINGS_BYTES, TomlText, parse_toml
from orchestrator.core.violations import Path, Violations

TEXT = """format = 1

[a."b.c"]
d = 1
inline = { x = 1 }
[ a . 'quo"ted' ]
[a.dotted]
one.two = 2
"key\\u0041" = '''
"not a \\z key" = 1
'''
"""


def read(content: bytes) -> tuple[TomlText | None, list[str]]:
    violations = Violations()
    document = parse_toml(content, "o.toml", violations)
    return document, [str(violation) for violation in violations.sorted()]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("format",), 1),
        (("a",), 3),
        (("a", "b.c"), 3),
        (("a", "b.c", "d"), 4),
        (("a", "b.c", "inline", "x"), 5),
        (("a", 'quo"ted'), 6),
        (("a", "dotted", "one", "two"), 8),
        (("a", "dotted", "keyA"), 9),
        (("missing",), 1),
    ],
)
def test_line_is_that_of_the_table_key_or_nearest_ancestor(path: Path, line: int) -> None:
    document, found = read(TEXT.encode())

    assert found == []
    assert document is not None
    assert document.line_of(path) == line


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a = 1\nb = ?\n", "o.toml:2: (top level): this is not TOML: Invalid value (column 5)"),
        (b"a = 1\na = 2", "o.toml:2: (top level): this is not TOML: Cannot overwrite a value (at end of"),
        (b"a = 'unfinished", "this is not TOML"),
        (b"\xef\xbb\xbfa = 1", "byte order mark; save it as UTF-8 without one"),
        (b"a = 1\n# \xff", "o.toml:2: (top level): byte 0xff is not UTF-8"),
        (b"a = " + b"9" * 5000, "this is not TOML"),
        (b"a = " + b"[" * 100_000, "this is nested too deeply; flatten it"),
        (b"#" * (MAX_SETTINGS_BYTES + 1), "this is larger than 1024 KiB"),
    ],
)
def test_what_is_no_toml_is_one_violation(content: bytes, message: str) -> None:
    document, found = read(content)

    assert document is None
    assert len(found) == 1
    assert message in found[0]


def test_windows_line_ends_are_read() -> None:
    document, _ = read(b"a = 1\r\nb = 2\r\n")

    assert document is not None
    assert document.value == {"a": 1, "b": 2}
    assert document.line_of(("b",)) == 2


@given(st.binary())
def test_arbitrary_bytes_never_raise(content: bytes) -> None:
    read(content)


@given(st.text(alphabet="[]{}=\"'.,#\\ \nab1-u"))
def test_arbitrary_punctuation_never_raises(text: str) -> None:
    TomlText(label="o.toml", text=text, value={}).line_of(("a",))
    read(text.encode())
