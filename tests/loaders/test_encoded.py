"""``iter_encoded``: the files as they stand in the chunks, through the same machinery as every other pass."""

from __future__ import annotations

import dataclasses
import io
import json
import pickle
import threading
import time
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from faulty_server import Fault, FaultyServer, serve_job
from pixcrawler import (
    ArchiveError,
    EncodedSample,
    LimitError,
    TooManyFailuresError,
    UnsupportedImageError,
    load_dataset,
)
from pixcrawler.limits import Limits
from support import catching_warning, encode, numbered, picture, run_child, write_zip, zip_of

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).resolve().parent.parent
JPEG = encode(picture(40, 60), "JPEG")


def flipped(path: Path, member: str) -> None:
    """Damage the stored bytes of a member, so that its CRC does not fit."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(member)
    data = bytearray(path.read_bytes())
    data[info.header_offset + 30 + len(info.filename.encode()) + info.file_size // 2] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_real_photographs_come_as_they_are_stored(photos_zip: Path, tmp_path: Path, method: int) -> None:
    with zipfile.ZipFile(photos_zip) as archive:
        members = {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    path = write_zip(tmp_path / "c.zip", members, method)
    with load_dataset(path, decode_threads=2) as dataset:
        read = list(dataset.iter_encoded())
        assert {sample.member: sample.data for sample in read} == members
        assert [sample.member for sample in read] == list(members)
        assert [sample.label for sample in read] == [name.split("/")[-2] for name in members]
        assert {(sample.chunk_id, sample.size) for sample in read} == {("c.zip", None)}
        stats = dataset.stats()
    assert (stats.images, stats.failures, stats.threads) == (len(members), 0, 2)
    assert stats.inflate_s > 0
    assert (stats.decode_s, stats.resize_s) == (0, 0)
    assert sum(map(len, members.values())) * 0.9 < stats.bytes_fetched <= path.stat().st_size
    assert stats.first_batch_s is not None


def test_labels_and_metadata_are_those_of_the_chunk_and_the_consumers_own(tmp_path: Path) -> None:
    lines = [{"file_name": "a/1.png", "label": {"boxes": [1]}, "source": "web", "deep": {"x": [1]}}]
    image = encode(picture(4, 4))
    members = {"metadata.jsonl": json.dumps(lines[0]).encode(), "a/1.png": image, "b/2.png": image}
    path = write_zip(tmp_path / "c.zip", members)
    dataset = load_dataset(path)
    for _ in range(2):
        first, second = dataset.iter_encoded()
        assert first == EncodedSample("c.zip", "a/1.png", image, {"boxes": [1]}, {"source": "web", "deep": {"x": [1]}})
        assert (second.label, second.metadata) == ("b", {})
        first.metadata["source"] = "changed"
    mapped = load_dataset(path, label_fn=lambda member, _label, metadata: (member, len(metadata)))
    assert [sample.label for sample in mapped.iter_encoded()] == [("a/1.png", 2), ("b/2.png", 0)]


def test_a_sample_is_a_plain_record() -> None:
    sample = EncodedSample("c", "a.jpg", b"secret pixels", "cat", {"k": 1}, (3, 4))
    assert pickle.loads(pickle.dumps(sample)) == sample
    assert "secret" not in repr(sample)
    with pytest.raises(dataclasses.FrozenInstanceError):
        sample.data = b""  # type: ignore[misc]


def test_members_of_any_size_in_order(tmp_path: Path) -> None:
    # Much larger than a piece, and than the memory limit; deflated, so that no extent tells how large.
    large = encode(picture(900, 900), "BMP") + bytes(9_000_000)
    members: dict[str, bytes] = {}
    for number, (name, data) in enumerate(numbered(300).items()):
        members[name] = data
        if number % 100 == 50:
            members[f"large/{number}.bmp"] = large
    path = write_zip(tmp_path / "c.zip", members, zipfile.ZIP_DEFLATED)
    for limit in ("1MB", "256MB"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read = [(sample.member, sample.data) for sample in load_dataset(path, memory_limit=limit).iter_encoded()]
        assert read == list(members.items())


class TestFailures:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        members = {
            **numbered(40),
            "bad/text.jpg": b"<!DOCTYPE html><html></html>",
            "bad/crc.jpg": JPEG,
            "bad/empty.jpg": b"",
            **{f"more/{name}": data for name, data in numbered(60).items()},
        }
        path = write_zip(tmp_path / "c.zip", members)
        flipped(path, "bad/crc.jpg")
        return path

    def test_are_raised_in_their_turn_with_their_place(self, path: Path) -> None:
        seen = []
        with pytest.raises(UnsupportedImageError) as caught:
            seen.extend(sample.member for sample in load_dataset(path).iter_encoded())
        assert (caught.value.code, caught.value.chunk_id, caught.value.member) == (
            "not_an_image",
            "c.zip",
            "bad/text.jpg",
        )
        assert "html" in str(caught.value)

        dataset = load_dataset(path, on_error=lambda failure: "skip" if failure.code == "not_an_image" else "raise")
        seen = []
        with pytest.raises(ArchiveError) as damaged:
            seen.extend(sample.member for sample in dataset.iter_encoded())
        assert (damaged.value.code, damaged.value.member) == ("crc", "bad/crc.jpg")

    def test_are_left_out_and_recorded(self, path: Path) -> None:
        dataset = load_dataset(path, on_error="skip")
        for probe in (False, True):
            with pytest.warns(UserWarning, match="3 of 103 samples were left out") as told:
                read = list(dataset.iter_encoded(probe=probe))
            assert told[0].filename == __file__
            assert len(read) == 100
            found = [(failure.member, failure.code) for failure in dataset.failures]
            assert found == [
                ("bad/text.jpg", "not_an_image"),
                ("bad/crc.jpg", "crc"),
                ("bad/empty.jpg", "not_an_image"),
            ]
            assert (dataset.stats().images, dataset.stats().failures) == (100, 3)

    def test_only_so_many_as_are_allowed(self, path: Path) -> None:
        with pytest.raises(TooManyFailuresError):
            list(load_dataset(path, on_error="skip", max_failures=2).iter_encoded())
        assert len(catching_warning(load_dataset(path, on_error="skip", max_failures=0.03).iter_encoded())) == 100

    def test_of_a_whole_chunk(self, tmp_path: Path) -> None:
        write_zip(tmp_path / "0.zip", numbered(10))
        (tmp_path / "1.zip").write_bytes(b"no zip")
        write_zip(tmp_path / "2.zip", numbered(10))
        dataset = load_dataset(tmp_path, on_error="skip")
        read = catching_warning(dataset.iter_encoded())
        assert [sample.chunk_id for sample in read] == ["0.zip"] * 10 + ["2.zip"] * 10
        assert [(failure.chunk_id, failure.code) for failure in dataset.failures] == [("1.zip", "not_a_zip")]

    def test_damaged_pictures_are_delivered_but_not_where_their_header_is_to_be_read(self, tmp_path: Path) -> None:
        members = {
            "a/cut.jpg": JPEG[:-200],
            "a/header.jpg": JPEG[:40] + bytes(300),
            "a/unknown.avif": b"\0\0\0\x20ftypavif" + bytes(200),
            "a/large.png": encode(picture(200, 200)),
        }
        dataset = load_dataset(write_zip(tmp_path / "c.zip", members), on_error="skip", limits=Limits(pixels=10_000))
        assert {sample.member: sample.data for sample in dataset.iter_encoded()} == members
        probed = catching_warning(dataset.iter_encoded(probe=True))
        assert [(sample.member, sample.size) for sample in probed] == [("a/cut.jpg", (40, 60))]
        assert [failure.code for failure in dataset.failures] == [
            "truncated_image",
            "unsupported_format",
            "limit_pixels",
        ]

    def test_an_inflated_size_over_the_limit(self, tmp_path: Path) -> None:
        members = {**numbered(3), "a/bomb.bmp": encode(picture(300, 300), "BMP")}
        path = write_zip(tmp_path / "c.zip", members, zipfile.ZIP_DEFLATED)
        with pytest.raises(LimitError, match="bomb"):
            list(load_dataset(path, limits=Limits(inflated_bytes=100_000)).iter_encoded())


def test_sizes_are_those_of_the_decoded_pictures(photos_zip: Path, tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    members = {
        "a/turned.jpg": encode(Image.new("RGB", (30, 20)), "JPEG", exif=turned.tobytes()),
        "a/plain.png": encode(picture(7, 9)),
        "a/one.gif": encode(Image.new("P", (5, 6)), "GIF"),
    }
    for path in (write_zip(tmp_path / "c.zip", members), photos_zip):
        # An image_size is for decoding: what is stored has its own.
        dataset = load_dataset(path, image_size=8)
        own = load_dataset(path)
        sizes = [sample.size for sample in dataset.iter_encoded(probe=True)]
        assert sizes == [image.shape[:2] for image, _ in own]
    sizes = [sample.size for sample in load_dataset(tmp_path / "c.zip", apply_exif=False).iter_encoded(probe=True)]
    assert sizes == [(20, 30), (7, 9), (6, 5)]


class TestChunks:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        members = list(numbered(50).items())
        for chunk in range(5):
            write_zip(tmp_path / f"{chunk}.zip", dict(members[chunk * 10 : chunk * 10 + 10]))
        return tmp_path

    @pytest.mark.parametrize("chunks", [[], [3], [4, 0, 2], [1, 1], range(5)])
    def test_those_asked_for_in_that_order(self, folder: Path, chunks: list[int]) -> None:
        dataset = load_dataset(folder)
        read = [sample.chunk_id for sample in dataset.iter_encoded(chunks=chunks)]
        assert read == [f"{number}.zip" for number in chunks for _ in range(10)]

    def test_one_that_there_is_not(self, folder: Path) -> None:
        with pytest.raises(IndexError):
            load_dataset(folder).iter_encoded(chunks=[5])

    def test_of_a_plain_folder(self, kodak_folder: Path) -> None:
        dataset = load_dataset(kodak_folder)
        read = {sample.member: sample.data for sample in dataset.iter_encoded(chunks=[0])}
        assert read == {
            path.relative_to(kodak_folder).as_posix(): path.read_bytes()
            for path in kodak_folder.rglob("*")
            if path.is_file() and path.name != "metadata.jsonl"
        }


class TestOverHttp:
    CHUNKS = 3

    @pytest.fixture
    def members(self) -> list[tuple[str, bytes]]:
        return [(f"{name}.jpg", encode(picture(60, 80, number), "JPEG")) for number, name in enumerate("abcdefghi")]

    @pytest.fixture
    def server(self, members: list[tuple[str, bytes]]) -> Iterator[FaultyServer]:
        with FaultyServer() as running:
            serve_job(running, "j", {f"c{n}": zip_of(dict(members[3 * n : 3 * n + 3])) for n in range(self.CHUNKS)})
            yield running

    def read(self, server: FaultyServer, **options: Any) -> list[tuple[str, bytes]]:
        with load_dataset("j", "key", server.url, **options) as dataset:
            return [(sample.member, sample.data) for sample in dataset.iter_encoded()]

    def test_with_ranges_without_and_with_little_memory(
        self, server: FaultyServer, members: list[tuple[str, bytes]]
    ) -> None:
        assert self.read(server) == members
        assert self.read(server, memory_limit=1) == members
        server.always[""] = Fault(ignore_range=True)
        assert self.read(server) == members

    def test_bytes_damaged_on_the_way_are_fetched_once_more(
        self, server: FaultyServer, members: list[tuple[str, bytes]]
    ) -> None:
        path = next(path for path in server.files if "c1" in path)
        at = server.files[path].index(members[4][1]) + 500
        spoilt = []

        def draw(target: str, _number: int) -> Fault | None:
            if target.split("?", maxsplit=1)[0] == path and len(spoilt) < 2:
                # The tail, and then the segment.
                spoilt.append(target)
                return Fault(corrupt_at=at)
            return None

        server.draw = draw
        assert self.read(server) == members
        assert len(spoilt) == 2

    def test_bytes_damaged_for_good_are_an_error(self, server: FaultyServer, members: list[tuple[str, bytes]]) -> None:
        path = next(path for path in server.files if "c1" in path)
        server.always[path] = Fault(corrupt_at=server.files[path].index(members[4][1]) + 500)
        with pytest.raises(ArchiveError) as caught:
            self.read(server)
        assert (caught.value.code, caught.value.chunk_id, caught.value.member) == ("crc", "c1", "e.jpg")


def test_a_pass_ends_with_its_iterator(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "c.zip", {f"{n}.jpg": encode(picture(300, 300, n), "JPEG") for n in range(200)})
    dataset = load_dataset(path, memory_limit="2MB")
    with dataset.iter_encoded() as samples:
        next(samples)
    iterator = dataset.iter_encoded()
    next(iterator)
    del iterator
    half = dataset.iter_encoded()
    next(half)
    dataset.close()
    with pytest.raises(RuntimeError, match="closed while it was being read"):
        list(half)
    deadline = time.monotonic() + 5
    while any(thread.name.startswith("pixcrawler") for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_error_does_not_hold_the_segment_it_stood_in(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "c.zip", {**numbered(3), "bad.jpg": JPEG})
    flipped(path, "bad.jpg")
    with pytest.raises(ArchiveError) as caught:
        list(load_dataset(path).iter_encoded())
    names = set()
    traceback = caught.value.__traceback__
    while traceback is not None:
        names |= traceback.tb_frame.f_locals.keys()
        traceback = traceback.tb_next
    assert "buffer" not in names


CHILD = """
import gc, json, sys
sys.path.insert(0, sys.argv[1])
import support
from pixcrawler import load_dataset

