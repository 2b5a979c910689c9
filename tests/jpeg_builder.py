"""JPEG files made marker by marker (T.81 Annex B): whole ones taken apart, and random coefficients encoded here."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

SOI, EOI = b"\xff\xd8", b"\xff\xd9"
SOF0, SOF1, SOF2, DHT, SOS, DQT, DNL, DRI = 0xC0, 0xC1, 0xC2, 0xC4, 0xDA, 0xDB, 0xDC, 0xDD
APP0, APP1, APP2, APP14, COM = 0xE0, 0xE1, 0xE2, 0xEE, 0xFE


def segment(code: int, payload: bytes) -> bytes:
    """A marker with its length and payload."""
    return bytes([0xFF, code]) + struct.pack(">H", len(payload) + 2) + payload


@dataclass(frozen=True)
class Segment:
    """A marker segment, and behind a scan header the entropy-coded data."""

    code: int
    payload: bytes
    data: bytes = b""

    def to_bytes(self) -> bytes:
        return segment(self.code, self.payload) + self.data


def take_apart(jpeg: bytes) -> list[Segment]:
    """The segments of a sound file, without SOI and EOI."""
    segments = []
    at = 2
    while jpeg[at : at + 2] != EOI:
        assert jpeg[at] == 0xFF
        code, (length,) = jpeg[at + 1], struct.unpack_from(">H", jpeg, at + 2)
        payload, at = jpeg[at + 4 : at + 2 + length], at + 2 + length
        start = at
        while code == SOS and not (jpeg[at] == 0xFF and jpeg[at + 1] != 0 and not 0xD0 <= jpeg[at + 1] <= 0xD7):
            at += 1
        segments.append(Segment(code, payload, jpeg[start:at]))
    return segments


def put_together(segments: Iterable[Segment | bytes]) -> bytes:
    """A file of segments, and of bytes as they are, between SOI and EOI."""
    return SOI + b"".join(part if isinstance(part, bytes) else part.to_bytes() for part in segments) + EOI


def edit(jpeg: bytes, change: Callable[[Segment], Iterable[Segment | bytes]]) -> bytes:
    """The file with each segment replaced by what ``change`` makes of it."""
    return put_together(part for segment in take_apart(jpeg) for part in change(segment))


def without(jpeg: bytes, *codes: int) -> bytes:
    """The file without segments of these codes."""
    return edit(jpeg, lambda part: [] if part.code in codes else [part])


def insert_before(jpeg: bytes, code: int, *parts: bytes) -> bytes:
    """The file with bytes before the first segment of a code."""
    segments: list[Segment | bytes] = list(take_apart(jpeg))
    at = next(number for number, part in enumerate(segments) if isinstance(part, Segment) and part.code == code)
    return put_together([*segments[:at], *parts, *segments[at:]])


def exif(tiff: bytes) -> bytes:
    """An APP1 segment with a TIFF block."""
    return segment(APP1, b"Exif\0\0" + tiff)


def adobe(transform: int) -> bytes:
    """An APP14 segment."""
    return segment(APP14, b"Adobe" + struct.pack(">HHHB", 100, 0, 0, transform))


class Bits:
    """Entropy-coded data: bits, most significant first, with stuffed zeros (T.81 F.1.2.3)."""

    def __init__(self) -> None:
        self._out = bytearray()
        self._window, self._count = 0, 0

    def put(self, value: int, count: int) -> None:
        self._window, self._count = self._window << count | value, self._count + count
        while self._count >= 8:
            self._count -= 8
            byte = self._window >> self._count & 0xFF
            self._out += bytes([byte, 0]) if byte == 0xFF else bytes([byte])
        self._window &= (1 << self._count) - 1

    def restart(self, number: int) -> None:
        self.fill_up()
        self._out += bytes([0xFF, 0xD0 + number % 8])

    def fill_up(self) -> None:
        if self._count:
            self.put((1 << 8 - self._count) - 1, 8 - self._count)

    def to_bytes(self) -> bytes:
        self.fill_up()
        return bytes(self._out)


# Codes of one length each: of symbol s, s in four bits for DC and s in nine for AC.
DC_BITS, AC_BITS = 4, 9


def dc_table(slot: int = 0) -> bytes:
    """A DHT segment of the DC codes."""
    return segment(DHT, bytes([slot, 0, 0, 0, 12, *[0] * 12, *range(12)]))


def ac_table(slot: int = 0) -> bytes:
    """A DHT segment of the AC codes."""
    return segment(DHT, bytes([0x10 | slot, *[0] * 8, 255, *[0] * 7, *range(255)]))


def quantisation(slot: int = 0, value: int = 8, *, precise: bool = False) -> bytes:
    """A DQT segment; ``precise``: values of 16 bits."""
    return segment(DQT, bytes([slot | precise << 4]) + (struct.pack(">H", value) if precise else bytes([value])) * 64)


def _put_number(bits: Bits, value: int, size: int) -> None:
    bits.put(value if value >= 0 else value + (1 << size) - 1, size)


def _put_block(bits: Bits, block: NDArray[np.int64], prediction: int) -> None:
    """T.81 F.1.2."""
    difference = int(block[0]) - prediction
    bits.put(abs(difference).bit_length(), DC_BITS)
    _put_number(bits, difference, abs(difference).bit_length())
    run = 0
    last = int(np.flatnonzero(block).max(initial=0))
    for coefficient in block[1 : last + 1].tolist():
        if coefficient == 0:
            run += 1
            continue
        while run > 15:
            bits.put(0xF0, AC_BITS)
            run -= 16
        size = abs(coefficient).bit_length()
        bits.put(run << 4 | size, AC_BITS)
        _put_number(bits, coefficient, size)
        run = 0
    if last < 63:
        bits.put(0, AC_BITS)


@dataclass(frozen=True)
class Picture:
    """A picture of random coefficients, to be encoded in sequential scans.

    Attributes:
        height, width: In pixels.
        factors: Sampling factors (h, v) of each component.
        ids: Their identifiers; 1, 2, ... if none.
        restart_interval: In MCUs; 0: none.
        scans: Indices of the components of each scan; one scan of all if none.
        parts: Segments behind SOI.
        frame: Code of the frame header.
    """

    height: int
    width: int
    factors: Sequence[tuple[int, int]] = ((1, 1),)
    ids: Sequence[int] = ()
    restart_interval: int = 0
    scans: Sequence[Sequence[int]] = ()
    parts: Sequence[bytes] = ()
    frame: int = SOF0
    precision: int = 8
    seed: int = 0

    def with_(self, **changes: object) -> Picture:
        return replace(self, **changes)  # type: ignore[arg-type]

    def frame_header(self) -> bytes:
        sides = struct.pack(">BHHB", self.precision, self.height, self.width, len(self.factors))
        parts = [bytes([id_, h << 4 | v, 0]) for id_, (h, v) in zip(self._ids(), self.factors, strict=True)]
        return segment(self.frame, sides + b"".join(parts))

    def scan_header(self, components: Sequence[int]) -> bytes:
        selectors = b"".join(bytes([self._ids()[component], 0]) for component in components)
        return segment(SOS, bytes([len(components)]) + selectors + bytes([0, 63, 0]))

    def head(self) -> bytes:
        """Everything up to the first scan."""
        restarts = [segment(DRI, struct.pack(">H", self.restart_interval))] if self.restart_interval else []
        return SOI + b"".join([*self.parts, quantisation(), self.frame_header(), dc_table(), ac_table(), *restarts])

    def to_bytes(self) -> bytes:
        scans = self.scans or [range(len(self.factors))]
        return self.head() + b"".join(self.scan_header(scan) + self.scan_data(scan) for scan in scans) + EOI

    def _ids(self) -> Sequence[int]:
        return self.ids or range(1, len(self.factors) + 1)

    def _blocks(self) -> list[NDArray[np.int64]]:
        """Of each component the blocks of whole MCUs: (rows, columns, 64) coefficients in zigzag order."""
        rng = np.random.default_rng(self.seed)
        max_h, max_v = max(h for h, _ in self.factors), max(v for _, v in self.factors)
        planes = []
        for h, v in self.factors:
            rows, columns = -(-self.height // (8 * max_v)) * v, -(-self.width // (8 * max_h)) * h
            blocks = np.zeros((rows, columns, 64), np.int64)
            blocks[:, :, 0] = rng.integers(-60, 60, (rows, columns))
            blocks[:, :, 1:12] = rng.integers(-6, 7, (rows, columns, 11)) * rng.integers(0, 2, (rows, columns, 11))
            planes.append(blocks)
        return planes

    def _mcus(self, components: Sequence[int]) -> Iterable[list[tuple[int, NDArray[np.int64]]]]:
        """The MCUs of a scan: lists of a component and a block (T.81 A.2)."""
        planes = self._blocks()
        if len(components) == 1:
            # The component's own blocks, without those that fill up MCUs.
            (only,) = components
            max_h, max_v = max(h for h, _ in self.factors), max(v for _, v in self.factors)
            h, v = self.factors[only]
            rows = ceil(ceil(self.height * v / max_v) / 8)
            columns = ceil(ceil(self.width * h / max_h) / 8)
            for row in planes[only][:rows]:
                for block in row[:columns]:
                    yield [(only, block)]
            return
        first = components[0]
        for row in range(len(planes[first]) // self.factors[first][1]):
            for column in range(planes[first].shape[1] // self.factors[first][0]):
                yield [
                    (component, planes[component][row * v + y, column * h + x])
                    for component in components
                    for h, v in [self.factors[component]]
                    for y in range(v)
                    for x in range(h)
                ]

    def scan_data(self, components: Sequence[int]) -> bytes:
        """Entropy-coded data of a scan."""
        bits = Bits()
        predictions = dict.fromkeys(components, 0)
        for number, mcu in enumerate(self._mcus(components)):
            if self.restart_interval and number and number % self.restart_interval == 0:
                bits.restart(number // self.restart_interval - 1)
                predictions = dict.fromkeys(components, 0)
            for component, block in mcu:
                _put_block(bits, block, predictions[component])
                predictions[component] = int(block[0])
        return bits.to_bytes()


def scan_bomb(scans: int, side: int = 2048) -> bytes:
    """A progressive JPEG of legal scans that cost time and change nothing.

    A DC scan, then of each coefficient in turn a scan at bit position 13 and refinements down to 0, each of nothing but
    runs of blocks that have ended; 883 scans are all there can be.
    """
    blocks = (side // 8) ** 2
    # Tables of few codes: DC difference 0; AC runs of 2^14 blocks and more, followed by 14 bits.
    tables = segment(DHT, bytes([0x00, 1, *[0] * 15, 0])) + segment(DHT, bytes([0x10, 1, *[0] * 15, 0xE0]))
    runs = Bits()
    for _ in range(-(-blocks // (1 << 14))):
        runs.put(0, 15)
    ac_data = runs.to_bytes()
    scan_headers = [bytes([1, 1, 0x00, 0, 0, 0])]
    for coefficient in range(1, 64):
        for low in range(13, -1, -1):
            high = 0 if low == 13 else low + 1
            scan_headers.append(bytes([1, 1, 0x00, coefficient, coefficient, high << 4 | low]))
    out = [SOI, quantisation(value=1), Picture(side, side, frame=SOF2).frame_header(), tables]
    for number, header in enumerate(scan_headers[:scans]):
        out += [segment(SOS, header), bytes(blocks // 8 + 1) if number == 0 else ac_data]
    return b"".join([*out, EOI])
