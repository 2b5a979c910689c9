"""``verify_dataset``: every chunk and member checked, each counted once, and what is repaired is clean."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import pickle
import struct
import zipfile
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from pixcrawler import NetworkError, PixCrawlerClient, PixCrawlerError, load_dataset, verify_dataset
from pixcrawler.codes import table
from pixcrawler.limits import Limits
from pixcrawler.options import Options
from pixcrawler.records import ChunkRecord
from pixcrawler.repair import Repairer, _central_headers, _file_names, _moved
from pixcrawler.server.run import ServerProcess
from pixcrawler.server.store import JobSpec, Store
from pixcrawler.sources.api import ApiSource
from pixcrawler.sources.local import open_local
from pixcrawler.verify import _verify
from support import catching_warning, encode, numbered, picture, write_zip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pixcrawler import VerifyReport

JPEG = encode(picture(40, 30), "JPEG")
LIMITS = Limits(pixels=10_000)


def turned(value: int) -> bytes:
    """A JPEG of 40 x 30 that its EXIF block turns."""
    exif = Image.Exif()
    exif[0x0112] = value
    return encode(Image.fromarray(picture(40, 30)), "JPEG", exif=exif)


def grey16() -> bytes:
    pixels = np.arange(12 * 10, dtype=np.uint16).reshape(12, 10) * 500
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


# Name -> (file, format, colour, decoder).
GOOD: dict[str, tuple[bytes, str, str, str]] = {
    "a/rgb.jpg": (JPEG, "jpeg", "RGB", "pixcrawler-jpeg"),
    "a/grey.jpg": (encode(picture(20, 20, channels=1), "JPEG"), "jpeg", "grey", "pixcrawler-jpeg"),
    "a/cmyk.jpg": (
        encode(Image.fromarray(picture(20, 20)).convert("CMYK"), "JPEG"),
        "jpeg",
        "CMYK",
        "pixcrawler-jpeg",
    ),
    "a/turned.jpg": (turned(6), "jpeg", "RGB", "pixcrawler-jpeg"),
    "b/rgb.png": (encode(picture(90, 100)), "png", "RGB", "png"),
    "b/rgba.png": (encode(picture(20, 20, channels=4)), "png", "RGBA", "png"),
    "b/grey.png": (encode(picture(20, 20, channels=1)), "png", "grey", "png"),
    "b/grey-alpha.png": (encode(Image.fromarray(picture(20, 20)).convert("LA")), "png", "grey+alpha", "png"),
    "b/grey16.png": (grey16(), "png", "grey 16 bit", "png"),
    "b/one-bit.png": (encode(Image.fromarray(picture(20, 20)).convert("1")), "png", "grey 1 bit", "png"),
    "b/palette.png": (encode(Image.fromarray(picture(20, 20)).convert("P")), "png", "palette", "png"),
    "c/rgb.webp": (encode(picture(7, 5), "WEBP"), "webp", "RGB", "libwebp"),
    "c/rgba.webp": (encode(picture(20, 20, channels=4), "WEBP", lossless=True), "webp", "RGBA", "libwebp"),
}
# Name -> (file, the codes that may be told).
BAD: dict[str, tuple[bytes, set[str]]] = {
    "x/empty.jpg": (b"", {"not_an_image"}),
    "x/page.jpg": (b"<!doctype html>", {"not_an_image"}),
    "x/cut.jpg": (JPEG[: len(JPEG) // 2], {"truncated_image"}),
    "x/cut.png": (encode(picture(20, 20))[:-30], {"truncated_image", "corrupt"}),
    "x/cut.webp": (encode(picture(20, 20), "WEBP")[:60], {"truncated_image", "corrupt"}),
    "x/huge.png": (encode(picture(200, 200)), {"limit_pixels"}),
    "x/damaged.jpg": (JPEG[:40] + bytes(300), {"corrupt", "truncated_image"}),
}


def mixed() -> dict[str, bytes]:
    """Good and bad members by turns."""
    good = [(name, one[0]) for name, one in GOOD.items()]
    bad = [(name, one[0]) for name, one in BAD.items()]
    members = {}
    for number, (name, data) in enumerate(good):
        members[name] = data
        if number < len(bad):
            members[bad[number][0]] = bad[number][1]
    return members


def flip(path: Path, member: str) -> None:
    """Flip a bit in a member's stored bytes."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(member)
    data = bytearray(path.read_bytes())
    data[info.header_offset + 30 + len(info.filename) + info.compress_size // 2] ^= 1
    path.write_bytes(data)


def found(report: VerifyReport) -> dict[str | None, str]:
    """Code by member, of all problems."""
    return {problem.member: problem.code for problem in report.problems}


class TestReport:
    def test_is_exact(self, tmp_path: Path) -> None:
        members = mixed()
        path = write_zip(tmp_path / "c.zip", {**members, "metadata.jsonl": b"", "flipped.jpg": JPEG, "folder/": b""})
        flip(path, "flipped.jpg")
        report = verify_dataset(path, limits=LIMITS)
        (chunk,) = report.chunks
        assert (chunk.chunk_id, chunk.size_bytes, chunk.entries) == ("c.zip", path.stat().st_size, len(members) + 3)
        assert chunk.error is None
        assert chunk.unchecked == ()
        assert chunk.good == report.good == len(GOOD)
        assert [problem.member for problem in chunk.bad] == [*BAD, "flipped.jpg"]
        for problem in chunk.bad:
            assert problem.chunk_id == "c.zip"
            assert problem.member is not None
            assert problem.code in BAD.get(problem.member, (b"", {"crc"}))[1]
            assert problem.reason.startswith(table()[problem.code].cause.rstrip("."))
            assert problem.detail
        assert report.bad == len(BAD) + 1
        assert not report.is_clean
        kinds, colors, decoders = (sorted(one[at] for one in GOOD.values()) for at in (1, 2, 3))
        for counted, expected in ((report.formats, kinds), (report.colors, colors), (report.decoders, decoders)):
            assert sorted(name for name, count in counted.items() for _ in range(count)) == expected
        assert report.orientations == {1: len(GOOD) - 1, 6: 1}
        assert (report.smallest, report.largest) == ((7, 5), (90, 100))
        assert report.job_id == str(path)
        assert report.size_bytes == path.stat().st_size
        assert report.elapsed_s > 0
        assert report.repair is None
        assert pickle.loads(pickle.dumps(report)) == report
        assert json.loads(json.dumps(report.to_dict()))["chunks"][0]["bad"][0]["member"] == "x/empty.jpg"

    def test_turned_pictures_have_the_size_that_a_person_sees(self, tmp_path: Path) -> None:
        report = verify_dataset(write_zip(tmp_path / "c.zip", {"a.jpg": turned(6)}))
        assert (report.smallest, report.largest, report.orientations) == ((30, 40), (30, 40), {6: 1})

    @pytest.mark.parametrize("on_truncated", ["fail", "keep"])
    def test_says_what_loading_says(self, data_dir: Path, tmp_path: Path, on_truncated: Any) -> None:
        files = {}
        for folder in sorted((data_dir / "corpus").iterdir()):
            if folder.name != "zip":
                some = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size < 1 << 20)
                files.update({path.relative_to(data_dir).as_posix(): path.read_bytes() for path in some[::5]})
        path = write_zip(tmp_path / "c.zip", files)
        report = verify_dataset(path, on_truncated=on_truncated, limits=Limits(pixels=4_000_000))
        with load_dataset(path, on_error="skip", on_truncated=on_truncated, limits=Limits(pixels=4_000_000)) as dataset:
            loaded = sum(1 for _ in catching_warning(dataset))
            expected = {failure.member: failure.code for failure in dataset.failures}
        assert found(report) == expected
        assert (report.good, report.bad + report.unchecked) == (loaded, len(expected))
        assert report.good > 100
        assert report.bad > 100

    def test_truncated_images_are_good_if_they_are_kept(self, tmp_path: Path) -> None:
        path = write_zip(tmp_path / "c.zip", {"a.jpg": JPEG[:-300], "b.jpg": JPEG})
        assert found(verify_dataset(path)) == {"a.jpg": "truncated_image"}
        assert verify_dataset(path, on_truncated="keep").is_clean

    def test_progress_counts_every_member(self, tmp_path: Path) -> None:
        (tmp_path / "chunks").mkdir()
        for number in range(3):
            write_zip(tmp_path / "chunks" / f"{number}.zip", numbered(100))
        (tmp_path / "chunks" / "bad.zip").write_bytes(b"bad")
        seen: list[tuple[int, int | None]] = []
        report = verify_dataset(tmp_path / "chunks", on_progress=lambda done, total: seen.append((done, total)))
        assert report.good == 300
        assert [done for done, _ in seen] == sorted(done for done, _ in seen)
        assert seen[-1] == (300, 300)

    @pytest.mark.parametrize("threads", [1, 2, 7])
    def test_is_the_same_with_any_number_of_threads(self, tmp_path: Path, threads: int) -> None:
        path = write_zip(tmp_path / "c.zip", mixed())
        one, other = (verify_dataset(path, limits=LIMITS, decode_threads=number).to_dict() for number in (1, threads))
        assert {**one, "elapsed_s": 0} == {**other, "elapsed_s": 0}


