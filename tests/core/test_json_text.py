from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.json_text import MAX_DEPTH, MAX_DOCUMENT_BYTES, JsonText, parse_json
from orchestrator.core.violations import Path, Violations


def read(content: bytes) -> tuple[JsonText | None, list[str]]:
    violations = Violations()
    document = parse_json(content, "m.json", violations)
    return document, [str(violation) for violation in violations.sorted()]


def test_value_of_valid_json_is_read() -> None:
    document, found = read('{"a": [1, 2.5, true, null, "ä"]}'.encode())

    assert document is not None
    assert document.value == {"a": [1, 2.5, True, None, "ä"]}
    assert found == []


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), 1),
        (("a",), 2),
        (("a", "b"), 3),
        (("a", "b", 0), 4),
        (("a", "b", 1, "c"), 6),
        (("a", "}"), 9),
        (("a", "ä"), 10),
        (("a", "b", 7), 3),
        (("a", "missing", "below"), 2),
        (("missing",), 1),
    ],
)
def test_line_is_that_of_the_key_item_or_nearest_ancestor(path: Path, line: int) -> None:
    text = '{\n"a": {\n"b": [\n1,\n{\n"c":\n2\n}],\n"}": "{[,:",\n"\\u00e4": "x\\"y"\n}\n}'
    document, found = read(text.encode())

    assert found == []
    assert document is not None
    assert document.line_of(path) == line


def test_duplicate_keys_are_violations_with_both_lines() -> None:
    _, found = read(b'{\n"a": {"b": 1,\n"b": 2},\n"a": 3,\n"a": 4}')

    assert found == [
        'm.json:3: a.b: the key "b" is here twice (first on line 2); keep one',
        'm.json:4: a: the key "a" is here twice (first on line 2); keep one',
        'm.json:5: a: the key "a" is here twice (first on line 2); keep one',
    ]


def test_same_keys_written_differently_are_duplicates() -> None:
    _, found = read(b'{"a": 1, "\\u0061": 2}')

    assert len(found) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "m.json:1: (top level): this is empty; it has to be a JSON object"),
        (b" \n ", "m.json:1: (top level): this is empty; it has to be a JSON object"),
        (b'{\n"a": }', "m.json:2: (top level): this is not JSON: Expecting value (column 6)"),
        (b"\xef\xbb\xbf{}", "byte order mark; save it as UTF-8 without one"),
        (b'{\n"\xff": 1}', "m.json:2: (top level): byte 0xff is not UTF-8; save the file as UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "byte 0xff is not UTF-8"),
        (b'{"a": "\x01"}', "this is not JSON"),
        (b"{'a': 1}", "this is not JSON"),
        (b'{"a": 1} trailing', "this is not JSON: Extra data"),
        (b'{\n"a": ' + b"9" * 5000 + b"}", "m.json:2: a: this number is too large; use a smaller one"),
        (b" " * MAX_DOCUMENT_BYTES + b"{}", "this is larger than 64 MiB; split it"),
        (b"[" * 100_000, "this is nested more than 64 levels deep; flatten it"),
        (b"\n[" * 100_000 + b"]" * 100_000, f"m.json:{MAX_DEPTH + 2}: (top level): this is nested"),
        (b'{"a":' * 100_000, "this is nested more than 64 levels deep"),
    ],
)
def test_what_is_no_strict_json_is_one_violation(content: bytes, message: str) -> None:
    document, found = read(content)

    assert document is None
    assert len(found) == 1
    assert message in found[0]


def test_lines_are_found_in_text_that_is_no_json() -> None:
    document = JsonText(label="m.json", text=',}[\n{"\\x": 1,\n"a": ]}')

    assert document.line_of((0, "\\x")) == 2
    assert document.line_of((0, "a")) == 3


@given(st.binary())
def test_arbitrary_bytes_never_raise(content: bytes) -> None:
    read(content)


@given(st.text(alphabet='{}[],:"\\ \nab1eE-.u'))
def test_arbitrary_punctuation_never_raises_and_every_line_is_found(text: str) -> None:
    JsonText(label="m.json", text=text).line_of(("a", 1, "b"))
    read(text.encode())


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(), values, max_size=4),
)


@given(VALUES)
def test_every_value_stands_on_the_line_where_it_was_written(value: Any) -> None:
    """With an indent every key and every item has a line of its own, in document order."""
    document, found = read(json.dumps({"top": value}, indent=1).encode("utf-8"))
    assert document is not None
    assert found == []

    def paths(current: Any, path: Path) -> list[Path]:
        children = (
            current.items()
            if isinstance(current, dict)
            else enumerate(current)
            if isinstance(current, list)
            else ()
        )
        return [path, *(one for key, child in children for one in paths(child, (*path, key)))]

    lines = [document.line_of(path) for path in paths({"top": value}, ())]
    assert lines == sorted(set(lines))
