"""The dataset as a whole: order, labels, info, arrays, passes, pickling, closing, and each kind of local path."""

from __future__ import annotations

import gc
import json
import os
import pickle
import threading
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pixcrawler import (
    ArchiveError,
    Dataset,
    DatasetInfo,
    DownloadError,
    ImageSizeError,
    LabelCount,
    LimitError,
    NotFoundError,
    load_dataset,
)
from support import catching_warning, encode, member_name, number_of, numbered, picture, write_zip

if TYPE_CHECKING:
    from collections.abc import Callable


def make_chunks(folder: Path, count: int = 3, each: int = 20) -> Path:
    """A folder of zip chunks holding the numbered images in order."""
    folder.mkdir(exist_ok=True)
    members = list(numbered(count * each).items())
    for chunk in range(count):
        write_zip(folder / f"chunk-{chunk:03d}.zip", dict(members[chunk * each : (chunk + 1) * each]))
    return folder


def make_folder(folder: Path, members: dict[str, bytes]) -> Path:
    """A plain folder of files."""
    for name, data in members.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


@pytest.fixture
def chunk(tmp_path: Path) -> Path:
    return write_zip(tmp_path / "photos.zip", numbered(20))


def threads_of_passes() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("pixcrawler")]


def open_files() -> set[str]:
    return {os.path.realpath(descriptor) for descriptor in Path("/proc/self/fd").iterdir()}


def assert_no_threads_left() -> None:
    deadline = time.monotonic() + 5
    while threads_of_passes() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threads_of_passes() == []


class TestOrder:
    @pytest.mark.parametrize(
        "options", [{"decode_threads": 1}, {"decode_threads": 7}, {"max_workers": 1}, {"max_workers": 9}]
    )
    def test_is_the_directorys_whatever_the_threads(self, tmp_path: Path, options: dict[str, int]) -> None:
        dataset = load_dataset(make_chunks(tmp_path / "chunks", 4, 50), **options)  # type: ignore[arg-type]
        assert [number_of(image) for image, _ in dataset] == list(range(200))

    def test_is_the_directorys_and_not_the_names(self, tmp_path: Path) -> None:
        members = dict(reversed(numbered(30).items()))
        dataset = load_dataset(write_zip(tmp_path / "c.zip", members))
        assert [number_of(image) for image, _ in dataset] == list(range(29, -1, -1))

    def test_of_chunks_is_that_of_their_names(self, tmp_path: Path) -> None:
        dataset = load_dataset(make_chunks(tmp_path / "chunks", 12, 2))
        assert [number_of(image) for image, _ in dataset] == list(range(24))
        assert dataset.num_chunks == 12

    def test_real_photographs_come_equal_from_one_thread_and_many(self, photos_zip: Path) -> None:
        def sums(threads: int) -> list[tuple[Any, int]]:
            dataset = load_dataset(photos_zip, decode_threads=threads, image_size=64, label_fn=member_name)
            return [(label, int(image.sum())) for image, label in dataset]

        assert sums(1) == sums(5)


