from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.model import Credentials, Reference, Repository
from tests.core.builders import make_environment, make_settings, parse, problems

URL = "https://nexus.example.net"
PASSWORD = {"username": "deploy", "password": {"env": "NEXUS_PASSWORD"}}


def repository_of(raw: dict[str, Any], settings: str = "") -> Repository:
    desired = parse(None, make_environment(repositories={"default": raw}), settings=make_settings(settings))
    return desired.repositories["default"]


def repository_problems(raw: Any, settings: str = "") -> list[str]:
    found = problems(None, make_environment(repositories={"default": raw}), settings=make_settings(settings))
    prefix = "staging-env.json: repositories.default"
    assert all(line.startswith(prefix) for line in found)
    return [line.removeprefix(prefix) for line in found]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            {"type": "nexus", "url": f"{URL}/", "repository": "raw", "credentials": PASSWORD},
            Repository(
                name="default",
                type="nexus",
                url=URL,
                repository="raw",
                credentials=Credentials(
                    username="deploy", password=Reference(source="env", name="NEXUS_PASSWORD")
                ),
            ),
        ),
        (
            {
                "type": "artifactory",
                "url": f"{URL}/artifactory",
                "repository": "libs",
                "credentials": {"token": {"file": "/run/secrets/token"}},
            },
            Repository(
                name="default",
                type="artifactory",
                url=f"{URL}/artifactory",
                repository="libs",
                credentials=Credentials(token=Reference(source="file", name="/run/secrets/token")),
            ),
        ),
        ({"type": "http", "url": URL}, Repository(name="default", type="http", url=URL)),
        (
            {"type": "directory", "path": "art/x y"},
            Repository(name="default", type="directory", path="art/x y"),
        ),
    ],
)
def test_every_type_of_repository_is_read(raw: dict[str, Any], expected: Repository) -> None:
    assert repository_of(raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({}, ': "type" is missing; add it'),
        ([], ": has to be an object {...}"),
        (
            {"type": "nexsu"},
            '.type: has to be one of "nexus", "artifactory", "http", "directory" (did you mean "nexus"?)',
        ),
        ({"type": "nexus", "url": URL}, ': a repository of type "nexus" needs "repository"; add it'),
        (
            {"type": "artifactory", "repository": "a"},
            ': a repository of type "artifactory" needs "url"; add it',
        ),
        ({"type": "directory"}, ': a repository of type "directory" needs "path"; add it'),
        (
            {"type": "http", "url": URL, "repository": "a"},
            '.repository: a repository of type "http" has no "repository"',
        ),
        (
            {"type": "directory", "path": "a", "url": URL},
            '.url: a repository of type "directory" has no "url"',
        ),
        ({"type": "http", "url": "ftp://a.example"}, ".url: this is no http or https URL"),
        ({"type": "http", "url": ""}, ".url: this is no URL"),
        ({"type": "http", "url": 7}, ".url: has to be a string in quotes"),
        ({"type": "http", "url": f"{URL}?a=b"}, ".url: this URL has a query"),
        (
            {"type": "http", "url": "https://u:hunter2@a.example"},
            ".url: this URL holds credentials; remove them",
        ),
        ({"type": "directory", "path": "../x"}, ".path: has to be a directory"),
        ({"type": "directory", "path": "/a/.."}, ".path: has to be a directory"),
        (
            {"type": "nexus", "url": URL, "repository": "../a"},
            ".repository: has to be the name of a repository",
        ),
        (
            {"type": "http", "url": URL, "delivery": "host"},
            '.delivery: "delivery" is not implemented in version',
        ),
        (
            {"type": "http", "url": URL, "credentials": "hunter2"},
            ".credentials: has to be an object with `username`",
        ),
        (
            {"type": "http", "url": URL, "credentials": {}},
            ".credentials: has to have both `username` and `password`",
        ),
        (
            {"type": "http", "url": URL, "credentials": {"username": "a"}},
            ".credentials: has to have both `username` and `password`, or only `token`",
        ),
        (
            {"type": "http", "url": URL, "credentials": {**PASSWORD, "token": {"env": "A"}}},
            ".credentials: has to have both `username` and `password`, or only `token`",
        ),
        (
            {"type": "http", "url": URL, "credentials": {"username": "a", "password": "hunter2"}},
            '.credentials.password: has to be a reference to a secret, {"env": "NAME"} or {"file": "/path"}, never',
        ),
        (
            {"type": "http", "url": URL, "credentials": {"token": "hunter2"}},
            ".credentials.token: has to be a reference",
        ),
        (
            {"type": "http", "url": URL, "credentials": {"token": {}}},
            ".credentials.token: has to be a reference",
        ),
        (
            {"type": "http", "url": URL, "credentials": {"token": {"env": "A", "file": "/a"}}},
            ".credentials.token: has to be a reference",
        ),
        (
            {"type": "http", "url": URL, "credentials": {"token": {"env": "hunter2 is it"}}},
            ".credentials.token.env: has to be the name of an environment variable",
        ),
        (
            {"type": "http", "url": URL, "credentials": {**PASSWORD, "username": "a:b"}},
            ".credentials.username: has to be a user's name",
        ),
    ],
)
def test_repository_that_is_wrong_is_explained_without_secrets(raw: Any, expected: str) -> None:
    (found,) = repository_problems(raw)

    assert found.startswith(expected)
    assert "hunter2" not in found


def test_name_that_is_none_is_refused() -> None:
    (found,) = problems(None, make_environment(repositories={"a/b": {"type": "http", "url": URL}}))

    assert 'repositories["a/b"]: "a/b" is no name for a repository' in found


TABLE = f'[credentials]\n"env:NEXUS_PASSWORD" = "{URL}"\n"env:NEXUS_USER" = "{URL}:443"\n'


def test_listed_reference_may_go_to_its_origin() -> None:
    user = {**PASSWORD, "username": {"env": "NEXUS_USER"}}

    assert repository_of({"type": "http", "url": f"{URL}/x", "credentials": user}, TABLE).credentials


def test_user_name_goes_where_its_password_may_go() -> None:
    user = {**PASSWORD, "username": {"env": "OTHER_USER"}}

    assert repository_of({"type": "http", "url": URL, "credentials": user}, TABLE).credentials


def test_reference_that_is_not_listed_is_refused() -> None:
    found = repository_problems(
        {"type": "http", "url": URL, "credentials": {"token": {"env": "NEXUS_PASWORD"}}}, TABLE
    )

    assert found == [
        ".credentials.token: [credentials] of orchestrator.toml does not list this reference (did you mean "
        f'"env:NEXUS_PASSWORD"?); add "env:NEXUS_PASWORD" = "{URL}" there'
    ]


def test_reference_towards_another_origin_is_refused() -> None:
    user = {**PASSWORD, "username": {"env": "NEXUS_USER"}}
    found = repository_problems({"type": "http", "url": "https://evil.example", "credentials": user}, TABLE)

    assert found == [
        f".credentials.{name}: [credentials] of orchestrator.toml allows this reference only towards {URL}, "
        "not towards https://evil.example; use another reference"
        for name in ("username", "password")
    ]


def test_empty_table_allows_no_reference() -> None:
    (found,) = repository_problems({"type": "http", "url": URL, "credentials": PASSWORD}, "[credentials]\n")

    assert ".credentials.password: [credentials] of orchestrator.toml does not list this reference" in found


def test_environment_comes_before_the_settings() -> None:
    settings = make_settings('[repositories.default]\ntype = "http"\nurl = "https://other.example"\n')

    assert parse(settings=settings).repositories["default"].url == "https://files.example.net/releases"
