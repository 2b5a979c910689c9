"""Inputs of the JPEG cases, by case and name: the file, and the code that it is refused with (None: delivered).

What is delivered has Pillow's pixels of the file; of another file, ``like``, where Pillow's reader of markers stumbles.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image

from jpeg_builder import (
    APP0,
    APP1,
    APP2,
    APP14,
    DHT,
    DNL,
    DQT,
    DRI,
    EOI,
    SOF0,
    SOF1,
    SOI,
    SOS,
    Picture,
    Segment,
    ac_table,
    adobe,
    dc_table,
    edit,
    exif,
    insert_before,
    put_together,
    quantisation,
    segment,
    take_apart,
    without,
)
from support import encode, picture

if TYPE_CHECKING:
    from collections.abc import Callable


class Input(NamedTuple):
    """A file and what becomes of it."""

    data: bytes
    code: str | None = None
    like: bytes | None = None


Inputs = dict[str, Input]

YCC = Picture(37, 53, [(2, 1), (1, 1), (1, 1)])
CMYK = Picture(37, 53, [(1, 1)] * 4)
COLOURED = Image.fromarray(picture(40, 56))
INK = Image.fromarray(picture(33, 41, channels=4), "CMYK")
PHOTO = encode(COLOURED, "JPEG", quality=80)
PROGRESSIVE = encode(COLOURED, "JPEG", quality=80, progressive=True)


def sampling() -> Inputs:
    """J02."""
    luma = {
        "444": (1, 1),
        "422": (2, 1),
        "440": (1, 2),
        "420": (2, 2),
        "411": (4, 1),
        "410": (4, 2),
        "441": (1, 4),
        "3x1": (3, 1),
        "1x3": (1, 3),
    }
    files = {name: Input(Picture(37, 53, [factors, (1, 1), (1, 1)]).to_bytes()) for name, factors in luma.items()}
    odd: dict[str, list[tuple[int, int]]] = {
        "chroma-larger": [(1, 1), (2, 2), (2, 2)],
        "chroma-differs": [(2, 2), (2, 1), (1, 2)],
        "grey-2x2": [(2, 2)],
        "grey-4x3": [(4, 3)],
    }
    files |= {name: Input(Picture(37, 53, factors).to_bytes()) for name, factors in odd.items()}
    unsupported = "unsupported_jpeg"
    files["fraction-3-2"] = Input(Picture(37, 53, [(3, 2), (2, 1), (1, 1)]).to_bytes(), unsupported)
    files["fraction-2-3"] = Input(Picture(37, 53, [(2, 2), (3, 1), (1, 1)]).to_bytes(), unsupported)
    # T.81 B.2.3: at most ten blocks an MCU.
    files["18-blocks"] = Input(Picture(37, 53, [(4, 4), (1, 1), (1, 1)]).to_bytes(), "corrupt")
    return files


def colours() -> Inputs:
    """J03."""
    return {
        "grey": Input(Picture(37, 53).to_bytes()),
        "ycc": Input(YCC.to_bytes()),
        "ycc-adobe": Input(YCC.with_(parts=[adobe(1)]).to_bytes()),
        "ycc-odd-ids": Input(YCC.with_(ids=(5, 7, 9)).to_bytes()),
        "ycc-ids-from-0": Input(YCC.with_(ids=(0, 1, 2)).to_bytes()),
        "rgb-adobe": Input(YCC.with_(parts=[adobe(0)]).to_bytes()),
        "rgb-ids": Input(YCC.with_(ids=b"RGB").to_bytes()),
        "rgb-of-pillow": Input(encode(COLOURED, "JPEG", keep_rgb=True)),
        "cmyk": Input(CMYK.to_bytes()),
        "cmyk-adobe": Input(CMYK.with_(parts=[adobe(0)]).to_bytes()),
        "ycck-adobe": Input(CMYK.with_(parts=[adobe(2)]).to_bytes()),
        "ycck-subsampled": Input(CMYK.with_(factors=[(2, 2), (1, 1), (1, 1), (2, 2)], parts=[adobe(2)]).to_bytes()),
        "cmyk-of-pillow": Input(encode(INK, "JPEG")),
        "cmyk-of-pillow-no-adobe": Input(without(encode(INK, "JPEG"), APP14)),
        "cmyk-progressive": Input(encode(INK, "JPEG", progressive=True)),
    }


def adobe_markers() -> Inputs:
    """J04."""
    whole = adobe(0)[4:]
    cut = {
        f"cut-{size}": Input(YCC.with_(parts=[segment(APP14, whole[:size])]).to_bytes(), like=YCC.to_bytes())
        for size in range(12)
    }
    odd = {
        f"{name}-{transform}": Input(kind.with_(parts=[adobe(transform)]).to_bytes())
        for name, kind in (("ycc", YCC), ("cmyk", CMYK), ("grey", Picture(20, 30)))
        for transform in (1, 2, 3, 4, 127, 255)
    }
    three = {
        "three": Input(YCC.with_(parts=[adobe(1)] * 3).to_bytes()),
        "contradicting": Input(YCC.with_(parts=[adobe(0), adobe(9), adobe(1)]).to_bytes()),
        "with-jfif": Input(insert_before(PHOTO, DQT, adobe(200))),
        "late": Input(insert_before(YCC.to_bytes(), SOS, adobe(0))),
    }
    return cut | odd | three


def restarts() -> Inputs:
    """J05."""
    files = {
        f"every-{interval}": Input(YCC.with_(restart_interval=interval).to_bytes()) for interval in (1, 8, 100, 65535)
    }
    progressive = encode(COLOURED, "JPEG", progressive=True, restart_marker_blocks=1)
    files["progressive"] = Input(progressive)
    files["of-pillow"] = Input(encode(COLOURED, "JPEG", restart_marker_rows=1))
    sound = YCC.with_(height=160, width=160, restart_interval=4).to_bytes()

    def change(name: str, old: bytes, new: bytes) -> None:
        assert sound.count(old) >= 1
        files[name] = Input(sound.replace(old, new, 1), "corrupt")

    change("missing", b"\xff\xd2", b"")
    change("duplicated", b"\xff\xd2", b"\xff\xd2\xff\xd2")
    change("out-of-order", b"\xff\xd2", b"\xff\xd5")
    change("extra", b"\xff\xd2", b"\xff\xd3\xff\xd2")
    first, second = sound.index(b"\xff\xd0"), sound.index(b"\xff\xd1")
    files["interval-missing"] = Input(sound[:first] + sound[second:], "corrupt")
    files["too-early"] = Input(sound[: first - 3] + sound[first:], "corrupt")
    last = sound.rindex(b"\xff\xd9")
    files["behind-the-last"] = Input(sound[:last] + b"\xff\xd7\x55\x55" + EOI, "corrupt")
    # Markers in data that announces none.
    files["unannounced"] = Input(without(sound, DRI), "corrupt")
    return files


def processes() -> Inputs:
    """J08."""
    unsupported = "unsupported_jpeg"
    files = {"sof1": Input(YCC.with_(frame=SOF1).to_bytes())}
    for code in (0xC3, 0xC5, 0xC6, 0xC7, 0xC8, 0xCB, 0xCD, 0xCE, 0xCF):
        files[f"sof{code & 15}"] = Input(YCC.with_(frame=code).to_bytes(), unsupported)
    for bits in (0, 2, 12, 16, 255):
        files[f"{bits}-bits"] = Input(YCC.with_(precision=bits).to_bytes(), unsupported)
        files[f"{bits}-bits-sof1"] = Input(YCC.with_(precision=bits, frame=SOF1).to_bytes(), unsupported)
    files["12-bits-sof2"] = Input(PROGRESSIVE.replace(b"\xff\xc2\x00\x11\x08", b"\xff\xc2\x00\x11\x0c"), unsupported)
    # Arithmetic codes may end before their last zero bytes (T.81 D.1.8): no data at all is a picture.
    arithmetic = Picture(40, 40, frame=0xC9)
    files["sof9-arithmetic"] = Input(arithmetic.head() + arithmetic.scan_header([0]) + EOI)
    scans = [segment(SOS, bytes([1, 1, 0, first, last, 0])) for first, last in ((0, 0), (1, 63))]
    files["sof10-arithmetic"] = Input(arithmetic.with_(frame=0xCA).head() + b"".join(scans) + EOI)
    return files


def line_counts() -> Inputs:
    """J09."""
    blind = YCC.with_(height=0)
    scan = YCC.scan_header(range(3)) + YCC.scan_data(range(3))
    line_count = segment(DNL, struct.pack(">H", 37))
    return {
        "dnl": Input(blind.head() + scan + line_count + EOI, "unsupported_jpeg"),
        "no-dnl": Input(blind.head() + scan + EOI, "invalid_size"),
        "agrees": Input(YCC.to_bytes()[:-2] + line_count + EOI),
        "contradicts": Input(YCC.to_bytes()[:-2] + segment(DNL, b"\0\x99") + EOI),
        "contradicts-smaller": Input(YCC.to_bytes()[:-2] + segment(DNL, b"\0\1") + EOI),
        "no-width": Input(YCC.with_(width=0).head() + scan + EOI, "invalid_size"),
    }


def structure() -> Inputs:
    """J10."""
    sound = YCC.to_bytes()
    parts = take_apart(sound)
    (frame,) = (part for part in parts if part.code == SOF0)
    (scan,) = (part for part in parts if part.code == SOS)
    before_scan = parts[:-1]

    def patched(code: int, at: int, value: int) -> bytes:
        def change(part: Segment) -> list[Segment]:
            payload = bytearray(part.payload)
            if part.code == code:
                payload[at] = value
            return [Segment(part.code, bytes(payload), part.data)]

        return edit(sound, change)

    def with_components(count: int) -> bytes:
        head = frame.payload[:5] + bytes([count]) + b"".join(bytes([id_ % 256, 0x11, 0]) for id_ in range(1, count + 1))
        return put_together([Segment(SOF0, head) if part.code == SOF0 else part for part in parts])

    corrupt = {
        "sof-behind-sos": put_together([*parts, frame]),
        "sof-of-another-size": put_together([*before_scan, YCC.with_(height=20).frame_header(), scan]),
        "sof-of-another-precision": put_together([*before_scan, YCC.with_(precision=12).frame_header(), scan]),
        "sof-twice": put_together([*before_scan, frame, scan]),
        "sof-missing": without(sound, SOF0),
        "sos-missing": without(sound, SOS),
        "sos-and-sof-missing": without(sound, SOS, SOF0),
        "dht-missing-where-needed": without(sound, DHT),
        "dqt-missing": without(sound, DQT),
        "dqt-slot-4": patched(DQT, 0, 4),
        "dqt-precision-2": patched(DQT, 0, 0x20),
        "dht-slot-4": patched(DHT, 0, 4),
        "dht-class-2": patched(DHT, 0, 0x20),
        "frame-names-no-dqt": patched(SOF0, 8, 5),
        "scan-names-no-dht": patched(SOS, 2, 0x33),
        "scan-names-dht-15": patched(SOS, 2, 0xFF),
        "scan-names-no-component": patched(SOS, 1, 77),
        "0-components-in-scan": patched(SOS, 0, 0),
        "9-components-in-scan": patched(SOS, 0, 9),
        "0-components": with_components(0),
        "4-of-which-1-has-no-scan": with_components(4),
        "255-components": with_components(255),
        "factor-0x1": patched(SOF0, 7, 0x01),
        "factor-1x0": patched(SOF0, 7, 0x10),
        "factor-5x1": patched(SOF0, 7, 0x51),
        "factor-1x15": patched(SOF0, 7, 0x1F),
        "length-0": sound.replace(b"\xff\xdb\x00\x43", b"\xff\xdb\x00\x00"),
        "length-1": sound.replace(b"\xff\xdb\x00\x43", b"\xff\xdb\x00\x01"),
        "no-code-lengths": sound.replace(dc_table(), segment(DHT, bytes(17))),
        "too-many-codes": sound.replace(dc_table(), segment(DHT, bytes([0, 3, *[0] * 15, 0, 1, 2]))),
        "soi-again": insert_before(sound, SOS, SOI),
    }
    files = {name: Input(data, "corrupt") for name, data in corrupt.items()}
    # T.81 allows as many components; which colours they are nobody says.
    files["2-components"] = Input(Picture(37, 53, [(1, 1)] * 2).to_bytes(), "unsupported_jpeg")
    files["5-components"] = Input(with_components(5), "unsupported_jpeg")
    files["dqt-16-bit"] = Input(sound.replace(quantisation(), quantisation(value=300, precise=True)))
    # libjpeg renumbers them.
    files["ids-twice"] = Input(YCC.with_(ids=(1, 1, 2)).to_bytes())
    # T.81 B.2.4: tables may be defined anew between scans; a component keeps the DQT of its first scan.
    scans = [YCC.scan_header([component]) + YCC.scan_data([component]) for component in range(3)]
    between = quantisation(value=20) + dc_table() + ac_table()
    files["tables-between-scans"] = Input(YCC.head() + between.join(scans) + EOI)
    files["tables-anew-before-scan"] = Input(insert_before(sound, SOS, quantisation(value=3), dc_table(), ac_table()))
    return files


def without_tables() -> Inputs:
    """J11: frames of MJPEG leave the standard tables out."""
    return {
        "mjpeg": Input(without(PHOTO, DHT)),
        "mjpeg-grey": Input(without(encode(picture(30, 30, channels=1), "JPEG"), DHT)),
        "mjpeg-avi1": Input(edit(PHOTO, _as_avi)),
    }


def _as_avi(part: Segment) -> list[Segment]:
    if part.code == DHT:
        return []
    return [Segment(APP0, b"AVI1" + bytes(10))] if part.code == APP0 else [part]


def scans() -> Inputs:
    """J12."""
    orders = {
        "one-by-one": [[0], [1], [2]],
        "backwards": [[2], [1], [0]],
        "two-and-one": [[0, 1], [2]],
        "one-and-two": [[1], [0, 2]],
    }
    files = {name: Input(YCC.with_(scans=order).to_bytes()) for name, order in orders.items()}
    files["grey-scans"] = Input(Picture(37, 53, [(2, 2), (1, 1), (1, 1)], scans=orders["one-by-one"]).to_bytes())
    files["with-restarts"] = Input(YCC.with_(scans=orders["backwards"], restart_interval=3).to_bytes())
    # Four of them, in two scans of two.
    files["cmyk"] = Input(CMYK.with_(scans=[[0, 3], [1, 2]]).to_bytes())
    # T.81 B.2.3: a scan has them in the frame's order; Pillow refuses others too.
    files["components-out-of-order"] = Input(YCC.with_(scans=[[1, 0], [2]]).to_bytes(), "corrupt")
    return files


def junk() -> Inputs:
    """J13: what libjpeg warns of is refused, what it passes over in silence is not."""
    fill = b"\xff" * 40
    return {
        "fill-before-marker": Input(insert_before(PHOTO, DQT, fill)),
        "fill-before-scan": Input(insert_before(PHOTO, SOS, fill)),
        "fill-before-end": Input(PHOTO[:-2] + fill + EOI),
        "tem-marker": Input(insert_before(PHOTO, DQT, b"\xff\x01"), like=PHOTO),
        "restart-marker-in-header": Input(insert_before(PHOTO, DQT, b"\xff\xd3")),
        "between-markers": Input(insert_before(PHOTO, DQT, b"junk"), "corrupt"),
        "ff00-in-header": Input(insert_before(PHOTO, DQT, b"\xff\x00"), "corrupt"),
        "zeros-before-scan": Input(insert_before(PHOTO, SOS, bytes(3)), "corrupt"),
        "before-soi": Input(b"junk" + PHOTO, "not_an_image"),
        "zero-before-soi": Input(b"\0" + PHOTO, "not_an_image"),
        "behind-soi": Input(SOI + b"junk" + PHOTO[2:], "not_an_image"),
        "behind-scan": Input(PHOTO[:-2] + b"junk" + EOI, "corrupt"),
    }


def followed() -> Inputs:
    """J14."""
    other = encode(picture(90, 80, 5), "JPEG")
    zip_end = b"PK\x05\x06" + bytes(18)
    return {
        "second-jpeg": Input(PHOTO + other),
        "second-jpeg-of-progressive": Input(PROGRESSIVE + other),
        "mpo": Input(encode(COLOURED, "MPO", save_all=True, append_images=[Image.fromarray(picture(20, 20))])),
        "10-mb-of-zeros": Input(PHOTO + bytes(10 << 20)),
        "zip": Input(PHOTO + b"PK\x03\x04" + bytes(100) + zip_end),
        "ones": Input(PHOTO + b"\xff" * 1000),
        "cut-jpeg": Input(PHOTO + other[:200]),
    }


def thumbnails() -> Inputs:
    """J15: a picture in the picture's metadata."""
    large = encode(picture(200, 180, 3), "JPEG", quality=60)
    # IFD1 with JPEGInterchangeFormat and its length (Exif 2.32, 4.6.9).
    ifd1 = struct.pack("<HHHLLHHLLL", 2, 0x0201, 4, 1, 44, 0x0202, 4, 1, len(large), 0)
    tiff = b"II*\0" + struct.pack("<LHL", 8, 0, 14) + ifd1 + large
    wrong = tiff.replace(struct.pack("<HHLL", 0x0202, 4, 1, len(large)), struct.pack("<HHLL", 0x0202, 4, 1, 1 << 31))
    return {
        "thumbnail": Input(insert_before(PHOTO, DQT, exif(tiff))),
        "thumbnail-of-progressive": Input(insert_before(PROGRESSIVE, DQT, exif(tiff))),
        "thumbnail-length-lies": Input(insert_before(PHOTO, DQT, exif(wrong))),
        "whole-file-as-app1": Input(insert_before(PHOTO, DQT, segment(APP1, large))),
        "jfif-thumbnail": Input(
            edit(
                PHOTO,
                lambda part: (
                    [Segment(APP0, part.payload[:12] + b"\x60\x60" + bytes(3 * 0x60 * 0x60))]
                    if part.code == APP0
                    else [part]
                ),
            )
        ),
    }


