"""Which forge has the repository, under which name, and which token it may be sent: a decision about strings.

Sources: GitHub "Variables reference" and "Getting started with the REST API", GitLab "Predefined CI/CD variables",
Gitea "API usage" and "Actions variables".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from orchestrator.core.ci import name_of
from orchestrator.core.forge_settings import ForgeSettings, ForgeType
from orchestrator.core.model import Reference
from orchestrator.core.urls import bracketed, is_address, origin_of, url_problem

Kind = Literal["github", "gitlab", "gitea"]

_KINDS: Mapping[ForgeType, Kind] = {
    "github": "github",
    "gitlab": "gitlab",
    "gitea": "gitea",
    "forgejo": "gitea",
}
_HOSTS: Mapping[str, ForgeType] = {
    "github.com": "github",
    "gitlab.com": "gitlab",
    "codeberg.org": "forgejo",
    "gitea.com": "gitea",
}
_TITLES: Mapping[ForgeType, str] = {
    "github": "GitHub",
    "gitlab": "GitLab",
    "gitea": "Gitea",
    "forgejo": "Forgejo",
}
_TOKENS: Mapping[ForgeType, tuple[str, ...]] = {
    "github": ("GITHUB_TOKEN", "GH_TOKEN"),
    "gitlab": ("GITLAB_TOKEN",),
    "gitea": ("GITEA_TOKEN", "GITHUB_TOKEN"),
    "forgejo": ("FORGEJO_TOKEN", "GITEA_TOKEN", "GITHUB_TOKEN"),
}
_SCP_LIKE = re.compile(r"(?:[^@/:]+@)?(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+):(?!//)(.+)")
_PROJECT = re.compile(r"(?!.*(^|/)\.\.?(/|$))[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)+")
_NUMBER = re.compile(r"[1-9][0-9]{0,9}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgeLocation:
    """One repository at one forge.

    Attributes:
        type: as people call it; `kind` is whose API it speaks.
        url: where people reach the forge, without a slash at its end.
        api_url: where its API is: the only origin that the token is sent to.
        project: owner (or groups) and name, such as `shop/deploy`.
        tokens: references to look for, the first that is set counts.
    """

    type: ForgeType
    url: str
    api_url: str
    project: str
    tokens: tuple[Reference, ...]

    @property
    def kind(self) -> Kind:
        """Whose API it is."""
        return _KINDS[self.type]

    @property
    def label(self) -> str:
        """For messages, such as `GitHub (shop/deploy at github.com)`."""
        return f"{_TITLES[self.type]} ({self.project} at {urlsplit(self.url).netloc})"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoForge:
    """There is none that could be spoken to.

    Attributes:
        why: one sentence.
        remedy: what would change that.
    """

    why: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Remote:
    """What a git remote's address says: scheme, host with port, and path without `.git`."""

    scheme: str
    host: str
    netloc: str
    path: str


def locate_forge(
    remote_url: str, settings: ForgeSettings, environ: Mapping[str, str]
) -> ForgeLocation | NoForge:
    """Return which forge has the repository, or why that is not known.

    In this order: `[forge]`; the remote's host, where it is a public forge's; the CI, where the remote is on the
    CI's own server. A usual token variable is used only where its forge was not named by a document's `url`: a
    document decides neither about a token that it does not name, nor where that goes.

    Args:
        remote_url: as git has it, perhaps with a password in it, or empty.
        environ: of this process, for the CI's variables.
    """
    remote = _parse_remote(remote_url)
    ci_type, ci_url = _ci_server(environ)
    type_, url = settings.type, settings.url
    if remote is not None:
        is_ci = bool(ci_url) and (urlsplit(ci_url).hostname or "") == remote.host
        type_ = type_ or _HOSTS.get(remote.host) or (ci_type if is_ci else "")
        url = url or (ci_url if is_ci else f"{remote.scheme}://{remote.netloc}")
    if not type_ or not url:
        where = (
            f"nothing says which forge {remote.host} is"
            if remote
            else "the repository has no remote at a forge"
        )
        return NoForge(
            why=where, remedy='name it in orchestrator.toml: [forge] with type = "gitlab" and its url'
        )
    project = settings.project or (_project_of(remote, url) if remote else "")
    if not _PROJECT.fullmatch(project):
        return NoForge(
            why=f"the git remote does not say which project of {_TITLES[type_]} this is",
            remedy='name it in orchestrator.toml: [forge] with project = "group/name"',
        )
    api_url = _api_url(type_, url)
    return ForgeLocation(
        type=type_,
        url=url,
        api_url=api_url,
        project=project,
        tokens=_tokens(type_, url, settings, ci_url),
    )