class TestPasses:
    def test_each_for_begins_anew(self, chunk: Path) -> None:
        dataset = load_dataset(chunk)
        for _ in range(3):
            assert [number_of(image) for image, _ in dataset] == list(range(20))

    def test_two_at_once_do_not_disturb_each_other(self, chunk: Path) -> None:
        dataset = load_dataset(chunk)
        first, second = iter(dataset), iter(dataset)
        seen: list[list[int]] = [[], []]
        for image, _ in first:
            seen[0].append(number_of(image))
            if len(seen[0]) % 2:
                seen[1].append(number_of(next(second)[0]))
        seen[1].extend(number_of(image) for image, _ in second)
        assert seen == [list(range(20)), list(range(20))]

    def test_a_dropped_iterator_stops_its_threads(self, tmp_path: Path) -> None:
        dataset = load_dataset(make_chunks(tmp_path / "chunks", 4, 50))
        iterator = iter(dataset)
        next(iterator)
        batches = dataset.iter_batches(8)
        next(batches)
        assert threads_of_passes()
        del iterator, batches
        gc.collect()
        assert_no_threads_left()

    def test_a_loop_that_breaks_off_stops_its_threads(self, tmp_path: Path) -> None:
        for _ in load_dataset(make_chunks(tmp_path / "chunks", 4, 50)):
            break
        gc.collect()
        assert_no_threads_left()

    def test_a_finished_pass_stops_its_threads(self, chunk: Path) -> None:
        iterator = iter(load_dataset(chunk))
        assert len(list(iterator)) == 20
        assert_no_threads_left()
        assert next(iterator, None) is None

    def test_an_iterator_can_be_closed_and_used_as_a_context_manager(self, chunk: Path) -> None:
        with load_dataset(chunk).iter_batches(4) as batches:
            next(batches)
        assert_no_threads_left()
        batches.close()
        assert list(batches) == []

    def test_abandoned_passes_leave_nothing_behind(self, tmp_path: Path) -> None:
        dataset = load_dataset(make_chunks(tmp_path / "chunks", 2, 50))
        next(iter(dataset))
        descriptors = len(open_files())
        for _ in range(30):
            next(iter(dataset))
            next(dataset.iter_batches(8))
        gc.collect()
        assert_no_threads_left()
        assert len(open_files()) <= descriptors


class TestLabels:
    def test_are_the_parent_folder(self, tmp_path: Path) -> None:
        image = encode(picture(4, 4))
        members = {"a/b/c.png": image, "cat/1.png": image, "top.png": image}
        assert [label for _, label in load_dataset(write_zip(tmp_path / "c.zip", members))] == ["b", "cat", None]

    def test_of_a_metadata_file(self, tmp_path: Path) -> None:
        image = encode(picture(4, 4))
        lines = [
            {"file_name": "a/1.png", "label": 7, "source": "web"},
            {"file_name": "a/2.png", "label": {"boxes": [1, 2]}},
            {"file_name": "a/3.png", "license": "MIT"},
        ]
        members = {f"a/{number}.png": image for number in range(1, 5)}
        members["metadata.jsonl"] = "\n\n".join(map(json.dumps, lines)).encode()
        seen = []

        def label_fn(member: str, label: Any, metadata: dict[str, Any]) -> Any:
            seen.append((member, label, metadata))
            return label

        path = write_zip(tmp_path / "c.zip", members)
        dataset = load_dataset(path, label_fn=label_fn)
        assert len(dataset) == 4
        assert [label for _, label in dataset] == [7, {"boxes": [1, 2]}, None, "a"]
        assert set(map(str, seen)) == set(
            map(
                str,
                [
                    ("a/1.png", 7, {"source": "web"}),
                    ("a/2.png", {"boxes": [1, 2]}, {}),
                    ("a/3.png", None, {"license": "MIT"}),
                    ("a/4.png", "a", {}),
                ],
            )
        )

    @pytest.mark.parametrize(
        "line", ["{not json", "[1, 2]", '"text"', '{"label": 3}', '{"file_name": 5}', "NaN", "[" * 100_000]
    )
    def test_a_line_that_is_none_is_an_error_with_its_number(self, tmp_path: Path, line: str) -> None:
        metadata = '{"file_name": "a/1.png", "label": 1}\n' + line
        path = write_zip(tmp_path / "c.zip", {"a/1.png": encode(picture(4, 4)), "metadata.jsonl": metadata.encode()})
        with pytest.raises(ArchiveError, match="line 2") as caught:
            list(load_dataset(path))
        assert (caught.value.code, caught.value.chunk_id, caught.value.member) == (
            "metadata",
            "c.zip",
            "metadata.jsonl",
        )

    def test_bytes_that_are_no_utf8_are_an_error_too(self, tmp_path: Path) -> None:
        path = write_zip(
            tmp_path / "c.zip", {"1.png": encode(picture(4, 4)), "metadata.jsonl": b'{"file_name": "\xff\xfe"}'}
        )
        with pytest.raises(ArchiveError) as caught:
            list(load_dataset(path))
        assert caught.value.code == "metadata"

    def test_an_error_of_label_fn_is_the_users_own(self, chunk: Path) -> None:
        def label_fn(member: str, label: Any, metadata: dict[str, Any]) -> Any:
            raise RuntimeError("mine")

        with pytest.raises(RuntimeError, match="mine"):
            list(load_dataset(chunk, label_fn=label_fn))
        assert_no_threads_left()


