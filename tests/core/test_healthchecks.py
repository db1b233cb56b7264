from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.checks import (
    CommandProbe,
    Healthcheck,
    HttpProbe,
    Probe,
    SystemdProbe,
    TcpProbe,
    render_healthcheck,
)
from tests.core.builders import ABSENT, make_environment, parse, problems

URL = "http://a.example/"


def environment(**entry: Any) -> dict[str, Any]:
    return make_environment(applications={"shop": {"deployment_path": "/srv/shop", **entry}})


def check_of(**entry: Any) -> Healthcheck:
    (check,) = parse(None, environment(**entry)).placements[0].healthchecks
    return check


def probe_of(**check: Any) -> Probe:
    return check_of(healthcheck=check).probe


def http_of(**check: Any) -> HttpProbe:
    probe = probe_of(**check)
    assert isinstance(probe, HttpProbe)
    return probe


def test_url_without_placeholder_is_asked_once_with_defaults() -> None:
    assert check_of(healthcheck_url="https://shop.example.net/health?full=1") == Healthcheck(
        probe=HttpProbe(url="https://shop.example.net/health?full=1"),
        origin="once",
        retries=10,
        interval_seconds=2.0,
        timeout_seconds=5.0,
        deadline_seconds=60.0,
        initial_delay_seconds=0.0,
        successes=1,
        stays_healthy_seconds=0.0,
    )


def test_placeholders_are_filled_in_for_each_host_and_the_version_later() -> None:
    url = "http://{address}:{port}/{host}/{version}"
    placements = parse(None, environment(healthcheck_url=url)).placements

    probes = [check.probe for placement in placements for check in placement.healthchecks]
    assert probes == [
        HttpProbe(url="http://192.0.2.1:22/web1/{version}"),
        HttpProbe(url="http://192.0.2.2:22/web2/{version}"),
    ]


def test_port_of_the_healthcheck_comes_before_the_hosts() -> None:
    assert http_of(url="http://{host}:{port}/", port=8080).url == "http://web1:8080/"


def test_ipv6_address_gets_brackets_in_a_url_only() -> None:
    checks = [{"url": "http://{address}:80/"}, {"type": "tcp", "port": 80}]
    document = environment(healthchecks=checks)
    document["hosts"] = {"web1": {"address": "2001:db8::1"}}

    probes = [check.probe for check in parse(None, document).placements[0].healthchecks]
    assert probes == [HttpProbe(url="http://[2001:db8::1]:80/"), TcpProbe(host="2001:db8::1", port=80)]


@pytest.mark.parametrize(
    ("check", "asked", "origin"),
    [
        ({"url": "http://a.example/"}, None, "once"),
        ({"url": "http://a.example/{version}"}, None, "once"),
        ({"url": "http://a.example/"}, "controller", "once"),
        ({"url": "http://a.example/"}, "host", "host"),
        ({"url": "http://{address}/"}, None, "host"),
        ({"url": "http://{address}/"}, "host", "host"),
        ({"url": "http://{address}/"}, "controller", "controller"),
        ({"type": "tcp", "port": 80}, None, "host"),
        ({"type": "tcp", "port": 80}, "controller", "controller"),
        ({"type": "tcp", "port": 80, "host": "a.example"}, None, "host"),
        ({"type": "tcp", "port": 80, "host": "a.example"}, "controller", "once"),
        ({"type": "command", "command": ["true"]}, None, "host"),
        ({"type": "systemd", "unit": "shop"}, "host", "host"),
    ],
)
def test_who_asks_follows_from_type_and_placeholders(
    check: dict[str, Any], asked: str | None, origin: str
) -> None:
    assert check_of(healthcheck=check if asked is None else {**check, "from": asked}).origin == origin


@pytest.mark.parametrize(("status", "expected"), [(204, (204,)), ([200, 204], (200, 204))])
def test_status_is_one_or_several(status: Any, expected: tuple[int, ...]) -> None:
    assert http_of(url=URL, status=status).status == expected


def test_every_field_is_taken() -> None:
    timing = {
        "retries": 1,
        "interval_seconds": 0,
        "timeout_seconds": 0.5,
        "deadline_seconds": 9,
        "initial_delay_seconds": 2,
        "successes": 3,
        "stays_healthy_seconds": 4,
    }
    fields = {
        "method": "POST",
        "headers": {"Accept": "application/json"},
        "body": "ok",
        "json": {"build.version": "{version}", "items.0.up": True, "none": None, "load": 1.5},
        "header": {"X-Version": "{version}"},
        "ca_file": "/etc/ssl/ours.pem",
    }
    check = check_of(healthcheck={"url": URL, "type": "http", **timing, **fields})

    assert {name: getattr(check, name) for name in timing} == timing
    assert {name: getattr(check.probe, name) for name in fields} == fields
    assert http_of(url=URL, insecure=True).insecure


