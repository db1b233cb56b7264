"""Requests of the controller: redirects, retries, TLS, and what a server may learn and say."""

from __future__ import annotations

import json
from pathlib import Path

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
from tests.edges.servers import Reply, make_certificate, serving


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


def test_certificate_that_nobody_vouches_for_is_refused_at_once_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(tmp_path)
    with serving(lambda method, target: (200, {}, CONTENT), certificate) as served:
        repository = make_repository("http", served.url, credentials=TOKEN)
        with pytest.raises(RepositoryError, match="its certificate is not accepted") as caught:
            resolve(repository)
        assert served.requests == []
        assert served.url in caught.value.brief
        assert "self" in " ".join(caught.value.details)
        assert "SSL_CERT_FILE" in caught.value.resolution
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert resolve(repository)[0].sha256 == SHA
    assert served.requests[0].headers["authorization"] == f"Bearer {SECRET}"


def test_certificate_of_another_host_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(lambda method, target: (200, {}, CONTENT), certificate) as served:
        elsewhere = served.url.replace("127.0.0.1", "localhost")
        with pytest.raises(RepositoryError, match="its certificate is not accepted") as caught:
            resolve(make_repository("http", elsewhere))
    assert "localhost" in " ".join(caught.value.details)


def test_redirect_from_https_to_http_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(lambda method, target: (200, {}, CONTENT)) as plain:
        redirect: Reply = (302, {"Location": f"{plain.url}/x.zip?signature=s3cret"}, b"")
        with (
            serving(lambda method, target: redirect, certificate) as served,
            pytest.raises(RepositoryError, match="from https to http") as caught,
        ):
            resolve(make_repository("http", served.url, credentials=TOKEN))
    assert plain.requests == []
    assert "s3cret" not in f"{caught.value.brief} {caught.value.details}"
    assert caught.value.resolution


def test_redirect_from_http_to_https_is_followed_without_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(lambda method, target: (200, {}, CONTENT), certificate) as secure:
        redirect: Reply = (301, {"Location": f"{secure.url}/x.zip"}, b"")
        with serving(lambda method, target: redirect) as served:
            (found,) = resolve(make_repository("http", served.url, credentials=TOKEN))
    assert found.sha256 == SHA
    assert all("authorization" in one.headers for one in served.requests)
    assert not [one for one in secure.requests if "authorization" in one.headers]


def test_port_that_speaks_no_tls_is_named() -> None:
    with serving(lambda method, target: (200, {}, CONTENT)) as served:
        url = served.url.replace("http:", "https:")
        with pytest.raises(RepositoryError, match="no TLS connection") as caught:
            resolve(make_repository("http", url))
    assert caught.value.resolution