def pull_request_number(environ: Mapping[str, str], event: Mapping[str, Any]) -> int | None:
    """Return the number of the pull request that this CI job is about; None: it is about none, or does not say.

    Args:
        event: the payload of GITHUB_EVENT_PATH, or nothing.
    """
    candidate: Any = ""
    match name_of(environ):
        case "github" | "forgejo" | "gitea":
            found = event.get("pull_request")
            candidate = found.get("number", "") if isinstance(found, Mapping) else ""
        case "gitlab":
            candidate = environ.get("CI_MERGE_REQUEST_IID", "")
        case "jenkins":
            candidate = environ.get("CHANGE_ID", "")
    text = str(candidate)
    return int(text) if _NUMBER.fullmatch(text) else None


def _parse_remote(remote_url: str) -> _Remote | None:
    """Of https, http, ssh and `host:path`; everything else (a directory, a bundle) is at no forge."""
    if "://" not in remote_url:
        found = _SCP_LIKE.fullmatch(remote_url)
        if found is None or not is_address(found[1].strip("[]")):
            return None
        return _Remote(
            scheme="https", host=found[1].strip("[]").lower(), netloc=found[1].lower(), path=_path(found[2])
        )
    try:
        parts = urlsplit(remote_url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return None
    if parts.scheme not in ("https", "http", "ssh", "git+ssh") or not is_address(host):
        return None
    if parts.scheme in ("ssh", "git+ssh"):  # its port is sshd's
        return _Remote(scheme="https", host=host, netloc=bracketed(host), path=_path(parts.path))
    netloc = bracketed(host) if port is None else f"{bracketed(host)}:{port}"
    return _Remote(scheme=parts.scheme, host=host, netloc=netloc, path=_path(parts.path))


def _path(text: str) -> str:
    return unquote(text).strip("/").removesuffix(".git").rstrip("/")


def _project_of(remote: _Remote, url: str) -> str:
    """The remote's path, without what the forge's own address has in front (a relative URL root)."""
    root = urlsplit(url).path.strip("/")
    return remote.path.removeprefix(f"{root}/") if root else remote.path


def _ci_server(environ: Mapping[str, str]) -> tuple[ForgeType | Literal[""], str]:
    """Which forge runs this CI job, and its address; nothing where the CI belongs to none."""
    type_: ForgeType | Literal[""] = ""
    url = ""
    match name_of(environ):
        case "github" | "gitea" | "forgejo" as name:
            type_, url = name, environ.get("GITHUB_SERVER_URL", "")
        case "gitlab":
            type_, url = "gitlab", environ.get("CI_SERVER_URL", "")
    url = url.rstrip("/")
    return ("", "") if not type_ or url_problem(url, query=False) else (type_, url)


def _api_url(type_: ForgeType, url: str) -> str:
    match _KINDS[type_]:
        case "github" if urlsplit(url).hostname == "github.com":
            return "https://api.github.com"
        case "github" if (urlsplit(url).hostname or "").endswith(".ghe.com"):
            return url.replace("://", "://api.", 1)
        case "github":
            return f"{url}/api/v3"
        case "gitlab":
            return f"{url}/api/v4"
        case _:
            return f"{url}/api/v1"


def _tokens(type_: ForgeType, url: str, settings: ForgeSettings, ci_url: str) -> tuple[Reference, ...]:
    if settings.token is not None:
        return (settings.token,)
    origin = origin_of(url)
    own = [f"https://{host}" for host, known in _HOSTS.items() if known == type_]
    if settings.url and origin not in own and (not ci_url or origin_of(ci_url) != origin):
        return ()
    return tuple(Reference(source="env", name=name) for name in _TOKENS[type_])
