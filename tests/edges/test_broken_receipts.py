"""Receipts that are broken, lost or written by others, and errors that nobody expected."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from host_program import afterwards, keeping, main, paths, receipts
from host_program.main import answer
from host_program.problems import Problem

from tests.edges.host import IDENTITY, Host, make_zip
from tests.edges.remotes import wait_for

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
UNHEALTHY = {
    "url": "http://127.0.0.1:9/",
    "origin": "host",
    "retries": 0,
    "interval_seconds": 0.1,
    "timeout_seconds": 1,
    "deadline_seconds": 1,
    "status": [200],
    "body": "",
}
RELEASE = {"release": "1-a", "version": "1", "state": "healthy"}


def release(host: Host, version: str, **settings: Any) -> dict[str, Any]:
    artifact = host.publish(f"site-{version}.zip", make_zip({"i": version}))
    return host.placement(version, artifact, **settings)


def receipt_of(host: Host) -> Path:
    return Path(receipts.placement_directory(IDENTITY, "site", str(host.path))) / "receipt.json"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"null",
        b'"x"',
        b"{}",
        b'{"format": "1"}',
        b"[" * 100_000,
        json.dumps({"format": 1, "identity": IDENTITY, "releases": []}).encode(),
        json.dumps({"format": 1, "identity": 1, "application": [], "releases": {}, "live": []}).encode(),
    ],
)
@pytest.mark.parametrize("check", [False, True], ids=["real", "check"])
def test_broken_receipt_is_said_and_what_to_do(host: Host, content: bytes, check: bool) -> None:
    placement = release(host, "1")
    host.deploy(placement)
    path = receipt_of(host)
    path.write_bytes(content)
    # Whoever asks is told; nobody is told that nothing is installed.
    problem = host.ask_observation()["problem"]
    assert str(path.parent) in problem["message"]
    assert problem["resolution"]
    for phase in ("stage", "activate"):
        found = host.phase(phase, placement, check=check)["problem"]
        assert found["kind"] == "conflict"
        assert str(path.parent) in found["message"]
        assert "move that directory away" in found["resolution"]
    shutil.move(path.parent, path.parent.with_name("away"))
    assert host.deploy(placement)["result"] == "healthy"


def test_broken_receipt_of_a_neighbour_does_not_stop_the_others(host: Host) -> None:
    placement = release(host, "1")
    host.deploy(placement)
    neighbour = Path(receipts.state_root()) / "placements" / "dev--other--000000000000"
    neighbour.mkdir()
    (neighbour / "receipt.json").write_text("[]")
    assert host.deploy(release(host, "2"))["result"] == "healthy"


def test_newer_format_is_refused_by_name(host: Host) -> None:
    placement = release(host, "1")
    host.deploy(placement)
    changed = {**json.loads(receipt_of(host).read_text()), "format": 2}
    receipt_of(host).write_text(json.dumps(changed))
    assert "newer orchestrator" in host.phase("stage", placement)["problem"]["message"]


def test_lost_receipt_and_an_unhealthy_release_lead_back_to_what_was_live(host: Host) -> None:
    """The advice for a broken receipt is to move it away: then nothing is known of what is live."""
    host.deploy(release(host, "1"))
    shutil.rmtree(receipt_of(host).parent)
    found = host.deploy(release(host, "2", healthcheck=UNHEALTHY))
    assert found["result"] in ("switched_back", "unknown")
    assert (host.path / "current" / "i").read_text() == "1"
    assert host.deploy(release(host, "3"))["result"] == "healthy"


def test_old_release_that_cannot_be_removed_is_no_failed_deployment(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.deploy(release(host, "1"))
    host.deploy(release(host, "2"))

    def busy(here: object, name: str) -> None:
        raise OSError(16, "Device or resource busy", name)

    with monkeypatch.context() as patched:
        patched.setattr(keeping, "set_aside", busy)
        found = host.deploy(release(host, "3", keep_releases=1))
    assert found["result"] == "healthy"
    assert found["problem"] is None
    assert "could not be removed" in found["message"]


def test_files_of_an_old_release_are_removed_after_the_answer(host: Host) -> None:
    """A program that is killed in between leaves them set aside, and the next one that stages removes them."""
    for version in ("1", "2"):
        host.deploy(release(host, version))
    placement = release(host, "3", keep_releases=1)
    host.runs += 1
    host.phase("stage", placement)
    found = answer(host.request("activate", placement))["placements"][0]
    assert (found["result"], len(list((host.path / "releases").iterdir()))) == ("healthy", 2)
    (aside,) = host.path.glob(f"{paths.REMOVED}*")
    afterwards._waiting.clear()
    host.phase("stage", release(host, "4"))
    assert not aside.exists()


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, list[str]]]:
    """The end of a pipe that a host program reads, and what it has done; each request leaves something for later."""
    done: list[str] = []

    def run(request: Mapping[str, str]) -> None:
        done.append(request["phase"])
        afterwards.add(lambda: done.append(f"after {request['phase']}"))

    monkeypatch.setattr(main, "run", run)
    read, write = os.pipe()
    with os.fdopen(read, "rb") as source, ThreadPoolExecutor() as pool:
        serving = pool.submit(main.serve, source)
        yield write, done
        os.close(write)
        serving.result(timeout=60)
    assert done[-1].startswith("after")


def test_what_is_left_for_later_keeps_no_request_waiting(
    requests: tuple[int, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "QUIET_SECONDS", 600.0)
    write, done = requests
    for phase in ("activate", "settle"):
        os.write(write, json.dumps({"phase": phase}).encode() + b"\n")
        wait_for(lambda phase=phase: phase in done)
    assert done == ["activate", "settle"]


def test_what_is_left_for_later_is_done_when_nobody_asks_for_a_while(
    requests: tuple[int, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "QUIET_SECONDS", 0.1)
    write, done = requests
    os.write(write, b'{"phase": "activate"}\n')
    wait_for(lambda: done == ["activate", "after activate"])
    os.write(write, b'{"phase": "settle"}\n')


def test_files_of_an_old_release_are_removed_beside_what_another_run_stages(host: Host) -> None:
    """Whose release waits for its templates, and for nobody's lock."""
    for version in ("1", "2"):
        host.deploy(release(host, version))
    placement = release(host, "3", keep_releases=1)
    host.runs += 1
    host.phase("stage", placement)
    answer(host.request("activate", placement))
    (aside,) = host.path.glob(f"{paths.REMOVED}*")
    waits = host.path / paths.STAGING / "0123456789abcdef.release"
    waits.mkdir(parents=True)
    afterwards.do()
    assert waits.is_dir()
    assert not aside.exists()


