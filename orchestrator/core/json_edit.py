"""JSON rewritten without loss: only what differs is written anew, every other byte stays as it was.

    tree = parse_tree(text)
    wanted = tree.put(("applications", "shop", "version"), scalar("2.0.0"))
    rewrite(tree, wanted)

What is written anew takes the looks of what is around it: line ends, indentation, spaces after colons.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

Shape = Literal["object", "array", "scalar"]

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)
_DEFAULT_UNIT = "  "


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Node:
    """One value, where it stands in a text.

    Attributes:
        text: of the whole document that it came from.
        start, end: where the value is in it.
        keys: where each key of an object begins and ends.
        members: of an object, in the order of the text.
        is_written: it says what its text says; else its members were put together.
    """

    text: str
    start: int
    end: int
    shape: Shape
    members: Mapping[str, Node] = field(default_factory=dict)
    keys: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    items: tuple[Node, ...] = ()
    is_written: bool = True

    @property
    def raw(self) -> str:
        """The value as it is written."""
        return self.text[self.start : self.end]

    def find(self, path: Iterable[str]) -> Node | None:
        """Return the value at that path of keys; None when it is not there."""
        node: Node | None = self
        for key in path:
            node = node.members.get(key) if node is not None else None
        return node

    def put(self, path: tuple[str, ...], value: Node) -> Node:
        """Return this tree with another value at `path`; objects on the way are made where they are missing."""
        if not path:
            return value
        inner = self.members.get(path[0]) or make_object({})
        return self._with({**self.members, path[0]: inner.put(path[1:], value)})

    def drop(self, path: tuple[str, ...]) -> Node:
        """Return this tree without the value at `path`."""
        key, rest = path[0], path[1:]
        if key not in self.members:
            return self
        members = dict(self.members)
        if rest:
            members[key] = members[key].drop(rest)
        else:
            del members[key]
        return self._with(members)

    def _with(self, members: Mapping[str, Node]) -> Node:
        return replace(self, shape="object", members=members, is_written=False)


def parse_tree(text: str) -> Node:
    """Return the tree of a text that is valid JSON without duplicate keys and not nested too deeply."""
    tokens = [(match.start(), match.end()) for match in _TOKEN.finditer(text)]
    node, _ = _parse(text, tokens, 0)
    return node


def scalar(value: str) -> Node:
    """Return a string that is to be written."""
    try:
        text = json.dumps(value, ensure_ascii=False)
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(value)
    return Node(text=text, start=0, end=len(text), shape="scalar")


def make_object(members: Mapping[str, Node]) -> Node:
    """Return an object that is to be written."""
    return Node(text="{}", start=0, end=2, shape="object", members=members, is_written=False)


def same(one: Node, other: Node) -> bool:
    """Return whether both say the same; the order of keys does not count, how a number is written does."""
    if one.shape != other.shape:
        return False
    if one.shape == "scalar":
        return one.raw == other.raw or (_is_text(one) and _is_text(other) and _text(one) == _text(other))
    if one.shape == "array":
        return len(one.items) == len(other.items) and all(map(same, one.items, other.items))
    return one.members.keys() == other.members.keys() and all(
        same(value, other.members[key]) for key, value in one.members.items()
    )


def rewrite(tree: Node, wanted: Node) -> str:
    """Return the text of `tree`, a whole document, changed so that it says what `wanted` says.

    Keys stay where they are; new ones follow on the key that they follow on in `wanted`.
    """
    text = tree.text
    looks = _Looks.of(tree)
    pieces, done = [], 0
    for start, end, new in _changes(tree, wanted, looks, ""):
        pieces += [text[done:start], new]
        done = end
    return "".join([*pieces, text[done:]])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Looks:
    """How a document is written.

    Attributes:
        line_end: empty: all of it is on one line.
        unit: what each level is indented by.
        colon: from a key to its value.
    """

    line_end: str
    unit: str
    colon: str

    @property
    def space(self) -> str:
        """What follows on a comma inside of a line."""
        return " " if self.colon.endswith(" ") else ""

    @classmethod
    def of(cls, tree: Node) -> _Looks:
        text = tree.text
        first = text.find("\n", tree.start, tree.end)
        line_end = "" if first < 0 else "\r\n" if text[first - 1] == "\r" else "\n"
        unit, colon = _DEFAULT_UNIT, ": "
        for key, (start, end) in tree.keys.items():
            unit = _indent_at(text, start) or unit
            colon = text[end : tree.members[key].start]
            break
        return cls(line_end=line_end, unit=unit, colon=colon)


def _changes(old: Node, new: Node, looks: _Looks, indent: str) -> Iterator[tuple[int, int, str]]:
    """Yield what to replace, in the order of the text: from, to, by what.

    Args:
        indent: of the line on which the old value begins.
    """
    if new is old or same(old, new):
        return
    if old.shape != "object" or new.shape != "object" or not old.members or not new.members:
        yield old.start, old.end, _render(new, looks, indent, flat="\n" not in old.raw and bool(old.items))
        return
    yield from _object_changes(old, new, looks, indent)


def _object_changes(old: Node, new: Node, looks: _Looks, indent: str) -> Iterator[tuple[int, int, str]]:
    text, names = old.text, list(old.keys)
    starts = [old.keys[name][0] for name in names]
    ends = [old.members[name].end for name in names]
    lead = text[old.start + 1 : starts[0]]
    looks = replace(looks, colon=text[old.keys[names[-1]][1] : old.members[names[-1]].start])
    own = _line_indent(text, starts[0])
    flat = "\n" not in lead
    gap = text[ends[0] : starts[1]].partition(",")[2] if len(names) > 1 else ""
    between = (gap or looks.space) if flat else lead
    kept = [index for index, name in enumerate(names) if name in new.members]
    added = _added(old, new)
    if not kept:
        yield old.start, old.end, _render(new, looks, indent, flat=flat)
        return

    def write(after: str | None) -> list[str]:
        return [
            f"{json.dumps(name, ensure_ascii=False)}{looks.colon}"
            f"{_render(new.members[name], looks, own, flat=flat)}"
            for name in added.get(after, ())
        ]

    first, last = kept[0], kept[-1]
    front = [f"{one},{between}" for one in write(None)]
    if front or first > 0:
        yield starts[0], starts[first], "".join(front)
    for index in range(first, last + 1):
        name = names[index]
        if name not in new.members:
            yield starts[index], starts[index + 1], ""
            continue
        yield from _changes(old.members[name], new.members[name], looks, _line_indent(text, starts[index]))
        more = "".join(f",{between}{one}" for one in write(name))
        if more:
            yield ends[index], ends[index], more
    if last < len(names) - 1:
        yield ends[last], ends[-1], ""


def _added(old: Node, new: Node) -> dict[str | None, list[str]]:
    """The new keys by the kept one that they are written behind; None: in front of all."""
    added: dict[str | None, list[str]] = {}
    before: str | None = None
    for name in new.members:
        if name in old.keys:
            before = name
        else:
            added.setdefault(before, []).append(name)
    return added


def _render(node: Node, looks: _Looks, indent: str, *, flat: bool) -> str:
    """The value, written anew; what was written on one line stays as it was written."""
    if node.shape == "scalar":
        return node.raw
    inner = [f"{json.dumps(key, ensure_ascii=False)}{looks.colon}" for key in node.members]
    values: Iterable[Node] = node.members.values() if node.shape == "object" else node.items
    brackets = "{}" if node.shape == "object" else "[]"
    if not node.members and not node.items:
        return brackets
    if node.is_written and "\n" not in node.raw:
        return node.raw
    within = flat or not looks.line_end
    deeper = indent + looks.unit
    written = [_render(value, looks, deeper, flat=within) for value in values]
    parts = [key + value for key, value in zip(inner, written, strict=True)] if inner else written
    if within:
        return brackets[0] + f",{looks.space}".join(parts) + brackets[1]
    separator = f",{looks.line_end}{deeper}"
    return (
        f"{brackets[0]}{looks.line_end}{deeper}{separator.join(parts)}{looks.line_end}{indent}{brackets[1]}"
    )


def _parse(text: str, tokens: list[tuple[int, int]], at: int) -> tuple[Node, int]:
    """The value that begins with the token `at`, and the number of the token behind it."""
    start, end = tokens[at]
    if text[start] not in "{[":
        return Node(text=text, start=start, end=end, shape="scalar"), at + 1
    is_object = text[start] == "{"
    members: dict[str, Node] = {}
    keys: dict[str, tuple[int, int]] = {}
    items: list[Node] = []
    at += 1
    while text[tokens[at][0]] not in "}]":
        if text[tokens[at][0]] == ",":
            at += 1
            continue
        if is_object:
            key = tokens[at]
            name = str(json.loads(text[slice(*key)]))
            keys[name] = key
            members[name], at = _parse(text, tokens, at + 2)
        else:
            item, at = _parse(text, tokens, at)
            items.append(item)
    return Node(
        text=text,
        start=start,
        end=tokens[at][1],
        shape="object" if is_object else "array",
        members=members,
        keys=keys,
        items=tuple(items),
    ), at + 1


def _indent_at(text: str, position: int) -> str:
    """What stands in front of it on its line, if that is only space."""
    before = text[text.rfind("\n", 0, position) + 1 : position]
    return before if not before.strip() else ""


def _line_indent(text: str, position: int) -> str:
    """What the line that it stands on is indented by."""
    line = text[text.rfind("\n", 0, position) + 1 : position]
    return line[: len(line) - len(line.lstrip())]


def _is_text(node: Node) -> bool:
    return node.raw.startswith('"')


def _text(node: Node) -> str:
    return str(json.loads(node.raw))
