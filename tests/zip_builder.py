"""Zip archives written record by record: every field of every record can be set to what it should not be.

What is not set is as a sound archive has it (APPNOTE 4.3): sizes, checksums, offsets and counts of what is written.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STORED, DEFLATE, DEFLATE64 = 0, 8, 9
ENCRYPTED, DESCRIPTOR, UTF8 = 1, 1 << 3, 1 << 11
IN_ZIP64_16, IN_ZIP64_32 = 0xFFFF, 0xFFFFFFFF

_LAYOUTS = {
    "local": {
        "signature": "4s",
        "version": "H",
        "flags": "H",
        "method": "H",
        "time": "H",
        "date": "H",
        "crc": "L",
        "packed_size": "L",
        "size": "L",
        "name_length": "H",
        "extra_length": "H",
    },
    "central": {
        "signature": "4s",
        "made_by": "H",
        "version": "H",
        "flags": "H",
        "method": "H",
        "time": "H",
        "date": "H",
        "crc": "L",
        "packed_size": "L",
        "size": "L",
        "name_length": "H",
        "extra_length": "H",
        "comment_length": "H",
        "disk": "H",
        "internal": "H",
        "external": "L",
        "offset": "L",
    },
    "end": {
        "signature": "4s",
        "disk": "H",
        "directory_disk": "H",
        "entries_here": "H",
        "entries": "H",
        "directory_size": "L",
        "directory_offset": "L",
        "comment_length": "H",
    },
    "end64": {
        "signature": "4s",
        "record_size": "Q",
        "made_by": "H",
        "version": "H",
        "disk": "L",
        "directory_disk": "L",
        "entries_here": "Q",
        "entries": "Q",
        "directory_size": "Q",
        "directory_offset": "Q",
    },
    "locator": {"signature": "4s", "disk": "L", "offset": "Q", "disks": "L"},
}

Fields = dict[str, "int | bytes"]


def record(kind: str, values: Mapping[str, int | bytes], changes: Mapping[str, int | bytes]) -> bytes:
    """One record's fixed part; ``changes`` take the place of ``values``, and all else is zero."""
    layout = _LAYOUTS[kind]
    unknown = (values.keys() | changes.keys()) - layout.keys()
    assert not unknown, unknown
    merged = dict.fromkeys(layout, 0) | dict(values) | dict(changes)
    return struct.pack("<" + "".join(layout.values()), *(merged[name] for name in layout))


def deflate(data: bytes, level: int = 6, strategy: int = zlib.Z_DEFAULT_STRATEGY) -> bytes:
    """A raw deflate stream."""
    deflater = zlib.compressobj(level, zlib.DEFLATED, -15, 9, strategy)
    return deflater.compress(data) + deflater.flush()


def extra(kind: int, data: bytes) -> bytes:
    """An extra field (APPNOTE 4.5.1)."""
    return struct.pack("<HH", kind, len(data)) + data


def zip64_extra(*values: int) -> bytes:
    """The zip64 extra field with 64-bit values (APPNOTE 4.5.3)."""
    return extra(1, struct.pack(f"<{len(values)}Q", *values))


def unicode_path(name: str | bytes, stored: bytes) -> bytes:
    """The Info-ZIP Unicode path (APPNOTE 4.6.9), made for the stored name."""
    path = name.encode() if isinstance(name, str) else name
    return extra(0x7075, struct.pack("<BL", 1, zlib.crc32(stored)) + path)


def descriptor(crc: int, packed: int, size: int, *, signature: bool = True, wide: bool = False) -> bytes:
    """A data descriptor in one of its four forms (APPNOTE 4.3.9)."""
    return (b"PK\x07\x08" if signature else b"") + struct.pack("<LQQ" if wide else "<LLL", crc, packed, size)


