"""Artifacts are resolved by real requests to real servers."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.artifacts import ResolvedArtifact
from orchestrator.core.model import Artifact, Credentials, Reference, Repository
from orchestrator.demo.artifact_server import ArtifactServer
from orchestrator.edges.credentials import ControllerSecrets
from orchestrator.edges.repositories import resolve_artifacts, resolve_offline
from orchestrator.errors import (
    ArtifactNotFoundError,
    ChecksumError,
    CredentialsError,
    OrchestratorError,
    RepositoryError,
)

CONTENT = b"the artifact's bytes"
SHA = hashlib.sha256(CONTENT).hexdigest()
SECRET = "pass-w0rd-of-the-test"
CREDENTIALS = Credentials(username="ci", password=Reference(source="env", name="PW"))


def make_artifact(path: str = "site-1.zip", sha256: str | None = None) -> Artifact:
    return Artifact(repository="r", path=path, sha256=sha256, packing="zip", strip_components=0, filename="")


def resolve(
    repository: Repository, *artifacts: Artifact, directory: Path = Path("/")
) -> list[ResolvedArtifact]:
    named = [(f"a{number}", artifact) for number, artifact in enumerate(artifacts or (make_artifact(),))]
    secrets = ControllerSecrets({"PW": SECRET})
    return list(resolve_artifacts(named, {"r": repository}, secrets=secrets, directory=directory).values())


@pytest.fixture
def nexus(tmp_path: Path) -> Iterator[tuple[ArtifactServer, Path]]:
    store = tmp_path / "raw"
    store.mkdir()
    (store / "site-1.zip").write_bytes(CONTENT)
    with ArtifactServer(tmp_path, username="ci", password=SECRET) as server:
        yield server, store


def nexus_repository(server: ArtifactServer, **overrides: Any) -> Repository:
    fields = {
        "name": "r",
        "type": "nexus",
        "url": server.url,
        "repository": "raw",
        "credentials": CREDENTIALS,
    }
    return Repository(**{**fields, **overrides})


def test_nexus_tells_size_and_digest_of_the_exact_path(nexus: tuple[ArtifactServer, Path]) -> None:
    (found,) = resolve(nexus_repository(nexus[0]))
    assert (found.sha256, found.size_bytes, found.digest_source) == (SHA, len(CONTENT), "repository API")
    assert found.location == f"{nexus[0].url}/repository/raw/site-1.zip"
    assert found.delivery == "host"


def test_pin_comes_first_and_has_to_agree_with_the_repository(nexus: tuple[ArtifactServer, Path]) -> None:
    (found,) = resolve(nexus_repository(nexus[0]), make_artifact(sha256=SHA))
    assert found.digest_source == "manifest pin"
    with pytest.raises(ChecksumError):
        resolve(nexus_repository(nexus[0]), make_artifact(sha256="0" * 64))


def test_plain_server_is_asked_for_the_sidecar_then_downloaded(nexus: tuple[ArtifactServer, Path]) -> None:
    server, store = nexus
    plain = nexus_repository(server, type="http", url=f"{server.url}/repository/raw", repository="")
    assert resolve(plain)[0].digest_source == "download"
    assert resolve(plain)[0].sha256 == SHA
    (store / "site-1.zip.sha256").write_text(f"{SHA}  site-1.zip\n")
    assert resolve(plain)[0].digest_source == "sha256 file"


def test_missing_artifact_and_refused_credentials_are_different_errors(
    nexus: tuple[ArtifactServer, Path],
) -> None:
    with pytest.raises(ArtifactNotFoundError):
        resolve(nexus_repository(nexus[0]), make_artifact("site-2.zip"))
    with pytest.raises(CredentialsError):
        resolve(nexus_repository(nexus[0], credentials=None))


def test_all_failures_are_told_at_once(nexus: tuple[ArtifactServer, Path]) -> None:
    with pytest.raises(ArtifactNotFoundError) as caught:
        resolve(nexus_repository(nexus[0]), make_artifact("x-1.zip"), make_artifact("y-1.zip"))
    text = "\n".join(caught.value.details)
    assert "x-1.zip" in text
    assert "y-1.zip" in text


def test_server_that_is_not_there_is_a_repository_error() -> None:
    gone = Repository(name="r", type="http", url="http://127.0.0.1:9")
    with pytest.raises(RepositoryError) as caught:
        resolve(gone)
    assert caught.value.resolution


class Handler(BaseHTTPRequestHandler):
    """Answers what the test wants, and remembers the headers."""

    answer: Any
    seen: list[dict[str, str]]

    def do_GET(self) -> None:
        self.seen.append({name.lower(): value for name, value in self.headers.items()})
        status, headers, body = self.answer(self.path)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing is printed."""


