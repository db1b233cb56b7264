"""Archives on the host: every kind is unpacked, and a hostile one is refused with nothing written."""

from __future__ import annotations

import io
import os
import random
import shutil
import stat
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from host_program import archives, remote
from host_program.problems import Problem

from tests.edges.host import Host, make_tar, make_zip, member
from tests.edges.programs import require
from tests.edges.servers import serving

MODES = {"tar.gz": "w:gz", "tgz": "w:gz", "tar.xz": "w:xz", "tar.bz2": "w:bz2", "tar": "w", "tar.zst": "w"}
HOSTILE = {
    "parent": make_tar((member("../escape"), b"x"), mode="w"),
    "absolute": make_tar((member("/etc/escape"), b"x"), mode="w"),
    "device": make_tar((member("dev", tarfile.CHRTYPE), b""), mode="w"),
    "fifo": make_tar((member("fifo", tarfile.FIFOTYPE), b""), mode="w"),
    "link out": make_tar((member("l", tarfile.SYMTYPE, "../../outside"), b""), mode="w"),
    "absolute link": make_tar((member("l", tarfile.SYMTYPE, "/etc"), b""), mode="w"),
    "link over link": make_tar(
        (member("d", tarfile.SYMTYPE, "."), b""), (member("e", tarfile.SYMTYPE, "d/../.."), b""), mode="w"
    ),
    "link that only leaves over another one": make_tar(
        (member("a/b/f"), b"x"),
        (member("a/up", tarfile.SYMTYPE, ".."), b""),
        (member("out", tarfile.SYMTYPE, "a/up/../escape"), b""),
        mode="w",
    ),
    "through a link": make_tar((member("l", tarfile.SYMTYPE, "x"), b""), (member("l/f"), b"x"), mode="w"),
    "hard link": make_tar((member("h", tarfile.LNKTYPE, "/etc/passwd"), b""), mode="w"),
    "twice": make_tar((member("twice"), b"1"), (member("twice"), b"2"), mode="w"),
    "file and directory": make_tar((member("d"), b"1"), (member("d/f"), b"2"), mode="w"),
    "no archive": b"no archive at all",
    "nothing": b"",
    "cut off": make_tar((member("f"), b"x" * 100_000), mode="w")[:-20_000],
    "deep": make_tar((member("a/" * 3000 + "f"), b"x"), mode="w"),
    "long name": make_tar((member("n" * 300), b"x"), mode="w"),
    "control character": make_tar((member("a\x1b[31m"), b"x"), mode="w"),
    "backslash": make_tar((member("a\\..\\b"), b"x"), mode="w"),
    "empty": make_tar(mode="w"),
}


def zstd(content: bytes) -> bytes:
    """The bytes, compressed as `zstd` does."""
    require("zstd")
    return subprocess.run(["zstd", "-q", "-c"], input=content, capture_output=True, check=True).stdout


@pytest.mark.parametrize("check", [False, True], ids=["real", "check"])
@pytest.mark.parametrize("extension", ["tar.gz", "tar.zst"])
@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_hostile_archive_is_refused_and_nothing_is_written_outside(
    host: Host, content: bytes, extension: str, check: bool, tmp_path: Path
) -> None:
    import gzip

    packed = zstd(content) if extension == "tar.zst" else gzip.compress(content)
    placement = host.placement("1", host.publish(f"site.{extension}", packed))
    found = host.phase("stage", placement, check=check)
    assert found["problem"]["kind"] == "archive"
    assert found["problem"]["resolution"]
    assert not (host.path / "releases").exists()
    assert not list(tmp_path.rglob("escape"))


def test_check_mode_finds_the_hostile_zip(host: Host) -> None:
    placement = host.placement("1", host.publish("s.zip", make_zip({"../escape": "x"})))
    assert host.phase("stage", placement, check=True)["problem"]["kind"] == "archive"


