"""``dataset[...]``: numbers, slices, sequences, what is kept, and reads from several threads."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixcrawler import Dataset, ImageDecodeError, IntegrityError, load_dataset
from support import encode, number_of, numbered, picture, write_zip

if TYPE_CHECKING:
    from pathlib import Path

COUNT = 75


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """75 numbered images in chunks of 30, 0, 5 and 40."""
    folder = tmp_path_factory.mktemp("chunks")
    members = list(numbered(COUNT).items())
    for chunk, (start, stop) in enumerate([(0, 30), (30, 30), (30, 35), (35, 75)]):
        write_zip(folder / f"{chunk}.zip", dict(members[start:stop]))
    return load_dataset(folder)


def numbers_of(samples: list[tuple[Any, Any]]) -> list[int]:
    for image, label in samples:
        assert label == f"label{number_of(image) % 3}"
    return [number_of(image) for image, _ in samples]


@pytest.mark.parametrize("number", [0, 29, 30, 34, 35, 74, -1, -75, -40, -41])
def test_a_number(dataset: Dataset, number: int) -> None:
    image, label = dataset[number]
    assert number_of(image) == number % COUNT
    assert label == f"label{number % COUNT % 3}"
    assert (image.dtype, image.shape) == (np.uint8, (6, 5, 3))


def test_a_number_of_numpys(dataset: Dataset) -> None:
    assert number_of(dataset[np.int64(31)][0]) == 31
    assert numbers_of(dataset[list(np.array([3, 1]))]) == [3, 1]


@pytest.mark.parametrize("number", [75, -76, 1000, 1 << 70])
def test_there_is_no_such_sample(dataset: Dataset, number: int) -> None:
    with pytest.raises(IndexError, match=f"{number} of 75"):
        dataset[number]
    with pytest.raises(IndexError):
        dataset[[0, number]]


@pytest.mark.parametrize("index", ["3", 1.5, None, {1}, (1, "a")])
def test_what_is_no_index(dataset: Dataset, index: Any) -> None:
    with pytest.raises(TypeError):
        dataset[index]


@given(index=st.slices(COUNT))
def test_slices(dataset: Dataset, index: slice) -> None:
    assert numbers_of(dataset[index]) == list(range(COUNT))[index]


@given(numbers=st.lists(st.integers(-COUNT, COUNT - 1), max_size=30))
def test_sequences_in_any_order_with_repeats(dataset: Dataset, numbers: list[int]) -> None:
    assert numbers_of(dataset[numbers]) == [number % COUNT for number in numbers]
    assert numbers_of(dataset[tuple(numbers)]) == [number % COUNT for number in numbers]


def test_equals_iteration(photos_zip: Path) -> None:
    dataset = load_dataset(photos_zip)
    for number, (image, label) in enumerate(dataset):
        if number % 50 == 0:
            alone, its_label = dataset[number]
            np.testing.assert_array_equal(alone, image)
            assert its_label == label


def test_the_options_of_the_dataset_apply(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "c.zip", {"a.png": encode(picture(9, 8))})
    assert load_dataset(path, image_size=(4, 7), mode="L")[0][0].shape == (4, 7, 1)


def test_arrays_are_the_callers_own(dataset: Dataset) -> None:
    first = dataset[3][0]
    first[:] = 0
    assert number_of(dataset[3][0]) == 3
    one, other = dataset[[3, 3]]
    assert not np.shares_memory(one[0], other[0])


def test_a_bad_sample_raises_whatever_on_error_says_and_the_others_do_not(tmp_path: Path) -> None:
    members = {**numbered(10), "x/bad.jpg": b"\xff\xd8 no more"}
    dataset = load_dataset(write_zip(tmp_path / "c.zip", members), on_error="skip")
    for index in (10, -1, [2, 10], slice(8, None)):
        with pytest.raises(ImageDecodeError) as caught:
            dataset[index]  # type: ignore[index]
        assert (caught.value.chunk_id, caught.value.member) == ("c.zip", "x/bad.jpg")
    assert numbers_of(dataset[:10]) == list(range(10))


def test_bytes_that_were_read_are_kept_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Noise does not compress: each image is about 30 kB, and far enough from the next to be fetched alone.
    rng = np.random.default_rng(1)
    members = {f"{number}.png": encode(rng.integers(0, 256, (100, 100, 3), np.uint8)) for number in range(60)}
    dataset = load_dataset(write_zip(tmp_path / "c.zip", members), memory_limit=400_000)
    reads = []
    read = dataset._source.read

    def counted(chunk: Any, start: int, stop: int) -> Any:
        reads.append(stop - start)
        return read(chunk, start, stop)

    monkeypatch.setattr(dataset._source, "read", counted)
    dataset[5]
    dataset[5]
    assert len(reads) == 1
    dataset[[10, 11, 12]]
    assert len(reads) == 2
    for number in range(0, 60, 3):
        dataset[number]
    assert dataset._random._kept_bytes <= 100_000
    dataset[5]
    assert len(reads) > 20
    dataset.close()
    assert dataset._random._kept_bytes == 0


def test_from_several_threads(dataset: Dataset) -> None:
    wrong = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(15):
            numbers = rng.integers(0, COUNT, 7).tolist()
            if numbers_of(dataset[numbers]) != numbers:
                wrong.append(numbers)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_catalogue_that_counts_more_than_there_is(dataset: Dataset, tmp_path: Path) -> None:
    one = load_dataset(write_zip(tmp_path / "c.zip", numbered(5)))
    chunk = one._source.chunks[0]
    object.__setattr__(chunk, "num_images", 7)
    object.__setattr__(one.info, "num_images", 7)
    assert number_of(one[4][0]) == 4
    with pytest.raises(IntegrityError) as caught:
        one[6]
    assert caught.value.code == "image_count"


def test_while_a_pass_is_under_way(dataset: Dataset) -> None:
    for number, (image, _) in enumerate(dataset):
        assert number_of(image) == number
        if number % 10 == 0:
            assert number_of(dataset[COUNT - 1 - number][0]) == COUNT - 1 - number
