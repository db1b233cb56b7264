"""A zip is unpacked while it comes, as a tar is; one that has to be read from its end comes again for that."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from host_program import archives, fetch, uploads, zip_stream
from host_program.problems import Problem

from tests.edges.host import Host, make_zip
from tests.edges.servers import serving
from tests.edges.test_arriving import BROKEN_AT, cut, first, impatient, is_new, left
from tests.edges.test_arriving import fetched as fetched
from tests.edges.test_zip_stream import Bytes
from tests.edges.zips import Member, build

__all__ = ["impatient"]
NAME = "site-1.zip"
OLD = make_zip({**{f"f{number}": b"old" for number in range(400)}, "big": os.urandom(900_000)})
NEW = make_zip({**{f"f{number}": b"new" for number in range(400)}, "big": os.urandom(900_000)})
BOMB = Member(name=b"bomb", data=bytes(8 << 20))


def stage(host: Host, url: str, content: bytes = NEW, **artifact: Any) -> dict[str, Any]:
    published = host.publish(NAME, content)
    return host.phase("stage", host.placement("1", {**published, "location": f"{url}/{NAME}", **artifact}))


def test_nothing_but_the_release_is_written(host: Host, fetched: list[str]) -> None:
    with serving(lambda method, target: (200, {}, NEW)) as served:
        assert is_new(stage(host, served.url))
    assert len(served.requests) == 1
    assert fetched == []
    assert len(left(host)) == 401


def test_connection_that_breaks_is_gone_on_with(host: Host, fetched: list[str]) -> None:
    def reply(method: str, target: str) -> tuple[int, dict[str, str], bytes]:
        wanted = served.requests[-1].headers.get("range")
        if wanted is None:
            return cut(NEW)
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        return 206, {"Content-Range": f"bytes {start}-{len(NEW) - 1}/{len(NEW)}"}, NEW[start:]

    with serving(reply) as served:
        assert is_new(stage(host, served.url))
    assert len(served.requests) == 2
    assert fetched == []


def test_server_that_can_only_begin_anew_sends_the_same_again(host: Host, fetched: list[str]) -> None:
    with serving(lambda method, target: cut(NEW) if first(served) else (200, {}, NEW)) as served:
        assert is_new(stage(host, served.url))
    assert fetched == []


def test_beginning_of_another_version_is_not_mixed_with_the_planned_one(
    host: Host, fetched: list[str]
) -> None:
    with serving(lambda method, target: cut(OLD) if first(served) else (200, {}, NEW)) as served:
        assert is_new(stage(host, served.url, size_bytes=max(len(OLD), len(NEW))))
    assert len(fetched) == 1


@pytest.mark.parametrize(
    "content",
    [OLD, b"<html>not found</html>" * 100, NEW[:-1000], NEW[:-10], b"", make_zip({"../out": b"1"})],
    ids=("another archive", "a page", "less", "without its end", "nothing", "a hostile archive"),
)
def test_other_bytes_than_planned_are_refused_and_nothing_is_left(host: Host, content: bytes) -> None:
    with serving(lambda method, target: (200, {}, content)) as served:
        done = stage(host, served.url, size_bytes=max(len(content), len(NEW)))
    assert done["problem"]["kind"] == "checksum"
    assert left(host) == []


def test_other_archive_than_planned_is_not_asked_for_twice(host: Host, fetched: list[str]) -> None:
    with serving(lambda method, target: (200, {}, OLD)) as served:
        done = stage(host, served.url, size_bytes=len(OLD))
    assert done["problem"]["kind"] == "checksum"
    assert len(served.requests) == 1
    assert fetched == []


def test_server_that_goes_away_is_named(host: Host) -> None:
    with serving(lambda method, target: cut(NEW)) as served:
        done = stage(host, served.url)
    assert done["problem"]["kind"] == "download"
    assert len(served.requests) == fetch.ATTEMPTS
    assert left(host) == []


def test_other_bytes_that_come_for_the_second_time_are_refused(host: Host) -> None:
    """The first time was not verified as a whole, so it says nothing about the second."""
    planned = build(Member(name=b"a", data=b"a"), before=b"#!/bin/sh\n")
    with serving(lambda method, target: (200, {}, planned if first(served) else OLD)) as served:
        done = stage(host, served.url, planned, size_bytes=len(OLD))
    assert done["problem"]["kind"] == "checksum"
    assert left(host) == []


def test_archive_of_unknown_size_is_put_on_the_disk_first(host: Host, fetched: list[str]) -> None:
    with serving(lambda method, target: (200, {}, NEW)) as served:
        assert is_new(stage(host, served.url, size_bytes=None))
    assert len(fetched) == 1


def test_what_the_controller_sends_is_put_on_the_disk_first(
    host: Host, fetched: list[str], tmp_path: Path
) -> None:
    """It comes once, and might have to be read from its end."""
    content = build(
        Member(name=b"big", data=bytes(900_000)), Member(name=b"f7", data=b"new"), before=b"#!/bin/sh\n"
    )
    (tmp_path / "sent").write_bytes(content)
    sent = {"delivery": "controller", "local": True, "upload": {"offset": 0, "size_bytes": len(content)}}
    with (tmp_path / "sent").open("rb") as pipe:
        uploads.expect(pipe, len(content))
        assert is_new(host.phase("stage", host.placement("1", host.publish(NAME, content) | sent)))
    assert len(fetched) == 1


def test_disk_that_gets_full_is_said_and_nothing_is_left(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    real, seen = os.write, 0

    def full(descriptor: int, data: Any) -> int:
        nonlocal seen
        seen += len(data)
        if seen > BROKEN_AT:
            raise OSError(28, "No space left on device")
        return real(descriptor, data)

    monkeypatch.setattr(archives.os, "write", full)
    with serving(lambda method, target: (200, {}, NEW)) as served:
        done = stage(host, served.url)
    monkeypatch.undo()
    assert done["problem"]["kind"] == "disk_full"
    assert left(host) == []


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the size of what is unpacked, the ratio counts."""
    monkeypatch.setattr(archives, "RATIO_COUNTS_FROM_BYTES", 0)