def test_check_mode_finds_the_hostile_zip_behind_a_server_without_ranges(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = make_zip({"../escape": "x"})
    artifact = host.publish("s.zip", content)
    with serving(lambda method, target: (200, {}, content)) as served:
        placement = host.placement("1", {**artifact, "location": f"{served.url}/s.zip"})
        assert host.phase("stage", placement, check=True)["problem"]["kind"] == "archive"
        # One that is too large for memory is looked at by the real run alone.
        monkeypatch.setattr(remote, "MEMORY_BYTES", len(content) - 1)
        assert host.phase("stage", placement, check=True)["problem"] is None


def test_setuid_and_write_bits_of_the_archive_are_dropped(host: Host) -> None:
    content = make_tar((member("bin/tool", mode=0o6777), b"#!"))
    host.deploy(host.placement("1", host.publish("site.tar.gz", content)))
    assert stat.S_IMODE((host.path / "current" / "bin" / "tool").stat().st_mode) == 0o755


@pytest.mark.parametrize("extension", [*MODES, "TAR.ZST"])
def test_every_tar_is_unpacked_as_check_mode_says(host: Host, extension: str) -> None:
    members = ((member("d/f"), b"data"), (member("d/l", tarfile.SYMTYPE, "f"), b""))
    content = make_tar(*members, mode=MODES[extension.lower()])
    artifact = host.publish(f"s.{extension}", zstd(content) if "zst" in extension.lower() else content)
    placement = host.placement("1", {**artifact, "packing": "tar"})
    assert host.phase("stage", placement, check=True)["problem"] is None
    assert host.deploy(placement)["result"] == "healthy"
    assert (host.path / "current" / "d" / "l").read_bytes() == b"data"


@pytest.mark.parametrize("name", ["api.jar", "portal.war", "tool", "tar"])
def test_anything_else_is_installed_as_one_file(host: Host, name: str) -> None:
    content = make_zip({"META-INF/MANIFEST.MF": "x"})
    placement = host.placement("1", host.publish(name, content))
    assert placement["artifact"]["packing"] == "file"
    assert host.phase("stage", placement, check=True)["changed"] is True
    assert host.deploy(placement)["result"] == "healthy"
    assert [path.name for path in (host.path / "current").iterdir()] == [name]
    assert (host.path / "current" / name).read_bytes() == content


def test_empty_file_is_installed_as_check_mode_says(host: Host) -> None:
    placement = host.placement("1", host.publish("marker.txt", b""))
    assert host.phase("stage", placement, check=True)["problem"] is None
    assert host.deploy(placement)["result"] == "healthy"


def test_zst_that_the_controller_sends_is_known_by_its_bytes(host: Host, tmp_path: Path) -> None:
    artifact = host.publish("s.tar.zst", zstd(make_tar((member("f"), b"data"), mode="w")))
    sent = tmp_path / "artifact-0"
    sent.write_bytes((host.store / "raw" / "s.tar.zst").read_bytes())
    artifact |= {"delivery": "controller", "local": True, "location": str(sent)}
    assert host.deploy(host.placement("1", artifact))["result"] == "healthy"


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="the standard library reads zst itself")
@pytest.mark.parametrize("check", [False, True], ids=["real", "check"])
def test_zst_without_the_program_says_what_to_install(
    host: Host, check: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    placement = host.placement("1", host.publish("s.tar.zst", zstd(make_tar((member("f"), b"x"), mode="w"))))
    monkeypatch.setenv("PATH", str(tmp_path))
    found = host.phase("stage", placement, check=check)
    assert found["problem"]["kind"] == "unsupported"
    assert "zstd" in found["problem"]["message"]
    assert "install the package zstd" in found["problem"]["resolution"]
    assert not (host.path / "releases").exists()


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="the standard library reads zst itself")
def test_check_mode_misses_zstd_on_the_host_where_the_controller_has_it(
    host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    artifact = host.publish("s.tar.zst", zstd(make_tar((member("f"), b"x"), mode="w")))
    artifact |= {"delivery": "controller", "location": "/artifacts/s.tar.zst", "looked_into": [1, 1, {}]}
    monkeypatch.setenv("PATH", str(tmp_path))
    found = host.phase("stage", host.placement("1", artifact), check=True)
    assert found["problem"]["kind"] == "unsupported"


def test_zst_that_goes_on_behind_the_tar_ends(host: Host) -> None:
    content = zstd(make_tar((member("f"), b"x"), mode="w") + bytes(64 << 20))
    found = host.deploy(host.placement("1", host.publish("s.tar.zst", content)))
    assert found["problem"]["kind"] == "archive"


def test_zst_with_damaged_bytes_is_refused(host: Host) -> None:
    content = bytearray(zstd(make_tar((member("f"), os.urandom(200_000)), mode="w")))
    content[-2] ^= 0xFF  # the checksum of the frame
    found = host.deploy(host.placement("1", host.publish("s.tar.zst", bytes(content))))
    assert found["problem"]["kind"] == "archive"


def test_more_directories_than_an_archive_may_have_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBERS", 100)
    tree = archives.Tree(None, 0, 0)
    for number in range(50):
        tree.add_directory(tree.path_of(f"{number}/a"))
    with pytest.raises(Problem, match="more than 100"):
        tree.add_directory("one/more")


@pytest.mark.parametrize(
    ("links", "inside"),
    [
        ({"l": "d"}, True),
        ({"l": "."}, True),
        ({"l": "missing/f"}, True),
        ({"d/e/l": "../../x"}, True),
        ({"d/up": "..", "l": "d/up/d"}, True),
        ({"a": "b", "b": "a"}, True),
        ({"d/up": "..", "l": "d/up/../x"}, False),
        ({"d/e/top": "../..", "l": "d/e/top/../x"}, False),
        ({"d/up": "..", "d/m": "up", "l": "d/m/../x"}, False),
    ],
)
def test_links_end_inside_as_the_kernel_follows_them(
    tmp_path: Path, links: dict[str, str], inside: bool
) -> None:
    for root in (None, str(tmp_path)):
        tree = archives.Tree(root, 0, 0)
        tree.add_directory("d/e")
        for path, target in links.items():
            tree.add_link(path, target)
        if inside:
            tree.finish()
        else:
            with pytest.raises(Problem, match="leaves the release"):
                tree.finish()
    assert all((tmp_path / path).is_symlink() is inside for path in links)


def damaged(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(changed))
        match chance.randrange(4):
            case 0:
                del changed[max(1, place) :]
            case 1:
                changed[place:place] = chance.randbytes(chance.randint(1, 20))
            case _:
                changed[place] = chance.choice([0, 255, chance.randrange(256)])
    return bytes(changed)


def zips() -> list[bytes]:
    methods = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    return [make_zip({"d/f": "x" * 500, "g": bytes(range(256))}, method=method) for method in methods]


def tars() -> list[bytes]:
    members = [(member("d/f"), b"x" * 500), (member("d/l", tarfile.SYMTYPE, "f"), b"")]
    members += [(member("long/" * 30 + "g"), bytes(range(256))), (member("h", tarfile.LNKTYPE, "d/f"), b"")]
    return [make_tar(*members, mode=mode) for mode in ("w", "w:gz", "w:bz2", "w:xz")]


@pytest.mark.parametrize(
    ("seeds", "unpack"), [(zips(), archives.unpack_zip), (tars(), archives.unpack_tar)], ids=["zip", "tar"]
)
def test_damaged_archive_is_unpacked_or_refused_and_nothing_else(
    seeds: list[bytes], unpack: Callable[[io.BufferedReader, archives.Tree], None], tmp_path: Path
) -> None:
    chance, refused = random.Random(2), 0
    for number in range(400):
        content = damaged(seeds[number % len(seeds)], chance)
        (tmp_path / "archive").write_bytes(content)
        for root in (None, str(tmp_path / "tree")):
            if root:
                (tmp_path / "tree").mkdir()
            tree = archives.Tree(root, len(content), 0)
            with (tmp_path / "archive").open("rb") as file:
                try:
                    unpack(file, tree)
                    tree.finish()
                except Problem as problem:
                    refused += 1
                    assert problem.kind == "archive"
                    assert problem.message.isprintable()
            shutil.rmtree(tmp_path / "tree", ignore_errors=True)
    assert refused > 100


def test_connection_that_breaks_under_check_mode_is_no_broken_archive(host: Host) -> None:
    content = make_tar((member("f"), os.urandom(100_000)), mode="w")
    artifact = host.publish("s.tar", content)
    with serving(lambda method, target: (200, {"Content-Length": "999999"}, content[:50_000])) as served:
        placement = host.placement("1", {**artifact, "location": f"{served.url}/s.tar"})
        found = host.phase("stage", placement, check=True)
    assert found["problem"]["kind"] == "download"
    assert served.url in found["problem"]["message"]