class TestInfo:
    def test_of_a_zip(self, chunk: Path) -> None:
        dataset = load_dataset(chunk)
        info = dataset.info
        assert isinstance(info, DatasetInfo)
        assert (info.job_id, info.name, info.status) == (str(chunk), "photos", "completed")
        assert (info.num_images, info.num_chunks, info.size_bytes) == (20, 1, chunk.stat().st_size)
        assert info.labels == (LabelCount("label0", 7), LabelCount("label1", 7), LabelCount("label2", 6))
        assert (dataset.num_images, dataset.num_chunks, dataset.chunk_size, len(dataset)) == (20, 1, 20, 20)
        assert dataset.classes == info.classes == ("label0", "label1", "label2")
        assert dataset.class_to_idx == {"label0": 0, "label1": 1, "label2": 2}
        assert "photos" in repr(dataset)
        assert "20" in repr(dataset)
        with pytest.raises(AttributeError):
            info.name = "other"  # type: ignore[misc]

    def test_classes_are_those_of_label_fn(self, chunk: Path) -> None:
        dataset = load_dataset(chunk, label_fn=lambda _member, label, _metadata: f"new {label}")
        assert dataset.classes == ("new label0", "new label1", "new label2")

    def test_no_image_is_read_for_it(self, tmp_path: Path) -> None:
        path = write_zip(tmp_path / "c.zip", {"a/1.png": b"no image", "b/2.png": b""})
        dataset = load_dataset(path)
        assert (len(dataset), dataset.classes) == (2, ("a", "b"))

    def test_an_empty_zip(self, tmp_path: Path) -> None:
        dataset = load_dataset(write_zip(tmp_path / "c.zip", {}))
        assert (len(dataset), list(dataset), list(dataset.iter_batches()), dataset.classes) == (0, [], [], ())
        images, labels = dataset.to_arrays()
        assert (len(images), len(labels)) == (0, 0)
        assert images.dtype == np.uint8
        with pytest.raises(IndexError):
            dataset[0]


class TestToArrays:
    def test_text_labels(self, chunk: Path) -> None:
        images, labels = load_dataset(chunk).to_arrays()
        assert (images.shape, images.dtype) == ((20, 6, 5, 3), np.uint8)
        assert [number_of(image) for image in images] == list(range(20))
        assert labels.dtype.kind == "U"
        assert labels.tolist() == [f"label{number % 3}" for number in range(20)]

    def test_integer_labels(self, chunk: Path) -> None:
        _, labels = load_dataset(chunk, label_fn=lambda member, _label, _metadata: int(member[-8:-4])).to_arrays()
        assert labels.dtype == np.int64
        assert labels.tolist() == list(range(20))

    @pytest.mark.parametrize("value", [None, {"a": 1}, [1, 2], True, 1.5])
    def test_other_labels(self, chunk: Path, value: Any) -> None:
        _, labels = load_dataset(chunk, label_fn=lambda *_: value).to_arrays()
        assert labels.dtype == object
        assert labels.shape == (20,)
        assert labels.tolist() == [value] * 20

    def test_mixed_labels(self, chunk: Path) -> None:
        _, labels = load_dataset(
            chunk, label_fn=lambda member, label, _: label if "0" < member[-5] < "5" else 3
        ).to_arrays()
        assert labels.dtype == object
        assert set(labels) == {3, "label0", "label1", "label2"}

    @pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("L", 1), ("RGBA", 4)])
    def test_modes_and_sizes(self, chunk: Path, mode: Any, channels: int) -> None:
        images, _ = load_dataset(chunk, mode=mode, image_size=(3, 9)).to_arrays()
        assert images.shape == (20, 3, 9, channels)

    def test_what_memory_cannot_hold_is_refused_with_the_numbers(self, chunk: Path) -> None:
        with pytest.raises(LimitError, match=r"20 images.*65000 x 65000.*GB.*GB") as caught:
            load_dataset(chunk, image_size=65_000).to_arrays()
        assert caught.value.code == "memory"
        assert "image_size" in str(caught.value)

    def test_equals_the_batches(self, photos_zip: Path) -> None:
        dataset = load_dataset(photos_zip, image_size=48)
        images, labels = dataset.to_arrays()
        batches = list(dataset.iter_batches(100))
        np.testing.assert_array_equal(images, np.concatenate([batch for batch, _ in batches]))
        assert labels.tolist() == [label for _, some in batches for label in some]


