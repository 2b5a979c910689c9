"""An archive as a dataset: the same images as from files, and one typed error for each that cannot be had."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import os
import pickle
import sqlite3
import zipfile
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from barecat_support import put_checksums
from pixcrawler import Limits, _native, load_dataset, verify_dataset
from pixcrawler.barecat import Barecat, BarecatError, BarecatIntegrityError, schema
from pixcrawler.exceptions import DecompressionError, IntegrityError, LimitError, NotFoundError
from pixcrawler.sources import archive
from support import checksums, member_name, number_of, numbered, run_child, write_zip

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

IMAGES = numbered(30)

pytestmark = pytest.mark.filterwarnings("ignore:.* left out")


def make(path: Path, files: Mapping[str, bytes] = IMAGES, **options: Any) -> Path:
    with Barecat(path, readonly=False, **options) as bc:
        bc.update(files)
    return path


def change(path: Path, statement: str, *parameters: object) -> None:
    """Write to an index behind the package's back."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE config SET value_int = 0 WHERE key = 'use_triggers'")
        connection.execute(statement, parameters)


def shard(path: Path, number: int = 0) -> Path:
    return path.with_name(f"{path.name}-shard-{number:05d}")


def numbers(dataset: Any) -> list[int]:
    return [number_of(image) for image, _ in dataset]


def failed(path: Path) -> tuple[list[int], dict[str | None, str]]:
    """The images that come, and the code of each sample that does not, which is also that of reading it by number."""
    with load_dataset(path, on_error="skip") as dataset:
        good = numbers(dataset)
        codes = {failure.member: failure.code for failure in dataset.failures}
        assert len(good) + len(codes) == len(dataset)
        names = [sample.member for sample in load_dataset(path, on_error="skip").iter_decoded()]
        assert not set(names) & set(codes)
        raised = {}
        for number in range(len(dataset)):
            try:
                dataset[number]
            except DecompressionError as exc:
                raised[exc.member] = exc.code
        assert raised == codes
    return good, codes


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make(tmp_path / "x.barecat")


# What is delivered.


def test_photographs_are_those_of_the_folder(kodak_folder: Path, tmp_path: Path) -> None:
    files = sorted(file for file in kodak_folder.rglob("*") if file.is_file())
    photos = {file.relative_to(kodak_folder).as_posix(): file.read_bytes() for file in files}
    path = make(tmp_path / "kodak.barecat", photos, shard_size_limit="200K")
    with load_dataset(path) as dataset, load_dataset(kodak_folder) as folder:
        assert dataset.num_chunks > 3
        assert checksums(dataset) == checksums(folder)
        assert dataset.stats().images_by_decoder == folder.stats().images_by_decoder
        assert (dataset.classes, dataset.info.labels) == (folder.classes, folder.info.labels)
        assert len(dataset) == dataset.info.num_images == len(photos)
        assert dataset.info.size_bytes == sum(map(len, photos.values()))
        assert [sample.data for sample in dataset.iter_encoded()] == list(photos.values())
        for number in (0, 7, -1):
            image, label = dataset[number]
            expected, expected_label = folder[number]
            assert (image == expected).all()
            assert label == expected_label
        assert verify_dataset(path).good == len(photos)


def test_a_chunks_photographs_are_those_of_the_zip(photos_zip: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(photos_zip) as chunk:
        members = {name: chunk.read(name) for name in chunk.namelist()[:60] if not name.endswith("/")}
    path = make(tmp_path / "photos.barecat", members)
    dataset = load_dataset(path, image_size=64, label_fn=member_name)
    expected = load_dataset(write_zip(tmp_path / "photos.zip", members), image_size=64, label_fn=member_name)
    images, labels = dataset.to_arrays()
    expected_images, expected_labels = expected.to_arrays()
    assert (images == expected_images).all()
    assert labels.tolist() == expected_labels.tolist()
    chosen = [50, 3, 3, -1, 21]
    for (one, label), number in zip(dataset[chosen], chosen, strict=True):
        assert (one == images[number]).all()
        assert label == labels[number]


def test_batches_slices_and_tables(path: Path) -> None:
    with load_dataset(path) as dataset:
        batches = list(dataset.iter_batches(8))
        assert [len(labels) for _, labels in batches] == [8, 8, 8, 6]
        assert [number_of(image) for images, _ in batches for image in images] == list(range(30))
        assert numbers(dataset[5:20:5]) == [5, 10, 15]
        assert dataset.classes == ("label0", "label1", "label2")
        frame = dataset.to_dataframe()
        assert list(frame["label"]) == [f"label{number % 3}" for number in range(30)]


def test_the_order_is_that_of_the_addresses_across_runs_and_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "_RUN_FILES", 4)
    path = make(tmp_path / "x.barecat", dict(reversed(IMAGES.items())), shard_size_limit=900)
    with Barecat(path, readonly=False) as bc:
        del bc["label0/0009.png"], bc["label2/0020.png"]
    expected = [number for number in reversed(range(30)) if number not in {9, 20}]
    with load_dataset(path) as dataset:
        assert numbers(dataset) == numbers(dataset) == expected
        assert dataset.num_chunks >= 8
        assert numbers(dataset[::-1]) == expected[::-1]
        assert {chunk.id for chunk in dataset.chunks} >= {"x.barecat-shard-00000[0]", "x.barecat-shard-00000[1]"}
        assert all(chunk.num_images is not None and chunk.num_images <= 4 for chunk in dataset.chunks)