class TestChunks:
    def test_each_fails_alone(self, tmp_path: Path) -> None:
        folder = tmp_path / "chunks"
        folder.mkdir()
        write_zip(folder / "0.zip", numbered(3))
        (folder / "1.zip").write_bytes(b"<html>not a zip at all</html>")
        write_zip(folder / "2.zip", {})
        write_zip(folder / "3.zip", {**numbered(2), "metadata.jsonl": b"{"})
        data = write_zip(folder / "4.zip", numbered(4)).read_bytes()
        (folder / "4.zip").write_bytes(data[:-100])
        write_zip(folder / "5.zip", {**numbered(2), "bad.png": b"bad"})
        report = verify_dataset(folder)
        assert [chunk.chunk_id for chunk in report.chunks] == [f"{number}.zip" for number in range(6)]
        assert [chunk.good for chunk in report.chunks] == [3, 0, 0, 0, 0, 2]
        assert [chunk.entries for chunk in report.chunks] == [3, None, 0, None, None, 3]
        codes = [chunk.error.code if chunk.error else None for chunk in report.chunks]
        assert codes == [None, "not_a_zip", None, "metadata", "truncated", None]
        assert [len(chunk.bad) for chunk in report.chunks] == [0, 0, 0, 0, 0, 1]
        assert all(chunk.size_bytes for chunk in report.chunks)

    def test_a_file_that_is_no_zip(self, tmp_path: Path) -> None:
        (tmp_path / "a.zip").write_bytes(b"")
        report = verify_dataset(tmp_path / "a.zip")
        assert found(report) == {None: "not_a_zip"}
        assert (report.smallest, report.largest, report.good) == (None, None, 0)

    def test_a_plain_folder(self, tmp_path: Path) -> None:
        for name, data in mixed().items():
            path = tmp_path / "images" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        report = verify_dataset(tmp_path / "images", limits=LIMITS)
        assert report.good == len(GOOD)
        assert {problem.member for problem in report.problems} == set(BAD)

    def test_what_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(PixCrawlerError) as caught:
            verify_dataset(tmp_path / "nothing")
        assert caught.value.code == "path_not_found"

    def test_a_file_that_vanishes_is_not_called_bad(self, tmp_path: Path) -> None:
        for number, data in enumerate(numbered(40).values()):
            (tmp_path / f"{number:02d}.png").write_bytes(data)
        (tmp_path / "20.png").unlink()
        (tmp_path / "20.png").symlink_to(tmp_path / "target")
        (tmp_path / "target").write_bytes(b"1")

        source = open_local(tmp_path, Limits())
        # Now it has another size than it was listed with: the bytes that were listed are gone.
        (tmp_path / "target").write_bytes(b"12345")
        report = _verify(source, Options(), None, None)
        assert found(report) == {"20.png": "file_changed", "target": "file_changed"}
        assert (report.good, report.bad, report.unchecked) == (39, 0, 2)


