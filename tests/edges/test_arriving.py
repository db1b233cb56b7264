"""A tar is unpacked while it comes; whatever the network does, what is staged is what was planned."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from host_program import fetch, staging

from tests.edges.host import Host, make_tar, member
from tests.edges.servers import Served, serving
from tests.edges.test_archives import zstd

NAME = "site-1.tar.gz"
OLD = make_tar(
    *((member(f"f{number}"), b"old") for number in range(400)), (member("big"), os.urandom(900_000))
)
NEW = make_tar(
    *((member(f"f{number}"), b"new") for number in range(400)), (member("big"), os.urandom(900_000))
)
BROKEN_AT = 500_000


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch.time, "sleep", lambda seconds: None)


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where whole archives were put on the disk."""
    paths: list[str] = []
    real = fetch.fetch

    def noting(artifact: Any, secrets: Any, target: str) -> None:
        paths.append(target)
        real(artifact, secrets, target)

    monkeypatch.setattr(fetch, "fetch", noting)
    return paths


def cut(content: bytes) -> tuple[int, dict[str, str], bytes]:
    """A connection that breaks in the middle."""
    return 200, {"ETag": '"1"', "Content-Length": str(len(content))}, content[:BROKEN_AT]


def stage(host: Host, url: str, content: bytes = NEW, **artifact: Any) -> dict[str, Any]:
    published = host.publish(NAME, content)
    placement = host.placement("1", {**published, "location": f"{url}/{NAME}", **artifact})
    return host.phase("stage", placement)


def left(host: Host) -> list[str]:
    """What is below the deployment path, besides directories of ours that are empty."""
    return [name for _, _, files in os.walk(host.path) for name in files]


def is_new(done: dict[str, Any]) -> bool:
    assert done["problem"] is None, done["problem"]
    release = Path(done["release_path"])
    return (release / "big").stat().st_size == 900_000 and (release / "f7").read_bytes() == b"new"


def test_nothing_but_the_release_is_written(host: Host, fetched: list[str]) -> None:
    with serving(lambda method, target: (200, {}, NEW)) as served:
        assert is_new(stage(host, served.url))
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


def first(served: Served) -> bool:
    return len(served.requests) == 1


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (OLD, "checksum"),
        (b"<html>not found</html>" * 100, "checksum"),
        (NEW[:-1000], "checksum"),
        (b"", "checksum"),
        (make_tar((member("../out"), b"1")), "checksum"),
    ],
    ids=("another archive", "a page", "less", "nothing", "a hostile archive"),
)
def test_other_bytes_than_planned_are_refused_and_nothing_is_left(
    host: Host, fetched: list[str], content: bytes, kind: str
) -> None:
    with serving(lambda method, target: (200, {}, content)) as served:
        done = stage(host, served.url, size_bytes=max(len(content), len(NEW)))
    assert done["problem"]["kind"] == kind
    assert left(host) == fetched == []


@pytest.mark.parametrize(
    "content",
    [make_tar((member("../out"), b"1")), b"no archive at all", make_tar()],
    ids=("a hostile member", "no archive", "no members"),
)
def test_planned_bytes_that_are_no_good_archive_are_named_as_such(host: Host, content: bytes) -> None:
    with serving(lambda method, target: (200, {}, content)) as served:
        done = stage(host, served.url, content)
    assert done["problem"]["kind"] == "archive"
    assert left(host) == []


def test_server_that_goes_away_is_named(host: Host) -> None:
    with serving(lambda method, target: cut(NEW)) as served:
        done = stage(host, served.url)
    assert done["problem"]["kind"] == "download"
    assert len(served.requests) == fetch.ATTEMPTS
    assert left(host) == []


def test_archive_of_unknown_size_is_put_on_the_disk_first(host: Host, fetched: list[str]) -> None:
    with serving(lambda method, target: (200, {}, NEW)) as served:
        assert is_new(stage(host, served.url, size_bytes=None))
    assert len(fetched) == 1
    assert fetched[0].startswith(str(host.path / ".orchestrator-staging"))


def test_disk_that_gets_full_is_said_and_nothing_is_left(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    real, seen = os.write, 0

    def full(descriptor: int, data: Any) -> int:
        nonlocal seen
        seen += len(data)
        if seen > BROKEN_AT:
            raise OSError(28, "No space left on device")
        return real(descriptor, data)

    monkeypatch.setattr(staging.archives.os, "write", full)
    with serving(lambda method, target: (200, {}, NEW)) as served:
        done = stage(host, served.url)
    monkeypatch.undo()
    assert done["problem"]["kind"] == "disk_full"
    assert left(host) == []


def test_archive_that_unpacks_to_much_more_is_verified_first(
    host: Host, fetched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever can put other bytes on the way does not fill the disk of what is live."""
    monkeypatch.setattr(staging.archives, "RATIO_COUNTS_FROM_BYTES", 0)
    content = make_tar((member("big"), os.urandom(20_000) + bytes(880_000)), (member("f7"), b"new"))
    with serving(lambda method, target: (200, {}, content)) as served:
        assert is_new(stage(host, served.url, content))
    assert len(fetched) == 1


def test_absurd_header_is_refused_before_it_is_read(host: Host) -> None:
    name = member("x" * 2_000_000)
    content = make_tar((name, b"1"))
    with serving(lambda method, target: (200, {}, content)) as served:
        done = stage(host, served.url, content)
    assert done["problem"]["kind"] == "archive"
    assert "has a header of" in done["problem"]["message"]


def test_bad_member_of_a_zst_ends_whoever_reads_it(host: Host) -> None:
    """The bytes are read by a thread of their own there, which may not go on beside whoever asks what they were."""
    bad = make_tar(
        (member("a"), b"1"), (member("../out"), b"1"), (member("big"), os.urandom(4_000_000)), mode="w"
    )
    content = zstd(bad)
    for _ in range(5):
        with serving(lambda method, target: (200, {}, content)) as served:
            done = stage(host, served.url, content)
        assert done["problem"]["kind"] == "archive", done["problem"]
        assert "leaves the release" in done["problem"]["message"]