class TestSizes:
    @pytest.fixture
    def mixed(self, tmp_path: Path) -> Path:
        files = {f"a/{number}.png": encode(picture(6, 7, number)) for number in range(9)}
        files["a/9.png"] = encode(picture(8, 5))
        return write_zip(tmp_path / "mixed.zip", files)

    @pytest.mark.parametrize("on_error", ["raise", "skip"])
    @pytest.mark.parametrize(
        "call", [lambda d: list(d.iter_batches(4)), lambda d: d.to_arrays()], ids=["batches", "arrays"]
    )
    def test_another_size_is_an_error_that_names_both_and_the_remedy(
        self, mixed: Path, call: Callable[[Dataset], Any], on_error: Any
    ) -> None:
        with pytest.raises(ImageSizeError, match="image_size") as caught:
            call(load_dataset(mixed, on_error=on_error))
        text = str(caught.value)
        assert "a/9.png" in text
        assert "8 x 5" in text or "(8, 5)" in text
        assert "6 x 7" in text or "(6, 7)" in text
        assert isinstance(caught.value, ValueError)

    def test_batches_before_it_are_delivered(self, mixed: Path) -> None:
        batches = load_dataset(mixed).iter_batches(4)
        assert [len(next(batches)[0]) for _ in range(2)] == [4, 4]
        with pytest.raises(ImageSizeError):
            next(batches)

    def test_single_images_keep_their_own(self, mixed: Path) -> None:
        assert [image.shape for image, _ in load_dataset(mixed)] == [(6, 7, 3)] * 9 + [(8, 5, 3)]

    def test_all_get_the_size_asked_for(self, mixed: Path) -> None:
        assert [image.shape for image, _ in load_dataset(mixed, image_size=5)] == [(5, 5, 3)] * 10
        assert [batch.shape for batch, _ in load_dataset(mixed).iter_batches(5, image_size=(3, 4))] == [
            (5, 3, 4, 3)
        ] * 2


class TestPickle:
    def test_the_copy_reads_the_same(self, chunk: Path) -> None:
        dataset = load_dataset(chunk, image_size=4, label_fn=member_name)
        next(iter(dataset))
        copy = pickle.loads(pickle.dumps(dataset))
        assert copy.info == dataset.info
        assert [label for _, label in copy] == [label for _, label in dataset]
        np.testing.assert_array_equal(copy[3][0], dataset[3][0])

    def test_of_a_folder(self, tmp_path: Path) -> None:
        dataset = load_dataset(make_folder(tmp_path / "images", numbered(5)))
        copy = pickle.loads(pickle.dumps(dataset))
        assert sorted(number_of(image) for image, _ in copy) == list(range(5))

    def test_records_and_ledger(self, chunk: Path) -> None:
        dataset = load_dataset(chunk)
        for one in (dataset.info, dataset.stats(), dataset.options):
            assert pickle.loads(pickle.dumps(one)) == one


