"""Writes the seeds of the fuzz targets but those of ``jpeg``: small files, each of another kind.

Run with Pillow 13: python seeds.py
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path

from PIL import Image

SEEDS = Path(__file__).parent / "seeds"
IMAGES = Path(__file__).parent.parent / "rust/core/tests/data"


def write(target: str, name: str, data: bytes) -> None:
    folder = SEEDS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def gradient(mode: str, width: int, height: int) -> Image.Image:
    bands = len(Image.new(mode, (1, 1)).getbands())
    data = bytes(
        (x * 7 + y * 13 + band * 50) % 256 for y in range(height) for x in range(width) for band in range(bands)
    )
    return Image.frombytes(mode, (width, height), data)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def zipped(
    members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED, comment: bytes = b"", *, stream: bool = False
) -> bytes:
    class Unseekable(io.RawIOBase):
        """What makes zipfile write data descriptors."""

        def __init__(self) -> None:
            self.parts: list[bytes] = []

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:
            self.parts.append(bytes(data))
            return len(data)

    plain, unseekable = io.BytesIO(), Unseekable()
    with zipfile.ZipFile(unseekable if stream else plain, "w", method) as archive:
        for name, data in members.items():
            # A date that does not change.
            archive.writestr(zipfile.ZipInfo(name), data, method)
        archive.comment = comment
    return b"".join(unseekable.parts) if stream else plain.getvalue()


def zip64(data: bytes) -> bytes:
    """The archive with zip64 end records, and sizes and offset of its first member in a zip64 extra field."""
    end = data.rindex(b"PK\5\6")
    _, _, _, _, count, _, offset, _ = struct.unpack_from("<4sHHHHIIH", data, end)
    packed, length, name, extra = struct.unpack_from("<IIHH", data, offset + 20)
    assert extra == 0
    field = struct.pack("<HHQQQ", 1, 24, length, packed, 0)
    head = bytearray(data[offset : offset + 46 + name])
    struct.pack_into("<II", head, 20, 0xFFFFFFFF, 0xFFFFFFFF)
    struct.pack_into("<H", head, 30, len(field))
    struct.pack_into("<I", head, 42, 0xFFFFFFFF)
    directory = bytes(head) + field + data[offset + 46 + name : end]
    end64 = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, len(directory), offset)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, offset + len(directory), 1)
    last = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return data[:offset] + directory + end64 + locator + last


def deflated(data: bytes, level: int = 9, strategy: int = zlib.Z_DEFAULT_STRATEGY) -> bytes:
    deflater = zlib.compressobj(level, zlib.DEFLATED, -15, 9, strategy)
    return deflater.compress(data) + deflater.flush()


def tiff(order: str, orientation: int, kind: int = 3, count: int = 1) -> bytes:
    mark = b"II" if order == "<" else b"MM"
    entries = struct.pack(f"{order}HHII", 0x0100, 3, 1, 0) + struct.pack(
        f"{order}HHIHH", 0x0112, kind, count, orientation, 0
    )
    return mark + struct.pack(f"{order}HIH", 42, 8, 2) + entries + struct.pack(f"{order}I", 0)


def main() -> None:
    text = b"a photograph of a cat, a photograph of a dog, " * 4
    members = {"cat/1.jpg": text, "dog/2.jpg": bytes(range(40)), "dog/": b""}
    write("zip", "deflated.zip", zipped(members))
    write("zip", "stored-comment.zip", zipped(members, zipfile.ZIP_STORED, b"a comment"))
    write("zip", "descriptors.zip", zipped(members, stream=True))
    write("zip", "zip64.zip", zip64(zipped(members)))
    write("zip", "utf8.zip", zipped({"b\u00e4r/\u732b.png": b"x" * 50, "e": b""}))
    write("zip", "empty.zip", zipped({}))

    whole = bytes(300) + text + bytes(range(256)) + text[5:] * 3
    # Deflate's longest match, 258 bytes, has another meaning in deflate64.
    short = bytes(200) + text[:150] + bytes(range(256)) + text[:140]
    for target, run in (("inflate", whole), ("deflate64", short)):
        write(target, "dynamic", deflated(run))
        write(target, "fixed", deflated(run[150:], 9, zlib.Z_FIXED))
        write(target, "stored", deflated(text, 0))
        write(target, "huffman", deflated(run, 9, zlib.Z_HUFFMAN_ONLY))
        write(target, "blocks", b"\0\3\0\xfc\xffabc" + deflated(run))
    # Fixed codes: "a", then code 285 with a length of 65,538 from a distance of 1, then the end.
    bits = (
        "1" + "10" + format(0x30 + ord("a"), "08b") + format(0xC0 + 285 - 280, "08b") + "1" * 16 + "00000" + "0000000"
    )
    write("deflate64", "long-match", int(bits[::-1], 2).to_bytes((len(bits) + 7) // 8, "little"))

    for name, image, options in (
        ("grey", gradient("L", 9, 5), {}),
        ("grey-alpha", gradient("LA", 9, 5), {}),
        ("rgb", gradient("RGB", 9, 5), {}),
        ("alpha", gradient("RGBA", 9, 5), {}),
        ("palette", gradient("RGB", 9, 5).quantize(5), {"transparency": 1}),
        ("bilevel", gradient("L", 19, 5).convert("1"), {}),
        ("deep", gradient("L", 9, 5).convert("I;16"), {}),
        ("transparent", gradient("RGB", 9, 5), {"transparency": (0, 50, 100)}),
    ):
        write("png", f"{name}.png", encoded(image, "PNG", **options))
        write("image", f"{name}.png", encoded(image, "PNG", **options))
    exif = Image.Exif()
    exif[0x0112] = 6
    write("png", "sideways.png", encoded(gradient("RGB", 9, 5), "PNG", exif=exif))
    frames = [gradient("RGB", 9, 5), Image.new("RGB", (9, 5), "red")]
    write("png", "animated.png", encoded(frames[0], "PNG", save_all=True, append_images=frames[1:]))

    for name, image, options in (
        ("lossy", gradient("RGB", 17, 9), {"quality": 60}),
        ("lossy-alpha", gradient("RGBA", 17, 9), {"quality": 60}),
        ("lossless", gradient("RGBA", 17, 9), {"lossless": True}),
        ("palette", gradient("RGB", 17, 9).quantize(4).convert("RGB"), {"lossless": True}),
        ("sideways", gradient("RGB", 17, 9), {"lossless": True, "exif": exif}),
        ("animated", frames[0], {"save_all": True, "append_images": frames[1:], "lossless": True}),
        ("animated-lossy", frames[0], {"save_all": True, "append_images": frames[1:], "quality": 50}),
    ):
        write("webp", f"{name}.webp", encoded(image, "WEBP", **options))
    write("image", "lossy.webp", encoded(gradient("RGB", 17, 9), "WEBP", quality=60))
    write("image", "rgb.jpg", encoded(gradient("RGB", 9, 5), "JPEG", quality=50))
    write("image", "cmyk.jpg", encoded(gradient("CMYK", 9, 5), "JPEG", quality=50))
    write("image", "progressive.jpg", encoded(gradient("RGB", 17, 9), "JPEG", quality=50, progressive=True))
    palette = gradient("RGB", 9, 5).quantize(13)
    write("image", "palette.gif", encoded(palette, "GIF"))
    write("image", "interlaced.gif", encoded(palette, "GIF", interlace=1, transparency=2))
    write("image", "animated.gif", encoded(palette, "GIF", save_all=True, append_images=[palette.rotate(180)]))
    for mode in ("1", "L", "P", "RGB"):
        image = palette if mode == "P" else gradient("RGB", 9, 5).convert(mode)
        write("image", f"{mode.lower()}.bmp", encoded(image, "BMP"))
    for compression in ("raw", "tiff_lzw", "packbits", "tiff_adobe_deflate"):
        write("image", f"{compression}.tiff", encoded(gradient("RGB", 9, 5), "TIFF", compression=compression))
    write("image", "bilevel-group4.tiff", encoded(gradient("L", 19, 5).convert("1"), "TIFF", compression="group4"))

    for order in "<>":
        name = "little" if order == "<" else "big"
        for orientation in (1, 6, 9):
            write("exif", f"{name}-{orientation}", tiff(order, orientation))
    write("exif", "long", tiff("<", 6, kind=4))
    write("exif", "two", tiff("<", 6, count=2))

    good = bytes([0, 1, 2, 3, 8, 9, 10, 11])
    bad = encoded(gradient("RGB", 9, 5), "PNG")
    for threads in (1, 3):
        head = struct.pack("<H", threads - 1)
        write("batch", f"good-{threads}", head + good)
        write("batch", f"bad-{threads}", head + b"\0\4" + struct.pack("<H", len(bad)) + bad + b"\1\14\5\0abcde\2")
        packed = deflated(bad)
        write("batch", f"deflated-{threads}", head + b"\0\24" + struct.pack("<H", len(packed)) + packed + b"\2")
    for shape in (0x01, 0x16, 0x2B, 0x4D, 0x70, 0x5A):
        sides = struct.pack("<8H", 33, 21, 17, 40, 3, 2, 5, 6)
        write("resize", f"{shape:02x}", bytes([shape]) + sides + b"\5\1" + bytes(range(0, 250, 9)))


if __name__ == "__main__":
    main()