class TestRepair:
    def test_keeps_the_bytes_of_good_members_and_their_order(self, tmp_path: Path) -> None:
        path, out = tmp_path / "c.zip", tmp_path / "out"
        members = mixed()
        lines = [json.dumps({"file_name": name, "label": f"l-{name}"}).encode() for name in members]
        with zipfile.ZipFile(path, "w") as archive:
            archive.comment = b"a comment"
            archive.writestr("a/", b"")
            for number, (name, data) in enumerate(members.items()):
                if number == 5:
                    archive.writestr("metadata.jsonl", b"\r\n".join(lines) + b"\n", zipfile.ZIP_DEFLATED)
                archive.writestr(name, data, zipfile.ZIP_DEFLATED if number % 2 else zipfile.ZIP_STORED)
        report = verify_dataset(path, limits=LIMITS, repair_to=out)
        assert report.repair is not None
        assert (report.repair.chunks, report.repair.removed, report.repair.left_out) == (1, len(BAD), ())
        assert [entry.name for entry in out.iterdir()] == ["c.zip"]
        with zipfile.ZipFile(path) as before, zipfile.ZipFile(out / "c.zip") as after:
            kept = [name for name in before.namelist() if name in GOOD or name == "metadata.jsonl"]
            assert after.namelist() == kept
            assert after.testzip() is None
            for name in GOOD:
                old, new = before.getinfo(name), after.getinfo(name)
                fields = ("CRC", "compress_type", "compress_size", "file_size", "date_time", "external_attr", "extra")
                for field in fields:
                    assert getattr(old, field) == getattr(new, field)
                assert self.stored(path, old) == self.stored(out / "c.zip", new)
            expected = [json.loads(line) for line in lines if json.loads(line)["file_name"] in GOOD]
            assert [json.loads(line) for line in after.read("metadata.jsonl").splitlines()] == expected
        again = verify_dataset(out, limits=LIMITS)
        assert again.is_clean
        assert again.good == len(GOOD)
        with load_dataset(out, limits=LIMITS) as dataset:
            assert [label for _, label in dataset] == [f"l-{name}" for name in kept if name in GOOD]

    @staticmethod
    def stored(path: Path, info: zipfile.ZipInfo) -> bytes:
        """A member's bytes as they stand in the file."""
        data = path.read_bytes()
        name, extra = struct.unpack_from("<2H", data, info.header_offset + 26)
        start = info.header_offset + 30 + name + extra
        return data[start : start + info.compress_size]

    def test_copies_a_chunk_without_bad_members_byte_for_byte(self, tmp_path: Path) -> None:
        folder = tmp_path / "chunks"
        folder.mkdir()
        write_zip(folder / "good.zip", numbered(30), zipfile.ZIP_DEFLATED)
        write_zip(folder / "mixed.ZIP", mixed())
        write_zip(folder / "none.zip", {"a.jpg": b"bad", "b.jpg": b"bad too"})
        (folder / "torn.zip").write_bytes((folder / "good.zip").read_bytes()[:-30])
        report = verify_dataset(folder, limits=LIMITS, repair_to=tmp_path / "out")
        assert report.repair is not None
        assert report.repair.left_out == ("torn.zip",)
        assert sorted(entry.name for entry in (tmp_path / "out").iterdir()) == ["good.zip", "mixed.ZIP", "none.zip"]
        assert (tmp_path / "out" / "good.zip").read_bytes() == (folder / "good.zip").read_bytes()
        again = verify_dataset(tmp_path / "out", limits=LIMITS)
        assert again.is_clean
        assert [chunk.good for chunk in again.chunks] == [30, len(GOOD), 0]

    def test_gives_the_same_bytes_each_time(self, tmp_path: Path) -> None:
        members = {**mixed(), "metadata.jsonl": b'{"file_name": "a/rgb.jpg"}\n{"file_name": "x/cut.jpg"}'}
        path = write_zip(tmp_path / "c.zip", members)
        for out in ("1", "2"):
            verify_dataset(path, limits=LIMITS, repair_to=tmp_path / out)
        digests = {hashlib.sha256((tmp_path / out / "c.zip").read_bytes()).digest() for out in ("1", "2")}
        assert len(digests) == 1

    def test_of_a_directory_in_another_order_with_descriptors_and_zip64(self, tmp_path: Path) -> None:
        class Unseekable(io.RawIOBase):
            """Has zipfile write data descriptors."""

            def __init__(self) -> None:
                self.data = bytearray()

            def writable(self) -> bool:
                return True

            def write(self, data: Any) -> int:
                self.data += data
                return len(data)

        out = Unseekable()
        with zipfile.ZipFile(out, "w") as archive:
            for number, (name, data) in enumerate({**numbered(6), "bad.png": b"bad", "metadata.jsonl": b""}.items()):
                with archive.open(zipfile.ZipInfo(name), "w", force_zip64=number == 2) as member:
                    member.write(data)
            archive.filelist.reverse()
        (tmp_path / "c.zip").write_bytes(out.data)
        report = verify_dataset(tmp_path / "c.zip", repair_to=tmp_path / "out")
        assert found(report) == {"bad.png": "not_an_image"}
        again = verify_dataset(tmp_path / "out")
        assert again.is_clean
        assert again.good == 6
        with zipfile.ZipFile(tmp_path / "out" / "c.zip") as archive:
            assert archive.namelist() == ["metadata.jsonl", *reversed(numbered(6))]
            assert {name: archive.read(name) for name in numbered(6)} == numbered(6)

    def test_moves_an_offset_that_stands_in_a_zip64_field(self) -> None:
        top = 0xFFFF_FFFF
        extra = struct.pack("<2HH", 0x7777, 2, 7) + struct.pack("<2H2Q", 1, 16, 5, 1 << 33)
        header = struct.pack("<4s6H3I5H2I", b"PK\1\2", 45, 45, 0, 0, 0, 0, 0, 5, top, 1, len(extra), 0, 0, 0, 0, top)
        header += b"a" + extra
        assert _central_headers(header * 2, 2) == [header, header]
        assert _moved(header, 77) == header[:-8] + struct.pack("<Q", 77)

    def test_writes_zip64_end_records_where_they_are_needed(self, tmp_path: Path) -> None:
        data = encode(np.zeros((1, 1, 3), np.uint8))
        members = {**{f"{number}.png": data for number in range(65_540)}, "bad.png": b"bad"}
        path = write_zip(tmp_path / "c.zip", members)
        assert verify_dataset(path, repair_to=tmp_path / "out").bad == 1
        with zipfile.ZipFile(tmp_path / "out" / "c.zip") as archive:
            assert archive.namelist() == list(members)[:-1]
        again = verify_dataset(tmp_path / "out")
        assert again.is_clean
        assert again.good == 65_540

    def test_of_a_plain_folder_copies_the_good_files(self, tmp_path: Path) -> None:
        images = tmp_path / "images"
        for name, data in mixed().items():
            (images / name).parent.mkdir(parents=True, exist_ok=True)
            (images / name).write_bytes(data)
        (images / "metadata.jsonl").write_text('{"file_name": "x/cut.jpg"}\n\n{"file_name": "a/rgb.jpg", "label": 3}\n')
        report = verify_dataset(images, limits=LIMITS, repair_to=tmp_path / "out")
        assert report.repair is not None
        assert report.repair.removed == len(BAD)
        written = {
            path.relative_to(tmp_path / "out").as_posix(): path.read_bytes()
            for path in (tmp_path / "out").rglob("*")
            if path.is_file()
        }
        assert written.pop("metadata.jsonl") == b'\n{"file_name": "a/rgb.jpg", "label": 3}\n'
        assert written == {name: one[0] for name, one in GOOD.items()}
        assert verify_dataset(tmp_path / "out", limits=LIMITS).is_clean

    def test_never_overwrites(self, tmp_path: Path) -> None:
        path = write_zip(tmp_path / "c.zip", mixed())
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "other").write_bytes(b"kept")
        for place in (tmp_path / "out", path, tmp_path):
            with pytest.raises(FileExistsError, match="new or empty"):
                verify_dataset(path, repair_to=place)
        assert [entry.name for entry in (tmp_path / "out").iterdir()] == ["other"]

    def test_leaves_no_half_written_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write_zip(tmp_path / "c.zip", mixed())

        def fail(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("pixcrawler.repair._write_directory", fail)
        with pytest.raises(OSError, match="No space"):
            verify_dataset(path, repair_to=tmp_path / "out")
        assert list((tmp_path / "out").iterdir()) == []


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str], Callable[[], str]]]:
    """A store's folder, what a client needs of it, and a function that packs a new job of three chunks."""
    folder = tmp_path_factory.mktemp("verified")
    images = folder / "images"
    for name, data in {**numbered(8), "label0/bad.jpg": JPEG[:-200]}.items():
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        (images / name).write_bytes(data)
    (images / "metadata.jsonl").write_text(
        '{"file_name": "label0/bad.jpg", "label": 1}\n{"file_name": "label0/0000.png", "label": 2}\n'
    )
    store, key = Store.create(folder / "store")
    seeds = itertools.count()

    def pack() -> str:
        # Another picture each time, so that its chunk is a new one.
        (images / "label0" / "extra.png").write_bytes(encode(picture(9, 9, next(seeds))))
        with Store(folder / "store") as opened:
            return opened.pack(images, JobSpec("job", chunk_size=4)).job.id

    store.close()
    with ServerProcess(folder / "store") as server:
        yield folder / "store", {"api_key": key, "base_url": server.url}, pack


