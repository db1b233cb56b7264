"""Downloading: one pass over the bytes, hashed on the way, resumed when the connection breaks."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import os
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

from host_program.problems import Problem

ATTEMPTS = 4
CHUNK_BYTES = 1 << 20
PIECE_BYTES = 128 << 10
STALL_SECONDS = 30
SLOW_SECONDS = 60
DEFAULT_PORTS = {"http": 80, "https": 443}
CREDENTIAL_HEADERS = ("authorization", "x-jfrog-art-api", "cookie", "proxy-authorization")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, without credentials once the origin changes, never away from http or from https to it."""

    def redirect_request(self, request, file, code, message, headers, new_url):
        old, new = _split(request.full_url), _split(new_url)
        problem = _refused_redirect(old, new)
        if problem:
            file.close()
            raise problem
        new_url = new._replace(netloc=new.netloc.rpartition("@")[2]).geturl()
        redirected = super().redirect_request(request, file, code, message, headers, new_url)
        if redirected is not None and _origin(old) != _origin(new):
            for name in list(redirected.headers):
                if name.lower() in CREDENTIAL_HEADERS:
                    redirected.remove_header(name)
        return redirected


def _refused_redirect(old, new):
    """The Problem that a redirect is, or None."""
    if new is None or new.scheme not in DEFAULT_PORTS:
        return Problem(
            "download",
            "{} redirects to something that is no http or https URL".format(_shown(old)),
            "check the server and the proxies before it",
        )
    if (old.scheme, new.scheme) == ("https", "http"):
        return Problem(
            "download",
            "{} redirects from https to http ({}), which is refused".format(_shown(old), _shown(new)),
            "correct the server's base URL, or the headers that its proxy sets",
        )
    return None


def _split(url):
    """The parts of an absolute URL; None when it is none."""
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    return parts if parts.hostname and port != 0 else None


def _origin(parts):
    return parts.scheme, parts.hostname, parts.port or DEFAULT_PORTS[parts.scheme]


def _shown(parts):
    """The URL without its query, which may hold a signature, and without a user."""
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def authorization(credentials, secrets):
    """The Authorization header that the artifact's credentials make, or an empty string.

    Args:
        credentials: `username`, `password`, `token`; each a literal string or `{"secret": reference}`.
        secrets: values by reference.

    Raises:
        Problem: the token cannot be sent; it is not shown.
    """
    values = {}
    for name, value in (credentials or {}).items():
        values[name] = secrets[value["secret"]] if isinstance(value, dict) else value
    if values.get("token"):
        token = values["token"]
        if not (token.isascii() and token.isprintable()) or " " in token:
            raise Problem(
                "credentials",
                "the repository's token has characters that no token has",
                "check for blanks, line breaks and quotes around the value",
            )
        return "Bearer " + token
    if values.get("username") or values.get("password"):
        pair = "{}:{}".format(values.get("username") or "", values.get("password") or "")
        return "Basic " + base64.b64encode(pair.encode()).decode()
    return ""


def open_url(url, header, extra=()):
    """An open response.

    Raises:
        Problem: the server answered, and it is no; or nothing will get better by asking again.
        ConnectionError: it did not answer, or is busy: worth another attempt.
    """
    parts = _split(url)
    if parts is None or parts.scheme not in DEFAULT_PORTS or "@" in parts.netloc or not url.isascii():
        raise Problem(
            "download",
            "the artifact's location is no http or https URL without credentials",
            "write https://host/path, and put credentials where they belong",
        )
    request = urllib.request.Request(url, headers=dict(extra))
    if header:
        request.add_header("Authorization", header)
    try:
        return urllib.request.build_opener(_Redirects()).open(request, timeout=STALL_SECONDS)
    except urllib.error.HTTPError as error:
        with error:
            if error.code in (429, 500, 502, 503, 504):
                raise ConnectionError("{} {}".format(error.code, error.reason)) from None
            raise _refusal(url, error, header) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        if type(reason).__name__ == "SSLCertVerificationError":
            raise _distrust(parts, reason) from None
        raise ConnectionError(str(reason) or type(reason).__name__) from None


