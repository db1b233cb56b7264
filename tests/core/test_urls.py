from __future__ import annotations

import pytest

from orchestrator.core.urls import bracketed, is_address, origin_of, url_problem


@pytest.mark.parametrize(
    "url",
    [
        "https://nexus.example.net",
        "http://192.0.2.1:8081/a/b",
        "https://[2001:db8::1]:8443/",
        "https://under_score.example.net/%7Ea",
    ],
)
def test_urls_with_host_and_path_are_fine(url: str) -> None:
    assert url_problem(url, query=False) == ""


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "no URL (empty"),
        ("https://a b", "no URL (empty, or with spaces"),
        ("https://a.example\n", "no URL"),
        ("https://ex\u00e4mple.net", "no URL"),
        ("https://a.example/{{x}}", "no URL"),
        ("https://a.example:port", "host or port cannot be read"),
        ("https://a.example:99999", "host or port cannot be read"),
        ("https://[::1", "host or port cannot be read"),
        ("https://a.example:0", "no valid host and port"),
        ("https://a.example:", "no valid host and port"),
        ("https://", "no valid host and port"),
        ("https:///path", "no valid host and port"),
        ("https://-a.example", "no valid host and port"),
        ("https://999.1.1.1/", "no valid host and port"),
        ("ftp://a.example", "no http or https URL"),
        ("file:///etc/passwd", "no http or https URL"),
        ("HTTPS://a.example", "no http or https URL"),
        ("https:a.example", "no http or https URL"),
        ("a.example", "no http or https URL"),
        ("https://user:secret@a.example", "holds credentials; remove them"),
        ("https://a.example/#x", "has a fragment"),
        ("https://a.example/#", "has a fragment"),
        ("https://a.example/?x", "has a query"),
    ],
)
def test_what_is_no_plain_url_is_explained_without_quoting_it(url: str, problem: str) -> None:
    assert problem in url_problem(url, query=False)
    assert "secret" not in url_problem(url, query=False)


def test_query_can_be_allowed() -> None:
    assert url_problem("https://a.example/?x=1", query=True) == ""


@pytest.mark.parametrize("text", ["web.example.net", "web_1", "192.0.2.1", "2001:db8::1", "::1"])
def test_host_names_and_ip_addresses_are_addresses(text: str) -> None:
    assert is_address(text)


@pytest.mark.parametrize(
    "text", ["", "-oProxyCommand=x", "a b", "a;b", "1.2.3", "1.2.3.4.5", "fe80::1%eth0", "[::1]", "a:1"]
)
def test_other_text_is_no_address(text: str) -> None:
    assert not is_address(text)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Nexus.Example.net:443/a", "https://nexus.example.net"),
        ("http://a.example:80", "http://a.example"),
        ("http://a.example:443", "http://a.example:443"),
        ("https://[2001:DB8::1]:8443/x", "https://[2001:db8::1]:8443"),
    ],
)
def test_equal_origins_are_equal_strings(url: str, origin: str) -> None:
    assert origin_of(url) == origin


def test_ipv6_gets_brackets() -> None:
    assert bracketed("::1") == "[::1]"
    assert bracketed("192.0.2.1") == "192.0.2.1"
