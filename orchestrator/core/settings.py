"""orchestrator.toml: which branch is which environment, where its document is, what may be used."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator import __version__
from orchestrator.core.forge_settings import ForgeSettings, parse_forge
from orchestrator.core.model import Credentials, Repository
from orchestrator.core.plain_values import check_plain_values
from orchestrator.core.promotion_rules import Rules
from orchestrator.core.protection_rules import NO_PROTECTION, Protection, parse_protection
from orchestrator.core.references import check_origin, parse_credentials
from orchestrator.core.repositories import parse_repositories
from orchestrator.core.schema import check_schema
from orchestrator.core.state_settings import (
    LedgerSettings,
    LockSettings,
    parse_git_repository,
    parse_ledger,
    parse_lock,
)
from orchestrator.core.toml_text import parse_toml
from orchestrator.core.urls import origin_of, url_problem
from orchestrator.core.violations import Path, Report, Violations

FORMAT = 1
_ALIASES = {"production": "prod", "prod": "production"}
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentProvider:
    """What gives the environment JSON; exactly one of `url` and `command` is set.

    Attributes:
        url: an HTTP(S) API that answers with it; the edge fills `{environment}` in.
        command: an executable and its arguments that prints it.
    """

    url: str = ""
    command: tuple[str, ...] = ()
    credentials: Credentials | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentSettings:
    """Where one environment comes from.

    Attributes:
        branch: empty: the branch is called as the environment.
        file: relative to orchestrator.toml; empty: the usual places.
        provider: None: a file of the branch.
        rules: what an artifact has to have done before it may go there.
        deployed_in_ledger: the git repository whose ledger knows that; empty: the own ledger.
    """

    branch: str = ""
    file: str = ""
    provider: EnvironmentProvider | None = None
    rules: Rules = field(default_factory=Rules)
    deployed_in_ledger: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What orchestrator.toml says; without that file, the defaults.

    Attributes:
        name: the deployment repository's; empty: not said.
        credentials: reference (`env:NAME`, `file:/path`) → the only origin it may be sent to; None: there
            is no such table, every reference may be used.
        controller_commands: documents may name commands that run on the controller.
        promotion_path: environments in the order in which versions go through them; empty: not said.
        known_hosts: absolute, `~/...`, or relative to orchestrator.toml; empty: the user's own.
        protection: what this file says of it; what binds comes from an earlier commit or a policy repository.
    """

    name: str = ""
    environments: Mapping[str, EnvironmentSettings] = field(default_factory=dict)
    repositories: Mapping[str, Repository] = field(default_factory=dict)
    credentials: Mapping[str, str] | None = None
    known_hosts: str = ""
    controller_commands: bool = False
    ledger: LedgerSettings = field(default_factory=LedgerSettings)
    lock: LockSettings = field(default_factory=LockSettings)
    forge: ForgeSettings = field(default_factory=ForgeSettings)
    promotion_path: tuple[str, ...] = ()
    protection: Protection = NO_PROTECTION


def parse_settings(content: bytes | None, label: str, schema: Mapping[str, Any]) -> Settings:
    """Return the settings in `content`; None (no file) gives the defaults.

    Args:
        label: the file's name in messages.
        schema: settings.schema.json.

    Raises:
        DocumentError: with every violation at once.
    """
    if content is None:
        return Settings()
    violations = Violations()
    document = parse_toml(content, label, violations)
    settings = Settings()
    if document is not None:
        report = Report(source=document, violations=violations)
        version = document.value.get("format")
        if type(version) is int and version > FORMAT:
            message = f"this file has format {version}, version {__version__} reads format {FORMAT}"
            report.add(("format",), f"{message}; install a newer orchestrator")
        else:
            check_plain_values(document.value, report)
            settings = _parse(check_schema(document.value, schema, report), report)
    if violations:
        raise violations.error()
    return settings


def environment_for_branch(settings: Settings, branch: str) -> str | None:
    """Return the environment that `branch` is aligned with; None when there can be none.

    That is the one whose `branch` it is, else the one of the same name unless that has another branch.
    """
    for name, environment in settings.environments.items():
        if branch and environment.branch == branch:
            return name
    named = settings.environments.get(branch, EnvironmentSettings())
    return branch if not named.branch and _ENVIRONMENT_NAME.fullmatch(branch) else None


def branch_for_environment(settings: Settings, environment: str) -> str:
    """Return the branch that `environment` is aligned with, by default the one of the same name."""
    return settings.environments.get(environment, EnvironmentSettings()).branch or environment


def branches_for_environment(settings: Settings, environment: str) -> tuple[str, ...]:
    """Return the branches that may be meant by `environment`, the first that exists is: its own, and its alias's.

    `prod` and `production` are one environment, so that neither name gets around the other's branch.
    """
    branches = [branch_for_environment(settings, name) for name in environment_names(environment)]
    return tuple(dict.fromkeys(branches))