def open_patiently(url, header, extra=()):
    """An open response, after some attempts; every failure is a Problem."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return open_url(url, header, extra)
        except ConnectionError as error:
            _wait_or_give_up(url, attempt, error)
    raise AssertionError("the last attempt returns or raises")


def read_piece(response, size=CHUNK_BYTES):
    """The next bytes, none at the end.

    Raises:
        ConnectionError: the connection broke, or ended before everything was there.
    """
    try:
        data = response.read(size)
    except (OSError, http.client.HTTPException) as error:
        raise ConnectionError(str(error) or type(error).__name__) from None
    if not data and response.length:
        raise ConnectionError("the connection ended {} bytes early".format(response.length))
    return data


def _wait_or_give_up(url, attempt, error):
    if attempt == ATTEMPTS:
        raise Problem(
            "download",
            "{} could not be downloaded in {} attempts: {}".format(url, ATTEMPTS, error),
            "check that this host reaches the repository (network, name, firewall, proxy)",
        ) from None
    time.sleep(0.25 * 2**attempt)


def _distrust(parts, error):
    return Problem(
        "download",
        "{}://{}: this host does not accept the certificate: {}".format(
            parts.scheme, parts.netloc, getattr(error, "verify_message", "") or error
        ),
        "let this host trust the issuer (update-ca-certificates or update-ca-trust), "
        "or correct the certificate or this host's clock",
    )


def _refusal(url, error, header):
    try:
        body = error.read(2000)
    except (OSError, http.client.HTTPException):
        body = b""
    text = _hide(body.decode("utf-8", "replace"), header)
    said = " ".join("".join(char if char.isprintable() else " " for char in text).split())[:200]
    said = "{} {}{}".format(error.code, error.reason, ": " + said if said and "<" not in said else "")
    if error.code in (401, 403):
        return Problem(
            "credentials",
            "{} refuses this host: {}".format(url, said),
            "check the repository's credentials and that this host's address may read it",
        )
    if error.code in (404, 410):
        return Problem(
            "missing", "{} is not there: {}".format(url, said), "publish it, or correct its version"
        )
    return Problem("download", "{} answers {}".format(url, said), "ask whoever runs the repository")


def _hide(text, header):
    """The text without what the header carries: a server may echo it."""
    secret = header.partition(" ")[2]
    hidden = [secret]
    if header.startswith("Basic "):
        hidden.append(base64.b64decode(secret).decode().partition(":")[2])
    for value in filter(None, hidden):
        text = text.replace(value, "***")
    return text


def fetch(artifact, secrets, target):
    """The artifact's bytes are in `target` and have the asked-for SHA-256.

    Args:
        artifact: `location` (a URL or, when `local` is true, a path), `sha256`, `size_bytes` or None,
            `credentials`; `upload` (`offset`, `size_bytes`) when it comes behind the request.
        secrets: credential values by reference.
        target: a path that does not exist yet.

    Raises:
        Problem: they cannot be had, or are other bytes; nothing is left at `target`.
        OSError: the disk is full or may not be written.
    """
    sink = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(sink, "wb", buffering=0) as file:
            hasher, seen = hashlib.sha256(), 0
            for offset, piece in source_of(artifact, secrets):
                if offset < seen:
                    hasher, seen = hashlib.sha256(), 0
                    file.seek(0)
                    file.truncate()
                hasher.update(piece)
                _write_all(file, piece)
                seen += len(piece)
        compare(artifact, hasher.hexdigest(), seen)
    except BaseException:
        os.unlink(target)
        raise


def source_of(artifact, secrets):
    """(offset, bytes) of the artifact; the offset is smaller than what has come where it begins anew."""
    if "upload" in artifact:
        return _uploaded(artifact)
    if artifact.get("local"):
        return _read_local(artifact["location"])
    return _download(artifact, authorization(artifact.get("credentials"), secrets))


def compare(artifact, sha256, size_bytes):
    """Raises the Problem that other bytes than the planned ones are."""
    if sha256 == artifact["sha256"]:
        return
    expected = artifact.get("size_bytes")
    size = (
        "" if expected in (None, size_bytes) else " and {} bytes instead of {}".format(size_bytes, expected)
    )
    raise Problem(
        "checksum",
        "{} has the SHA-256 {}{}, not {} as planned".format(
            artifact["location"] if not artifact.get("local") else "the artifact",
            sha256,
            size,
            artifact["sha256"],
        ),
        "somebody replaced the artifact, or a proxy between this host and the repository answers; plan again",
    )


def _read_local(path):
    with open(path, "rb", buffering=0) as source:
        yield from _numbered(iter(lambda: source.read(PIECE_BYTES), b""))


def _uploaded(artifact):
    from host_program import uploads

    yield from _numbered(uploads.chunks(artifact["upload"]["offset"], artifact["upload"]["size_bytes"]))


def _numbered(pieces):
    offset = 0
    for piece in pieces:
        yield offset, piece
        offset += len(piece)


def _download(artifact, header):
    """(offset, bytes) as they come; the offset goes back to 0 where the server cannot go on in the middle."""
    url, expected = artifact["location"], artifact.get("size_bytes")
    seen, validator = 0, ""
    for attempt in range(1, ATTEMPTS + 1):
        extra = {"Accept-Encoding": "identity"}
        if seen and validator:
            extra.update({"Range": "bytes={}-".format(seen), "If-Range": validator})
        try:
            with open_url(url, header, extra.items()) as response, _watched(response) as progress:
                if not (response.status == 206 and starts_at(response, seen)):
                    seen = 0
                validator = response.headers.get("ETag") or ""
                validator = "" if validator.startswith("W/") else validator
                while True:
                    piece = read_piece(response, PIECE_BYTES)
                    if not piece:
                        return
                    progress.append(len(piece))
                    if expected is not None and seen + len(piece) > expected:
                        raise Problem(
                            "checksum",
                            "{} sends more than the planned {} bytes ({})".format(
                                url, expected, response.headers.get("Content-Type", "no content type")
                            ),
                            "the artifact was replaced, or this is an error page; look at it, plan again",
                        )
                    yield seen, piece
                    seen += len(piece)
        except ConnectionError as error:
            _wait_or_give_up(url, attempt, error)
    raise AssertionError("the last attempt returns or raises")


@contextlib.contextmanager
def _watched(response):
    """A list that grows with each piece; the connection is cut when it does not for SLOW_SECONDS.

    A server that sends a byte now and then would hold this host, and the deployment's lock, for ever.
    """
    progress, over = [], threading.Event()

    def watch():
        before = -1
        while before != len(progress):
            before = len(progress)
            if over.wait(SLOW_SECONDS):
                return
        connection.shutdown(socket.SHUT_RDWR)

    with socket.socket(fileno=os.dup(response.fileno())) as connection:
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield progress
        finally:
            over.set()
            watcher.join()


def starts_at(response, offset):
    return response.headers.get("Content-Range", "").startswith("bytes {}-".format(offset))


def _write_all(sink, chunk):
    view = memoryview(chunk)
    while view:
        view = view[sink.write(view) :]
