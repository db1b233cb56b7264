"""One HTTP request that has to be answered as expected: status, headers, text, fields of JSON."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import time
import urllib.parse

from host_program.deadlines import bounded

BODY_BYTES = 1 << 20
PIECE_BYTES = 1 << 16
SHOWN_CHARACTERS = 100
MAX_REDIRECTS = 5
REDIRECTS = (301, 302, 303, 307, 308)
PORTS = {"http": 80, "https": 443}


def ask(check, seconds):
    """Whether one request is answered as the check wants it, within `seconds` from beginning to end.

    Redirects are followed for GET and HEAD, within http and https and never from https to http, unless a
    3xx is what is expected. No proxy is used. No more than `BODY_BYTES` of an answer are kept.

    Returns:
        (healthy, what was seen).
    """
    return bounded(seconds, lambda cut: _ask(check, seconds, cut))


def _ask(check, seconds, cut):
    until = time.monotonic() + seconds
    try:
        return _follow(check, until, cut)
    except (TimeoutError, socket.timeout):
        return False, "{} within {:.1f} s".format(cut.said, seconds)


def _follow(check, until, cut):
    url, headers = check["url"], dict(check["headers"])
    for hop in range(MAX_REDIRECTS + 1):
        with contextlib.closing(_connect(check, url, until)) as connection:
            cut.add(connection.sock)
            connection.request(check["method"], _target(url), headers=_complete(headers))
            response = connection.getresponse()
            with contextlib.closing(response):
                cut.said = "answered {}, and nothing more".format(response.status)
                following = _next(check, response, url) if hop < MAX_REDIRECTS else ""
                if not following:
                    return _judge(check, response, cut)
        if _origin(following) != _origin(url):
            headers = {}
        url = following
    raise AssertionError("the last hop is judged")


def _connect(check, url, until):
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError("this is no http or https URL")
    place = (parts.hostname, parts.port or PORTS[parts.scheme])
    left = max(0.1, until - time.monotonic())
    if parts.scheme == "http":
        connection = http.client.HTTPConnection(*place, timeout=left)
    else:
        connection = http.client.HTTPSConnection(*place, timeout=left, context=_trust(check))
    connection.connect()
    return connection


def _trust(check):
    """Certificates are verified, against the system's authorities or those of `ca_file`; or nothing is."""
    if check["insecure"]:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    try:
        return ssl.create_default_context(cafile=check["ca_file"] or None)
    except OSError as error:
        raise ValueError("ca_file {} cannot be used: {}".format(check["ca_file"], error)) from None


def _complete(headers):
    own = {"User-Agent": "gitops-orchestrator", "Connection": "close"}
    given = {name.lower() for name in headers}
    return {**{name: value for name, value in own.items() if name.lower() not in given}, **headers}


def _target(url):
    parts = urllib.parse.urlsplit(url)
    return (parts.path or "/") + ("?" + parts.query if parts.query else "")


def _origin(url):
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or PORTS[parts.scheme]


def _next(check, response, url):
    """Where the answer sends us; empty when it is the answer that counts."""
    location = response.getheader("Location")
    expected = any(300 <= status < 400 for status in check["status"])
    if not location or expected or response.status not in REDIRECTS or check["method"] not in ("GET", "HEAD"):
        return ""
    following = urllib.parse.urljoin(url, location)
    schemes = ("https://",) if url.startswith("https://") else ("http://", "https://")
    return following if following.startswith(schemes) else ""


def _judge(check, response, cut):
    expected, status = check["status"], response.status
    answered = "answered {}".format(status)
    if status not in expected if expected else not 200 <= status < 300:
        return False, answered
    for name, value in sorted(check["header"].items()):
        found = response.getheader(name)
        if found != value:
            said = "no header {}".format(name) if found is None else "{}: {}".format(name, _short(found))
            return False, "{} with {}, expected {}".format(answered, said, _short(value))
    cut.said = answered + " without an end"
    if check["json"]:
        return _judge_document(check, response, answered)
    if check["body"] and not _holds(response, check["body"].encode()):
        return False, answered + " without the expected text"
    return True, answered


def _judge_document(check, response, answered):
    body = _read(response)
    if body is None:
        return False, "{} with more than {} bytes".format(answered, BODY_BYTES)
    if check["body"] and check["body"].encode() not in body:
        return False, answered + " without the expected text"
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return False, answered + ", which is no JSON"
    for path, value in sorted(check["json"].items()):
        try:
            found = find(document, path)
        except LookupError:
            return False, "{} without {} in its JSON".format(answered, path)
        if not is_same(found, value):
            return False, "{} with {} {}, expected {}".format(answered, path, _json(found), _json(value))
    return True, answered


def find(value, path):
    """What is at a dotted path; a number is an item of a list, and a key may have dots of its own.

    Raises:
        LookupError: nothing is.
    """
    first, dot, rest = path.partition(".")
    if isinstance(value, dict):
        if path in value:
            return value[path]
        if dot and first in value:
            return find(value[first], rest)
    elif isinstance(value, list) and first.isdecimal() and int(first[:9]) < len(value):
        return find(value[int(first)], rest) if dot else value[int(first)]
    raise LookupError


def is_same(found, expected):
    """Whether two values are the same JSON: 1 is 1.0, and neither is true or "1"."""
    if isinstance(found, bool) or isinstance(expected, bool):
        return found is expected
    return found == expected


def _read(response):
    """The body; None when it is too large."""
    body = b""
    while len(body) <= BODY_BYTES:
        piece = response.read1(PIECE_BYTES)
        if not piece:
            return body
        body += piece
    return None


def _holds(response, text):
    """Whether the text comes, of a response that may never end."""
    body = b""
    while len(body) < BODY_BYTES:
        piece = response.read1(PIECE_BYTES)
        if not piece:
            return False
        body += piece
        if text in body[-len(piece) - len(text) :]:
            return True
    return False


def _json(value):
    return _short(json.dumps(value))


def _short(text):
    text = "".join(one if one.isprintable() else "?" for one in text[: SHOWN_CHARACTERS + 1])
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."
