"""How a deb or an rpm is installed: settings as a value, and what is wrong with them.

This module is also `controller_program.packages` of the role `placement` (a link), for playbooks that no
orchestrator runs: it imports nothing but the standard library.

Source of the order of versions: deb-version(7) of dpkg 1.21.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

FORMATS = ("deb", "rpm")
ROOT = "/var/lib/gitops-orchestrator/packages"
"""Where the files of packages are kept, out of the applications' reach, unless a deployment path says otherwise."""

_UNIT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,200}")
_SUFFIXES = (".service", ".socket", ".target", ".timer", ".path", ".mount")
_PART = re.compile(r"([^0-9]*)([0-9]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """How a package is installed.

    Attributes:
        format: `deb` or `rpm`.
        allow_downgrade: an older version than the installed one may be installed.
        purge: removal takes configuration files too (deb only).
        unit: is restarted when the package was installed; empty: its maintainer scripts see to it.
        timeout_seconds: how long installing may take.
    """

    format: str
    allow_downgrade: bool = False
    purge: bool = False
    unit: str = ""
    timeout_seconds: float = 600.0


def package_format(file_name: str) -> str:
    """`deb` or `rpm` by the file's name; empty for anything else."""
    extension = file_name.lower().rpartition(".")[2]
    return extension if extension in FORMATS else ""


def default_path(application: str) -> str:
    """Where the files of its package are kept on the host."""
    return f"{ROOT}/{application}"


def make_package(file_name: str, settings: Mapping[str, Any]) -> Package:
    """The package of these settings, which have no problems."""
    unit = str(settings.get("unit") or "")
    return Package(
        format=package_format(file_name),
        allow_downgrade=bool(settings.get("allow_downgrade")),
        purge=bool(settings.get("purge")),
        unit=f"{unit}.service" if unit and not unit.endswith(_SUFFIXES) else unit,
        timeout_seconds=float(settings.get("timeout_seconds") or 600),
    )


def package_problems(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is wrong with settings whose types fit, as (key, what to do)."""
    unit = settings.get("unit")
    if unit is not None and (not _UNIT.fullmatch(unit) or ".." in unit):
        yield "unit", "is no name of a unit; use letters, digits and _.:@- only"


def package_settings(package: Package) -> dict[str, Any]:
    """The settings that are not the usual ones."""
    usual = asdict(Package(format=""))
    return {
        name: value for name, value in asdict(package).items() if value != usual[name] and name != "format"
    }


def configured(package: Package) -> dict[str, Any]:
    """What the placement is configured with: whether it may go back is no part of that."""
    return {name: value for name, value in package_settings(package).items() if name != "allow_downgrade"}


def is_older_version(new: str, old: str) -> bool:
    """Whether `new` comes before `old` in the order of Debian's versions; rpm's has the same for most."""
    return _compare(new, old) < 0


def _compare(one: str, other: str) -> int:
    for left, right in zip(_split(one), _split(other), strict=True):
        found = _compare_text(left, right)
        if found:
            return found
    return 0


def _split(version: str) -> tuple[str, str, str]:
    """Epoch, upstream version and revision."""
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    upstream, _, revision = rest.rpartition("-") if "-" in rest else (rest, "", "0")
    return epoch, upstream, revision


def _compare_text(one: str, other: str) -> int:
    while one or other:
        (left, left_number), (right, right_number) = _first(one), _first(other)
        keys = [_order(left), _order(right)]
        if keys[0] != keys[1]:
            return -1 if keys[0] < keys[1] else 1
        numbers = int(left_number or 0), int(right_number or 0)
        if numbers[0] != numbers[1]:
            return -1 if numbers[0] < numbers[1] else 1
        one, other = one[len(left) + len(left_number) :], other[len(right) + len(right_number) :]
    return 0


def _first(text: str) -> tuple[str, str]:
    found = _PART.match(text)
    assert found is not None
    return found[1], found[2]


def _order(text: str) -> list[int]:
    """`~` comes before the end of the text, letters before everything else."""
    ranks = [-1 if char == "~" else ord(char) if char.isalpha() else ord(char) + 256 for char in text]
    return [*ranks, 0]
