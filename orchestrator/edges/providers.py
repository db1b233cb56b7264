"""An environment JSON that does not lie in the branch: from an HTTP(S) API, or from an executable."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from orchestrator.core.documents import Document
from orchestrator.core.hidden_text import one_line
from orchestrator.core.model import Credentials
from orchestrator.core.sizes import human_bytes
from orchestrator.edges.bounded_command import BoundError, run_bounded
from orchestrator.edges.credentials import SecretSource, credential_headers, redact
from orchestrator.errors import CredentialsError, ProviderError

SECONDS: float = 60
"""For all of it: from the start of the request or the command to its last byte."""
MAX_BYTES = 64_000_000
_LINES, _LINE_CHARACTERS = 5, 300


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
        ProviderError: it cannot be had within its bounds; the message has the provider's own words.
        CredentialsError: a credential is missing, cannot be sent, or is refused.
    """
    if provider.url:
        return Document(label=provider.url, content=_fetch(provider, environment, secrets))
    return Document(
        label=" ".join(provider.command), content=_execute(provider.command, environment, directory)
    )


def _fetch(provider: Provider, environment: str, secrets: SecretSource) -> bytes:
    import asyncio

    import httpx

    url = provider.url.replace("{environment}", environment)
    authorization, values = credential_headers(
        provider.credentials, f"the environment provider {url}", secrets
    )
    headers = {"Accept": "application/json", **authorization}
    try:
        status, content = asyncio.run(_get(url, headers))
    except TimeoutError:
        raise ProviderError(
            f"the environment provider {url} does not answer in full within {SECONDS:g} s",
            resolution="check the server's load and log, and the network",
        ) from None
    except BoundError as error:
        raise ProviderError(
            f"the environment provider {url} {error}",
            resolution="it has to answer 200 with the environment JSON, and nothing else",
        ) from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ProviderError(
            f"the environment provider {url} cannot be reached: {redact(str(error), values)}",
            resolution="check the address and the network",
        ) from None
    if status in (401, 403):
        raise CredentialsError(
            f"the environment provider {url} answers {status}",
            resolution="check its credentials in orchestrator.toml",
        )
    if status != 200:
        raise ProviderError(
            f"the environment provider {url} answers {status}",
            resolution="it has to answer 200 with the environment JSON",
        )
    return content


async def _get(url: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
    """The status, and the content of a 200.

    Asynchronous, since httpx knows time limits for each read only: a server that drips would hold us for ever.

    Raises:
        TimeoutError: it takes too long; BoundError: it is too much; httpx.HTTPError: there is no answer.
    """
    import asyncio

    import httpx

    content = bytearray()
    async with (
        asyncio.timeout(SECONDS),
        httpx.AsyncClient(timeout=None, follow_redirects=False) as client,
        # An explicit empty auth: httpx would otherwise take one from the URL.
        client.stream("GET", url, headers=headers, auth=httpx.Auth()) as response,
    ):
        if response.status_code == 200:
            async for piece in response.aiter_bytes():
                content += piece
                if len(content) > MAX_BYTES:
                    raise BoundError(f"answers with more than {human_bytes(MAX_BYTES)}")
        return response.status_code, bytes(content)


def _execute(command: tuple[str, ...], environment: str, directory: Path) -> bytes:
    try:
        done = run_bounded(
            command,
            directory=directory,
            variables={**os.environ, "ORCHESTRATOR_ENVIRONMENT": environment},
            seconds=SECONDS,
            limit_bytes=MAX_BYTES,
        )
    except (OSError, ValueError) as error:
        raise ProviderError(
            f"the environment provider {command[0]} cannot be run: {error}",
            resolution="correct `command` in orchestrator.toml; it runs in the repository's directory",
        ) from None
    except BoundError as error:
        raise ProviderError(
            f"the environment provider {command[0]} {error}, and was ended",
            details=_last_lines(error.errors),
            resolution=f"run it by hand; it has to print the environment JSON, and end within {SECONDS:g} s",
        ) from None
    if done.code != 0:
        raise ProviderError(
            f"the environment provider {command[0]} ended with {done.code}",
            details=_last_lines(done.errors),
            resolution="run it by hand; it has to print the environment JSON",
        )
    return done.output


def _last_lines(errors: bytes) -> tuple[str, ...]:
    lines = errors.decode("utf-8", "replace").strip().splitlines()[-_LINES:]
    return tuple(one_line(line)[:_LINE_CHARACTERS] for line in lines)
