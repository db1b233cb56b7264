"""Zips written field by field, so that they may be as programs write them and as nobody should."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

STORED, DEFLATED = 0, 8
FILE, PROGRAM, LINK, DIRECTORY, FIFO = 0o100644, 0o100755, 0o120777, 0o040755, 0o010644
LARGE = 0xFFFFFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One member; a descriptor is `marked` or `bare`, with sizes of 8 bytes where `zip64` says so.

    Attributes:
        local, central: fields of its header and of its entry that are something else than they should be.
        packed: what lies there instead of its content.
    """

    name: bytes
    data: bytes = b""
    method: int = DEFLATED
    flags: int = 0
    mode: int = FILE
    descriptor: str = ""
    zip64: bool = False
    extra: bytes = b""
    local: Mapping[str, int | bytes] = field(default_factory=dict)
    central: Mapping[str, int | bytes] = field(default_factory=dict)
    packed: bytes | None = None


def build(
    *members: Member,
    listed: Sequence[int] | None = None,
    before: bytes = b"",
    between: bytes = b"",
    comment: bytes = b"",
    zip64: bool = False,
) -> bytes:
    """A zip of these members.

    Args:
        listed: the numbers of those in its directory; None: all, in their order.
        before: what precedes the first one; offsets count it.
        between: what lies before the directory.
        zip64: its end is for more than there can be in a small one.
    """
    content, entries = before, []
    for member in members:
        entries.append(_entry(member, len(content)))
        content += _header(member) + _packed(member) + _descriptor(member)
    entries = entries if listed is None else [entries[number] for number in listed]
    content += between
    start, directory = len(content), b"".join(entries)
    content += directory
    sizes = (len(entries), len(entries), len(directory), start)
    if zip64:
        end = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, *sizes)
        content += end + struct.pack("<4sLQL", b"PK\x06\x07", 0, len(content), 1)
        sizes = (0xFFFF, 0xFFFF, LARGE, LARGE)
    return content + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, *sizes, len(comment)) + comment


def _packed(member: Member) -> bytes:
    if member.packed is not None:
        return member.packed
    if member.method == STORED:
        return member.data
    deflater = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflater.compress(member.data) + deflater.flush()


def _measures(member: Member) -> dict[str, int | bytes]:
    flags = member.flags | (8 if member.descriptor else 0) | (0 if member.name.isascii() else 0x800)
    return {
        "flags": flags,
        "method": member.method,
        "crc": zlib.crc32(member.data),
        "packed": len(_packed(member)),
        "size": len(member.data),
        "name": member.name,
        "extra": member.extra,
    }


def _header(member: Member) -> bytes:
    values = _measures(member)
    if member.descriptor:
        values |= {"crc": 0, "packed": 0, "size": 0}
    if member.zip64:
        large = struct.pack("<HHQQ", 1, 16, values["size"], values["packed"])
        values |= {"size": LARGE, "packed": LARGE, "extra": large + member.extra}
    values |= member.local
    name, extra = values.pop("name"), values.pop("extra")
    assert isinstance(name, bytes)
    assert isinstance(extra, bytes)
    fixed = (b"PK\x03\x04", 20, values["flags"], values["method"], 0, 33)
    sizes = (values["crc"], values["packed"], values["size"], len(name), len(extra))
    return struct.pack("<4s5H3L2H", *fixed, *sizes) + name + extra


def _descriptor(member: Member) -> bytes:
    if not member.descriptor:
        return b""
    values = _measures(member)
    mark = b"PK\x07\x08" if member.descriptor == "marked" else b""
    sizes = "<LQQ" if member.zip64 else "<LLL"
    return mark + struct.pack(sizes, values["crc"], values["packed"], values["size"])


def _entry(member: Member, offset: int) -> bytes:
    values = _measures(member) | {"mode": member.mode, "offset": offset} | member.central
    name, extra, mode = values.pop("name"), values.pop("extra"), values.pop("mode")
    assert isinstance(name, bytes)
    assert isinstance(extra, bytes)
    assert isinstance(mode, int)
    fixed = (b"PK\x01\x02", 0x031E, 20, values["flags"], values["method"], 0, 33)
    sizes = (values["crc"], values["packed"], values["size"], len(name), len(extra), 0)
    rest = (0, 0, mode << 16, values["offset"])
    return struct.pack("<4s6H3L3H2H2L", *fixed, *sizes, *rest) + name + extra