@pytest.mark.parametrize(
    ("check", "probe"),
    [
        ({"type": "tcp", "port": 5432}, TcpProbe(host="192.0.2.1", port=5432)),
        ({"type": "tcp", "port": 1, "host": "{host}.example"}, TcpProbe(host="web1.example", port=1)),
        ({"type": "systemd", "unit": "shop@1.service"}, SystemdProbe(unit="shop@1.service")),
        (
            {
                "type": "command",
                "command": ["{current}/bin/check", "{address}", "{host}", "{version}", "{x}"],
            },
            CommandProbe(command=("/srv/shop/current/bin/check", "192.0.2.1", "web1", "{version}", "{x}")),
        ),
        (
            {"type": "command", "command": ["psql", "-c", "select 'it''s $HOME `x` {{ y }};'"], "user": "db"},
            CommandProbe(command=("psql", "-c", "select 'it''s $HOME `x` {{ y }};'"), user="db"),
        ),
    ],
)
def test_every_type_is_parsed_and_filled_in(check: dict[str, Any], probe: Probe) -> None:
    assert probe_of(**check) == probe


@pytest.mark.parametrize(
    ("probe", "rendered"),
    [
        (TcpProbe(host="a", port=1), {"type": "tcp", "host": "a", "port": 1}),
        (CommandProbe(command=("a", "b")), {"type": "command", "command": ["a", "b"], "user": ""}),
        (SystemdProbe(unit="a"), {"type": "systemd", "unit": "a"}),
    ],
)
def test_checks_are_rendered_with_their_type_and_nothing_of_others(
    probe: Probe, rendered: dict[str, Any]
) -> None:
    timing = {
        "origin": "host",
        "retries": 10,
        "interval_seconds": 2.0,
        "timeout_seconds": 5.0,
        "deadline_seconds": 60.0,
        "initial_delay_seconds": 0.0,
        "successes": 1,
        "stays_healthy_seconds": 0.0,
    }
    assert render_healthcheck(Healthcheck(probe=probe, origin="host")) == {**rendered, **timing}


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
            '"{adress}" is no placeholder here; only {address}, {host}, {port}, {version} are (did you mean',
        ),
        ("http://{address}/{current}", '"{current}" is no placeholder here'),
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
        ({"retries": -1}, ".retries: has to be a whole number from 0 to 10000"),
        ({"interval_seconds": "2"}, ".interval_seconds: has to be a number of seconds"),
        ({"timeout_seconds": 0}, ".timeout_seconds: has to be a number of seconds from 0.1"),
        ({"deadline_seconds": True}, ".deadline_seconds: has to be a number of seconds"),
        ({"initial_delay_seconds": -1}, ".initial_delay_seconds: has to be a number of seconds from 0"),
        (
            {"initial_delay_seconds": 60},
            ".initial_delay_seconds: has to be less than `deadline_seconds` (60)",
        ),
        ({"successes": 0}, ".successes: has to be a whole number from 1"),
        ({"successes": 31}, ".successes: takes longer than `deadline_seconds` (60), with 2 s between"),
        ({"stays_healthy_seconds": 3601}, ".stays_healthy_seconds: has to be a number of seconds"),
        ({"status": 99}, ".status: has to be an HTTP status"),
        ({"status": []}, ".status: has to be an HTTP status"),
        ({"status": [200, "ok"]}, ".status[1]: has to be an HTTP status"),
        ({"body": ""}, ".body: has to be the text"),
        (
            {"method": "get"},
            '.method: has to be one of "GET", "HEAD", "OPTIONS", "POST" (did you mean "GET"?)',
        ),
        ({"method": "HEAD", "body": "x"}, ".body: the answer to HEAD has no body"),
        ({"method": "HEAD", "json": {"a": 1}}, ".json: the answer to HEAD has no body"),
        ({"json": {}}, ".json: has to be an object of paths and values"),
        ({"json": {"": 1}}, '.json[""]: "" is no path in JSON'),
        ({"json": {"a": [1]}}, ".json.a: has to be a text, a number, true, false or null"),
        ({"json": {"a": 1e16}}, ".json.a: this is no number that every JSON reader understands"),
        ({"headers": {"a b": "c"}}, '.headers["a b"]: "a b" is no name of a header'),
        ({"headers": {"X": "a\r\nY: b"}}, ".headers.X: character 2 is a control or invisible character"),
        ({"headers": {"X": "ü"}}, ".headers.X: has to be a text of printable ASCII"),
        ({"headers": {"Authorization": "Basic eDp5"}}, ".headers.Authorization: "),
        ({"headers": {"X-Api-Key": "x"}}, '.headers.X-Api-Key: "X-Api-Key" looks like a secret'),
        ({"headers": {"Content-Length": "1"}}, ".headers.Content-Length: "),
        ({"header": {"X": 1}}, ".header.X: has to be a text of printable ASCII"),
        ({"ca_file": "ours.pem"}, ".ca_file: has to be an absolute path"),
        ({"insecure": True, "ca_file": "/a"}, ".insecure: with this nothing is verified"),
        ({"from": "hosts"}, '.from: has to be one of "host", "controller" (did you mean "host"?)'),
        ({"from": 1}, ".from: has to be a string in quotes"),
        ({"port": 80}, ".port: the URL has no {port} to put it in"),
        ({"type": "https"}, '.type: has to be one of "http", "tcp"'),
        (
            {"command": ["x"]},
            '.command: "command" belongs to a check of type command, and this one has type http',
        ),
        ({"unit": "x"}, '.unit: "unit" belongs to a check of type systemd'),
        ({"host": "x"}, '.host: "host" belongs to a check of type tcp'),
        ({"type": "tcp", "url": ABSENT}, ': "port" is missing; add it'),
        ({"type": "tcp", "url": ABSENT, "port": 0}, ".port: has to be a port"),
        ({"type": "tcp", "port": 80}, '.url: "url" belongs to a check of type http'),
        ({"type": "tcp", "url": ABSENT, "port": 80, "host": "a b"}, '.host: "a b" is no address'),
        ({"type": "tcp", "url": ABSENT, "port": 80, "host": "{port}"}, '.host: "{port}" is no address'),
        ({"type": "command", "url": ABSENT}, ': "command" is missing; add it'),
        (
            {"type": "command", "url": ABSENT, "command": "rm -rf /"},
            ".command: has to be a list, the program and its arguments",
        ),
        ({"type": "command", "url": ABSENT, "command": []}, ".command: has to be a list"),
        ({"type": "command", "url": ABSENT, "command": [1]}, ".command[0]: has to be a text"),
        ({"type": "command", "url": ABSENT, "command": [""]}, '.command[0]: "" is no program'),
        ({"type": "command", "url": ABSENT, "command": ["-x"]}, '.command[0]: "-x" is no program'),
        ({"type": "command", "url": ABSENT, "command": ["a\0"]}, ".command[0]: character 2 is a control"),
        (
            {"type": "command", "url": ABSENT, "command": ["a"], "user": "a b"},
            ".user: has to be a user's name",
        ),
        (
            {"type": "command", "url": ABSENT, "command": ["a"], "from": "controller"},
            ".from: a command or a unit is looked at on the host; remove this",
        ),
        ({"type": "systemd", "url": ABSENT}, ': "unit" is missing; add it'),
        ({"type": "systemd", "url": ABSENT, "unit": "-x"}, ".unit: has to be the name of a systemd unit"),
        ({"type": "systemd", "url": ABSENT, "unit": "a b"}, ".unit: has to be the name of a systemd unit"),
    ],
)
def test_field_that_does_not_fit_is_explained(fields: dict[str, Any], expected: str) -> None:
    check = {key: value for key, value in {"url": URL, **fields}.items() if value is not ABSENT}
    found = problems(None, environment(healthcheck=check))

    assert any(
        line.startswith(f"staging-env.json: applications.shop.healthcheck{expected}") for line in found
    ), found
    assert len(found) <= 2


