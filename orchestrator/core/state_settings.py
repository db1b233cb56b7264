"""The tables `[ledger]` and `[lock]` of orchestrator.toml: where both are kept in git."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.core.urls import url_problem
from orchestrator.core.violations import Path, Report

DEFAULT_LEDGER_REF = "refs/heads/orchestrator/ledger"
LOCK_PREFIX = "refs/heads/orchestrator/lock/"
APPROVAL_PREFIX = "refs/heads/orchestrator/approval/"
DEFAULT_EXPIRY_SECONDS = 600

_SSH_URL = re.compile(
    r"ssh://([A-Za-z0-9_][A-Za-z0-9_.+-]*@)?[A-Za-z0-9\[][A-Za-z0-9.:\]-]*/[A-Za-z0-9._@+=,~/-]+"
)
_SCP_LIKE = re.compile(
    r"([A-Za-z0-9_][A-Za-z0-9_.+-]*@)?[A-Za-z0-9][A-Za-z0-9.-]*:(?!//)[A-Za-z0-9._@+=,~/-]+"
)
_PATH = re.compile(r"(file://|~/)?[A-Za-z0-9._/][A-Za-z0-9._@+=,~/ -]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerSettings:
    """Where the record of deployments is kept.

    Attributes:
        ref: the full name of a ref, without the stack.
        repository: a URL or a path (relative to the top of the clone); empty: the clone's own remote.
        signing_key: what `git commit-tree -S` is given; empty: what git is configured with.
    """

    ref: str = DEFAULT_LEDGER_REF
    repository: str = ""
    signing_key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LockSettings:
    """Where and for how long an environment is locked.

    Attributes:
        repository: as the ledger's; empty: the ledger's.
        expiry_seconds: a lock that was not renewed for so long has expired.
    """

    repository: str = ""
    expiry_seconds: int = DEFAULT_EXPIRY_SECONDS


def parse_ledger(value: Mapping[str, Any], report: Report) -> LedgerSettings:
    """Return what `[ledger]` says; a short branch name becomes a full one."""
    ref = value.get("ref", DEFAULT_LEDGER_REF)
    if not ref.startswith("refs/"):
        ref = f"refs/heads/{ref}"
    if f"{ref}/".startswith(LOCK_PREFIX) or LOCK_PREFIX.startswith(f"{ref}/"):
        report.add(("ledger", "ref"), "this is where locks are kept; name another branch")
    return LedgerSettings(
        ref=ref,
        repository=parse_git_repository(value, report, ("ledger", "repository")),
        signing_key=value.get("signing_key", ""),
    )


def parse_lock(value: Mapping[str, Any], report: Report) -> LockSettings:
    """Return what `[lock]` says."""
    return LockSettings(
        repository=parse_git_repository(value, report, ("lock", "repository")),
        expiry_seconds=value.get("expiry_seconds", DEFAULT_EXPIRY_SECONDS),
    )


def parse_git_repository(
    value: Mapping[str, Any], report: Report, path: Path, key: str = "repository"
) -> str:
    """Return the git repository that `key` names; empty: none."""
    text: str = value.get(key, "")
    problem = git_repository_problem(text) if key in value else ""
    if problem:
        report.add(path, problem)
    return text


def git_repository_problem(text: str) -> str:
    """Return what is wrong with the address of a git repository, never quoting it; empty when nothing is.

    It may come from a document, the command line or a variable: git would run the command in some.
    """
    if text.startswith(("http://", "https://")):
        problem = url_problem(text, query=False)
        if "credentials" in problem:
            return "this URL holds credentials; remove them, git's own credentials are used"
        return problem
    if _SSH_URL.fullmatch(text) or _SCP_LIKE.fullmatch(text) or _PATH.fullmatch(text):
        return ""
    return "has to be a git repository: an https or ssh URL, host:path, or a directory"