path, limit, warm = sys.argv[2:5]
for probe in (False, True):
    list(load_dataset(warm, memory_limit="4MB", decode_threads=2).iter_encoded(probe=probe))
gc.collect()
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
before = support.peak_bytes()
images = 0
with load_dataset(path, decode_threads=2, memory_limit=limit) as dataset:
    for sample in dataset.iter_encoded(probe=True):
        images += 1
print(json.dumps({"grown": support.peak_bytes() - before, "images": images}))
"""


def test_memory_keeps_to_its_limit(tmp_path: Path) -> None:
    warm = write_zip(tmp_path / "warm.zip", numbered(8))
    rng_free = picture(700, 900)
    data = encode(rng_free, "JPEG", quality=95)
    path = write_zip(tmp_path / "c.zip", {f"{n}.jpg": data for n in range(120)}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size > 60_000_000
    report = json.loads(run_child(CHILD, TESTS, path, "16MB", warm))
    assert report["images"] == 120
    # What malloc keeps for each thread comes on top, as for the other passes.
    assert report["grown"] < 16_000_000 + 16_000_000


def test_pillow_opens_what_comes(kodak_folder: Path) -> None:
    for sample in load_dataset(kodak_folder).iter_encoded(probe=True):
        with Image.open(io.BytesIO(sample.data)) as image:
            assert (image.height, image.width) == sample.size
