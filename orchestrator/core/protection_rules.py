"""The tables `[protection]`, `[keys]` and `[policy]` of orchestrator.toml."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import urlsplit

from orchestrator.core.state_settings import parse_git_repository
from orchestrator.core.violations import Path, Report, quote
from orchestrator.core.windows import Window, parse_windows

DEFAULT_POLICY_BRANCH = "main"
_SSH_KEY = re.compile(
    r"(?P<key>(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)|sk-ssh-ed25519@openssh\.com"
    r"|sk-ecdsa-sha2-nistp256@openssh\.com) AAAA[A-Za-z0-9+/]{20,8000}={0,3})( [ -~]{0,200})?"
)
_PGP_KEY = re.compile(r"(?P<key>openpgp [A-Za-z0-9+/]{40,90000}={0,2})( [ -~]{0,200})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What has to hold before one environment is deployed to.

    Attributes:
        merge_commits_only: everything since the last deployed commit came by merge commits.
        signed_by: names of keys; one of them has signed the commit. Empty: none has to.
        ledger_signed_by: names of keys; only entries of the ledger count that one of them signed. Empty: any key of
            `[keys]`.
        approvals: how many accounts have approved the pull request, as the forge tells.
        require_plan: a deployment names the reviewed plan.
        require_pinned: every artifact has its SHA-256 in the manifest.
        windows: besides those of the environment JSON.
        window_override: `--override-window` is allowed.
        only_repository: the address of the only repository that may deploy it; empty: any.
    """

    merge_commits_only: bool = False
    signed_by: tuple[str, ...] = ()
    ledger_signed_by: tuple[str, ...] = ()
    approvals: int = 0
    require_plan: bool = False
    require_pinned: bool = False
    windows: tuple[Window, ...] = ()
    window_override: bool = True
    only_repository: str = ""

    def in_force(self) -> dict[str, str]:
        """Return the rules that ask for something, each as text."""
        found = {}
        defaults = Rules()
        for one in fields(self):
            value = getattr(self, one.name)
            if value != getattr(defaults, one.name):
                text = str(value).lower() if isinstance(value, bool) else str(value)
                found[one.name] = ", ".join(map(str, value)) if isinstance(value, tuple) else text
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The repository that has the rules instead."""

    url: str
    branch: str = DEFAULT_POLICY_BRANCH


@dataclass(frozen=True, slots=True, kw_only=True)
class Protection:
    """What orchestrator.toml says about protection.

    Attributes:
        rules: by environment.
        keys: public keys by name, each `TYPE BASE64`.
        policy: None: the rules are here.
    """

    rules: Mapping[str, Rules]
    keys: Mapping[str, str]
    policy: Policy | None = None


NO_PROTECTION = Protection(rules={}, keys={})


def ledger_signers(protection: Protection, names: Collection[str]) -> tuple[str, ...]:
    """Return the names of the keys whose entries of the ledger count for the environment with these names.

    Those that its rules list; all of them where they list none.
    """
    rules = [one for name, one in protection.rules.items() if name in names]
    return tuple(sorted({name for one in rules for name in one.ledger_signed_by} or protection.keys))


def parse_protection(value: Mapping[str, Any], report: Report) -> Protection:
    """Return what the three tables say; what is wrong goes to `report`."""
    keys = {}
    for name, text in value.get("keys", {}).items():
        key = parse_public_key(text)
        if not key:
            message = (
                'this is no public key; write "ssh-ed25519 AAAA…", or "openpgp BASE64", with what '
                "`gpg --export ID | base64 -w0` prints"
            )
            report.add(("keys", name), message)
        keys[name] = key
    rules = {
        name: _parse_rules(raw, report, ("protection", name), keys)
        for name, raw in value.get("protection", {}).items()
    }
    policy = None
    if value.get("policy", {}).get("url"):
        raw = value["policy"]
        policy = Policy(
            url=parse_git_repository(raw, report, ("policy", "url"), "url"),
            branch=raw.get("branch", DEFAULT_POLICY_BRANCH),
        )
    return Protection(rules=rules, keys=keys, policy=policy)


def parse_public_key(text: str) -> str:
    """Return the key in its plain form, without a comment and options; empty when it is none."""
    found = _SSH_KEY.fullmatch(text.strip()) or _PGP_KEY.fullmatch(text.strip())
    return found["key"] if found is not None else ""


def is_ssh_key(key: str) -> bool:
    """Return whether it is one of SSH; the others are of OpenPGP."""
    return not key.startswith("openpgp ")


def same_place(one: str, other: str) -> bool:
    """Return whether two addresses name the same git repository, over whichever protocol."""
    return bool(one) and place_of(one) == place_of(other)


def place_of(address: str) -> str:
    """Return host and path of a repository's address, such as `git.example.net/shop/deploy`.

    Scheme, user, port of the scheme, `.git` and letters' case of the host do not count; of a path on this machine the
    whole does.
    """
    text = address.strip()
    if text.startswith("file://"):
        text = text.removeprefix("file://")
    if "://" in text:
        parts = urlsplit(text)
        host = parts.netloc.rpartition("@")[2].lower()
        usual = {"https": ":443", "http": ":80", "ssh": ":22", "git": ":9418"}.get(parts.scheme, "")
        host, path = host.removesuffix(usual) if usual else host, parts.path
    elif ":" in text and "/" not in text.partition(":")[0]:
        host, _, path = text.partition(":")
        host = host.rpartition("@")[2].lower()
    else:
        host, path = "", text
    path = path.rstrip("/").removesuffix(".git")
    return f"{host}/{path.lstrip('/')}" if host else path


def _parse_rules(raw: Mapping[str, Any], report: Report, path: Path, keys: Mapping[str, str]) -> Rules:
    for rule in ("signed_by", "ledger_signed_by"):
        for index, name in enumerate(raw.get(rule, ())):
            if name is not None and name not in keys:
                near = report.near_miss(name, keys)
                report.add((*path, rule, index), f"[keys] has no key {quote(name)}{near}; add it there")
    return Rules(
        merge_commits_only=raw.get("merge_commits_only", False),
        signed_by=tuple(name for name in raw.get("signed_by", ()) if name is not None),
        ledger_signed_by=tuple(name for name in raw.get("ledger_signed_by", ()) if name is not None),
        approvals=raw.get("approvals", 0),
        require_plan=raw.get("require_plan", False),
        require_pinned=raw.get("require_pinned", False),
        windows=parse_windows(raw.get("windows", ()), report, (*path, "windows")),
        window_override=raw.get("window_override", True),
        only_repository=parse_git_repository(raw, report, (*path, "only_repository"), "only_repository"),
    )
