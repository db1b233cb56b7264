"""What servers, secrets and manifests get wrong while artifacts are resolved."""

from __future__ import annotations

import hashlib
import http.client
import json
import resource
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from orchestrator.core.model import Artifact, Credentials, Reference, Repository
from orchestrator.demo.artifact_server import ArtifactServer
from orchestrator.edges.credentials import ControllerSecrets, redact
from orchestrator.edges.repositories import resolve_artifacts
from orchestrator.edges.repositories.digests import parse_sidecar
from orchestrator.errors import ChecksumError, CredentialsError, OrchestratorError, RepositoryError

CONTENT = b"the artifact's bytes"
SHA = hashlib.sha256(CONTENT).hexdigest()
TOKEN = Credentials(token=Reference(source="env", name="TOKEN"))
Reply = tuple[int, dict[str, str], bytes]


def make_artifact(path: str = "site-1.zip", sha256: str | None = None) -> Artifact:
    return Artifact(repository="r", path=path, sha256=sha256, packing="zip", strip_components=0, filename="")


@contextmanager
def serving(reply: Callable[[str, str], Reply]) -> Iterator[tuple[str, list[str]]]:
    """A server that answers `reply(method, target)`; yields its URL and the requests it saw."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(f"{self.command} {self.path}")
            status, headers, body = reply(self.command, self.path)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing is printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def files_only(method: str, target: str) -> Reply:
    return (200, {}, CONTENT) if target.endswith(".zip") else (404, {}, b"")


@pytest.mark.parametrize("value", ["first\nsecond", "sécret", "two words"])
def test_token_that_no_header_can_carry_is_refused_without_being_shown(value: str) -> None:
    repository = Repository(name="r", type="http", url="http://127.0.0.1:9", credentials=TOKEN)
    with pytest.raises(CredentialsError, match="env:TOKEN") as caught:
        resolve_artifacts(
            [("a", make_artifact())],
            {"r": repository},
            secrets=ControllerSecrets({"TOKEN": value}),
            directory=Path("/"),
        )
    shown = f"{caught.value.brief} {caught.value.details} {caught.value.resolution}"
    assert not [part for part in value.split() if part in shown]


def test_file_that_two_applications_want_is_looked_up_once() -> None:
    with serving(files_only) as (url, seen):
        found = resolve_artifacts(
            [("a", make_artifact(sha256=SHA)), ("b", make_artifact())],
            {"r": Repository(name="r", type="http", url=url)},
            secrets=ControllerSecrets({}),
            directory=Path("/"),
        )
    assert {name: one.sha256 for name, one in found.items()} == {"a": SHA, "b": SHA}
    assert seen == ["HEAD /site-1.zip"]


def test_one_file_with_two_pins_is_an_error_before_anything_is_asked() -> None:
    with serving(files_only) as (url, seen), pytest.raises(ChecksumError, match="different digests"):
        resolve_artifacts(
            [("a", make_artifact(sha256="0" * 64)), ("b", make_artifact(sha256="1" * 64))],
            {"r": Repository(name="r", type="http", url=url)},
            secrets=ControllerSecrets({}),
            directory=Path("/"),
        )
    assert seen == []


@pytest.mark.parametrize("refusal", [(400, {}, b""), (403, {}, b""), (405, {}, b""), (200, {}, b"")])
def test_artifact_is_found_by_get_where_head_is_refused_or_lies(refusal: Reply) -> None:
    def reply(method: str, target: str) -> Reply:
        return refusal if method == "HEAD" else files_only(method, target)

    with serving(reply) as (url, _):
        found = resolve_artifacts(
            [("a", make_artifact())],
            {"r": Repository(name="r", type="http", url=url)},
            secrets=ControllerSecrets({}),
            directory=Path("/"),
        )["a"]
    assert (found.size_bytes, found.sha256, found.digest_source) == (len(CONTENT), SHA, "download")


def test_unsatisfiable_range_without_a_size_is_no_empty_artifact() -> None:
    with serving(lambda method, target: (416, {}, b"")) as (url, _), pytest.raises(RepositoryError):
        resolve_artifacts(
            [("a", make_artifact(sha256=SHA))],
            {"r": Repository(name="r", type="http", url=url)},
            secrets=ControllerSecrets({}),
            directory=Path("/"),
        )


def searching(items: Callable[[dict[str, list[str]]], list[object]]) -> Callable[[str, str], Reply]:
    """A Nexus whose search answers its items on the second page, after an empty one."""

    def reply(method: str, target: str) -> Reply:
        query = parse_qs(urlsplit(target).query)
        if "/search/assets" not in target:
            return files_only(method, target)
        last = "continuationToken" in query
        page = {"items": items(query) if last else [], "continuationToken": None if last else "t"}
        return 200, {}, json.dumps(page).encode()

    return reply


def resolve_in_nexus(url: str, path: str) -> tuple[str, str]:
    found = resolve_artifacts(
        [("a", make_artifact(path))],
        {"r": Repository(name="r", type="nexus", url=url, repository="raw")},
        secrets=ControllerSecrets({}),
        directory=Path("/"),
    )["a"]
    return found.digest_source, found.sha256


def test_nexus_digest_of_a_maven_path_is_found_by_its_coordinates_behind_an_empty_page() -> None:
    path = "com/example/shop/1.0/shop-1.0.zip"

    def items(query: dict[str, list[str]]) -> list[object]:
        wanted = (query.get("group"), query.get("name"), query.get("version"))
        found = wanted == (["com.example"], ["shop"], ["1.0"])
        return [{"path": path, "checksum": {"sha256": SHA}}] if found else []

    with serving(searching(items)) as (url, _):
        assert resolve_in_nexus(url, path) == ("repository API", SHA)


def test_nexus_entries_of_another_path_or_size_or_that_contradict_each_other_do_not_count() -> None:
    entries: list[object] = [
        {"path": "/old/site-1.zip", "checksum": {"sha256": "a" * 64}},
        {"path": "/site-1.zip", "fileSize": 1, "checksum": {"sha256": "b" * 64}},
    ]
    with serving(searching(lambda query: entries)) as (url, _):
        assert resolve_in_nexus(url, "site-1.zip") == ("download", SHA)
    members: list[object] = [{"path": "/site-1.zip", "checksum": {"sha256": c * 64}} for c in "ab"]
    with serving(searching(lambda query: members)) as (url, _):
        assert resolve_in_nexus(url, "site-1.zip") == ("download", SHA)


@pytest.mark.parametrize(
    ("content", "digest"),
    [
        (f"{SHA}\n", SHA),
        (SHA.upper(), SHA),
        (f"{SHA}  dist/site-1.zip\r\n", SHA),
        (f"{SHA} *site-1.zip", SHA),
        (f"SHA256 (site-1.zip) = {SHA}", SHA),
        (f"SHA2-256(site-1.zip)= {SHA}", SHA),
        (f"{'0' * 64}  other.zip\n{SHA}  site-1.zip\n", SHA),
        (f"{SHA}  other.zip", None),
        (f"{SHA}  site-1.zip\n{'0' * 64}  site-1.zip", None),
        ("<html>not found</html>", None),
        ("\ufffe", None),
        ("", None),
    ],
)
def test_checksum_file_states_a_digest_only_for_the_artifact_itself(content: str, digest: str | None) -> None:
    assert parse_sidecar(content.encode(), "site-1.zip") == digest


def test_large_artifact_is_hashed_in_flat_memory(tmp_path: Path) -> None:
    size_bytes = 256 << 20
    (tmp_path / "raw").mkdir()
    with (tmp_path / "raw" / "big.zip").open("wb") as file:
        file.truncate(size_bytes)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with ArtifactServer(tmp_path) as server:
        found = resolve_artifacts(
            [("a", make_artifact("big.zip"))],
            {"r": Repository(name="r", type="http", url=f"{server.url}/repository/raw")},
            secrets=ControllerSecrets({}),
            directory=Path("/"),
        )["a"]
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert (found.digest_source, found.size_bytes) == ("download", size_bytes)
    assert grown_kib < 64 << 10


def test_redirects_in_circles_end_after_five() -> None:
    with (
        serving(lambda method, target: (302, {"Location": target}, b"")) as (url, seen),
        pytest.raises(RepositoryError, match="redirects more than 5 times"),
    ):
        resolve_artifacts(
            [("a", make_artifact())],
            {"r": Repository(name="r", type="http", url=url)},
            secrets=ControllerSecrets({}),
            directory=Path("/"),
        )
    assert len(seen) == 6


def test_web_client_is_imported_only_when_a_server_is_asked() -> None:
    program = "import sys, orchestrator.edges.repositories; print('httpx' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe"])
def test_secret_file_without_a_usable_value_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secret").write_bytes(content)
    with pytest.raises(CredentialsError, match="secret file:"):
        ControllerSecrets({}).value(Reference(source="file", name=str(tmp_path / "secret")))


@pytest.mark.parametrize("name", ["", "gone", "secret/x"])
def test_secret_file_that_cannot_be_read_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text("x")
    with pytest.raises(OrchestratorError) as caught:
        ControllerSecrets({}).value(Reference(source="file", name=str(tmp_path / name)))
    assert caught.value.resolution


def test_secret_file_loses_one_newline_and_is_read_once(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("word\n\n")
    secrets = ControllerSecrets({})
    reference = Reference(source="file", name=str(file))
    assert secrets.value(reference) == "word\n"
    file.unlink()
    assert secrets.value(reference) == "word\n"
    assert secrets.known_values() == ("word\n",)


def test_redaction_finds_encoded_forms_and_the_longer_of_two_secrets() -> None:
    assert (
        redact('a/"b and a%2F%22b and a/\\"b and cde', ['a/"b', "cd", "cde"]) == "*** and *** and *** and ***"
    )


def test_client_that_hangs_up_and_impossible_path_leave_the_server_quiet(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "raw").mkdir()
    with (tmp_path / "raw" / "big.bin").open("wb") as file:
        file.truncate(64 << 20)
    with ArtifactServer(tmp_path) as server:
        port = int(server.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET /repository/raw/big.bin HTTP/1.1\r\nHost: x\r\n\r\n")
            client.recv(100)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("GET", "/repository/raw/a%00b")
        assert connection.getresponse().status == 404
        connection.close()
    assert "Traceback" not in capfd.readouterr().err
