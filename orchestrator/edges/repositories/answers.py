"""What a server answered, and the error that it stands for."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from orchestrator.edges.credentials import redact
from orchestrator.errors import ArtifactNotFoundError, CredentialsError, OrchestratorError, RepositoryError

_MESSAGE_LENGTH: Final = 200
_INVISIBLE: Final = re.compile(r"(?is)<(script|style|head)\b.*?</\1\s*>|<!--.*?-->")
_TITLE: Final = re.compile(r"(?is)<title[^>]*>(.*?)</title\s*>")
_TAG: Final = re.compile(r"(?s)<[^>]*>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The end of one request, redirects followed.

    Attributes:
        place: where the answer came from, without the query, which may hold a signature.
        headers: lower-case names; of the last answer.
        own_headers: of all answers of the origin that was asked first, the last one wins.
        own_origin: the last answer came from that origin, so it has seen our credentials.
        body: of an error or where it was asked for, cut off at a limit.
    """

    method: str
    place: str
    status: int
    reason: str
    headers: Mapping[str, str]
    own_headers: Mapping[str, str]
    own_origin: bool
    body: bytes = b""

    @property
    def content_type(self) -> str:
        """The media type alone, lower case; empty when not given."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


def problem_of(answer: Answer, name: str, secrets: tuple[str, ...]) -> OrchestratorError:
    """Return the error that an answer stands for.

    Args:
        name: of the repository.
        secrets: values that a server might echo.
    """
    where = f"{answer.place} (repository {name})"
    message = server_message(answer, secrets)
    details = (f"the server says: {message}",) if message else ()
    match answer.status:
        case 401 | 403 if not answer.own_origin:
            return CredentialsError(
                f"{where}: the server refuses access ({answer.status}) after a redirect to another origin",
                details=(*details, "credentials are not sent to another origin"),
                resolution="if that is the repository's real address, use it as the repository's `url`",
            )
        case 401:
            return CredentialsError(
                f"{where}: the server does not accept the credentials (401), or wants some",
                details=details,
                resolution="check the repository's `credentials` and what their references stand for",
            )
        case 403:
            return CredentialsError(
                f"{where}: the server denies access (403)",
                details=details,
                resolution="grant the account read access; a policy, scan or quota of the server may deny it",
            )
        case 404 | 410:
            return ArtifactNotFoundError(
                f"{where}: the repository does not have the artifact ({answer.status})",
                details=details,
                resolution=(
                    "publish it, or correct the version or path in the manifest; a server also answers so "
                    "for what the account may not see, and for a blocked remote"
                ),
            )
        case 407:
            return RepositoryError(
                f"{where}: the proxy wants credentials (407)",
                details=details,
                resolution="check HTTPS_PROXY, HTTP_PROXY and NO_PROXY",
            )
        case status if status >= 500 or status == 429:
            return RepositoryError(
                f"{where}: the server cannot answer now ({_status_text(answer)})",
                details=details,
                resolution="try again later, or look at the server's log",
            )
        case _:
            return RepositoryError(
                f"{where}: the server answers {_status_text(answer)}, which makes no sense here",
                details=details,
                resolution="check the repository's `type` and `url`",
            )


def server_message(answer: Answer, secrets: tuple[str, ...] = ()) -> str:
    """Return what the server says about an error, as one line of at most 200 characters.

    It is taken from Artifactory's and similar JSON, a page's text, plain text or an unusual reason phrase
    (Nexus puts `PAYMENT REQUIRED` there); free of markup, control characters and secrets.
    """
    said = [_body_text(answer.body)]
    if answer.reason.casefold() != _usual_reason(answer.status).casefold() and answer.reason not in said[0]:
        said.insert(0, answer.reason)
    text = redact(": ".join(part for part in said if part), secrets)
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _MESSAGE_LENGTH else f"{line[: _MESSAGE_LENGTH - 1]}…"


def _body_text(body: bytes) -> str:
    text = body.decode("utf-8", errors="replace")
    try:
        return _json_text(json.loads(text))
    except (ValueError, RecursionError):
        pass
    if "<" not in text:
        return text.strip()
    visible = html.unescape(_TAG.sub(" ", _INVISIBLE.sub(" ", text))).strip()
    if not visible and (title := _TITLE.search(text)):
        return html.unescape(title[1]).strip()
    return visible


def _json_text(document: object) -> str:
    match document:
        case {"errors": [*errors]}:
            return "; ".join(text for text in map(_json_text, errors) if text)
        case {"message": str(message)} | {"error": str(message)} | str(message):
            return message
        case [*entries]:
            return "; ".join(text for text in map(_json_text, entries) if text)
        case _:
            return ""


def _status_text(answer: Answer) -> str:
    return f"{answer.status} {_usual_reason(answer.status)}".strip()


def _usual_reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
