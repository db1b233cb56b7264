"""Artifacts are resolved by real requests to real servers: place, size, digest and who said so."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from orchestrator.demo.artifact_server import ArtifactServer
from orchestrator.edges.repositories import resolve_offline
from orchestrator.edges.repositories.digests import parse_sidecar
from orchestrator.errors import (
    ArtifactNotFoundError,
    ChecksumError,
    CredentialsError,
    OrchestratorError,
    RepositoryError,
)
from tests.edges.lookups import CONTENT, PASSWORD, SECRET, SHA, make_artifact, make_repository, resolve
from tests.edges.servers import Reply, serving


@pytest.fixture
def nexus(tmp_path: Path) -> Iterator[tuple[ArtifactServer, Path]]:
    store = tmp_path / "raw"
    store.mkdir()
    (store / "site-1.zip").write_bytes(CONTENT)
    with ArtifactServer(tmp_path, username="ci", password=SECRET) as server:
        yield server, store


def files_only(method: str, target: str) -> Reply:
    return (200, {}, CONTENT) if target.endswith(".zip") else (404, {}, b"")


def test_nexus_tells_size_and_digest_of_the_exact_path(nexus: tuple[ArtifactServer, Path]) -> None:
    (found,) = resolve(make_repository("nexus", nexus[0].url, credentials=PASSWORD))
    assert (found.sha256, found.size_bytes, found.digest_source) == (SHA, len(CONTENT), "repository API")
    assert found.location == f"{nexus[0].url}/repository/raw/site-1.zip"
    assert found.delivery == "host"


def test_pin_comes_first_and_has_to_agree_with_the_repository(nexus: tuple[ArtifactServer, Path]) -> None:
    repository = make_repository("nexus", nexus[0].url, credentials=PASSWORD)
    (found,) = resolve(repository, make_artifact(sha256=SHA))
    assert found.digest_source == "manifest pin"
    with pytest.raises(ChecksumError):
        resolve(repository, make_artifact(sha256="0" * 64))


def test_plain_server_is_asked_for_the_sidecar_then_downloaded(nexus: tuple[ArtifactServer, Path]) -> None:
    server, store = nexus
    plain = make_repository("http", f"{server.url}/repository/raw", credentials=PASSWORD)
    assert resolve(plain)[0].digest_source == "download"
    assert resolve(plain)[0].sha256 == SHA
    (store / "site-1.zip.sha256").write_text(f"{SHA}  site-1.zip\n")
    assert resolve(plain)[0].digest_source == "sha256 file"


def test_missing_artifact_and_refused_credentials_are_different_errors(
    nexus: tuple[ArtifactServer, Path],
) -> None:
    with pytest.raises(ArtifactNotFoundError):
        resolve(make_repository("nexus", nexus[0].url, credentials=PASSWORD), make_artifact("site-2.zip"))
    with pytest.raises(CredentialsError):
        resolve(make_repository("nexus", nexus[0].url))


def test_all_failures_are_told_at_once(nexus: tuple[ArtifactServer, Path]) -> None:
    repository = make_repository("nexus", nexus[0].url, credentials=PASSWORD)
    with pytest.raises(ArtifactNotFoundError) as caught:
        resolve(repository, make_artifact("x-1.zip"), make_artifact("y-1.zip"))
    text = "\n".join(caught.value.details)
    assert "x-1.zip" in text
    assert "y-1.zip" in text


def test_file_that_two_applications_want_is_looked_up_once() -> None:
    with serving(files_only) as served:
        found = resolve(make_repository("http", served.url), make_artifact(sha256=SHA), make_artifact())
    assert [one.sha256 for one in found] == [SHA, SHA]
    assert [str(one) for one in served.requests] == ["HEAD /site-1.zip"]


def test_one_file_with_two_pins_is_an_error_before_anything_is_asked() -> None:
    pins = [make_artifact(sha256=digit * 64) for digit in "01"]
    with serving(files_only) as served, pytest.raises(ChecksumError, match="different digests"):
        resolve(make_repository("http", served.url), *pins)
    assert served.requests == []


@pytest.mark.parametrize("refusal", [(400, {}, b""), (403, {}, b""), (405, {}, b""), (200, {}, b"")])
def test_artifact_is_found_by_get_where_head_is_refused_or_lies(refusal: Reply) -> None:
    def reply(method: str, target: str) -> Reply:
        return refusal if method == "HEAD" else files_only(method, target)

    with serving(reply) as served:
        (found,) = resolve(make_repository("http", served.url))
    assert (found.size_bytes, found.sha256, found.digest_source) == (len(CONTENT), SHA, "download")


def test_unsatisfiable_range_without_a_size_is_no_empty_artifact() -> None:
    with serving(lambda method, target: (416, {}, b"")) as served, pytest.raises(RepositoryError):
        resolve(make_repository("http", served.url), make_artifact(sha256=SHA))


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
    (found,) = resolve(make_repository("nexus", url), make_artifact(path))
    return found.digest_source, found.sha256


def test_nexus_digest_of_a_maven_path_is_found_by_its_coordinates_behind_an_empty_page() -> None:
    path = "com/example/shop/1.0/shop-1.0.zip"

    def items(query: dict[str, list[str]]) -> list[object]:
        wanted = (query.get("group"), query.get("name"), query.get("version"))
        found = wanted == (["com.example"], ["shop"], ["1.0"])
        return [{"path": path, "checksum": {"sha256": SHA}}] if found else []

    with serving(searching(items)) as served:
        assert resolve_in_nexus(served.url, path) == ("repository API", SHA)


def test_nexus_entries_of_another_path_or_size_or_that_contradict_each_other_do_not_count() -> None:
    entries: list[object] = [
        {"path": "/old/site-1.zip", "checksum": {"sha256": "a" * 64}},
        {"path": "/site-1.zip", "fileSize": 1, "checksum": {"sha256": "b" * 64}},
    ]
    with serving(searching(lambda query: entries)) as served:
        assert resolve_in_nexus(served.url, "site-1.zip") == ("download", SHA)
    members: list[object] = [{"path": "/site-1.zip", "checksum": {"sha256": c * 64}} for c in "ab"]
    with serving(searching(lambda query: members)) as served:
        assert resolve_in_nexus(served.url, "site-1.zip") == ("download", SHA)


def test_nexus_that_pages_in_circles_is_not_asked_for_ever() -> None:
    def reply(method: str, target: str) -> Reply:
        page = json.dumps({"items": [], "continuationToken": "again"}).encode()
        return (200, {}, page) if "/search/assets" in target else files_only(method, target)

    with serving(reply) as served:
        assert resolve_in_nexus(served.url, "site-1.zip") == ("download", SHA)
    assert len(served.requests) < 20


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
        repository = make_repository("http", f"{server.url}/repository/raw")
        (found,) = resolve(repository, make_artifact("big.zip"))
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert (found.digest_source, found.size_bytes) == ("download", size_bytes)
    assert grown_kib < 64 << 10


def test_directory_is_sent_by_the_controller_and_no_link_leads_out(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    (store / "site-1.zip").write_bytes(CONTENT)
    repository = make_repository("directory", path="store")
    (found,) = resolve(repository, directory=tmp_path)
    assert (found.delivery, found.sha256, found.location) == ("controller", SHA, str(store / "site-1.zip"))
    (tmp_path / "secret.zip").write_bytes(b"x")
    (store / "out.zip").symlink_to(tmp_path / "secret.zip")
    with pytest.raises(OrchestratorError, match="leads out"):
        resolve(repository, make_artifact("out.zip"), directory=tmp_path)


def test_offline_asks_nobody() -> None:
    repository = make_repository("nexus", "http://127.0.0.1:9")
    found = resolve_offline([("a", make_artifact())], {"r": repository}, directory=Path("/"))["a"]
    assert (found.sha256, found.size_bytes, found.digest_source) == ("", None, "not resolved")


def test_web_client_is_imported_only_when_a_server_is_asked() -> None:
    program = "import sys, orchestrator.edges.repositories; print('httpx' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