def test_healthcheck_needs_a_url_and_nothing_is_said_twice() -> None:
    assert problems(None, environment(healthcheck={})) == [
        'staging-env.json: applications.shop.healthcheck: "url" is missing; add it'
    ]


def test_url_of_a_wrong_type_has_no_consequences() -> None:
    assert problems(None, environment(healthcheck={"url": 7})) == [
        "staging-env.json: applications.shop.healthcheck.url: has to be a string in quotes"
    ]


def test_healthcheck_in_two_forms_is_refused() -> None:
    (found,) = problems(None, environment(healthcheck={"url": URL}, healthcheck_url=URL))
    assert "healthcheck_url: `healthcheck_url` is short for `healthcheck`; keep one of them" in found
    (found,) = problems(None, environment(healthchecks=[{"url": URL}], healthcheck_url=URL))
    assert "healthchecks: the others stand elsewhere; put all of them into this list" in found


def test_several_checks_all_count_and_each_is_refused_by_itself() -> None:
    checks = [{"type": "tcp", "port": 80}, {"type": "systemd", "unit": "shop"}]
    found = parse(None, environment(healthchecks=checks)).placements[0].healthchecks
    assert [check.probe for check in found] == [
        TcpProbe(host="192.0.2.1", port=80),
        SystemdProbe(unit="shop"),
    ]

    path = "staging-env.json: applications.shop.healthchecks"
    assert problems(None, environment(healthchecks=[{"url": URL}, {"type": "tcp"}, 7])) == [
        f'{path}[1]: "port" is missing; add it',
        f"{path}[2]: has to be an object {{...}}",
    ]
    assert problems(None, environment(healthchecks=[])) == [
        f"{path}: has to be a list of 1 to 20 health checks"
    ]