@dataclass
class Member:
    """One member.

    Attributes:
        name: As stored; a text is UTF-8.
        data: Its bytes.
        method: How it says it is packed; ``packed`` is made for 0 and 8.
        packed: The bytes in the archive.
        flags: In both headers. A text that is not ASCII does not set the UTF-8 flag.
        local, central: Fields of these headers to change, by their names above.
        local_extra, central_extra, comment: Their variable parts.
        descriptor: What follows the data; if given, with flag bit 3 and zeros in the local header.
        before: Bytes in front of the local header.
        is_listed: Whether the directory has it.
        is_written: Whether the local header and the data are there.
    """

    name: str | bytes
    data: bytes = b""
    method: int = STORED
    packed: bytes | None = None
    flags: int = 0
    local: Fields = field(default_factory=dict)
    central: Fields = field(default_factory=dict)
    local_extra: bytes = b""
    central_extra: bytes = b""
    comment: bytes = b""
    descriptor: bytes | None = None
    before: bytes = b""
    is_listed: bool = True
    is_written: bool = True

    @property
    def stored_name(self) -> bytes:
        return self.name.encode() if isinstance(self.name, str) else self.name

    @property
    def packed_data(self) -> bytes:
        if self.packed is not None:
            return self.packed
        return deflate(self.data) if self.method == DEFLATE else self.data

    def both(self, **changes: int) -> Member:
        """The same member with fields changed in both headers."""
        self.local |= changes
        self.central |= changes
        return self

    def described(self, *, signature: bool = True, wide: bool = False) -> Member:
        """The same member with a right data descriptor."""
        sizes = len(self.packed_data), len(self.data)
        self.descriptor = descriptor(zlib.crc32(self.data), *sizes, signature=signature, wide=wide)
        return self

    def _shared(self) -> Fields:
        flags = self.flags | (DESCRIPTOR if self.descriptor is not None else 0)
        return {"version": 20, "flags": flags, "method": self.method, "date": 33}

    def local_record(self) -> bytes:
        """The local header, the data and the descriptor."""
        name, packed = self.stored_name, self.packed_data
        values = self._shared() | {"signature": b"PK\x03\x04", "name_length": len(name)}
        values |= {"extra_length": len(self.local_extra)}
        if self.descriptor is None:
            values |= {"crc": zlib.crc32(self.data), "packed_size": len(packed), "size": len(self.data)}
        header = record("local", values, self.local)
        return header + name + self.local_extra + packed + (self.descriptor or b"")

    def central_record(self, offset: int) -> bytes:
        """The directory's entry."""
        name = self.stored_name
        values = self._shared() | {
            "signature": b"PK\x01\x02",
            "made_by": 3 << 8 | 20,
            "crc": zlib.crc32(self.data),
            "packed_size": len(self.packed_data),
            "size": len(self.data),
            "name_length": len(name),
            "extra_length": len(self.central_extra),
            "comment_length": len(self.comment),
            "offset": offset,
        }
        return record("central", values, self.central) + name + self.central_extra + self.comment


@dataclass
class Archive:
    """An archive and where its records stand.

    Attributes:
        data: All its bytes.
        locals, centrals: Positions of the members' records.
        directory, end64, locator, end: Positions of these; -1 for those that are not there.
    """

    data: bytes
    locals: list[int]
    centrals: list[int]
    directory: int
    end64: int
    locator: int
    end: int


def build(
    members: Sequence[Member],
    *,
    prefix: bytes = b"",
    offsets_count_from: int = 0,
    before_directory: bytes = b"",
    before_end: bytes = b"",
    comment: bytes = b"",
    suffix: bytes = b"",
    end: Fields | None = None,
    end64: Fields | None = None,
    locator: Fields | None = None,
    end64_tail: bytes = b"",
) -> Archive:
    """Write an archive.

    Args:
        members: In order.
        prefix: Bytes in front of the first member.
        offsets_count_from: What all offsets are counted from; ``len(prefix)`` for the archive's own beginning.
        before_directory, before_end: Bytes in front of the directory, and of the end records.
        comment: The archive comment.
        suffix: Bytes behind everything.
        end: Fields of the end record to change.
        end64: Fields of the zip64 end record to change; None for an archive without one. With one, the end record
            refers to it in its counts, size and offset, unless ``end`` says otherwise.
        locator: Fields of the zip64 locator to change.
        end64_tail: Bytes that the zip64 end record has more, as its second version.
    """
    out = bytearray(prefix)
    base = offsets_count_from
    positions = []
    for member in members:
        out += member.before
        positions.append(len(out))
        if member.is_written:
            out += member.local_record()
    out += before_directory
    directory = len(out)
    centrals = []
    for member, position in zip(members, positions, strict=True):
        centrals.append(len(out))
        if member.is_listed:
            out += member.central_record(min(position - base, IN_ZIP64_32))
    count = sum(member.is_listed for member in members)
    numbers = {"entries_here": count, "entries": count, "directory_size": len(out) - directory}
    numbers["directory_offset"] = directory - base
    out += before_end
    at64 = at_locator = -1
    most = {name: IN_ZIP64_16 if name.startswith("entries") else IN_ZIP64_32 for name in numbers}
    small: Fields = {name: min(value, most[name]) for name, value in numbers.items()}
    if end64 is not None:
        at64 = len(out)
        values: Fields = {"signature": b"PK\x06\x06", "record_size": 44 + len(end64_tail), "made_by": 45, "version": 45}
        out += record("end64", values | numbers, end64) + end64_tail
        at_locator = len(out)
        out += record("locator", {"signature": b"PK\x06\x07", "offset": at64 - base, "disks": 1}, locator or {})
        small = dict(most)
    at_end = len(out)
    out += record("end", {"signature": b"PK\x05\x06", "comment_length": len(comment)} | small, end or {})
    out += comment + suffix
    return Archive(bytes(out), positions, centrals, directory, at64, at_locator, at_end)


def zip_bytes(members: Sequence[Member], **options: object) -> bytes:
    """The bytes of :func:`build`."""
    return build(members, **options).data  # type: ignore[arg-type]