def test_what_was_live_before_is_kept_for_switching_back_whatever_its_state(host: Host) -> None:
    host.deploy(release(host, "1"))
    once = {**UNHEALTHY, "origin": "once"}
    # 2 is live and nobody confirms it; 3 is confirmed, and then the batch fails elsewhere.
    assert host.deploy(release(host, "2", healthcheck=once))["result"] == "active"
    third = release(host, "3", keep_releases=1)
    assert host.deploy(third)["result"] == "healthy"
    assert host.phase("rollback", third)["result"] == "switched_back"
    assert (host.path / "current" / "i").read_text() == "2"


@as_root
def test_link_on_the_way_into_somebody_elses_directory_is_refused_to_root(host: Host, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (tmp_path / "srv").symlink_to(theirs)
    (theirs / "site").mkdir()
    os.chown(theirs, 65534, 65534)
    found = host.phase("stage", release(host, "1", deployment_path=str(tmp_path / "srv" / "site")))
    assert found["problem"]["kind"] == "permission"
    assert str(theirs) in found["problem"]["message"]


def test_relative_path_ends_the_search_for_its_parent() -> None:
    with pytest.raises(Problem, match="absolute"):
        paths.refuse_unwritable("srv/site", 1, 1)


def test_error_that_nobody_expected_is_a_problem_without_the_secret(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    from host_program import staging

    def fail(*arguments: object) -> None:
        raise RuntimeError("pass-w0rd-of-the-test")

    monkeypatch.setattr(staging, "refuse_foreign", fail)
    found = host.phase("stage", release(host, "1"))
    assert found["problem"]["kind"] == "host"
    assert "RuntimeError" in found["problem"]["message"]
    assert "(fail)" in found["problem"]["message"]
    assert "pass-w0rd" not in str(found)
    assert found["problem"]["resolution"]


def test_python_without_a_module_is_named(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    from host_program import staging

    def fail(*arguments: object) -> None:
        raise ModuleNotFoundError("No module named 'lzma'", name="lzma")

    monkeypatch.setattr(staging, "refuse_foreign", fail)
    problem = host.phase("stage", release(host, "1"))["problem"]
    assert problem["kind"] == "python"
    assert "lzma" in problem["message"]
    assert "python3" in problem["resolution"]


def test_home_that_nobody_knows_is_a_problem_and_no_directory_called_tilde(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000)
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000)
    said = answer({"phase": "observe", "identity": IDENTITY, "placements": [], "run": {}})
    assert said["problem"]["kind"] == "host"
    assert "home directory" in said["problem"]["message"]
    assert not list(tmp_path.iterdir())


def test_state_directories_are_ours_alone_under_every_umask(host: Host) -> None:
    before = os.umask(0)
    try:
        host.deploy(release(host, "1"))
    finally:
        os.umask(before)
    for path in (Path(receipts.state_root()), *Path(receipts.state_root()).rglob("*")):
        assert not path.stat().st_mode & 0o022, path
