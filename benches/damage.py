"""Chunks as a crawl leaves them: 7 % of the members damaged, in twelve ways, and what is to be told of each.

Damage to images is done to the file, damage to the archive to the member's headers (APPNOTE 4.3.7, 4.3.12). The chunks
are written by hand, as ``zipfile`` writes no archive that is wrong.
"""

from __future__ import annotations

import io
import random
import struct
import zlib
from dataclasses import dataclass, field, replace
from itertools import count, cycle
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

__all__ = ["KINDS", "SHARE", "Damaged", "write_damaged"]

SHARE = 0.07


@dataclass(frozen=True)
class _Member:
    name: str
    data: bytes
    flags: int = 0
    method: int = 0
    crc_error: int = 0


@dataclass(frozen=True)
class Damaged:
    """What is to come of chunks.

    Attributes:
        good: Numbers of the payloads delivered, in order.
        failures: Of each failure, in order, the chunk, the member, and the codes of which one is to be told.
    """

    good: list[int] = field(default_factory=list)
    failures: list[tuple[str, str, frozenset[str]]] = field(default_factory=list)


def _file_damage(damage: Callable[[bytes], bytes]) -> Callable[[_Member], list[_Member]]:
    return lambda member: [replace(member, data=damage(member.data))]


def _flip(data: bytes) -> bytes:
    """One bit after the headers: JPEG decoders may not notice, the archive's checksum does."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 16]) + data[middle + 1 :]


def _bomb(data: bytes) -> bytes:
    """The frame header (T.81 B.2.2) says 65,535 x 65,535 pixels."""
    at = 2
    # Segment by segment: a thumbnail in front has a frame header of its own.
    while data[at + 1] not in {0xC0, 0xC1, 0xC2}:
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return data[: at + 5] + b"\xff" * 4 + data[at + 9 :]


def _cmyk(data: bytes) -> bytes:
    """The picture with four inks, its second half gone."""
    file = io.BytesIO()
    Image.open(io.BytesIO(data)).convert("CMYK").save(file, "JPEG")
    return file.getvalue()[: len(file.getvalue()) // 2]


def _flipped_in_the_archive(member: _Member) -> list[_Member]:
    flipped = _flip(member.data)
    return [replace(member, data=flipped, crc_error=zlib.crc32(flipped) ^ zlib.crc32(member.data))]


KINDS: dict[str, tuple[Callable[[_Member], list[_Member]], frozenset[str]]] = {
    "truncated": (_file_damage(lambda data: data[: len(data) // 2]), frozenset({"truncated_image"})),
    "flipped bytes": (_flipped_in_the_archive, frozenset({"crc"})),
    "HTML": (_file_damage(lambda _: b"<!DOCTYPE html><title>404</title>"), frozenset({"not_an_image"})),
    "empty": (_file_damage(lambda _: b""), frozenset({"not_an_image"})),
    "bomb header": (_file_damage(_bomb), frozenset({"limit_pixels"})),
    "wrong checksum": (lambda member: [replace(member, crc_error=1)], frozenset({"crc"})),
    "encrypted": (lambda member: [replace(member, flags=1)], frozenset({"encrypted"})),
    "unsupported method": (lambda member: [replace(member, method=12)], frozenset({"unsupported_method"})),
    "duplicate name": (lambda member: [member, member], frozenset({"duplicate"})),
    "unsafe name": (
        lambda member: [replace(member, name=f"../../{member.name}")],
        frozenset({"unsafe_name"}),
    ),
    "other format": (_file_damage(lambda data: b"8BPS\0\1" + data[6:]), frozenset({"unsupported_format"})),
    "corrupt CMYK": (_file_damage(_cmyk), frozenset({"corrupt", "truncated_image"})),
}


def write_damaged(
    folder: Path,
    payload: Callable[[int], bytes],
    *,
    chunks: int,
    members: int,
    damageable: Callable[[int], bytes] | None = None,
    share: float = SHARE,
) -> Damaged:
    """Write chunks of which a share of the members is damaged, in all the ways by turns.

    Args:
        folder: Where; the chunks are ``000.zip`` and so on.
        payload: The image of a number; numbers go up through all chunks.
        chunks: Chunks.
        members: Members in each.
        damageable: The image that is damaged in place of a payload; a JPEG.
        share: Of the members.

    Returns:
        What is to come of them.
    """
    outcome = Damaged()
    kinds, numbers = cycle(KINDS), count()
    choose = random.Random(7)
    for chunk in range(chunks):
        bad = set(choose.sample(range(members), round(members * share)))
        entries: list[_Member] = []
        while len(entries) < members:
            number = next(numbers)
            member = _Member(f"label{number % 10}/{number:06d}.jpg", b"")
            if len(entries) not in bad:
                entries.append(replace(member, data=payload(number)))
                outcome.good.append(number)
                continue
            damage, codes = KINDS[next(kinds)]
            made = damage(replace(member, data=(damageable or payload)(number)))[: members - len(entries)]
            if len(made) == 1 and codes == {"duplicate"}:
                # No room for the second one.
                made, codes = [replace(made[0], data=b"")], frozenset({"not_an_image"})
            entries.extend(made)
            outcome.failures.extend((f"{chunk:03d}.zip", one.name, codes) for one in made)
        (folder / f"{chunk:03d}.zip").write_bytes(b"".join(_zip_of(entries)))
    return outcome


def _zip_of(members: Sequence[_Member]) -> Iterator[bytes]:
    central = []
    offset = 0
    for member in members:
        name = member.name.encode()
        crc = zlib.crc32(member.data) ^ member.crc_error
        size = len(member.data)
        # Version 2.0, flags, method, time, date, CRC, sizes, lengths of name and extra field.
        common = struct.pack("<5H3I2H", 20, member.flags, member.method, 0, 33, crc, size, size, len(name), 0)
        central.append(b"PK\1\2" + struct.pack("<H", 20) + common + struct.pack("<3H2I", 0, 0, 0, 0, offset) + name)
        local = b"PK\3\4" + common + name + member.data
        offset += len(local)
        yield local
    directory = b"".join(central)
    yield directory
    yield b"PK\5\6" + struct.pack("<4H2IH", 0, 0, len(members), len(members), len(directory), offset, 0)