def sides() -> Inputs:
    """J16."""
    sizes = [(1, 1), (1, 500), (500, 1), (7, 7), (8, 8), (9, 9), (1, 65500), (65500, 1), (3, 62728), (62728, 3)]
    files = {}
    for height, width in sizes:
        for name, factors in (("grey", [(1, 1)]), ("420", [(2, 2), (1, 1), (1, 1)])):
            files[f"{name}-{height}x{width}"] = Input(Picture(height, width, factors).to_bytes())
    # libjpeg-turbo's own limit, and so Pillow's.
    files["65535x1"] = Input(Picture(65535, 1).to_bytes(), "unsupported_jpeg")
    files["1x65535"] = Input(Picture(1, 65535).to_bytes(), "unsupported_jpeg")
    return files


def profiles() -> Inputs:
    """B15: ICC profiles in parts (ICC.1:2010 B.4)."""

    def parts(numbers: list[int], count: int, size: int = 100) -> bytes:
        header = b"ICC_PROFILE\0"
        return insert_before(PHOTO, DQT, *(segment(APP2, header + bytes([n, count]) + bytes(size)) for n in numbers))

    whole = list(range(1, 256))
    return {
        "255-parts": Input(parts(whole, 255)),
        "255-full-parts": Input(parts(whole, 255, 65519)),
        "missing-part": Input(parts([1, 3], 3)),
        "duplicate-part": Input(parts([1, 2, 2, 3], 3)),
        "out-of-order": Input(parts([3, 1, 2], 3)),
        "part-0": Input(parts([0, 1], 1)),
        "count-lies": Input(parts([1, 2, 3], 2)),
        "count-0": Input(parts([1], 0)),
        "length-lies": Input(
            insert_before(PHOTO, DQT, segment(APP2, b"ICC_PROFILE\0\1\1" + struct.pack(">L", 1 << 31)))
        ),
        "cut-header": Input(insert_before(PHOTO, DQT, segment(APP2, b"ICC_PROFILE\0\1")), like=PHOTO),
    }


ALL: dict[str, Callable[[], Inputs]] = {
    "J02": sampling,
    "J03": colours,
    "J04": adobe_markers,
    "J05": restarts,
    "J08": processes,
    "J09": line_counts,
    "J10": structure,
    "J11": without_tables,
    "J12": scans,
    "J13": junk,
    "J14": followed,
    "J15": thumbnails,
    "J16": sides,
    "B15": profiles,
}
