"""What a host may be like: broken records, odd names, other people's directories, a strict umask."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from host_program import fetch, paths, receipts, staging, trees
from host_program.main import answer

from tests.edges.host import IDENTITY, Host, make_tar, make_zip, member

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def deployed(host: Host) -> dict[str, Any]:
    """A placement that is deployed and healthy."""
    placement = host.placement("1", host.publish("site-1.zip", make_zip({"i": "1", "d/f": "2"})))
    assert host.deploy(placement)["result"] == "healthy"
    return placement


def tree_record(host: Host) -> Path:
    directory = receipts.placement_directory(IDENTITY, "site", str(host.path))
    (path,) = Path(directory).glob("trees/*.json")
    return path


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b'{"i": []}', b'{"i": {}}', b'{"i": {"type": "file"}}'],
)
def test_broken_record_of_a_tree_is_said_and_the_release_staged_anew(
    host: Host, deployed: dict[str, Any], content: bytes
) -> None:
    tree_record(host).write_bytes(content)
    (seen,) = host.observe(verify=True)
    assert seen["problems"] == ["the record of what its files have to be is lost"]
    assert host.deploy({**deployed, "action": "verify"})["result"] == "healthy"
    assert host.observe(verify=True)[0]["problems"] == []


def test_names_that_are_no_text_are_shown_so_that_every_reader_can_take_them(
    host: Host, deployed: dict[str, Any]
) -> None:
    current = os.fsencode(host.path / "current")
    for name in (b"\xff", b"line\nbreak", b"\x1b[31mred", "größer".encode()):
        Path(os.fsdecode(current + b"/" + name)).write_text("x")
    (seen,) = host.observe(verify=True)
    text = "; ".join(seen["problems"])
    assert text.isprintable()
    assert "größer was added" in text
    assert text.encode("utf-8")


def test_file_that_vanishes_while_it_is_read_is_drift_and_no_failure(
    host: Host, deployed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def vanish(path: str) -> str:
        raise FileNotFoundError(2, "No such file or directory", path)

    monkeypatch.setattr(trees, "file_sha256", vanish)
    (seen,) = host.observe(verify=True)
    assert seen["problems"] == [
        "d/f cannot be read: No such file or directory",
        "i cannot be read: No such file or directory",
    ]


def test_strict_umask_leaves_a_release_that_the_web_server_can_read(host: Host) -> None:
    before = os.umask(0o077)
    try:
        content = make_tar((member("bin/tool", mode=0o755), b"#!"), (member("d/f"), b"x"))
        assert host.deploy(host.placement("1", host.publish("s.tar.gz", content)))["result"] == "healthy"
    finally:
        os.umask(before)
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in (host.path, host.path / "releases", *(host.path / "current").resolve().rglob("*"))
    }
    assert modes == {"site": 0o755, "releases": 0o755, "bin": 0o755, "tool": 0o755, "d": 0o755, "f": 0o644}
    assert stat.S_IMODE((host.path / "current").resolve().stat().st_mode) == 0o755


@pytest.mark.parametrize("check", [False, True], ids=["real", "check"])
@pytest.mark.parametrize("path", ["srv/site", "", "./site"])
def test_path_that_is_not_absolute_is_refused(host: Host, path: str, check: bool) -> None:
    artifact = host.publish("site-1.zip", make_zip({"i": "1"}))
    for phase, placement in (
        ("stage", host.placement("1", artifact, deployment_path=path)),
        ("fetch", {"path": path, "mode": "0644", "artifact": artifact}),
    ):
        found = host.phase(phase, placement, check=check)
        assert found["problem"]["kind"] == "conflict"
        assert "absolute" in found["problem"]["message"]


@pytest.mark.parametrize("kind", ["file", "link"])
def test_something_in_the_place_of_the_staging_directory_is_kept_and_named(
    host: Host, deployed: dict[str, Any], kind: str
) -> None:
    place = host.path / paths.STAGING
    if kind == "file":
        place.write_text("x")
    else:
        place.symlink_to("releases")
    found = host.deploy(host.placement("2", host.publish("site-2.zip", make_zip({"i": "2"}))))
    assert found["problem"]["kind"] == "conflict"
    assert str(place) in found["problem"]["message"]
    assert os.path.lexists(place)
    assert (host.path / "current" / "i").read_text() == "1"


@as_root
def test_directory_that_somebody_makes_meanwhile_is_not_written_to_by_root(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = staging.make_directory

    def make_and_lose(path: str, mode: int = 0o755) -> None:
        made(path, mode)
        os.chown(host.path, 65534, 65534)

    monkeypatch.setattr(staging, "make_directory", make_and_lose)
    found = host.deploy(host.placement("1", host.publish("site-1.zip", make_zip({"i": "1"}))))
    assert found["problem"]["kind"] == "permission"
    assert list(host.path.iterdir()) == []


@as_root
@pytest.mark.parametrize("name", ["releases", paths.STAGING])
@pytest.mark.parametrize("kind", ["directory", "link"])
def test_our_directories_made_by_somebody_else_are_not_used_by_root(
    host: Host, tmp_path: Path, name: str, kind: str
) -> None:
    theirs = tmp_path / "theirs"
    (theirs / "kept").mkdir(parents=True)
    host.path.mkdir(parents=True)
    place = host.path / name
    if kind == "link":
        place.symlink_to(theirs)
    else:
        place.mkdir()
    os.chown(place, 65534, 65534, follow_symlinks=False)
    placement = host.placement("1", host.publish("site-1.zip", make_zip({"i": "1"})))
    for check in (True, False):
        found = host.phase("stage", placement, check=check)
        assert found["problem"]["kind"] == "permission"
        assert str(place) in found["problem"]["message"]
    assert [one.name for one in theirs.iterdir()] == ["kept"]
    assert [one.name for one in host.path.iterdir()] == [name]


@as_root
@pytest.mark.parametrize("phase", ["activate", "confirm", "distrust", "rollback", "absent"])
def test_path_that_somebody_was_given_meanwhile_is_not_touched_by_root(
    host: Host, deployed: dict[str, Any], phase: str
) -> None:
    os.chown(host.path, 65534, 65534)
    found = host.phase(phase, {**deployed, "healthy": False, "message": "x", "keep": False})
    assert found["problem"]["kind"] == "permission"
    assert (host.path / "current" / "i").read_text() == "1"


@as_root
def test_mode_of_a_file_in_somebody_elses_directory_is_not_set_by_root(host: Host, tmp_path: Path) -> None:
    artifact = host.publish("tool", b"#!")
    parent = tmp_path / "theirs"
    parent.mkdir()
    (parent / "tool").write_bytes(b"#!")
    os.chown(parent, 65534, 65534)
    found = host.phase("fetch", {"path": str(parent / "tool"), "mode": "0755", "artifact": artifact})
    assert found["problem"]["kind"] == "permission"
    assert stat.S_IMODE((parent / "tool").stat().st_mode) == 0o644


@pytest.mark.parametrize("mode", ["rwx", "", "8", "99999", "-1", "0o644"])
def test_mode_that_is_none_is_refused(host: Host, tmp_path: Path, mode: str) -> None:
    placement = {"path": str(tmp_path / "tool"), "mode": mode, "artifact": host.publish("tool", b"#!")}
    found = host.phase("fetch", placement)
    assert found["problem"]["kind"] == "unsupported"
    assert not (tmp_path / "tool").exists()


@pytest.mark.parametrize("check", [True, False])
def test_file_of_this_machine_with_other_bytes_is_refused_in_check_mode_too(
    host: Host, tmp_path: Path, check: bool
) -> None:
    (tmp_path / "here").write_bytes(b"other")
    here = {"location": str(tmp_path / "here"), "delivery": "controller", "local": True}
    placement = {
        "path": str(tmp_path / "tool"),
        "mode": "0755",
        "artifact": {**host.publish("tool", b"#!"), **here},
    }
    assert host.phase("fetch", placement, check=check)["problem"]["kind"] == "checksum"
    assert not (tmp_path / "tool").exists()


def test_full_disk_is_named_with_its_place(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = host.publish("tool", b"#!")

    def full(sink: object, chunk: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fetch, "_write_all", full)
    fetched = host.phase("fetch", {"path": str(tmp_path / "tool"), "mode": "0755", "artifact": artifact})
    staged = host.phase("stage", host.placement("1", artifact))
    for found, place in ((fetched, tmp_path), (staged, host.path)):
        assert found["problem"]["kind"] == "disk_full"
        assert found["problem"]["message"] == f"no space or inodes left at {place}"
    assert sorted(path.name for path in host.path.iterdir()) == []
    assert not list(tmp_path.glob(".tool*"))


def test_leftover_that_cannot_be_removed_is_in_nobodys_way(
    host: Host, deployed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = host.path / paths.STAGING / "removed-0" / ".nfs0001"
    busy.parent.mkdir(parents=True)
    busy.write_text("in use")
    unlink = os.unlink

    def refuse(path: str, **options: Any) -> None:
        if Path(path).name == busy.name:
            raise OSError(16, "Device or resource busy", path)
        unlink(path, **options)

    monkeypatch.setattr(os, "unlink", refuse)
    placement = host.placement("2", host.publish("site-2.zip", make_zip({"i": "2"})))
    assert host.deploy(placement)["result"] == "healthy"
    assert busy.exists()


def test_answer_of_every_phase_can_be_sent(host: Host, deployed: dict[str, Any]) -> None:
    for phase in ("stage", "activate", "confirm", "rollback", "absent"):
        request = host.request(phase, {**deployed, "healthy": True, "message": "x"}, check=True)
        assert json.dumps(answer(request))


def test_link_that_cannot_be_switched_leaves_receipt_and_link_as_they_were(
    host: Host, deployed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = receipts.placement_directory(IDENTITY, "site", str(host.path))
    live = (receipts.read_receipt(directory) or {})["live"]
    wanted = host.placement("2", host.publish("site-2.zip", make_zip({"i": "2"})))
    symlink = os.symlink

    def refuse(source: str, target: str) -> None:
        if ".current-" in target:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), target)
        symlink(source, target)

    monkeypatch.setattr(os, "symlink", refuse)
    said = host.deploy(wanted)
    assert (said["result"], said["problem"]["kind"]) == ("failed", "permission")
    assert "read-only" in said["message"].lower()
    undone = host.phase("rollback", wanted)
    assert (undone["result"], undone["message"]) == ("unchanged", "this run changed nothing here")
    receipt = receipts.read_receipt(directory) or {}
    assert receipt["live"] == live
    assert {record["version"]: record["state"] for record in receipt["releases"].values()} == {
        "1": "healthy",
        "2": "staged",
    }
    monkeypatch.setattr(os, "symlink", symlink)
    assert host.deploy(wanted)["result"] == "healthy"