def environment_file_candidates(settings: Settings, environment: str) -> tuple[str, ...]:
    """Return where the environment JSON may be, relative to orchestrator.toml; the first that exists is it.

    A `file` in the settings is the only candidate. `production` also finds `prod-env.json`, and the other
    way round.
    """
    explicit = settings.environments.get(environment, EnvironmentSettings()).file
    if explicit:
        return (explicit,)
    names = environment_names(environment)
    return tuple(f"{folder}{name}-env.json" for name in names for folder in ("", "inventories/"))


def environment_names(environment: str) -> tuple[str, ...]:
    """Return the names that a document may give the environment: its own, and `prod` for `production`."""
    alias = _ALIASES.get(environment)
    return (environment, alias) if alias else (environment,)


def _parse(value: Mapping[str, Any], report: Report) -> Settings:
    credentials = _parse_origins(value["credentials"], report) if "credentials" in value else None
    environments = {
        name: _parse_environment(raw, report, ("environments", name), credentials)
        for name, raw in value.get("environments", {}).items()
    }
    owners: dict[str, str] = {}
    for name, environment in environments.items():
        branch = environment.branch or name
        first = owners.setdefault(branch, name)
        if first != name:
            message = f"environment {first} has the branch {branch} already; give each its own `branch`"
            report.add(("environments", name, "branch"), message)
    ledger = parse_ledger(value.get("ledger", {}), report)
    if (owner := owners.get(ledger.ref.removeprefix("refs/heads/"))) is not None:
        report.add(("ledger", "ref"), f"this is the branch of environment {owner}; name another")
    return Settings(
        name=value.get("name", ""),
        environments=environments,
        repositories=parse_repositories(
            value.get("repositories", {}), report, ("repositories",), credentials
        ),
        credentials=credentials,
        known_hosts=value.get("known_hosts", ""),
        controller_commands=value.get("controller_commands", False),
        ledger=ledger,
        lock=parse_lock(value.get("lock", {}), report),
        forge=parse_forge(value.get("forge", {}), report),
        promotion_path=tuple(name for name in value.get("promotion_path", ()) if name is not None),
        protection=parse_protection(value, report),
    )


def _parse_origins(value: Mapping[str, str], report: Report) -> Mapping[str, str]:
    origins = {}
    for reference, url in value.items():
        problem = url_problem(url, query=False)
        if not problem and url.count("/") > 2:
            problem = "this has a path; write the origin only, such as https://host.example.net"
        if problem:
            report.add(("credentials", reference), problem)
        else:
            origins[reference] = origin_of(url)
    return origins


def _parse_environment(
    raw: Mapping[str, Any], report: Report, path: Path, allowed: Mapping[str, str] | None
) -> EnvironmentSettings:
    if "provider" in raw and "file" in raw:
        report.add((*path, "provider"), "an environment comes from a `file` or a `provider`; remove one")
    provider = None
    if "provider" in raw and (*path, "provider") not in report.bad:
        provider = _parse_provider(raw["provider"], report, (*path, "provider"), allowed)
    return EnvironmentSettings(
        branch=raw.get("branch", ""),
        file=raw.get("file", ""),
        provider=provider,
        rules=_parse_rules(raw, report, path),
        deployed_in_ledger=parse_git_repository(
            raw, report, (*path, "deployed_in_ledger"), "deployed_in_ledger"
        ),
    )


def _parse_rules(raw: Mapping[str, Any], report: Report, path: Path) -> Rules:
    names = tuple(name for name in raw.get("require_deployed_in", ()) if name is not None)
    own = environment_names(str(path[-1]))
    for index, name in enumerate(names):
        if name in own:
            report.add(
                (*path, "require_deployed_in", index), "this is the environment itself; name one before it"
            )
    for key in ("soak_minutes", "deployed_in_ledger"):
        if key in raw and "require_deployed_in" not in raw:
            report.add((*path, key), "this needs `require_deployed_in`; add it, or remove this")
    return Rules(require_deployed_in=names, soak_minutes=raw.get("soak_minutes", 0))


def _parse_provider(
    raw: Mapping[str, Any], report: Report, path: Path, allowed: Mapping[str, str] | None
) -> EnvironmentProvider | None:
    has = {key for key in ("url", "command") if key in raw or (*path, key) in report.bad}
    if len(has) != 1:
        report.add(path, "a provider has exactly one of `url` and `command`")
        return None
    if "command" in has:
        if "credentials" in raw:
            report.add((*path, "credentials"), "a provider with a `command` has no credentials; remove them")
        return EnvironmentProvider(command=tuple(raw.get("command", ())))
    url = raw.get("url", "")
    filled = url.replace("{environment}", "environment")
    problem = url_problem(filled, query=True) if "url" in raw else ""
    if problem:
        report.add((*path, "url"), problem)
    credentials = None
    if "credentials" in raw:
        credentials = parse_credentials(raw["credentials"], report, (*path, "credentials"))
    if credentials and url and not problem:
        check_origin(credentials, filled, allowed, report, (*path, "credentials"))
    return EnvironmentProvider(url=url, credentials=credentials)
