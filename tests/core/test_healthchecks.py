from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.model import Healthcheck
from tests.core.builders import make_environment, parse, problems


def environment(**entry: Any) -> dict[str, Any]:
    return make_environment(applications={"shop": {"deployment_path": "/srv/shop", **entry}})


def check_of(**entry: Any) -> Healthcheck:
    check = parse(None, environment(**entry)).placements[0].healthcheck
    assert check is not None
    return check


def test_url_without_placeholder_is_asked_once_with_defaults() -> None:
    assert check_of(healthcheck_url="https://shop.example.net/health?full=1") == Healthcheck(
        url="https://shop.example.net/health?full=1",
        origin="once",
        retries=10,
        interval_seconds=2.0,
        timeout_seconds=5.0,
        deadline_seconds=60.0,
        status=(),
        body="",
    )


def test_placeholders_are_filled_in_for_each_host() -> None:
    placements = parse(None, environment(healthcheck_url="http://{address}:{port}/{host}")).placements

    urls = [placement.healthcheck.url for placement in placements if placement.healthcheck]
    assert urls == ["http://192.0.2.1:22/web1", "http://192.0.2.2:22/web2"]


def test_port_of_the_healthcheck_comes_before_the_hosts() -> None:
    assert check_of(healthcheck={"url": "http://{host}:{port}/", "port": 8080}).url == "http://web1:8080/"


def test_ipv6_address_gets_brackets() -> None:
    document = environment(healthcheck_url="http://{address}:80/")
    document["hosts"] = {"web1": {"address": "2001:db8::1"}}

    check = parse(None, document).placements[0].healthcheck
    assert check is not None
    assert check.url == "http://[2001:db8::1]:80/"


@pytest.mark.parametrize(
    ("url", "asked", "origin"),
    [
        ("http://a.example/", None, "once"),
        ("http://a.example/", "controller", "once"),
        ("http://a.example/", "host", "host"),
        ("http://{address}/", None, "host"),
        ("http://{address}/", "host", "host"),
        ("http://{address}/", "controller", "controller"),
    ],
)
def test_who_asks_follows_from_the_placeholders(url: str, asked: str | None, origin: str) -> None:
    healthcheck = {"url": url} if asked is None else {"url": url, "from": asked}

    assert check_of(healthcheck=healthcheck).origin == origin


@pytest.mark.parametrize(("status", "expected"), [(204, (204,)), ([200, 204], (200, 204))])
def test_status_is_one_or_several(status: Any, expected: tuple[int, ...]) -> None:
    assert check_of(healthcheck={"url": "http://a.example/", "status": status}).status == expected


def test_every_field_is_taken() -> None:
    fields = {
        "retries": 1,
        "interval_seconds": 0,
        "timeout_seconds": 0.5,
        "deadline_seconds": 9,
        "body": "ok",
    }
    check = check_of(healthcheck={"url": "http://a.example/", **fields})

    assert {name: getattr(check, name) for name in fields} == fields


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "this is no URL"),
        ("a.example/health", "this is no http or https URL"),
        ("ftp://a.example", "this is no http or https URL"),
        ("http://", "no valid host"),
        ("http://u:p@a.example/", "holds credentials"),
        ("http://{address}@evil.example/", "holds credentials"),
        (
            "http://{adress}/",
            '"{adress}" is no placeholder here; only {address}, {host}, {port} are (did you mean',
        ),
        ("http://{{ lookup('pipe', 'id') }}/", '"{" is no placeholder here'),
        ("http://[{address}]/", "write {address} without brackets"),
        ("http://a.example:{host}/", "host or port cannot be read"),
        ("http://a.example/#x", "has a fragment"),
        ("http://a.example:70000/", "host or port cannot be read"),
    ],
)
def test_url_that_is_none_is_refused(url: str, problem: str) -> None:
    (short,) = problems(None, environment(healthcheck_url=url))
    (long,) = problems(None, environment(healthcheck={"url": url}))

    assert short.startswith("staging-env.json: applications.shop.healthcheck_url: ")
    assert long.startswith("staging-env.json: applications.shop.healthcheck.url: ")
    assert problem in short
    assert problem in long


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"retries": -1}, "retries: has to be a whole number from 0 to 10000"),
        ({"interval_seconds": "2"}, "interval_seconds: has to be a number of seconds"),
        ({"timeout_seconds": 0}, "timeout_seconds: has to be a number of seconds from 0.1"),
        ({"deadline_seconds": True}, "deadline_seconds: has to be a number of seconds"),
        ({"status": 99}, "status: has to be an HTTP status"),
        ({"status": []}, "status: has to be an HTTP status"),
        ({"status": [200, "ok"]}, "status[1]: has to be an HTTP status"),
        ({"body": ""}, "body: has to be the text"),
        ({"from": "hosts"}, 'from: has to be one of "host", "controller" (did you mean "host"?)'),
        ({"from": 1}, "from: has to be a string in quotes"),
        ({"port": 80}, "port: the URL has no {port} to put it in"),
        ({"tcp": 80}, 'tcp: "tcp" is not implemented in version'),
    ],
)
def test_field_that_does_not_fit_is_explained(fields: dict[str, Any], expected: str) -> None:
    found = problems(None, environment(healthcheck={"url": "http://a.example/", **fields}))

    assert any(
        line.startswith(f"staging-env.json: applications.shop.healthcheck.{expected}") for line in found
    )
    assert len(found) <= 2


def test_healthcheck_needs_a_url_and_nothing_is_said_twice() -> None:
    assert problems(None, environment(healthcheck={})) == [
        'staging-env.json: applications.shop.healthcheck: "url" is missing; add it'
    ]


def test_url_of_a_wrong_type_has_no_consequences() -> None:
    assert problems(None, environment(healthcheck={"url": 7})) == [
        "staging-env.json: applications.shop.healthcheck.url: has to be a string in quotes"
    ]


def test_healthcheck_in_both_forms_is_refused() -> None:
    url = "http://a.example/"
    (found,) = problems(None, environment(healthcheck={"url": url}, healthcheck_url=url))

    assert "healthcheck_url: `healthcheck_url` is short for `healthcheck`; keep one of them" in found