@pytest.mark.usefixtures("counted")
def test_archive_that_unpacks_to_much_more_is_verified_first(host: Host, fetched: list[str]) -> None:
    """Whoever can put other bytes on the way does not fill the disk of what is live."""
    content = make_zip({"big": os.urandom(20_000) + bytes(880_000), "f7": b"new"})
    with serving(lambda method, target: (200, {}, content)) as served:
        assert is_new(stage(host, served.url, content))
    assert len(fetched) == 1


@pytest.mark.usefixtures("counted")
@pytest.mark.parametrize("descriptor", ["", "marked"], ids=["sizes before", "sizes behind"])
def test_bomb_is_refused_and_nothing_is_left(host: Host, descriptor: str) -> None:
    content = build(replace(BOMB, descriptor=descriptor))
    with serving(lambda method, target: (200, {}, content)) as served:
        done = stage(host, served.url, content)
    assert "unpacks to more than 200 times its size" in done["problem"]["message"]
    assert left(host) == []


@pytest.mark.usefixtures("counted")
@pytest.mark.parametrize(
    "bomb",
    [
        replace(BOMB, descriptor="marked"),
        replace(BOMB, local={"size": 9}),
        replace(BOMB, local={"size": 2 << 20}),
        replace(BOMB, name=b"bomb/"),
        BOMB,
    ],
    ids=("sizes behind", "says that it is small", "says that it is smaller", "a directory", "honest"),
)
def test_bomb_is_refused_while_it_is_written(tmp_path: Path, bomb: Member) -> None:
    content = build(bomb)
    tree = archives.Tree(str(tmp_path), len(content), 0, ratio=archives.MAX_RATIO_UNVERIFIED)
    with pytest.raises(Problem) as raised:
        zip_stream.unpack(Bytes(content), tree)
    assert raised.value.kind == "archive"
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2 << 20
