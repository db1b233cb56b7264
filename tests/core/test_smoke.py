from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.checks import CommandProbe, HttpProbe, SmokeTest, render_smoke_test
from orchestrator.core.compile import configuration_digest
from tests.core.builders import make_environment, make_settings, parse, problems

ALLOWED = make_settings("controller_commands = true\n")


def environment(*tests: Any) -> dict[str, Any]:
    return make_environment(applications={"shop": {"deployment_path": "/srv/shop", "smoke": list(tests)}})


def smoke_of(*tests: Any, **options: Any) -> tuple[SmokeTest, ...]:
    return parse(None, environment(*tests), **options).placements[0].smoke


def test_tests_are_parsed_and_filled_in_for_each_host() -> None:
    page = {"name": "page", "url": "http://{address}:{port}/{version}", "port": 8080, "json": {"up": True}}
    command = {
        "name": "orders",
        "command": ["{current}/bin/smoke", "{host}", "{version}"],
        "user": "shop",
        "once": True,
        "timeout_seconds": 90,
    }
    assert smoke_of(page, command) == (
        SmokeTest(
            name="page",
            probe=HttpProbe(url="http://192.0.2.1:8080/{version}", json={"up": True}),
            on="host",
            once=False,
            timeout_seconds=30.0,
        ),
        SmokeTest(
            name="orders",
            probe=CommandProbe(command=("/srv/shop/current/bin/smoke", "web1", "{version}"), user="shop"),
            on="host",
            once=True,
            timeout_seconds=90.0,
        ),
    )


@pytest.mark.parametrize(
    ("fields", "once"),
    [
        ({"url": "http://a.example/"}, False),
        ({"url": "http://a.example/", "on": "controller"}, True),
        ({"url": "http://a.example/", "on": "controller", "once": False}, False),
        ({"url": "http://{address}/", "on": "controller"}, False),
        ({"url": "http://{address}/", "on": "controller", "once": True}, True),
        ({"command": ["a"], "on": "controller"}, False),
    ],
)
def test_what_is_the_same_for_all_hosts_runs_once_from_the_controller(
    fields: dict[str, Any], once: bool
) -> None:
    (test,) = smoke_of({"name": "a", **fields}, settings=ALLOWED)
    assert test.once is once


def test_tests_are_rendered_with_their_type_and_are_no_configuration() -> None:
    desired = parse(None, environment({"name": "a", "command": ["b"]}))
    (test,) = desired.placements[0].smoke
    assert render_smoke_test(test) == {
        "type": "command",
        "command": ["b"],
        "user": "",
        "name": "a",
        "on": "host",
        "once": False,
        "timeout_seconds": 30.0,
    }
    without = parse(None, environment()).placements[0]
    assert configuration_digest(desired.placements[0]) == configuration_digest(without)


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ({"url": "http://a.example/"}, '[0]: "name" is missing; add it, reports show it'),
        ({"name": "", "url": "http://a.example/"}, "[0].name: has to be a name of 1 to 100 characters"),
        ({"name": "a\nb", "url": "http://a.example/"}, "[0].name: character 2 is a control"),
        ({"name": "a"}, '[0]: "url" is missing; add it'),
        ({"name": "a", "command": "true"}, "[0].command: has to be a list"),
        ({"name": "a", "type": "tcp"}, '[0].type: has to be one of "http", "command"'),
        ({"name": "a", "command": ["b"], "url": "http://a.example/"}, '[0].url: "url" belongs to a check of'),
        ({"name": "a", "command": ["b"], "on": "moon"}, '[0].on: has to be one of "host", "controller"'),
        ({"name": "a", "command": ["b"], "timeout_seconds": 0}, "[0].timeout_seconds: has to be a number"),
        ({"name": "a", "command": ["b"], "retries": 1}, '[0].retries: unknown key "retries"'),
        (
            {"name": "a", "command": ["b"], "on": "controller"},
            "[0].on: documents run no command on the controller unless orchestrator.toml allows it; "
            'write controller_commands = true there, or use "on": "host" or a `url`',
        ),
        (7, "[0]: has to be an object {...}"),
    ],
)
def test_test_that_does_not_fit_is_explained(test: Any, expected: str) -> None:
    found = problems(None, environment(test))

    assert [line for line in found if line.startswith(f"staging-env.json: applications.shop.smoke{expected}")]
    assert len(found) == 1


def test_command_on_the_controller_has_no_user() -> None:
    test = {"name": "a", "command": ["b"], "on": "controller", "user": "root"}
    (found,) = problems(None, environment(test), settings=ALLOWED)
    assert "smoke[0].user: on the controller a command runs as whoever deploys; remove this" in found


def test_names_are_unique() -> None:
    (found,) = problems(None, environment(*[{"name": "a", "command": ["b"]}] * 2))
    assert 'smoke[1].name: "a" is the name of another test; give each its own' in found
