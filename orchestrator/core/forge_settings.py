"""The table `[forge]` of orchestrator.toml: which forge has the repository, and what it is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from orchestrator.core.model import Reference
from orchestrator.core.references import parse_reference
from orchestrator.core.urls import url_problem
from orchestrator.core.violations import Report

ForgeType = Literal["github", "gitlab", "gitea", "forgejo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgeSettings:
    """What is not said here is found out from the git remote and the CI's variables.

    Attributes:
        type: empty: not said.
        url: where people reach the forge, such as `https://git.example.net`; empty: not said.
        project: such as `shop/deploy`; empty: not said.
        token: None: the usual variable of that forge.
        report: deployments are reported to it.
    """

    type: ForgeType | Literal[""] = ""
    url: str = ""
    project: str = ""
    token: Reference | None = None
    report: bool = True


def parse_forge(value: Mapping[str, Any], report: Report) -> ForgeSettings:
    """Return what `[forge]` says. Whether its token may be sent there is judged when the place is known."""
    url = value.get("url", "")
    if "url" in value and (problem := url_problem(url, query=False)):
        report.add(("forge", "url"), problem)
    if url and not value.get("type") and ("forge", "type") not in report.bad:
        message = "a `url` needs a `type` (github, gitlab, gitea or forgejo); add it"
        report.add(("forge", "url"), message)
    return ForgeSettings(
        type=cast("ForgeType", value.get("type", "")),
        url=url.rstrip("/"),
        project=value.get("project", ""),
        token=parse_reference(value.get("token", {})),
        report=value.get("report", True),
    )
