"""What a host may be like: broken records, odd names, other people's directories, a strict umask."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from host_program import receipts, trees
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


def test_answer_of_every_phase_can_be_sent(host: Host, deployed: dict[str, Any]) -> None:
    for phase in ("stage", "activate", "confirm", "rollback", "absent"):
        request = host.request(phase, {**deployed, "healthy": True, "message": "x"}, check=True)
        assert json.dumps(answer(request))