class TestJob:
    def test_its_members_are_checked_and_repaired(
        self, served: tuple[Path, dict[str, Any], Callable[[], str]], tmp_path: Path
    ) -> None:
        store, access, pack = served
        job = pack()
        report = verify_dataset(job, **access, repair_to=tmp_path / "out")
        assert report.job_id == job
        assert [chunk.chunk_id for chunk in report.chunks] == [f"{job}-{number:05d}" for number in range(3)]
        assert [chunk.error for chunk in report.chunks] == [None, None, None]
        assert found(report) == {"label0/bad.jpg": "truncated_image"}
        assert report.good == 9
        assert report.repair is not None
        assert (report.repair.chunks, report.repair.removed, report.repair.left_out) == (3, 1, ())
        names = sorted(entry.name for entry in (tmp_path / "out").iterdir())
        assert names == [f"{job}-{number:05d}.zip" for number in range(3)]
        # Those without bad members are the served ones.
        digests = {hashlib.sha256((tmp_path / "out" / name).read_bytes()).hexdigest() for name in names}
        assert sum((store / "chunks" / f"{digest}.zip").is_file() for digest in digests) == 2
        assert verify_dataset(tmp_path / "out").is_clean
        with load_dataset(tmp_path / "out") as dataset:
            assert [label for _, label in dataset].count(2) == 1

    def test_a_chunk_with_another_checksum_is_refused_as_a_whole(
        self, served: tuple[Path, dict[str, Any], Callable[[], str]], tmp_path: Path
    ) -> None:
        store, access, pack = served
        before = set((store / "chunks").iterdir())
        job = pack()
        (path, *_) = sorted(set((store / "chunks").iterdir()) - before)
        good = path.read_bytes()
        try:
            # In the archive's last bytes' place: every member is sound, and the directory too.
            with zipfile.ZipFile(path) as archive:
                offset = archive.infolist()[0].header_offset
            data = bytearray(good)
            data[offset + 10] ^= 0xFF
            path.chmod(0o600)
            path.write_bytes(data)
            report = verify_dataset(job, **access, repair_to=tmp_path / "out")
        finally:
            path.write_bytes(good)
        (broken,) = [chunk for chunk in report.chunks if chunk.error is not None]
        assert broken.error is not None
        assert broken.error.code == "chunk_integrity"
        assert "SHA-256" in broken.error.reason
        assert (broken.good, broken.entries) == (0, None)
        assert report.repair is not None
        assert report.repair.left_out == (broken.chunk_id,)
        assert len(list((tmp_path / "out").iterdir())) == 2

    def test_chunks_without_a_checksum_are_read_in_ranges(
        self, served: tuple[Path, dict[str, Any], Callable[[], str]], tmp_path: Path
    ) -> None:
        _, access, pack = served
        with PixCrawlerClient(**access) as client:
            source: Any = ApiSource(client, pack())
            source.chunks = tuple(replace(chunk, sha256=None) for chunk in source.chunks)
            report = _verify(source, Options(), Repairer(tmp_path, source, Limits()), None)
            source.close()
        assert found(report) == {"label0/bad.jpg": "truncated_image"}
        assert report.good == 9
        assert verify_dataset(tmp_path).good == 9

    def test_a_chunk_that_cannot_be_read_again_is_not_written(
        self,
        served: tuple[Path, dict[str, Any], Callable[[], str]],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        _, access, pack = served
        job = pack()
        calls: list[str] = []
        real = ApiSource.open_whole

        def fail_once(self: ApiSource, chunk: ChunkRecord) -> Any:
            calls.append(chunk.id)
            # The first time it is checked, the second time repaired.
            if calls.count(f"{job}-00001") == 2 and chunk.id == f"{job}-00001":
                raise NetworkError("gone", code="connection", chunk_id=chunk.id)
            return real(self, chunk)

        monkeypatch.setattr(ApiSource, "open_whole", fail_once)
        report = verify_dataset(job, **access, repair_to=tmp_path / "out")
        assert [chunk.error is not None for chunk in report.chunks] == [False, True, False]
        assert report.repair is not None
        assert report.repair.left_out == (f"{job}-00001",)
        assert len(list((tmp_path / "out").iterdir())) == 2

    def test_a_wrong_key_is_raised(self, served: tuple[Path, dict[str, Any], Callable[[], str]]) -> None:
        _, access, pack = served
        with pytest.raises(PixCrawlerError) as caught:
            verify_dataset(pack(), **{**access, "api_key": "pxc_wrong"})
        assert caught.value.code == "auth"


@pytest.mark.parametrize(
    ("ids", "names"),
    [
        (["job-1", "job-2"], ["job-1.zip", "job-2.zip"]),
        *(
            (["job-1", odd], ["chunk-00000.zip", "chunk-00001.zip"])
            for odd in ("../../x", "/x", "a/b", "", "NUL", "com1", "x" * 300, "JOB-1", "a\0", "a\n", ".x", "C:x")
        ),
    ],
)
def test_names_of_an_apis_chunks_stay_in_the_folder(ids: list[str], names: list[str], tmp_path: Path) -> None:
    source: Any = SimpleNamespace(is_remote=True, chunks=[ChunkRecord(one, at, "") for at, one in enumerate(ids)])
    assert _file_names(source) == names


def test_counts_that_the_catalogue_has_wrong(tmp_path: Path) -> None:
    source: Any = open_local(write_zip(tmp_path / "c.zip", numbered(5)), Limits())
    source.chunks = (replace(source.chunks[0], num_images=6),)
    report = _verify(source, Options(), None, None)
    assert report.chunks[0].error is not None
    assert report.chunks[0].error.code == "image_count"
    assert report.good == 5
