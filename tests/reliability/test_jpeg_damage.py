"""J: JPEGs that are cut, damaged, surrounded by other bytes, or none at all."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

import jpeg_cases
from jpeg_builder import AC_BITS, EOI, SOS, Bits, Picture, Segment, edit
from jpeg_oracle import check, digest, pillow_pixels
from pixcrawler import PixCrawlerError
from support import __file__ as support_file
from support import bare_items, decode_files, decode_one, encode, make_decoder, picture, run_child

if TYPE_CHECKING:
    from collections.abc import Callable

    from oracle import Examiner

LARGE = Image.fromarray(picture(250, 203))
SOUND = {
    "baseline": encode(LARGE, "JPEG", quality=90),
    "subsampled-1x1": encode(LARGE, "JPEG", quality=90, subsampling=0),
    "grey": encode(LARGE.convert("L"), "JPEG", quality=90),
    "cmyk": encode(LARGE.convert("CMYK"), "JPEG", quality=90),
    "restarts": encode(LARGE, "JPEG", quality=90, restart_marker_blocks=5),
    "progressive": encode(LARGE, "JPEG", quality=90, progressive=True),
    "scans": Picture(250, 203, [(2, 2), (1, 1), (1, 1)], scans=[[0], [1], [2]]).to_bytes(),
}


@pytest.mark.parametrize("name", SOUND)
def test_J06_cut(examiner: Examiner, name: str) -> None:
    data = SOUND[name]
    cuts = {f"{percent}": data[: len(data) * percent // 100] for percent in (10, 50, 90, 99)}
    outcome = examiner.images(cuts)
    assert outcome.codes == dict.fromkeys(cuts, "truncated_image"), outcome.text
    for failure in outcome.failures:
        told = re.search(r"\((\d+) %\)", failure.reason)
        assert told, failure.reason
        # Noise, so that each row of blocks takes about as many bytes as the next; of several scans no share is known.
        if name not in {"progressive", "scans"}:
            assert abs(int(told[1]) - int(failure.member or "")) < 12, failure.reason
            assert re.search(r"ends after \d+ of \d+ MCU rows", failure.reason)
    kept = examiner.images(cuts, on_truncated="keep")
    assert kept.codes == {}
    assert list(kept.delivered) == list(cuts)


@pytest.mark.parametrize("name", ["baseline", "grey", "restarts"])
@pytest.mark.parametrize("decoder", ["native", "turbo"])
def test_J06_the_rows_that_are_told_are_there(name: str, decoder: str, tmp_path: Path) -> None:
    data = SOUND[name]
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(data[: len(data) * 6 // 10])
    # Who decodes is decided once a process.
    code = f"""
    import os, sys
    os.environ["PIXCRAWLER_JPEG"] = {decoder!r}
    sys.path.insert(0, sys.argv[1])
    import support, pathlib
    from pixcrawler import ImageDecodeError
    try:
        support.decode_one(pathlib.Path(sys.argv[2]).read_bytes())
    except ImageDecodeError as exc:
        assert exc.code == "truncated_image"
        print(exc.detail)
    """
    said = run_child(code, Path(support_file).parent, cut)
    told = re.search(r"ends after (\d+) of (\d+) MCU rows", said)
    assert told, said
    mcu = 8 if name == "grey" else 16
    rows, of = int(told[1]), int(told[2])
    assert of == -(-250 // mcu)
    image, whole = decode_one(cut.read_bytes(), keep_truncated=True), decode_one(data)
    # Upsampling looks at the row below.
    np.testing.assert_array_equal(image[: rows * mcu - 1], whole[: rows * mcu - 1])
    assert not np.array_equal(image[rows * mcu : (rows + 1) * mcu], whole[rows * mcu : (rows + 1) * mcu])


@pytest.mark.parametrize("name", SOUND)
def test_J06_without_the_end_marker_alone(examiner: Examiner, name: str) -> None:
    data = SOUND[name]
    files = {"whole": data, "half-a-marker": data[:-1], "no-marker": data[:-2], "fill": data[:-1] + b"\xff\xff"}
    outcome = examiner.images(files)
    assert outcome.codes == {}
    assert set(outcome.delivered.values()) == {outcome.delivered["whole"]}


def test_J06_arithmetic_codes_may_end_early_so_the_end_marker_is_needed(examiner: Examiner) -> None:
    arithmetic = Picture(40, 40, frame=0xC9)
    head = arithmetic.head() + arithmetic.scan_header([0])
    outcome = examiner.images({"whole": head + EOI, "cut": head, "cut-in-data": head + bytes(3)})
    assert list(outcome.delivered) == ["whole"]
    assert outcome.codes == {"cut": "truncated_image", "cut-in-data": "truncated_image"}


def test_J06_every_cut_of_a_small_file() -> None:
    for data in (encode(picture(17, 19), "JPEG"), encode(picture(17, 19), "JPEG", progressive=True)):
        whole = decode_one(data)
        for length in range(len(data)):
            (image,) = make_decoder().decode(bare_items([data[:length]]), max_bytes=1 << 20)
            if isinstance(image, PixCrawlerError):
                # Three bytes tell that it is a JPEG.
                assert image.code in ({"truncated_image", "corrupt"} if length >= 3 else {"not_an_image"}), length
            else:
                np.testing.assert_array_equal(image, whole, err_msg=f"{length} of {len(data)} bytes")


def damaged() -> jpeg_cases.Inputs:
    """What libjpeg only warns of, and shows grey or smeared pixels for."""
    sound = Picture(64, 64, [(2, 2), (1, 1), (1, 1)]).to_bytes()

    def with_data(file: bytes, change: Callable[[bytes], bytes]) -> bytes:
        return edit(file, lambda part: [Segment(SOS, part.payload, change(part.data)) if part.code == SOS else part])

    no_code = Bits()
    no_code.put(0, 4)
    no_code.put((1 << AC_BITS) - 1, AC_BITS)
    progressive = encode(picture(64, 64), "JPEG", progressive=True)
    restarts = Picture(64, 64, restart_interval=4).to_bytes()
    corrupt = {
        "bytes-left-over": with_data(sound, lambda data: data + b"\x55" * 20),
        "no-code": with_data(sound, lambda data: no_code.to_bytes() + data),
        "data-of-progressive-left-over": with_data(progressive, lambda data: data + b"\x55" * 20),
        "cut-scan-among-others": edit(
            progressive,
            lambda part: [
                Segment(SOS, part.payload, part.data[: len(part.data) // 2])
                if part.code == SOS and part.payload[-3:] == b"\1\5\2"
                else part
            ],
        ),
        "restart-interval-cut": restarts.replace(b"\xff\xd3", b"", 1),
    }
    files = {name: jpeg_cases.Input(data, "corrupt") for name, data in corrupt.items()}
    # Ended by a marker, and cut all the same; of several scans libjpeg does not tell this from other damage.
    closed = {name: SOUND[name][: len(SOUND[name]) * 19 // 20] + EOI for name in ("baseline", "progressive")}
    files["closed-behind-a-cut"] = jpeg_cases.Input(closed["baseline"], "truncated_image")
    files["closed-behind-a-cut-of-progressive"] = jpeg_cases.Input(closed["progressive"], "corrupt")
    return files


def test_J07_what_libjpeg_warns_of_is_refused(examiner: Examiner) -> None:
    inputs = damaged()
    for name, entry in inputs.items():
        assert pillow_pixels(entry.data) is not None, f"{name}: libjpeg does more than warn"
    check(examiner, inputs)


def test_J07_flipped_bits_are_refused_or_change_no_more_than_libjpeg_shows(examiner: Examiner) -> None:
    rng = np.random.default_rng(7)
    files = {}
    for number in range(120):
        data = bytearray(SOUND[["baseline", "progressive", "restarts"][number % 3]])
        data[int(rng.integers(700, len(data) - 2))] ^= 1 << int(rng.integers(8))
        files[f"{number}"] = bytes(data)
    outcome = examiner.images(files)
    assert set(outcome.codes.values()) <= {"corrupt", "truncated_image", "unsupported_jpeg", "limit_scans"}
    # Most flips upset a code, and what follows ends elsewhere than the data does.
    assert len(outcome.codes) > 25
    for name, (shape, hashed) in outcome.delivered.items():
        expected = pillow_pixels(files[name])
        assert expected is not None
        assert [list(shape), hashed] == digest(expected)


@pytest.mark.parametrize("folder", ["jpeg/fuzz", "jpeg/go-fuzz"])
def test_J07_fuzzed_files(data_dir: Path, examiner: Examiner, folder: str) -> None:
    if not (data_dir / "corpus" / folder).is_dir():
        pytest.skip(f"no {folder}")
    paths = [path for path in sorted((data_dir / "corpus" / folder).rglob("*")) if path.is_file()]
    files = {f"{number}": path.read_bytes() for number, path in enumerate(paths[::5])}
    outcome = examiner.images(files, limits={"pixels": 4_000_000}, image_size=(16, 16), seconds=60)
    assert len(outcome.codes) + len(outcome.delivered) == len(files)
    assert "internal" not in outcome.codes.values()


def test_J13_junk(examiner: Examiner) -> None:
    check(examiner, jpeg_cases.junk())


def test_J13_junk_in_files_of_pillow(data_dir: Path, examiner: Examiner) -> None:
    names = [
        "hopper_bad_exif.jpg",
        "jpeg_ff00_header.jpg",
        "junk_jpeg_header.jpg",
        "photoshop-200dpi-broken.jpg",
        "truncated_app14.jpg",
    ]
    folder = data_dir / "corpus/pillow"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    outcome = examiner.images({name: (folder / name).read_bytes() for name in names})
    assert outcome.codes == dict.fromkeys(names, "corrupt")
    assert all("extraneous bytes" in failure.reason for failure in outcome.failures)


def test_J14_what_follows_the_end_marker(examiner: Examiner) -> None:
    check(examiner, jpeg_cases.followed(), growth_bytes=128 << 20)


def test_J15_thumbnails(examiner: Examiner) -> None:
    inputs = jpeg_cases.thumbnails()
    outcome = check(examiner, inputs)
    # Draft, which scales, takes the picture too.
    check(examiner, inputs, compare=False, image_size=(10, 14), draft=True)
    assert {shape for shape, _ in outcome.delivered.values()} == {(40, 56, 3)}


SVG = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
OTHERS: dict[str, tuple[bytes, str | None, str]] = {
    "svg.jpg": (SVG, "unsupported_format", "svg"),
    "page.jpg": (b"<!DOCTYPE html><html><body>not found</body></html>", "not_an_image", "html"),
    "error.jpg": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "not_an_image", "xml"),
    "answer.jpg": (b'{"error": "not found"}', "not_an_image", "json"),
    "empty.jpg": (b"", "not_an_image", "0 bytes"),
    "zeros.jpg": (bytes(1000), "not_an_image", "1000 bytes"),
    "text.png": (b"just some words that are no picture at all\n", "not_an_image", "43 bytes"),
    "archive.jpg": (b"PK\x03\x04" + bytes(40), "not_an_image", "zip"),
    "two-bytes.jpg": (b"\xff\xd8", "not_an_image", "2 bytes"),
    "markers-alone.jpg": (b"\xff\xd8\xff\xd9", "corrupt", ""),
}


def test_J18_what_is_no_picture_is_named(examiner: Examiner) -> None:
    outcome = examiner.images({name: data for name, (data, _, _) in OTHERS.items()})
    assert outcome.codes == {name: code for name, (_, code, _) in OTHERS.items()}
    for failure in outcome.failures:
        assert OTHERS[failure.member or ""][2] in failure.reason, failure.reason


def test_J18_formats_are_told_by_content(tmp_path: Path) -> None:
    pixels = picture(9, 8)
    kinds = {"a.png": "JPEG", "b.jpg": "PNG", "c": "WEBP", "d.txt": "PNG", "e.gif": "JPEG", "f.jpeg": "WEBP"}
    files = {
        name: encode(pixels, kind, **({"lossless": True} if kind == "WEBP" else {})) for name, kind in kinds.items()
    }
    images, failures = decode_files(tmp_path, files)
    assert not failures
    for name, data in files.items():
        np.testing.assert_array_equal(images[name], pillow_pixels(data))


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "JPEG2000", "ICO"])
def test_J18_other_formats_as_jpg_are_decoded_or_named(kind: str, tmp_path: Path) -> None:
    data = encode(picture(32, 32), kind)
    images, failures = decode_files(tmp_path, {"x.jpg": data})
    if images:
        assert Image.open(io.BytesIO(data)).format == kind
        np.testing.assert_array_equal(images["x.jpg"], pillow_pixels(data))
    else:
        assert failures["x.jpg"].code == "unsupported_format"
        assert kind.lower() in failures["x.jpg"].reason.lower()


@pytest.mark.parametrize("options", [{}, {"draft": True, "image_size": (8, 8)}], ids=str)
def test_J18_the_name_changes_nothing(options: dict[str, Any], tmp_path: Path) -> None:
    data = SOUND["baseline"]
    images, _ = decode_files(tmp_path, {"a.jpg": data, "a.png": data, "a": data, "a.html": data}, **options)
    assert len(images) == 4
    for image in images.values():
        np.testing.assert_array_equal(image, images["a.jpg"])