def test_what_is_no_image_by_its_name_is_left_out(tmp_path: Path) -> None:
    lines = [{"file_name": "label0/0000.png", "label": ["any", 5], "who": "me"}, {"file_name": "label1/0001.png"}]
    extra = {
        ".hidden": b"x",
        "a/.git/0.png": b"x",
        "failures.jsonl": b"x",
        "metadata.jsonl": "\n".join(map(json.dumps, lines)).encode(),
    }
    path = make(tmp_path / "x.barecat", {**extra, **IMAGES})
    with load_dataset(path) as dataset:
        assert numbers(dataset) == list(range(30))
        assert [label for _, label in dataset][:4] == [["any", 5], None, "label2", "label0"]
        assert next(dataset.iter_decoded()).metadata == {"who": "me"}
        assert dataset.info.labels == ()
    with pytest.raises(LimitError) as over:
        load_dataset(path, limits=Limits(inflated_bytes=50))
    assert over.value.code == "limit_inflated"


@pytest.mark.parametrize(("suffix", "version"), [("", (0, 3)), ("-sqlite-index", (0, 3)), ("-sqlite-index", (0, 2))])
def test_older_names_and_schemas(suffix: str, version: tuple[int, int], path: Path) -> None:
    change(path, "UPDATE config SET value_int = ? WHERE key = 'schema_version_minor'", version[1])
    if version == (0, 2):
        for name in ("idx_files_path", "idx_dirs_path"):
            change(path, f"DROP INDEX {name}")
    path.rename(f"{path}{suffix}")
    with load_dataset(path) as dataset:
        assert numbers(dataset) == list(range(30))


def test_an_archive_of_another_name_is_found_by_its_index(tmp_path: Path) -> None:
    assert numbers(load_dataset(make(tmp_path / "photos"))) == list(range(30))
    assert numbers(load_dataset(make(tmp_path / "it is [1]? #2.zip"))) == list(range(30))


def test_what_is_no_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFoundError, match="nothing"):
        load_dataset("x.barecat")
    make(tmp_path / "empty.barecat", {".hidden": b"x"})
    with pytest.raises(NotFoundError, match="no files"):
        load_dataset("empty.barecat")
    (tmp_path / "text.barecat").write_text("no index " * 100)
    with pytest.raises(BarecatIntegrityError):
        load_dataset("text.barecat")
    make(tmp_path / "new.barecat")
    change(tmp_path / "new.barecat", "UPDATE config SET value_int = 1 WHERE key = 'schema_version_major'")
    with pytest.raises(BarecatError) as refused:
        load_dataset("new.barecat")
    assert refused.value.code == "archive_version"
    numbered_folder = tmp_path / "folder.barecat"
    numbered_folder.mkdir()
    (numbered_folder / "0.png").write_bytes(IMAGES["label0/0000.png"])
    assert numbers(load_dataset(numbered_folder)) == [0]


# What fails, alone.


def test_A07_a_flipped_bit_is_one_files_error(path: Path) -> None:
    with Barecat(path) as bc:
        info = bc.index.lookup_file("label1/0004.png")
    data = bytearray(shard(path).read_bytes())
    data[info.offset + info.size - 30] ^= 1
    shard(path).write_bytes(data)
    assert failed(path) == ([n for n in range(30) if n != 4], {"label1/0004.png": "crc32c"})
    with pytest.raises(BarecatIntegrityError, match=r"label1/0004\.png") as wrong:
        list(load_dataset(path))
    assert wrong.value.chunk_id == "x.barecat-shard-00000[0]"
    report = verify_dataset(path)
    assert (report.good, report.bad, report.unchecked) == (29, 1, 0)
    with pytest.raises(ValueError, match="archive"):
        verify_dataset(path, repair_to=path.parent / "repaired")
    change(path, "UPDATE files SET crc32c = crc32c + 1 WHERE path = 'label0/0000.png'")
    assert failed(path)[1] == {"label1/0004.png": "crc32c", "label0/0000.png": "crc32c"}
    change(path, "UPDATE files SET crc32c = NULL WHERE path = 'label0/0000.png'")
    assert failed(path)[1] == {"label1/0004.png": "crc32c"}