@contextmanager
def serving(answer: Any) -> Iterator[tuple[str, list[dict[str, str]]]]:
    seen: list[dict[str, str]] = []
    handler = type("Bound", (Handler,), {"answer": staticmethod(answer), "seen": seen})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_credentials_are_not_sent_to_another_origin() -> None:
    with serving(lambda path: (200, {"X-Checksum-Sha256": "f" * 64}, CONTENT)) as (store, at_store):

        def redirect(path: str) -> tuple[int, dict[str, str], bytes]:
            return 302, {"Location": f"{store}/signed?signature=x", "X-Checksum-Sha256": SHA}, b""

        with serving(redirect) as (url, at_first):
            token = Credentials(token=Reference(source="env", name="PW"))
            repository = Repository(
                name="r", type="artifactory", url=f"{url}/artifactory", repository="libs", credentials=token
            )
            (found,) = resolve(repository)
    assert found.sha256 == SHA
    assert at_first[0]["authorization"] == f"Bearer {SECRET}"
    assert at_store
    assert not [
        headers for headers in at_store if SECRET in json.dumps(headers) or "authorization" in headers
    ]


def test_error_page_with_200_is_no_archive() -> None:
    page = (200, {"Content-Type": "text/html"}, b"<html>log in</html>")
    with serving(lambda path: page) as (url, _), pytest.raises(RepositoryError, match="web page"):
        resolve(Repository(name="r", type="http", url=url))


def test_message_of_the_server_is_shown_and_the_secret_is_not() -> None:
    body = json.dumps({"errors": [{"status": 403, "message": f"no {SECRET}"}]}).encode()
    with serving(lambda path: (403, {"Content-Type": "application/json"}, body)) as (url, _):
        repository = Repository(
            name="r", type="artifactory", url=url, repository="libs", credentials=CREDENTIALS
        )
        with pytest.raises(CredentialsError) as caught:
            resolve(repository)
    text = f"{caught.value.brief} {caught.value.details}"
    assert "no ***" in text
    assert SECRET not in text


def test_busy_server_is_asked_again() -> None:
    answers = iter([(503, {}, b"")])

    def busy_once(path: str) -> tuple[int, dict[str, str], bytes]:
        return next(answers, (200, {}, CONTENT))

    with serving(busy_once) as (url, _):
        assert resolve(Repository(name="r", type="http", url=url), make_artifact(sha256=SHA))[0].sha256 == SHA


def test_directory_is_sent_by_the_controller_and_no_link_leads_out(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    (store / "site-1.zip").write_bytes(CONTENT)
    repository = Repository(name="r", type="directory", path="store")
    (found,) = resolve(repository, directory=tmp_path)
    assert (found.delivery, found.sha256, found.location) == ("controller", SHA, str(store / "site-1.zip"))
    (tmp_path / "secret.zip").write_bytes(b"x")
    (store / "out.zip").symlink_to(tmp_path / "secret.zip")
    with pytest.raises(OrchestratorError, match="leads out"):
        resolve(repository, make_artifact("out.zip"), directory=tmp_path)


def test_offline_asks_nobody() -> None:
    repository = Repository(name="r", type="nexus", url="http://127.0.0.1:9", repository="raw")
    found = resolve_offline([("a", make_artifact())], {"r": repository}, directory=Path("/"))["a"]
    assert (found.sha256, found.size_bytes, found.digest_source) == ("", None, "not resolved")


def test_missing_secret_names_its_reference() -> None:
    with pytest.raises(CredentialsError, match="NOPE"):
        ControllerSecrets({}).value(Reference(source="env", name="NOPE"))
