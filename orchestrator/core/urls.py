"""http and https URLs as documents may have them: plain ASCII, with a host, without credentials."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import urlsplit

_CHARACTERS = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")
_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?")
_NUMERIC = re.compile(r"[0-9.]+")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def url_problem(url: str, *, query: bool) -> str:
    """Return what is wrong with `url`, never quoting it (it may hold a password); empty when nothing is.

    Args:
        query: whether a query (`?...`) is allowed. A fragment never is.
    """
    example = "write a URL such as https://host.example.net/path"
    if not _CHARACTERS.fullmatch(url):
        return (
            f"this is no URL (empty, or with spaces or other characters that have to be encoded); {example}"
        )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return f"this is no URL (its host or port cannot be read); {example}"
    if parts.scheme not in _DEFAULT_PORTS or not url.startswith(f"{parts.scheme}://"):
        return f"this is no http or https URL; {example}"
    if "@" in parts.netloc:
        return "this URL holds credentials; remove them and use `credentials` with references"
    if not host or not is_address(host) or port == 0 or parts.netloc.endswith(":"):
        return f"this URL has no valid host and port; {example}"
    if "#" in url:
        return "this URL has a fragment (#...); remove it"
    if "?" in url and not query:
        return "this URL has a query (?...); remove it"
    return ""


def is_address(text: str) -> bool:
    """Return whether `text` is a host name or an IPv4 or IPv6 address, in ASCII, without brackets."""
    if _NUMERIC.fullmatch(text) or ":" in text:
        try:
            if ":" in text:
                return IPv6Address(text).scope_id is None
            return bool(IPv4Address(text))
        except AddressValueError:
            return False
    return bool(_HOST_NAME.fullmatch(text))


def bracketed(address: str) -> str:
    """Return an address as URLs have it: IPv6 in brackets."""
    return f"[{address}]" if ":" in address else address


def origin_of(url: str) -> str:
    """Return scheme, host and port of a URL without problems, such as `https://nexus.example.net`.

    Lower case, and without the scheme's own port, so that equal origins are equal strings.
    """
    parts = urlsplit(url)
    host = bracketed(parts.hostname or "")
    is_usual = parts.port is None or parts.port == _DEFAULT_PORTS[parts.scheme]
    return f"{parts.scheme}://{host}" if is_usual else f"{parts.scheme}://{host}:{parts.port}"
