"""What a CI's log understands: groups of lines that fold; and how foreign text is kept from commanding it.

GitHub's runner obeys a line that begins with `::` after white space, and `##[` anywhere in a line; Azure's
agent obeys `##vso[` and `##[` anywhere; Gitea's and Forgejo's obey the same at a line's start. GitLab reads
sections from control sequences, Jenkins its console notes. (Read in the sources of runner and agent.)
"""

from __future__ import annotations

import re

from orchestrator.core.ci import CiName

# Colours are let through; every other control sequence is not, nor are hidden characters.
_COLOUR = r"\x1b\[(?:0|1|2|22|39|3[0-7]|9[0-7])?(?:;(?:0|1|2|22|39|3[0-7]|9[0-7]))*m"
_HIDDEN = re.compile(
    f"({_COLOUR})|[\x00-\x08\x0a-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
_LEADING_COMMAND = re.compile(rf"(?:\s|\u200b|{_COLOUR})*::")
_COMMAND = re.compile(r"##(?=vso\[|\[)", re.IGNORECASE)
_NAME = re.compile(r"[^A-Za-z0-9]+")
_MAX_TITLE_CHARACTERS = 200


def neutralise(line: str) -> str:
    """Return one line of a log that commands no CI, whatever it says; a reader still sees what it says.

    Args:
        line: without its line feed. Other line ends in it become spaces.
    """
    plain = _HIDDEN.sub(lambda found: found[1] or " ", line)
    plain = _COMMAND.sub("## ", plain)
    return f"| {plain}" if _LEADING_COMMAND.match(plain) else plain


def has_groups(name: CiName) -> bool:
    """Return whether this CI folds groups of lines."""
    return name in ("github", "forgejo", "gitea", "gitlab", "azure")


def can_nest(name: CiName) -> bool:
    """Return whether a group may be inside another one."""
    return name == "gitlab"


def group_start(name: CiName, title: str, *, number: int, time_seconds: int, collapsed: bool) -> str:
    """Return the line that begins a group; empty where there are none.

    Args:
        number: another one for each group of the job.
        time_seconds: since the epoch.
        collapsed: GitLab only; the others always fold.
    """
    plain = neutralise(" ".join(title.split()))[:_MAX_TITLE_CHARACTERS]
    match name:
        case "github" | "forgejo" | "gitea":
            return f"::group::{plain.replace('%', '%25')}"
        case "azure":
            return f"##[group]{plain}"
        case "gitlab":
            option = "[collapsed=true]" if collapsed else ""
            section = f"section_start:{time_seconds}:{_section(title, number)}{option}"
            return f"\x1b[0K{section}\r\x1b[0K{plain}"
        case _:
            return ""


def group_end(name: CiName, title: str, *, number: int, time_seconds: int) -> str:
    """Return the line that ends the group which `group_start` began with the same title and number."""
    match name:
        case "github" | "forgejo" | "gitea":
            return "::endgroup::"
        case "azure":
            return "##[endgroup]"
        case "gitlab":
            return f"\x1b[0Ksection_end:{time_seconds}:{_section(title, number)}\r\x1b[0K"
        case _:
            return ""


def _section(title: str, number: int) -> str:
    return f"orchestrator_{number}_{_NAME.sub('_', title).strip('_').lower()[:40]}".rstrip("_")