def test_A06_a_cut_shard_and_a_missing_one(tmp_path: Path) -> None:
    path = make(tmp_path / "x.barecat", shard_size_limit=900)
    with Barecat(path) as bc:
        places = [(bc.index.lookup_file(name).shard, bc.index.lookup_file(name).end) for name in IMAGES]
    os.truncate(shard(path, 1), 100)
    shard(path, 2).unlink()
    good, codes = failed(path)
    assert good == [n for n, (number, end) in enumerate(places) if number not in {1, 2} or (number == 1 and end <= 100)]
    expected = {
        name: "shard_short" if number == 1 else "shard_missing"
        for name, (number, end) in zip(IMAGES, places, strict=True)
        if number == 2 or (number == 1 and end > 100)
    }
    assert codes == expected
    assert verify_dataset(path).bad == len(expected)


def test_A06_a_shard_cut_or_removed_in_use(tmp_path: Path) -> None:
    path = make(tmp_path / "x.barecat", shard_size_limit=900)
    with load_dataset(path) as dataset:
        dataset[0]
        os.truncate(shard(path), 0)
        with pytest.raises(IntegrityError) as cut:
            list(dataset)
        assert cut.value.code == "file_changed"
    with load_dataset(path) as dataset:
        last = max(number for number in range(len(dataset)) if shard(path, number).exists())
        shard(path, last).unlink()
        with pytest.raises(BarecatIntegrityError) as gone:
            dataset[-1]
        assert gone.value.code == "shard_missing"


HOSTILE: list[tuple[str, object, str]] = [
    ("size", 2**40, "shard_short"),
    ("size", -1, "archive_row"),
    ("size", 2**63 - 1, "archive_row"),
    ("size", None, "archive_row"),
    ("size", "text", "archive_row"),
    ("size", b"blob", "archive_row"),
    ("size", 1.5, "archive_row"),
    ("size", 0, "crc32c"),
    ("offset", -1, "archive_row"),
    ("offset", 2**62, "shard_short"),
    ("offset", 2**63 - 1, "archive_row"),
    ("offset", "text", "archive_row"),
    ("shard", -1, "archive_row"),
    ("shard", 5, "shard_missing"),
    ("shard", 10**9, "archive_row"),
    ("shard", "text", "archive_row"),
    ("shard", 1.5, "archive_row"),
    ("crc32c", -1, "archive_row"),
    ("crc32c", 2**32, "archive_row"),
    ("crc32c", "text", "archive_row"),
]


@pytest.mark.parametrize(("column", "value", "code"), HOSTILE, ids=str)
def test_A05_a_hostile_row_is_one_typed_error(column: str, value: object, code: str, path: Path) -> None:
    change(path, f"UPDATE files SET {column} = ? WHERE path = 'label2/0005.png'", value)
    good, codes = failed(path)
    assert sorted(good) == [n for n in range(30) if n != 5]
    assert codes == {"label2/0005.png": code}


@pytest.mark.parametrize(
    ("name", "code"),
    [("C:x.png", "unsafe_name"), ("/x.png", "unsafe_name"), ("a\0b.png", "name"), ("", "name"), (b"x", "archive_row")],
)
def test_A13_paths_that_no_file_may_have(name: object, code: str, path: Path) -> None:
    change(path, "UPDATE files SET path = ? WHERE path = 'label2/0005.png'", name)
    assert list(failed(path)[1].values()) == [code]


