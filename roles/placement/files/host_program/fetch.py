"""Downloading: one pass over the bytes, hashed on the way, resumed when the connection breaks."""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import os
import time
import urllib.error
import urllib.parse
import urllib.request

from host_program.problems import Problem

ATTEMPTS = 4
CHUNK_BYTES = 1 << 20
STALL_SECONDS = 30
CREDENTIAL_HEADERS = ("authorization", "x-jfrog-art-api", "cookie", "proxy-authorization")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, without credentials once the origin changes, never from https to http."""

    def redirect_request(self, request, file, code, message, headers, new_url):
        redirected = super().redirect_request(request, file, code, message, headers, new_url)
        old, new = urllib.parse.urlsplit(request.full_url), urllib.parse.urlsplit(new_url)
        if old.scheme == "https" and new.scheme != "https":
            raise Problem(
                "download", "the server redirects from https to " + new.scheme, "fix the repository"
            )
        if redirected is not None and (old.scheme, old.netloc) != (new.scheme, new.netloc):
            for name in list(redirected.headers):
                if name.lower() in CREDENTIAL_HEADERS:
                    redirected.remove_header(name)
        return redirected


def authorization(credentials, secrets):
    """The Authorization header that the artifact's credentials make, or an empty string.

    Args:
        credentials: `username`, `password`, `token`; each a literal string or `{"secret": reference}`.
        secrets: values by reference.
    """
    values = {}
    for name, value in (credentials or {}).items():
        values[name] = secrets[value["secret"]] if isinstance(value, dict) else value
    if values.get("token"):
        return "Bearer " + values["token"]
    if values.get("username") or values.get("password"):
        pair = "{}:{}".format(values.get("username") or "", values.get("password") or "")
        return "Basic " + base64.b64encode(pair.encode()).decode()
    return ""


def open_url(url, header, extra=()):
    """An open response; every failure of the network or the server is a Problem, connections excepted.

    Raises:
        Problem: the server answered, and it is no.
        OSError, http.client.HTTPException: it did not answer, or broke off: worth another attempt.
    """
    request = urllib.request.Request(url, headers=dict(extra))
    if header:
        request.add_header("Authorization", header)
    try:
        return urllib.request.build_opener(_Redirects()).open(request, timeout=STALL_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code in (429, 500, 502, 503, 504):
            raise ConnectionError("{} {}".format(error.code, error.reason)) from None
        raise _refusal(url, error) from None


def _refusal(url, error):
    said = " ".join(error.read(2000).decode("utf-8", "replace").split())[:200]
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


def fetch(artifact, secrets, target):
    """The artifact's bytes are in `target` and have the asked-for SHA-256.

    Args:
        artifact: `location` (a URL or, when `local` is true, a path), `sha256`, `size_bytes` or None,
            `credentials`.
        secrets: credential values by reference.
        target: a path that does not exist yet.

    Raises:
        Problem: they cannot be had, or are other bytes; nothing is left at `target`.
        OSError: the disk is full or may not be written.
    """
    sink = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(sink, "wb", buffering=0) as file:
            if artifact.get("local"):
                hasher, seen = _copy_local(artifact["location"], file)
            else:
                hasher, seen = _download(artifact, authorization(artifact.get("credentials"), secrets), file)
        _compare(artifact, hasher.hexdigest(), seen)
    except BaseException:
        os.unlink(target)
        raise


def _compare(artifact, sha256, size_bytes):
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


def _copy_local(path, sink):
    hasher, seen = hashlib.sha256(), 0
    with open(path, "rb", buffering=0) as source:
        while True:
            chunk = source.read(CHUNK_BYTES)
            if not chunk:
                return hasher, seen
            hasher.update(chunk)
            sink.write(chunk)
            seen += len(chunk)


def _download(artifact, header, sink):
    url, expected = artifact["location"], artifact.get("size_bytes")
    hasher, seen, validator = hashlib.sha256(), 0, ""
    for attempt in range(1, ATTEMPTS + 1):
        extra = {"Accept-Encoding": "identity"}
        if seen and validator:
            extra.update({"Range": "bytes={}-".format(seen), "If-Range": validator})
        try:
            with open_url(url, header, extra.items()) as response:
                if not (response.status == 206 and _starts_at(response, seen)):
                    hasher, seen = hashlib.sha256(), 0
                    sink.seek(0)
                    sink.truncate()
                validator = response.headers.get("ETag") or ""
                validator = "" if validator.startswith("W/") else validator
                while True:
                    chunk = response.read(CHUNK_BYTES)
                    if not chunk:
                        break
                    seen += len(chunk)
                    if expected is not None and seen > expected:
                        raise Problem(
                            "checksum",
                            "{} sends more than the planned {} bytes ({})".format(
                                url, expected, response.headers.get("Content-Type", "no content type")
                            ),
                            "the artifact was replaced, or this is an error page; look at it, plan again",
                        )
                    hasher.update(chunk)
                    _write_all(sink, chunk)
                if response.length:
                    raise ConnectionError("the connection ended {} bytes early".format(response.length))
            return hasher, seen
        except (ConnectionError, TimeoutError, http.client.HTTPException, urllib.error.URLError) as error:
            if attempt == ATTEMPTS:
                reason = getattr(error, "reason", None) or error
                raise Problem(
                    "download",
                    "{} could not be downloaded in {} attempts: {}".format(
                        url, ATTEMPTS, reason or type(error)
                    ),
                    "check that this host reaches the repository (network, proxy, certificate)",
                ) from None
            time.sleep(0.25 * 2**attempt)
    raise AssertionError("the last attempt returns or raises")


def _starts_at(response, offset):
    return response.headers.get("Content-Range", "").startswith("bytes {}-".format(offset))


def _write_all(sink, chunk):
    view = memoryview(chunk)
    while view:
        view = view[sink.write(view) :]


class RemoteFile(io.RawIOBase):
    """A file behind HTTP ranges: check mode reads an archive's directory without downloading it.

    Raises:
        Problem: the server has no ranges (kind `unsupported`).
    """

    BLOCK_BYTES = 1 << 18

    def __init__(self, url, header):
        super().__init__()
        self._url, self._header, self._position, self._blocks = url, header, 0, {}
        self.size_bytes = 0
        self._block(0)

    def readable(self):
        return True

    def seekable(self):
        return True

    def seek(self, offset, whence=os.SEEK_SET):
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size_bytes}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer):
        number, start = divmod(self._position, self.BLOCK_BYTES)
        if self._position >= self.size_bytes:
            return 0
        data = self._block(number)[start : start + len(buffer)]
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def _block(self, number):
        if number not in self._blocks:
            first = number * self.BLOCK_BYTES
            wanted = "bytes={}-{}".format(first, first + self.BLOCK_BYTES - 1)
            with open_url(self._url, self._header, [("Range", wanted)]) as response:
                if response.status != 206 or not _starts_at(response, first):
                    raise Problem("unsupported", "{} has no ranges".format(self._url))
                self.size_bytes = int(response.headers["Content-Range"].rsplit("/", 1)[1])
                self._blocks[number] = response.read()
        return self._blocks[number]
