from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.json_edit import Node, make_object, parse_tree, rewrite, same, scalar

KEYS = st.text('abc"\\\u00e4 {}[]:,\n', max_size=3)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text('ab1\\"ä', max_size=5)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=5)
LOOKS: Any = st.fixed_dictionaries(
    {
        "indent": st.sampled_from([None, 0, 1, 2, 4, "\t"]),
        "separators": st.sampled_from([(",", ":"), (", ", ": "), (",", " : "), (" ,  ", ": ")]),
        "ensure_ascii": st.booleans(),
    }
)


def write(value: Any, looks: dict[str, Any], crlf: bool = False) -> str:
    text = json.dumps(value, **looks)
    return text.replace("\n", "\r\n") if crlf and looks["indent"] is not None else text


@given(OBJECTS, OBJECTS, LOOKS, LOOKS, st.booleans(), st.text(" \n", max_size=3))
def test_rewritten_text_says_what_is_wanted_and_saying_it_again_changes_nothing(
    old: dict[str, Any],
    new: dict[str, Any],
    looks: dict[str, Any],
    others: dict[str, Any],
    crlf: bool,
    tail: str,
) -> None:
    text = write(old, looks, crlf) + tail
    wanted = parse_tree(write(new, others))
    done = rewrite(parse_tree(text), wanted)
    assert json.loads(done) == new
    assert rewrite(parse_tree(done), wanted) == done
    assert done.endswith(tail)
    if crlf and looks["indent"] is not None:
        assert "\n" not in done.removesuffix(tail).replace("\r\n", "")


@given(OBJECTS, LOOKS, st.booleans())
def test_text_that_says_it_already_stays_as_it_is(
    value: dict[str, Any], looks: dict[str, Any], crlf: bool
) -> None:
    text = write(value, looks, crlf)
    assert rewrite(parse_tree(text), parse_tree(text)) == text
    assert rewrite(parse_tree(text), parse_tree(json.dumps(value, indent=3, sort_keys=True))) == text


@given(st.lists(st.text('ab"é{', max_size=4), min_size=1, max_size=5, unique=True), st.data(), LOOKS)
def test_other_bytes_than_the_value_s_stay(
    keys: list[str], data: st.DataObject, looks: dict[str, Any]
) -> None:
    key = data.draw(st.sampled_from(keys))
    text = write({one: {"version": "1", "more": [1, {}]} for one in keys}, looks)
    tree = parse_tree(text)
    old = tree.find((key, "version"))
    assert old is not None
    done = rewrite(tree, tree.put((key, "version"), scalar("2")))
    assert done == text[: old.start] + '"2"' + text[old.end :]


MANIFEST = """\
{
    "manifest_version" : "1.0.0",

    "applications": {
        "b": { "version": "1", "artifact": { "path": "b/{version}.zip" } },
        "a": {
            "version": "1",
            "depends_on": ["b"]
        }
    }
}
"""


@pytest.mark.parametrize(
    ("path", "value", "before", "after"),
    [
        (("applications", "b", "artifact", "sha256"), '"12"', 'zip" }', 'zip", "sha256": "12" }'),
        (
            ("applications", "a", "artifact"),
            '{"x": 1}',
            '["b"]\n',
            '["b"],\n            "artifact": {"x": 1}\n',
        ),
        (("applications", "a", "depends_on"), '["b", "c"]', '["b"]', '["b", "c"]'),
        (("applications", "a", "depends_on"), '[\n"b", "c"]', '["b"]', '["b", "c"]'),
        (("applications", "a", "depends_on"), "[]", '["b"]', "[]"),
        (
            ("applications", "c"),
            '{"version": "1",\n "x": {}}',
            '["b"]\n        }\n',
            '["b"]\n        },\n        "c": {\n            "version": "1",\n            "x": {}\n        }\n',
        ),
        (
            ("applications", "a"),
            "1",
            '{\n            "version": "1",\n            "depends_on": ["b"]\n        }',
            "1",
        ),
        (("description",), '"x"', "        }\n    }\n", '        }\n    },\n    "description": "x"\n'),
        (
            ("new", "deep"),
            "{}",
            "        }\n    }\n",
            '        }\n    },\n    "new": {\n        "deep": {}\n    }\n',
        ),
    ],
)
def test_what_is_new_looks_like_what_is_around_it(
    path: tuple[str, ...], value: str, before: str, after: str
) -> None:
    tree = parse_tree(MANIFEST)
    assert MANIFEST.count(before) == 1
    assert rewrite(tree, tree.put(path, parse_tree(value))) == MANIFEST.replace(before, after)


@pytest.mark.parametrize(
    ("path", "gone"),
    [
        (
            ("applications", "b"),
            '"b": { "version": "1", "artifact": { "path": "b/{version}.zip" } },\n        ',
        ),
        (("applications", "a", "depends_on"), ',\n            "depends_on": ["b"]'),
        (("applications", "nothing", "there"), ""),
        (("manifest_version",), '"manifest_version" : "1.0.0",\n\n    '),
    ],
)
def test_what_is_dropped_leaves_the_rest_as_it_is(path: tuple[str, ...], gone: str) -> None:
    tree = parse_tree(MANIFEST)
    assert rewrite(tree, tree.drop(path)) == MANIFEST.replace(gone, "")


@pytest.mark.parametrize(
    ("old", "new", "done"),
    [
        ('{"a":1}', '{"a": 1, "b": 2}', '{"a":1,"b":2}'),
        ('{"a": 1}', '{"b": 2, "a": 1}', '{"b": 2, "a": 1}'),
        ('{"a": 1, "c": 3}', '{"a": 1, "b": [1, {"x": 2}], "c": 3}', '{"a": 1, "b": [1, {"x": 2}], "c": 3}'),
        ("{}", '{"a": [1,\n 2]}', '{"a": [1, 2]}'),
        ("{\n}", '{"a": [1,\n 2]}', '{\n  "a": [\n    1,\n    2\n  ]\n}'),
        ('{"a": 1}', '{"b": 1}', '{"b": 1}'),
        ('{"a": 1}', "{}", "{}"),
        ('{"a": 1,"b": 2,"c": 3,"d": 4}', '{"a": 1, "c": 3}', '{"a": 1,"c": 3}'),
        ('{"a": 1.0}', '{"a": 1}', '{"a": 1}'),
        ('{"a": true}', '{"a": 1}', '{"a": 1}'),
        ('{"a": "\\u00e4"}', '{"a": "\u00e4"}', '{"a": "\\u00e4"}'),
    ],
)
def test_small_documents(old: str, new: str, done: str) -> None:
    assert rewrite(parse_tree(old), parse_tree(new)) == done


def test_values_that_were_put_together_are_compared_and_written() -> None:
    one: Node = make_object({"a": scalar("\u00e4"), "b": scalar("\ud800")})
    assert same(one, parse_tree('{"b": "\\ud800", "a": "\\u00e4"}'))
    assert rewrite(parse_tree("{}"), one) == '{"a": "\u00e4", "b": "\\ud800"}'
    assert parse_tree("[1]").find(("a", "b")) is None
    assert parse_tree('{"a": 1}').put((), scalar("x")).raw == '"x"'
