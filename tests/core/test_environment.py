from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.model import Canary, Strategy
from tests.core.builders import make_environment, parse, problems


def test_strategy_has_defaults() -> None:
    assert parse().strategy == Strategy(max_failures=0, max_unreachable=0, rollback="batch")


@pytest.mark.parametrize(
    ("batches", "expected"),
    [
        ("100%", ("100%",)),
        (["1", "50%", "100%"], ("1", "50%", "100%")),
        (2, ("2",)),
        ([1, "1%"], ("1", "1%")),
    ],
)
def test_strategy_is_taken(batches: Any, expected: tuple[str, ...]) -> None:
    strategy = {"max_failures": 1, "max_unreachable": 2, "rollback": "none", "batches": batches}

    assert parse(None, make_environment(strategy=strategy)).strategy == Strategy(
        batches=expected, max_failures=1, max_unreachable=2, rollback="none"
    )


@pytest.mark.parametrize(
    ("canary", "expected"),
    [
        ({"pause_seconds": 5}, Canary(pause_seconds=5)),
        ({"approval": True}, Canary()),
        (
            {"approval": {"file": "/run/go"}, "approval_timeout_seconds": 60},
            Canary(approval_file="/run/go", approval_timeout_seconds=60),
        ),
    ],
)
def test_canary_is_taken(canary: Any, expected: Canary) -> None:
    strategy = {"batches": ["1", "100%"], "canary": canary}
    assert parse(None, make_environment(strategy=strategy)).strategy.canary == expected


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        *(
            ({"batches": size}, 'batches: has to be a number of hosts such as "1"')
            for size in ("0", "0%", "101%", "-1", "1.5", "ten", "", 0, -1, [], {}, True)
        ),
        (
            {"batches": ["1"], "canary": {}},
            "canary: a canary has exactly one of `pause_seconds` and `approval`",
        ),
        (
            {"batches": ["1"], "canary": {"pause_seconds": 5, "approval": True}},
            "canary: a canary has exactly one of",
        ),
        (
            {"canary": {"pause_seconds": 5}},
            'canary: the first of several batches; add some, such as "batches"',
        ),
        ({"batches": "1", "canary": {"pause_seconds": 0}}, "canary.pause_seconds: has to be a whole number"),
        ({"batches": "1", "canary": {"approval": False}}, "canary.approval: has to be true or an object"),
        ({"batches": "1", "canary": {"approval": {}}}, 'canary.approval: "file" is missing'),
        (
            {"batches": "1", "canary": {"approval": {"file": "x"}}},
            "canary.approval.file: has to be an absolute",
        ),
        ({"batches": "1", "canary": 5}, "canary: has to be an object"),
        (
            {"batches": "1", "canary": {"pause_seconds": 5, "approval_timeout_seconds": 5}},
            "canary.approval_timeout_seconds: there is no `approval` to wait for",
        ),
        ({"batches": "x", "canary": {"pause_seconds": 5}}, "batches: has to be a number of hosts"),
        ({"batches": ["1", "x"]}, "batches[1]: has to be a number of hosts"),
        ({"batches": ["1", 0.5]}, "batches[1]: has to be a string in quotes or a whole number"),
        ({"pause_seconds": 5}, 'pause_seconds: "pause_seconds" is not implemented in version 0.1.0 yet'),
        ({"approval": True}, 'approval: "approval" is not implemented in version 0.1.0 yet'),
        ({"max_failures": -1}, "max_failures: has to be a whole number of hosts"),
        ({"max_failures": "10%"}, "max_failures: has to be a whole number of hosts"),
        ({"max_unreachable": 0.5}, "max_unreachable: has to be a whole number of hosts"),
        ({"rollback": "batchs"}, 'rollback: has to be one of "batch", "all", "none" (did you mean "batch"?)'),
        ({"max_failure": 1}, 'max_failure: unknown key "max_failure" (did you mean "max_failures"?)'),
    ],
)
def test_strategy_that_is_wrong_is_explained(strategy: dict[str, Any], expected: str) -> None:
    (found,) = problems(None, make_environment(strategy=strategy))

    assert found.startswith(f"staging-env.json: strategy.{expected}")


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({}, ': "deployment_path" is missing; add the directory on the host'),
        ({"deployment_path": "srv/shop"}, ".deployment_path: has to be an absolute path"),
        ({"deployment_path": "/etc"}, ".deployment_path: is a directory of the system"),
        ({"deployment_path": "/srv/{{ x }}"}, '.deployment_path: "{" is no placeholder here'),
        ({"deployment_path": 7}, ".deployment_path: has to be a string in quotes"),
        (
            {"deployment_path": "/srv/shop", "keep_releases": 0},
            ".keep_releases: has to be a whole number from 1",
        ),
        (
            {"deployment_path": "/srv/shop", "healthcheck_url": 7},
            ".healthcheck_url: has to be a string in quotes",
        ),
        ({"deployment_path": "/srv/shop", "healthcheck": []}, ".healthcheck: has to be an object {...}"),
        (
            {"deployment_path": "/srv/shop", "hosts": "web"},
            '.hosts: has to be a list of host or group names, or "all"',
        ),
        ({"deployment_path": "/srv/shop", "hosts": [7, "web"]}, ".hosts[0]: has to be a string in quotes"),
        ([], ": has to be an object {...}"),
    ],
)
def test_entry_that_is_wrong_is_one_violation(entry: Any, expected: str) -> None:
    found = problems(None, make_environment(applications={"shop": entry}))

    assert found[0].startswith(f"staging-env.json: applications.shop{expected}")
    assert len(found) == 1


@pytest.mark.parametrize(
    ("asked", "said"), [("production", "prod"), ("prod", "production"), ("prod", "prod")]
)
def test_prod_and_production_are_one_environment_whoever_asks(asked: str, said: str) -> None:
    assert parse(None, make_environment(environment=said), name=asked).environment == said


def test_another_environment_than_the_one_asked_for_is_refused() -> None:
    assert problems(None, make_environment(environment="dev")) == [
        'staging-env.json: environment: this is the environment "dev", but "staging" is asked for; correct one of them'
    ]


def test_keep_releases_has_a_default() -> None:
    assert {placement.keep_releases for placement in parse().placements} == {5}
