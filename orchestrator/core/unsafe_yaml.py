"""YAML in which strings are marked `!unsafe`, so that Ansible never takes one for a template.

JSON with `__ansible_unsafe` wrappers is no alternative: one malformed wrapper makes Ansible read the file
again as YAML, and then every other wrapper is templated (measured with ansible-core 2.19).

A string that YAML would read as something else when it is not quoted (`1.10`, `yes`, a date) is quoted and not
marked: Ansible resolves a marked scalar anew without looking at its quotes, and the version 1.10 would arrive as
the number 1.1 (measured with 2.19). Such a string cannot hold a template.
"""

from __future__ import annotations

from typing import Any

import yaml
from yaml.resolver import Resolver

_STRING = "tag:yaml.org,2002:str"
_resolver = Resolver()


class _Dumper(yaml.CSafeDumper):
    """Writes no anchors: equal strings are not references to each other."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


class _Text(str):
    """A string that stays what it is."""

    __slots__ = ()


def _represent(dumper: yaml.CSafeDumper, value: _Text) -> yaml.ScalarNode:
    resolved = _resolver.resolve(yaml.ScalarNode, str(value), (True, False))  # type: ignore[no-untyped-call]
    return dumper.represent_scalar("!unsafe" if resolved == _STRING else _STRING, str(value), style='"')


_Dumper.add_representer(_Text, _represent)


def render_unsafe_yaml(value: Any) -> str:
    """The value as YAML; every string value marked, keys plain (they are ours, or validated names)."""
    return str(yaml.dump(_mark(value), Dumper=_Dumper, sort_keys=True, width=10_000, allow_unicode=False))


def _mark(value: Any) -> Any:
    match value:
        case str():
            return _Text(value)
        case dict():
            return {key: _mark(entry) for key, entry in value.items()}
        case list() | tuple():
            return [_mark(entry) for entry in value]
        case _:
            return value
