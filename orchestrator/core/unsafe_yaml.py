"""YAML in which every string is marked `!unsafe`, so that Ansible never takes one for a template.

JSON with `__ansible_unsafe` wrappers is no alternative: one malformed wrapper makes Ansible read the file
again as YAML, and then every other wrapper is templated (measured with ansible-core 2.19).
"""

from __future__ import annotations

from typing import Any

import yaml


class _Dumper(yaml.CSafeDumper):
    """Writes no anchors: equal strings are not references to each other."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


class _Unsafe(str):
    """A string that stays what it is."""

    __slots__ = ()


def _represent(dumper: yaml.CSafeDumper, value: _Unsafe) -> yaml.ScalarNode:
    return dumper.represent_scalar("!unsafe", str(value), style='"')


_Dumper.add_representer(_Unsafe, _represent)


def render_unsafe_yaml(value: Any) -> str:
    """The value as YAML; every string value marked, keys plain (they are ours, or validated names)."""
    return str(yaml.dump(_mark(value), Dumper=_Dumper, sort_keys=True, width=10_000, allow_unicode=False))


def _mark(value: Any) -> Any:
    match value:
        case str():
            return _Unsafe(value)
        case dict():
            return {key: _mark(entry) for key, entry in value.items()}
        case list() | tuple():
            return [_mark(entry) for entry in value]
        case _:
            return value
