"""Values of secret references, read on the controller: in a header, and never in a text.

A document holds references only (`{"env": NAME}`, `{"file": PATH}`). What they stand for is read here, kept
in memory, and never put into a message.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import quote

from orchestrator.core.model import Credentials, Reference
from orchestrator.errors import CredentialsError

_FILE_LIMIT_BYTES: Final = 1 << 20
_MARK: Final = "***"
_LINE_LENGTH: Final = 16


class SecretSource(Protocol):
    """Something that knows what a reference stands for."""

    def value(self, reference: Reference) -> str:
        """Return the secret.

        Raises:
            CredentialsError: there is none, or it cannot be read.
        """
        ...


class ControllerSecrets:
    """Secrets from the controller's environment and files. Each is read once."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._values: dict[Reference, str] = {}

    def value(self, reference: Reference) -> str:
        """Return the secret; of a file, without its one trailing newline.

        Raises:
            CredentialsError: the variable or file is missing, empty, unreadable or not UTF-8 text.
        """
        known = self._values.get(reference)
        if known is None:
            known = self._read(reference)
            self._values[reference] = known
        return known

    def known_values(self) -> tuple[str, ...]:
        """Return every value handed out so far, for `redact`."""
        return tuple(dict.fromkeys(self._values.values()))

    def _read(self, reference: Reference) -> str:
        match reference.source:
            case "env":
                return _read_variable(reference, self._environ)
            case "file":
                return _read_file(reference)


def checked_token(token: str, reference: Reference) -> str:
    """Return the token, which can stand in a header.

    Raises:
        CredentialsError: it cannot; a library that is given it would quote it.
    """
    if not token.isascii() or not token.isprintable() or " " in token:
        raise _error(
            reference,
            "this is no token (it has spaces, line breaks or other characters)",
            "set it to the token alone",
        )
    return token


def credential_headers(
    credentials: Credentials | None, where: str, secrets: SecretSource
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the headers that carry the credentials, and the values to keep out of messages.

    Args:
        where: who asks for them, for messages.

    Raises:
        CredentialsError: a reference has no value, or the value cannot be sent in a header.
    """
    if credentials is None or credentials == Credentials():
        return {}, ()
    if credentials.token is not None:
        token = checked_token(secrets.value(credentials.token), credentials.token)
        return {"Authorization": f"Bearer {token}"}, (token,)
    if credentials.username is None or credentials.password is None:
        raise CredentialsError(
            f"{where}: its credentials are incomplete",
            resolution="give `username` and `password`, or `token`",
        )
    username = credentials.username
    if isinstance(username, Reference):
        username = secrets.value(username)
    password = secrets.value(credentials.password)
    if ":" in username or not username.isprintable():
        raise CredentialsError(
            f"{where}: the user name has a colon or a control character, basic authentication has no way "
            "to send that",
            resolution="check `username`, or use a `token`",
        )
    encoded = base64.b64encode(f"{username}:{password}".encode()).decode("ascii")
    return {"Authorization": f"Basic {encoded}"}, (password, encoded)


def redact(text: str, values: Iterable[str]) -> str:
    """Return `text` with every value replaced by `***`.

    Also found are the forms that a value takes on its way to a reader: percent-encoded, inside a JSON
    string, and the single lines of a value of several lines (a private key).
    """
    forms = {form for value in values for form in _forms(value) if form}
    if not forms:
        return text
    longest_first = sorted(forms, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, longest_first)), _MARK, text)


def _forms(value: str) -> Iterator[str]:
    yield value
    yield quote(value, safe="", errors="replace")
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    lines = value.splitlines()
    if len(lines) > 1:
        yield from (line for line in lines if len(line) >= _LINE_LENGTH and not line.startswith("-----"))


def _read_variable(reference: Reference, environ: Mapping[str, str]) -> str:
    value = environ.get(reference.name)
    if value is None:
        raise _error(reference, "the variable is not set", "set it in the environment of this command")
    if not value:
        raise _error(reference, "the variable is empty", "set it in the environment of this command")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise _error(reference, "the variable is not UTF-8 text", "encode its value as UTF-8")
    return value


def _read_file(reference: Reference) -> str:
    try:
        with Path(reference.name).open("rb") as file:
            raw = file.read(_FILE_LIMIT_BYTES + 1)
    except FileNotFoundError:
        raise _error(reference, "the file does not exist", "create it on this machine") from None
    except IsADirectoryError:
        raise _error(reference, "it is a directory", "name the file that holds the secret") from None
    except PermissionError:
        raise _error(reference, "the file may not be read", "let this command's user read it") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "no usable path"
        raise _error(reference, f"the file cannot be read ({reason})", "check the path") from None
    if len(raw) > _FILE_LIMIT_BYTES:
        raise _error(reference, "the file is larger than 1 MiB", "name the file that holds the secret")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        # No `from`: the decoder's error quotes the bytes.
        raise _error(reference, "the file is not UTF-8 text", "store the secret as UTF-8 text") from None
    value = text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text
    if not value:
        raise _error(reference, "the file is empty", "write the secret into it")
    return value


def _error(reference: Reference, what: str, remedy: str) -> CredentialsError:
    return CredentialsError(f"secret {reference}: {what}", resolution=remedy)
