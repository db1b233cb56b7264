"""Requests of the controller: redirects, retries, TLS, and what a server may learn and say."""

from __future__ import annotations

import json

import pytest

from orchestrator.errors import CredentialsError, RepositoryError
from tests.edges.lookups import (
    CONTENT,
    PASSWORD,
    SECRET,
    SHA,
    TOKEN,
    make_artifact,
    make_repository,
    resolve,
)
from tests.edges.servers import Reply, serving


def test_server_that_is_not_there_is_a_repository_error() -> None:
    with pytest.raises(RepositoryError) as caught:
        resolve(make_repository("http", "http://127.0.0.1:9"))
    assert caught.value.resolution


def test_credentials_are_not_sent_to_another_origin() -> None:
    answer: Reply = (200, {"X-Checksum-Sha256": "f" * 64}, CONTENT)
    with serving(lambda method, target: answer) as store:
        location = f"{store.url}/signed?signature=x"
        redirect: Reply = (302, {"Location": location, "X-Checksum-Sha256": SHA}, b"")
        with serving(lambda method, target: redirect) as first:
            url = f"{first.url}/artifactory"
            (found,) = resolve(make_repository("artifactory", url, credentials=TOKEN))
    assert found.sha256 == SHA
    assert first.requests[0].headers["authorization"] == f"Bearer {SECRET}"
    assert store.requests
    leaks = [one for one in store.requests if SECRET in json.dumps(one.headers)]
    assert not leaks
    assert not [one for one in store.requests if "authorization" in one.headers]


def test_redirects_in_circles_end_after_five() -> None:
    with (
        serving(lambda method, target: (302, {"Location": target}, b"")) as served,
        pytest.raises(RepositoryError, match="redirects more than 5 times"),
    ):
        resolve(make_repository("http", served.url))
    assert len(served.requests) == 6


def test_error_page_with_200_is_no_archive() -> None:
    page: Reply = (200, {"Content-Type": "text/html"}, b"<html>log in</html>")
    with serving(lambda method, target: page) as served, pytest.raises(RepositoryError, match="web page"):
        resolve(make_repository("http", served.url))


def test_message_of_the_server_is_shown_and_the_secret_is_not() -> None:
    body = json.dumps({"errors": [{"status": 403, "message": f"no {SECRET}"}]}).encode()
    refusal: Reply = (403, {"Content-Type": "application/json"}, body)
    with serving(lambda method, target: refusal) as served, pytest.raises(CredentialsError) as caught:
        resolve(make_repository("artifactory", served.url, credentials=PASSWORD))
    text = f"{caught.value.brief} {caught.value.details}"
    assert "no ***" in text
    assert SECRET not in text


def test_busy_server_is_asked_again() -> None:
    answers = iter([(503, {}, b"")])

    def busy_once(method: str, target: str) -> Reply:
        return next(answers, (200, {}, CONTENT))

    with serving(busy_once) as served:
        (found,) = resolve(make_repository("http", served.url), make_artifact(sha256=SHA))
    assert found.sha256 == SHA
