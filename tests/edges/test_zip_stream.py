"""A zip that is unpacked while it comes is what it is when it is read from its end, or it is read from there."""

from __future__ import annotations

import io
import os
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from host_program import archives, trees, zip_stream
from host_program.problems import Problem
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.edges.host import Host, make_zip
from tests.edges.test_arriving import fetched as fetched
from tests.edges.test_arriving import left
from tests.edges.zips import DEFLATED, DIRECTORY, FIFO, FILE, LARGE, LINK, PROGRAM, STORED, Member, build

RANDOM = os.urandom(3 << 20)
HALF = RANDOM[: len(RANDOM) // 2] + bytes(len(RANDOM) // 2)


class Pipe(io.BytesIO):
    """What a program writes to that cannot go back in it."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: Any) -> int:
        raise OSError

    def tell(self) -> int:
        raise OSError


def piped() -> bytes:
    content = Pipe()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("f", HALF)
        with archive.open("large", "w", force_zip64=True) as file:
            file.write(b"x" * 1000)
    return content.getvalue()


A, B = Member(name=b"a", data=b"aaaa" * 100), Member(name=b"d/b", data=b"b")
PLAIN = {
    "deflated": build(A, B),
    "stored": build(replace(A, method=STORED), B),
    "deflated, in pieces": build(replace(A, data=HALF), B),
    "stored, in pieces": build(replace(A, data=RANDOM, method=STORED), B),
    "much from little": build(replace(A, data=bytes(5 << 20)), B),
    "described": build(replace(A, descriptor="marked"), B),
    "described without a mark": build(replace(A, descriptor="bare"), B),
    "described, in pieces": build(replace(A, data=HALF, descriptor="marked"), B),
    "described as large": build(replace(A, descriptor="marked", zip64=True), B),
    "described as large without a mark": build(replace(A, descriptor="bare", zip64=True), B),
    "described and empty": build(replace(A, data=b"", descriptor="bare"), replace(B, descriptor="marked")),
    "written to a pipe": piped(),
    "zip64": build(replace(A, zip64=True), replace(B, method=STORED, zip64=True)),
    "extra fields": build(replace(A, extra=b"UT\x05\x00\x03abcd"), replace(B, zip64=True, extra=b"xx\0\0")),
    "empty members": build(replace(A, data=b"", method=STORED), replace(B, data=b"")),
    "directories": build(Member(name=b"d/", mode=DIRECTORY, method=STORED), B, Member(name=b"e/f/")),
    "directories as java writes them": build(Member(name=b"d/", descriptor="marked"), B),
    "programs": build(replace(A, mode=PROGRAM), replace(B, mode=0o111)),
    "links": build(replace(A, data=b"d/b", mode=LINK), B, Member(name=b"d/up", data=b"..", mode=LINK)),
    "link that is described": build(replace(A, data=b"d/b", mode=LINK, descriptor="marked"), B),
    "no unix modes": build(replace(A, mode=0), B),
    "names in utf-8": build(Member(name="ä/ö.txt".encode(), data=b"x"), B),
    "names in cp437": build(
        Member(name=b"x"), replace(A, name=b"\x84.txt", local={"flags": 0}, central={"flags": 0})
    ),
    "comment": build(A, B, comment=b"0123456789abcdef" * 20),
    "manifest first": build(
        Member(name=b"META-INF/", method=STORED), Member(name=b"META-INF/MANIFEST.MF", data=b"1"), A
    ),
    "its directory in another order": build(A, B, listed=(1, 0)),
    "an end of zip64": build(A, B, zip64=True),
    "many members": build(
        *(Member(name=b"%d/%d" % (n % 7, n), data=RANDOM[n : n + 700]) for n in range(500))
    ),
    "made by the standard library": make_zip({"d/f": "x" * 500, "g": bytes(range(256))}),
}
TO_BE_READ_FROM_THE_END = {
    "something before the first member": build(A, B, before=b"#!/bin/sh\nexec java -jar $0\n"),
    "something before the directory": build(A, B, between=b"signed" * 9),
    "a hidden member": build(A, B, listed=(0,)),
    "bzip2": make_zip({"f": "x" * 500}, method=zipfile.ZIP_BZIP2),
    "lzma": make_zip({"f": "x" * 500}, method=zipfile.ZIP_LZMA),
    "stored and described": build(replace(A, method=STORED, descriptor="marked"), B),
    "another name in its header": build(replace(A, local={"name": b"other"}), B),
    "another mark of its name": build(replace(A, local={"flags": 0x800}), B),
    "another method in its header": build(replace(A, local={"method": STORED}), B),
    "other sizes in its header": build(replace(A, local={"size": 3}), B),
    "another CRC in its header": build(replace(A, local={"crc": 3}), B),
    "a directory with content": build(Member(name=b"d/", data=b"x"), B),
    "data that goes on where deflate ended": build(replace(A, data=b"1", packed=b"3\x04\x00behind"), B),
    "a NUL in a name": build(replace(A, name=b"a\0.exe"), B),
}
HOSTILE = {
    "listed twice": build(A, B, listed=(0, 0, 1)),
    "a member twice": build(A, B, A),
    "a file and a directory": build(A, replace(B, name=b"a/b")),
    "through a link": build(Member(name=b"l", data=b"d", mode=LINK), replace(B, name=b"l/b")),
    "parent": build(replace(A, name=b"../a"), B),
    "absolute": build(replace(A, name=b"/a"), B),
    "backslash": build(A, replace(B, name=b"..\\b")),
    "long name": build(A, replace(B, name=b"n" * 300)),
    "no name in utf-8": build(A, replace(B, name=b"\xff", local={"flags": 0x800})),
    "link out": build(A, Member(name=b"l", data=b"../../etc", mode=LINK)),
    "absolute link": build(A, Member(name=b"l", data=b"/etc", mode=LINK)),
    "link of no text": build(A, Member(name=b"l", data=b"\xff", mode=LINK)),
    "large link": build(A, Member(name=b"l", data=b"x" * 5000, mode=LINK)),
    "fifo": build(A, Member(name=b"fifo", mode=FIFO)),
    "encrypted": build(replace(A, flags=1), B),
    "wrong CRC": build(replace(A, local={"crc": 3}, central={"crc": 3}), B),
    "wrong CRC, in pieces": build(replace(A, data=HALF, local={"crc": 3}, central={"crc": 3}), B),
    "another CRC in the directory": build(A, replace(B, central={"crc": 3})),
    "another size in the directory": build(A, replace(B, central={"size": 300})),
    "fewer bytes in the directory": build(replace(A, method=STORED, central={"packed": 3}), B),
    "less than it says": build(replace(A, local={"size": 1000}, central={"size": 1000}), B),
    "more than it says, in pieces": build(
        replace(A, data=HALF, local={"size": 2 << 20}, central={"size": 2 << 20}), B
    ),
    "stored sizes that differ": build(replace(A, method=STORED, local={"size": 9}, central={"size": 9}), B),
    "descriptor that lies": build(replace(A, descriptor="marked", central={"crc": 1}), B),
    "overlapping": build(replace(A, method=STORED, data=build(B)), replace(B, central={"offset": 31})),
    "zip64 without its field": build(replace(A, local={"size": LARGE}, central={"size": LARGE}), B),
    "zip64 with half its field": build(
        replace(A, local={"size": LARGE, "packed": LARGE, "extra": b"\1\0\x08\0" + bytes(8)}), B
    ),
    "deflated data without an end": build(
        replace(A, data=b"", packed=b"\0\0\0\xff\xff", descriptor="bare"), B
    ),
    "damaged data": build(replace(A, packed=b"\xff" * 50), B),
    "truncated": build(A, B)[:-30],
    "truncated in a member": build(replace(A, data=RANDOM), B)[: 2 << 20],
    "something behind its end": build(A, B) + b"behind" * 9,
    "another end in its comment": build(A, B, comment=build(B)),
    "no members": build(),
    "no archive": b"<html>not found</html>" * 100,
}


class Bytes:
    """An archive's bytes, coming in pieces of that size."""

    def __init__(self, content: bytes, size: int = 1000) -> None:
        self._file, self._size = io.BytesIO(content), size

    def piece(self) -> bytes:
        return self._file.read(self._size)

    def verify(self) -> None:
        """They are what was asked for."""


def both_ways(content: bytes, strip: int = 0) -> list[tuple[Any, ...]]:
    """What is unpacked while it comes, then what is unpacked from its end; or the problem's words."""
    found: list[tuple[Any, ...]] = []
    for unpack, file in ((zip_stream.unpack, Bytes(content)), (archives.unpack_zip, io.BytesIO(content))):
        with tempfile.TemporaryDirectory() as folder:
            tree = archives.Tree(folder, len(content), strip)
            try:
                unpack(file, tree)
                tree.finish()
            except Problem as problem:
                assert problem.kind == "archive"
                found.append((problem.message, problem.resolution))
            else:
                entries = modes_of_directories(Path(folder), tree.entries)
                assert trees.compare_tree(folder, entries) == []
                found.append((entries, tree.size_bytes))
    return found


def modes_of_directories(root: Path, entries: dict[str, Any]) -> dict[str, Any]:
    """What staging makes of directories afterwards is done."""
    for path, entry in entries.items():
        if entry["type"] == "directory":
            (root / path).chmod(entry["mode"])
    return entries


def deploy(host: Host, artifact: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    done = host.phase("stage", host.placement("1", artifact))
    return done, left(host)


@pytest.mark.parametrize("content", PLAIN.values(), ids=PLAIN)
def test_plain_zip_is_unpacked_while_it_comes_as_from_its_end(content: bytes) -> None:
    streamed, read = both_ways(content)
    assert streamed == read
    assert isinstance(read[0], dict), read


def test_leading_directories_are_dropped_as_from_its_end() -> None:
    content = build(
        Member(name=b"top/", mode=DIRECTORY), replace(A, name=b"top/a"), replace(B, name=b"top/d/b")
    )
    streamed, read = both_ways(content, strip=1)
    assert streamed == read
    assert set(read[0]) == {"a", "d", "d/b"}


@pytest.mark.parametrize("content", TO_BE_READ_FROM_THE_END.values(), ids=TO_BE_READ_FROM_THE_END)
def test_zip_that_only_its_end_explains_is_read_from_there(
    host: Host, fetched: list[str], content: bytes
) -> None:
    done, files = deploy(host, host.publish("s.zip", content))
    assert done["problem"] is None, done
    assert len(fetched) == 1
    assert {Path(path).name for path in both_ways(content)[1][0]} >= set(files)


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_hostile_zip_is_what_it_is_from_its_end(host: Host, tmp_path: Path, content: bytes) -> None:
    """Refused with the same words, and nothing left; or unpacked to the same."""
    streamed, files = deploy(host, host.publish("s.zip", content))
    (tmp_path / "sent").write_bytes(content)
    other = Host(tmp_path / "other", host.server)
    sent = {"delivery": "controller", "local": True, "location": str(tmp_path / "sent")}
    read, same = deploy(other, other.publish("s.zip", content) | sent)
    assert streamed["problem"] == read["problem"]
    assert files == same
    assert not files or not read["problem"]


def mode_of(name: bytes) -> st.SearchStrategy[int]:
    return (
        st.just(DIRECTORY) if name.endswith(b"/") else st.sampled_from([FILE, FILE, PROGRAM, LINK, 0, FIFO])
    )


@st.composite
def some_members(draw: st.DrawFn) -> Member:
    name = draw(st.sampled_from([b"a", b"b", b"d/", b"d/a", b"d/e/f", b"l", "ä".encode(), b"../a", b"d"]))
    mode = draw(mode_of(name))
    sizes = st.sampled_from([b"", b"a", b"d/a", b"..", b"x" * 300, RANDOM[:3000], RANDOM[: 3 << 19]])
    return Member(
        name=name,
        data=b"" if mode == DIRECTORY else draw(sizes),
        method=draw(st.sampled_from([DEFLATED, STORED])),
        mode=mode,
        descriptor=draw(st.sampled_from(["", "", "marked", "bare"])),
        zip64=draw(st.booleans()),
        extra=draw(st.sampled_from([b"", b"UT\x01\0x"])),
        local=draw(st.sampled_from([{}, {}, {}, {"crc": 1}, {"packed": 2}, {"size": 3}, {"name": b"other"}])),
        central=draw(
            st.sampled_from([{}, {}, {}, {"crc": 1}, {"packed": 2}, {"size": 3}, {"flags": 4}, {"offset": 0}])
        ),
    )


@st.composite
def some_zips(draw: st.DrawFn) -> bytes:
    """Zips, most of them damaged in one place or another."""
    content = build(
        *draw(st.lists(some_members(), min_size=1, max_size=5)),
        comment=draw(st.sampled_from([b"", b"x", b"comment " * 9])),
        between=draw(st.sampled_from([b"", b"", b"x"])),
        zip64=draw(st.booleans()),
    )
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(1, min(len(content), 400)))
        at = draw(st.sampled_from([place, len(content) - place]))
        content = content[:at] + draw(st.binary(max_size=3)) + content[at + draw(st.integers(0, 3)) :]
    return content


@settings(max_examples=400, deadline=None)
@given(some_zips())
def test_what_is_unpacked_while_it_comes_is_what_its_end_says(content: bytes) -> None:
    streamed, read = both_ways(content)
    assert streamed == read or isinstance(streamed[0], str)


@settings(max_examples=100, deadline=None)
@given(st.lists(some_members().map(lambda one: replace(one, local={}, central={})), min_size=1, max_size=5))
def test_zip_as_programs_write_it_is_unpacked_while_it_comes(members: list[Member]) -> None:
    streamed, read = both_ways(build(*members))
    described = any(member.method == STORED and member.descriptor for member in members)
    assert streamed == read or described or isinstance(read[0], str)
