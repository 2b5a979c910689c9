"""Batches: their sizes, borders, ownership, options, and what the statistics say of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixcrawler import Dataset, Stats, load_dataset
from support import encode, number_of, numbered, picture, write_zip

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """120 numbered images in four chunks of different length."""
    folder = tmp_path_factory.mktemp("chunks")
    members = list(numbered(120).items())
    for chunk, (start, stop) in enumerate([(0, 50), (50, 51), (51, 51), (51, 120)]):
        write_zip(folder / f"{chunk}.zip", dict(members[start:stop]))
    return load_dataset(folder)


def check_batches(batches: list[tuple[np.ndarray[Any, Any], list[Any]]], batch_size: int, numbers: list[int]) -> None:
    """Every batch but the last is full; all together are the samples of these numbers, in order, with their labels."""
    for images, labels in batches:
        assert images.dtype == np.uint8
        assert images.flags.c_contiguous
        assert len(images) == len(labels)
        assert isinstance(labels, list)
    assert all(len(images) == batch_size for images, _ in batches[:-1])
    assert [number_of(image) for images, _ in batches for image in images] == numbers
    assert [label for _, labels in batches for label in labels] == [f"label{number % 3}" for number in numbers]


@pytest.mark.parametrize("batch_size", [1, 7, 40, 64, 119, 120, 121, 1000])
def test_sizes(dataset: Dataset, batch_size: int) -> None:
    batches = list(dataset.iter_batches(batch_size))
    assert len(batches) == -(-120 // batch_size)
    check_batches(batches, batch_size, list(range(120)))
    full = list(dataset.iter_batches(batch_size, drop_last=True))
    assert len(full) == 120 // batch_size
    check_batches(full, batch_size, list(range(120 // batch_size * batch_size)))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    chunks=st.lists(st.integers(0, 30), min_size=1, max_size=5),
    batch_size=st.integers(1, 50),
    drop_last=st.booleans(),
    threads=st.integers(1, 3),
)
def test_any_chunks_in_any_batches(
    tmp_path_factory: pytest.TempPathFactory,
    chunks: list[int],
    batch_size: int,
    drop_last: bool,
    threads: int,
) -> None:
    folder = tmp_path_factory.mktemp("chunks")
    members = list(numbered(sum(chunks)).items())
    start = 0
    for number, length in enumerate(chunks):
        write_zip(folder / f"{number}.zip", dict(members[start : start + length]))
        start += length
    with load_dataset(folder, decode_threads=threads) as one:
        batches = list(one.iter_batches(batch_size, drop_last))
    stop = start // batch_size * batch_size if drop_last else start
    check_batches(batches, batch_size, list(range(stop)))


def test_the_default_is_32(dataset: Dataset) -> None:
    assert [len(images) for images, _ in dataset.iter_batches()] == [32, 32, 32, 24]


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, "8", True, None])
def test_a_size_that_is_none(dataset: Dataset, batch_size: Any) -> None:
    with pytest.raises(ValueError, match=f"batch_size.*{batch_size!r}"):
        dataset.iter_batches(batch_size)


@pytest.mark.parametrize(
    "options",
    [
        {"image_size": 0},
        {"image_size": (3,)},
        {"image_size": "8"},
        {"resize_mode": "squash"},
        {"interpolation": "cubic"},
    ],
)
def test_options_that_are_none(dataset: Dataset, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        dataset.iter_batches(8, **options)


def test_options_of_one_pass_do_not_last(dataset: Dataset) -> None:
    (first, *_) = dataset.iter_batches(8, image_size=(3, 4), interpolation="nearest", resize_mode="pad")
    assert first[0].shape == (8, 3, 4, 3)
    assert next(dataset.iter_batches(8))[0].shape == (8, 6, 5, 3)


def test_every_array_is_the_callers_own(dataset: Dataset) -> None:
    kept = []
    for images, labels in dataset.iter_batches(16):
        assert images.flags.writeable
        kept.append((images.copy(), list(labels), images, labels))
        # Whatever is done to one batch shows in no other, before or after.
        if len(kept) % 2:
            images[:] = 0
            labels.clear()
    for number, (copy, names, images, labels) in enumerate(kept):
        check_batches([(copy, names)], 16, list(range(16 * number, 16 * number + len(copy))))
        if (number + 1) % 2 == 0:
            np.testing.assert_array_equal(images, copy)
            assert labels == names
    assert not any(np.shares_memory(one[2], other[2]) for at, one in enumerate(kept) for other in kept[at + 1 :])


def test_single_images_are_the_callers_own_too(dataset: Dataset) -> None:
    images = []
    for image, _ in dataset:
        assert image.flags.writeable
        images.append(image)
        if len(images) % 2:
            image[:] = 0
    assert [number_of(image) for image in images[1::2]] == list(range(1, 120, 2))


class TestStats:
    def test_before_any_pass(self, tmp_path: Path) -> None:
        stats = load_dataset(write_zip(tmp_path / "c.zip", numbered(3))).stats()
        assert stats == Stats()
        assert stats.limit == "Nothing has been delivered yet."

    def test_they_add_up(self, tmp_path: Path) -> None:
        members = {f"a/{number}.jpg": encode(picture(200, 300, number), "JPEG") for number in range(60)}
        path = write_zip(tmp_path / "c.zip", members)
        dataset = load_dataset(path, decode_threads=2)
        began = time.perf_counter()
        batches = list(dataset.iter_batches(16, image_size=64))
        wall_s = time.perf_counter() - began
        stats = dataset.stats()
        assert stats.images == sum(len(images) for images, _ in batches) == 60
        assert stats.failures == 0
        assert stats.threads == 2
        # Every byte of the members is read once; their headers, but no directory.
        encoded = sum(map(len, members.values()))
        assert encoded < stats.bytes_fetched <= path.stat().st_size
        assert 0 < stats.elapsed_s <= wall_s
        assert stats.first_batch_s is not None
        assert 0 < stats.first_batch_s < stats.elapsed_s
        work_s = stats.inflate_s + stats.decode_s + stats.resize_s
        assert 0 < work_s <= 2 * stats.elapsed_s * 1.05
        assert stats.decode_s > stats.resize_s > 0
        waits = (stats.wait_network_s, stats.wait_consumer_s, stats.wait_decode_s)
        assert all(0 <= wait <= stats.elapsed_s for wait in waits)
        assert stats.images_per_s == pytest.approx(60 / stats.elapsed_s)
        assert 0 < stats.busy <= 1
        # They stay as they are after the end, and after close.
        dataset.close()
        assert dataset.stats() == stats

    def test_the_processor_is_the_limit_where_nothing_else_is(self, tmp_path: Path) -> None:
        members = {f"a/{number}.jpg": encode(picture(600, 800, number % 5), "JPEG") for number in range(40)}
        dataset = load_dataset(write_zip(tmp_path / "c.zip", members), decode_threads=1)
        for _ in dataset.iter_batches(8):
            pass
        limit = dataset.stats().limit
        assert limit.startswith("The processor limits this run: 1 thread busy for"), (limit, dataset.stats())
        assert limit.endswith("mostly decoding.")

    def test_a_slow_consumer_is_the_limit(self, dataset: Dataset) -> None:
        for _ in dataset.iter_batches(10):
            time.sleep(0.03)
        stats = dataset.stats()
        assert stats.limit.startswith("The code that takes the images limits this run: it was busy for"), stats
        assert stats.wait_consumer_s > 0.1

    def test_slow_bytes_are_the_limit(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        dataset = load_dataset(write_zip(tmp_path / "c.zip", numbered(200)))
        read = dataset._source.read

        def slowly(*arguments: Any) -> Any:
            time.sleep(0.3)
            return read(*arguments)

        monkeypatch.setattr(dataset._source, "read", slowly)
        assert len(list(dataset.iter_batches(10))) == 20
        assert dataset.stats().limit.startswith("Fetching limits this run"), dataset.stats()

    def test_of_a_pass_under_way(self, dataset: Dataset) -> None:
        batches = dataset.iter_batches(10)
        next(batches)
        next(batches)
        first = dataset.stats()
        assert first.images == 20
        next(batches)
        later = dataset.stats()
        assert later.images == 30
        assert later.elapsed_s > first.elapsed_s
        batches.close()
