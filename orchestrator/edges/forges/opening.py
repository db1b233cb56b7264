"""Finds the forge that has a repository, and the token for it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from orchestrator.core.forge_location import ForgeLocation, NoForge, locate_forge
from orchestrator.core.model import Reference
from orchestrator.core.urls import origin_of
from orchestrator.edges.credentials import ControllerSecrets, checked_token
from orchestrator.errors import CredentialsError, ForgeError

if TYPE_CHECKING:
    from orchestrator.core.settings import Settings
    from orchestrator.edges.forges.protocol import Forge
    from orchestrator.edges.git import DeploymentRepository


def open_forge(
    repository: DeploymentRepository | str,
    settings: Settings,
    environ: Mapping[str, str] | None = None,
) -> Forge | None:
    """The forge that has this repository; None when there is none that is known, or no token for it.

    Args:
        repository: a clone, or the address of a git remote.

    Raises:
        CredentialsError: the token that `[forge]` names is missing, or may not be sent there.
        ForgeError: its library is not installed.
    """
    found = _find(repository, settings, os.environ if environ is None else environ)
    return None if isinstance(found, NoForge) else _open(*found)


def require_forge(
    repository: DeploymentRepository | str,
    settings: Settings,
    environ: Mapping[str, str] | None = None,
) -> Forge:
    """The forge that has this repository.

    Raises:
        ForgeError: there is none, and what to do about it; or as `open_forge`.
        CredentialsError: as `open_forge`.
    """
    found = _find(repository, settings, os.environ if environ is None else environ)
    if isinstance(found, NoForge):
        raise ForgeError(found.why, resolution=found.remedy)
    return _open(*found)


def _find(
    repository: DeploymentRepository | str, settings: Settings, environ: Mapping[str, str]
) -> tuple[ForgeLocation, str] | NoForge:
    remote_url = repository if isinstance(repository, str) else repository.remote_url
    location = locate_forge(remote_url, settings.forge, environ)
    if isinstance(location, NoForge):
        return location
    if settings.forge.token is not None:
        _check_origin(settings.forge.token, location, settings.credentials)
        return location, _read_token(settings.forge.token, environ)
    for reference in location.tokens:
        if environ.get(reference.name):
            return location, _read_token(reference, environ)
    names = " or ".join(reference.name for reference in location.tokens)
    remedy = 'name it in orchestrator.toml: [forge] with token = { env = "NAME" }'
    return NoForge(
        why=f"there is no token for {location.label}", remedy=f"set {names}, or {remedy}" if names else remedy
    )


def _check_origin(reference: Reference, location: ForgeLocation, allowed: Mapping[str, str] | None) -> None:
    """A table `[credentials]` binds this token like every other."""
    origin = origin_of(location.api_url)
    if allowed is None or allowed.get(str(reference)) == origin:
        return
    listed = allowed.get(str(reference))
    what = "does not list" if listed is None else f"allows only towards {listed}"
    raise CredentialsError(
        f"[credentials] of orchestrator.toml {what} the token of [forge], {reference}",
        resolution=f'add "{reference}" = "{origin}" there: that is where the API of {location.label} is',
    )


def _read_token(reference: Reference, environ: Mapping[str, str]) -> str:
    """The token; a CI may have put white space around it."""
    return checked_token(ControllerSecrets(environ).value(reference).strip(), reference)


def _open(location: ForgeLocation, token: str) -> Forge:
    from orchestrator.edges.forges.speaking import library

    def transport() -> Forge:
        from orchestrator.edges.forges.transport import Gate

        gate = Gate(location, token)
        match location.kind:
            case "github":
                from orchestrator.edges.forges.github import GithubForge

                return GithubForge(location, token, gate)
            case "gitlab":
                from orchestrator.edges.forges.gitlab import GitlabForge

                return GitlabForge(location, token, gate)
            case "gitea":
                # python-dotenv, which pyforgejo calls while it is imported, would set variables of this process
                # from a `.env` above it: in a CI that is a file of the checkout.
                os.environ["PYTHON_DOTENV_DISABLED"] = "1"
                from orchestrator.edges.forges.gitea import GiteaForge

                return GiteaForge(location, token, gate)

    packages = {"github": "PyGithub", "gitlab": "python-gitlab", "gitea": "pyforgejo"}
    return library(transport, packages[location.kind])