class TestClose:
    def test_may_be_called_again_and_ends_passes(self, tmp_path: Path) -> None:
        dataset = load_dataset(make_chunks(tmp_path / "chunks", 4, 50))
        iterator = iter(dataset)
        next(iterator)
        dataset.close()
        dataset.close()
        assert_no_threads_left()
        # An end of the iteration would look like an end of the data.
        with pytest.raises(RuntimeError, match="closed"):
            list(iterator)

    def test_with_closes(self, chunk: Path) -> None:
        with load_dataset(chunk) as dataset:
            next(iter(dataset))
            assert str(chunk) in open_files()
        assert str(chunk) not in open_files()
        assert_no_threads_left()

    def test_closing_with_two_passes_under_way_ends_both(self, tmp_path: Path) -> None:
        dataset = load_dataset(make_chunks(tmp_path / "chunks", 4, 50))
        first, second = iter(dataset), iter(dataset)
        next(first)
        next(second)
        dataset.close()
        assert_no_threads_left()


class TestPaths:
    def test_text_and_path_objects(self, chunk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(chunk.parent)
        for path in (chunk, str(chunk), "photos.zip", "./photos.zip", f"{chunk.parent}/photos.zip"):
            assert len(load_dataset(path)) == 20
        assert len(load_dataset(Path())) == 20
        assert len(load_dataset("./")) == 20

    def test_a_folder_never_shadows_a_job(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        make_folder(tmp_path / "job_abc123", numbered(3))
        monkeypatch.chdir(tmp_path)
        # The name goes to the API, at an address that none can have.
        with pytest.raises(ValueError, match="base_url"):
            load_dataset("job_abc123", api_key="key", base_url="ftp://127.0.0.1")
        assert len(load_dataset("./job_abc123")) == 3

    @pytest.mark.parametrize("path", ["missing.zip", "./missing", "no/such/folder"])
    def test_nothing_there(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(NotFoundError) as caught:
            load_dataset(path)
        assert caught.value.code == "path_not_found"
        assert Path(path).name in str(caught.value)

    def test_an_empty_folder(self, tmp_path: Path) -> None:
        with pytest.raises(NotFoundError) as caught:
            load_dataset(tmp_path)
        assert caught.value.code == "path_not_found"

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_a_file_without_permission(self, chunk: Path) -> None:
        chunk.chmod(0)
        with pytest.raises(DownloadError) as caught:
            load_dataset(chunk)
        assert caught.value.code == "file_io"


class TestPlainFolder:
    def test_all_images_below_it_in_the_order_of_their_names(self, tmp_path: Path) -> None:
        members = {f"{'ba'[number % 2]}/{number:02d}.png": data for number, data in enumerate(numbered(20).values())}
        dataset = load_dataset(make_folder(tmp_path / "images", members))
        expected = [*range(1, 20, 2), *range(0, 20, 2)]
        assert [number_of(image) for image, _ in dataset] == expected
        assert [label for _, label in dataset] == ["a"] * 10 + ["b"] * 10
        assert (len(dataset), dataset.num_chunks, dataset.classes) == (20, 1, ("a", "b"))
        assert number_of(dataset[3][0]) == expected[3]

    def test_hidden_files_and_folders_are_ignored(self, tmp_path: Path) -> None:
        image = encode(picture(3, 3))
        names = ["a/1.png", ".DS_Store", "a/.hidden.png", ".git/x.png", "a/.cache/y.png"]
        dataset = load_dataset(make_folder(tmp_path / "images", dict.fromkeys(names, image)), label_fn=member_name)
        assert [name for _, name in dataset] == ["a/1.png"]

    def test_its_metadata_file_counts(self, tmp_path: Path) -> None:
        members = {"1.png": encode(picture(3, 3)), "metadata.jsonl": b'{"file_name": "1.png", "label": "told"}'}
        assert [label for _, label in load_dataset(make_folder(tmp_path / "images", members))] == ["told"]

    def test_of_more_images_than_a_chunk_holds(self, tmp_path: Path) -> None:
        members = {f"{number:04d}.png": data for number, data in enumerate(numbered(501).values())}
        dataset = load_dataset(make_folder(tmp_path / "images", members))
        assert dataset.num_chunks == 2
        assert [number_of(image) for image, _ in dataset] == list(range(501))

    @pytest.mark.parametrize(
        ("harm", "codes"),
        [
            (lambda path: path.unlink(), {"file_io"}),
            (lambda path: path.write_bytes(path.read_bytes()[:20]), {"file_changed"}),
            (lambda path: path.write_bytes(path.read_bytes() + b"more"), {"file_changed"}),
            (lambda path: (path.unlink(), path.mkdir()), {"file_io", "file_changed"}),
        ],
        ids=["removed", "cut", "grown", "a folder now"],
    )
    def test_a_file_that_changes_after_listing_fails_alone(
        self, tmp_path: Path, harm: Callable[[Path], Any], codes: set[str]
    ) -> None:
        folder = make_folder(
            tmp_path / "images", {f"{number:02d}.png": data for number, data in enumerate(numbered(12).values())}
        )
        dataset = load_dataset(folder, on_error="skip")
        harm(folder / "05.png")
        assert [number_of(image) for image, _ in catching_warning(dataset)] == [0, 1, 2, 3, 4, *range(6, 12)]
        ((failure),) = dataset.failures
        assert failure.member == "05.png"
        assert failure.code in codes
        with pytest.raises(DownloadError) as caught:
            dataset[5]
        assert caught.value.code in codes
        assert caught.value.member == "05.png"
        assert number_of(dataset[6][0]) == 6

    def test_neighbours_are_read_in_one_slice_even_if_one_is_gone(self, tmp_path: Path) -> None:
        folder = make_folder(
            tmp_path / "images", {f"{number:02d}.png": data for number, data in enumerate(numbered(12).values())}
        )
        dataset = load_dataset(folder)
        (folder / "05.png").unlink()
        with pytest.raises(DownloadError) as caught:
            dataset[4:8]
        assert caught.value.member == "05.png"


class TestZipThatChanges:
    def test_one_that_is_cut_is_an_error_and_no_signal(self, tmp_path: Path) -> None:
        path = write_zip(tmp_path / "c.zip", numbered(400))
        dataset = load_dataset(path, on_error="skip")
        half = path.stat().st_size // 2
        with path.open("r+b") as file:
            file.truncate(half)
        delivered = catching_warning(dataset)
        assert len(delivered) + sum(failure.num_samples for failure in dataset.failures) == 400
        assert {failure.code for failure in dataset.failures} == {"file_changed"}
        assert [number_of(image) for image, _ in delivered] == list(range(len(delivered)))

    def test_one_that_is_replaced_is_still_the_old_one(self, tmp_path: Path) -> None:
        path = write_zip(tmp_path / "c.zip", numbered(10))
        dataset = load_dataset(path)
        write_zip(tmp_path / "new.zip", {"a.png": encode(picture(3, 3))}).replace(path)
        assert [number_of(image) for image, _ in dataset] == list(range(10))


def test_a_folder_of_chunks_with_a_broken_one(tmp_path: Path) -> None:
    folder = make_chunks(tmp_path / "chunks")
    (folder / "chunk-001.zip").write_bytes(b"not a zip at all, but long enough to hold an end record")
    with pytest.raises(ArchiveError) as caught:
        load_dataset(folder)
    assert caught.value.chunk_id == "chunk-001.zip"


def test_the_compression_of_members_does_not_matter(tmp_path: Path) -> None:
    members = numbered(10)
    stored = load_dataset(write_zip(tmp_path / "stored.zip", members)).to_arrays()
    deflated = load_dataset(write_zip(tmp_path / "deflated.zip", members, zipfile.ZIP_DEFLATED)).to_arrays()
    np.testing.assert_array_equal(stored[0], deflated[0])


def test_the_photographs_that_ship_with_the_package(kodak_folder: Path) -> None:
    dataset = load_dataset(kodak_folder)
    assert len(dataset) == 24
    assert len(dataset.classes) >= 2
    for image, label in dataset:
        assert sorted(image.shape) == [3, 512, 768]
        assert label in dataset.classes