@pytest.mark.parametrize("files", [1000, 4, 1])
def test_A05_files_that_share_bytes_are_refused(files: int, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_RUN_FILES", files)
    name = "UPDATE files SET size = size + 5, crc32c = NULL WHERE path = 'label2/0005.png'"
    change(path, name)
    assert failed(path)[1] == dict.fromkeys(["label2/0005.png", "label0/0006.png"], "overlap")
    # One without bytes takes none from others, wherever it stands.
    change(path, "UPDATE files SET size = 0, offset = offset + 3, crc32c = 0 WHERE path = 'label2/0005.png'")
    change(path, "UPDATE files SET offset = 3 WHERE path = 'label2/0005.png'")
    assert failed(path)[1] == {"label2/0005.png": "not_an_image"}


def test_limits_hold_before_bytes_are_read(path: Path) -> None:
    with Barecat(path, readonly=False) as bc:
        bc["large.png"] = bytes(1 << 20)
    with load_dataset(path, on_error="skip", limits=Limits(member_bytes=1 << 19)) as dataset:
        assert numbers(dataset) == list(range(30))
        assert [failure.code for failure in dataset.failures] == ["limit_member"]
        assert dataset.stats().bytes_fetched < 1 << 19


def test_the_native_table_takes_what_rows_say_and_no_more() -> None:
    rows = [("a.png", 0, 10, 5, None), ("b.png", 0, 20, 4, 0xE3069283)]
    directory, start, stop = _native.Directory.in_shard(rows, 24, Limits())
    assert (start, stop) == (10, 24)
    assert [directory.extent(index) for index in range(2)] == [(0, 5), (10, 14)]
    copy = pickle.loads(pickle.dumps(directory))
    for one in (directory, copy):
        assert one.read_member(0, b"01234", 0) == b"01234"
        with pytest.raises(BarecatIntegrityError):
            one.read_member(1, b"abcd", 10)
    for wrong in ([("a", 0, 1)], [5], ["abcde"]):
        with pytest.raises((IndexError, TypeError)):
            _native.Directory.in_shard(wrong, 24, Limits())  # type: ignore[arg-type]
    assert _native.Directory.in_shard([], 24, Limits())[1:] == (0, 0)


# Other processes.


@pytest.mark.parametrize("method", ["spawn", "fork"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_it_crosses_processes(method: str, tmp_path: Path) -> None:
    path = make(tmp_path / "x.barecat", shard_size_limit=900)
    context = multiprocessing.get_context(method)
    with load_dataset(path) as dataset:
        expected = checksums(dataset)
        assert checksums(pickle.loads(pickle.dumps(dataset))) == expected
        queue = context.Queue()
        # A child that is spawned gets the directories: it needs no index.
        process = context.Process(target=put_checksums, args=(dataset, queue))
        path.rename(tmp_path / "away")
        process.start()
        assert queue.get(timeout=30) == expected
        process.join()


@pytest.mark.timeout(240)
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="not installed: torch")
def test_a_data_loader_with_two_workers(tmp_path: Path) -> None:
    path = make(tmp_path / "x.barecat", shard_size_limit=900)
    code = """
        import sys

        from torch.utils.data import DataLoader

        from pixcrawler import load_dataset

        dataset = load_dataset(sys.argv[1])
        samples = dataset.to_torch()
        loader = DataLoader(samples, batch_size=7, shuffle=True, num_workers=2, multiprocessing_context="fork")
        found = sorted((round(float(i[0, 0, 0]) * 255), int(l)) for x, y in loader for i, l in zip(x, y))
        assert found == [(n, n % 3) for n in range(30)], found
        stream = dataset.to_torch(streaming=True)
        loader = DataLoader(stream, batch_size=7, num_workers=2, multiprocessing_context="fork")
        found = sorted((round(float(i[0, 0, 0]) * 255), int(l)) for x, y in loader for i, l in zip(x, y))
        assert found == [(n, n % 3) for n in range(30)], found
        print("same")
    """
    assert run_child(code, path, timeout_s=200) == "same\n"


def test_the_index_is_walked_and_nothing_is_sorted(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {schema.SAMPLES}")]
    assert len(plan) == 1
    assert "idx_files_shard_offset" in plan[0]


def test_neighbours_are_read_in_one_call(path: Path) -> None:
    with load_dataset(path) as dataset:
        chunk = dataset.chunks[0]
        source = dataset._source
        assert isinstance(source, archive.ArchiveSource)
        ranges = [(chunk, 5, 50), (chunk, 0, 0), (chunk, 0, 1 << 40), (chunk, 0, 5)]
        data = shard(path).read_bytes()
        assert source.read_many(ranges, 4) == [data[5:50], b"", None, data[:5]]
        expected = [label for _, label in dataset]
        assert [label for _, label in dataset[[4, 20, 1]]] == [expected[number] for number in (4, 20, 1)]
    # Rows of no shard have no bytes to be read; their own errors tell why.
    change(path, "UPDATE files SET shard = -1 WHERE path = 'label2/0005.png'")
    change(path, "UPDATE files SET shard = 7 WHERE path = 'label2/0008.png'")
    with load_dataset(path) as dataset:
        for number, code in ((0, "archive_row"), (29, "shard_missing")):
            with pytest.raises(BarecatIntegrityError) as wrong:
                list(dataset[[4, number, 20]])
            assert wrong.value.code == code
        assert (np.asarray(dataset[3][0]) == np.asarray(dataset[[3]][0][0])).all()
