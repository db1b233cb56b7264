"""An environment JSON that does not lie in the branch: from an HTTP(S) API, or from an executable."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Protocol

from orchestrator.core.documents import Document
from orchestrator.core.model import Credentials
from orchestrator.edges.credentials import SecretSource, credential_headers, redact
from orchestrator.errors import CredentialsError, ProviderError

SECONDS = 60
MAX_BYTES = 64 << 20


class Provider(Protocol):
    """What `orchestrator.toml` says about it; exactly one of `url` and `command` is set."""

    @property
    def url(self) -> str: ...

    @property
    def command(self) -> tuple[str, ...]: ...

    @property
    def credentials(self) -> Credentials | None: ...


def read_environment(
    provider: Provider, environment: str, *, secrets: SecretSource, directory: Path
) -> Document:
    """The environment JSON as the provider gives it.

    Args:
        directory: the deployment repository's; a command runs there, with `ORCHESTRATOR_ENVIRONMENT` set.

    Raises:
        ProviderError: it cannot be had; the message has the provider's own words.
    """
    if provider.url:
        return Document(label=provider.url, content=_fetch(provider, environment, secrets))
    return Document(
        label=" ".join(provider.command), content=_execute(provider.command, environment, directory)
    )


def _fetch(provider: Provider, environment: str, secrets: SecretSource) -> bytes:
    import httpx

    url = provider.url.replace("{environment}", environment)
    authorization, values = credential_headers(
        provider.credentials, f"the environment provider {url}", secrets
    )
    headers = {"Accept": "application/json", **authorization}
    try:
        # An explicit empty auth: httpx would otherwise take one from the URL.
        response = httpx.get(url, headers=headers, auth=httpx.Auth(), timeout=SECONDS, follow_redirects=False)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ProviderError(
            f"the environment provider {url} cannot be reached: {redact(str(error), values)}",
            resolution="check the address and the network",
        ) from None
    if response.status_code in (401, 403):
        raise CredentialsError(
            f"the environment provider {url} answers {response.status_code}",
            resolution="check its credentials in orchestrator.toml",
        )
    if response.status_code != 200:
        raise ProviderError(
            f"the environment provider {url} answers {response.status_code}",
            resolution="it has to answer 200 with the environment JSON",
        )
    return response.content


def _execute(command: tuple[str, ...], environment: str, directory: Path) -> bytes:
    import os

    try:
        done = subprocess.run(
            list(command),
            cwd=directory,
            env={**os.environ, "ORCHESTRATOR_ENVIRONMENT": environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProviderError(
            f"the environment provider {command[0]} cannot be run: {error}",
            resolution="correct `command` in orchestrator.toml; it runs in the repository's directory",
        ) from None
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()[-5:]
        raise ProviderError(
            f"the environment provider {command[0]} ended with {done.returncode}",
            details=tuple(said),
            resolution="run it by hand; it has to print the environment JSON",
        )
    return done.stdout[:MAX_BYTES]
