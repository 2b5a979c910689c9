"""What bad samples do: raise in their turn, or be left out and recorded, each exactly once."""

from __future__ import annotations

import itertools
import pickle
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixcrawler import (
    Dataset,
    ImageDecodeError,
    PixCrawlerError,
    TooManyFailuresError,
    exceptions,
    load_dataset,
)
from pixcrawler.limits import Limits
from support import catching_warning, encode, number_of, numbered, picture, write_zip

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

JPEG = encode(picture(40, 40), "JPEG")
# Ways to be broken, with the codes that may be told.
BROKEN: list[tuple[bytes, set[str]]] = [
    (b"", {"not_an_image"}),
    (b"Thumbs.db and other company", {"not_an_image"}),
    (encode(picture(5, 5), "GIF"), {"unsupported_format"}),
    (JPEG[: len(JPEG) // 2], {"truncated_image"}),
    (encode(picture(20, 20))[:-30], {"truncated_image", "corrupt"}),
    (encode(picture(200, 200)), {"limit_pixels"}),
    (encode(picture(20, 20), "WEBP")[:60], {"truncated_image", "corrupt"}),
    (JPEG[:40] + bytes(300), {"corrupt", "truncated_image"}),
]
LIMITS = Limits(pixels=10_000)


def with_every_kth_broken(count: int, every: int) -> tuple[dict[str, bytes], list[int], dict[str, set[str]]]:
    """Members of which every k-th is broken, each differently; the good numbers; the codes that the bad may have."""
    members, good, bad = {}, [], {}
    for number, (name, data) in enumerate(numbered(count).items()):
        if number % every == every - 1:
            members[name], bad[name] = BROKEN[number // every % len(BROKEN)]
        else:
            members[name] = data
            good.append(number)
    return members, good, bad


def check_failures(dataset: Dataset, bad: dict[str, set[str]]) -> None:
    """The ledger holds each bad member once, in order, with a code that fits."""
    assert [failure.member for failure in dataset.failures] == list(bad)
    for failure in dataset.failures:
        assert failure.chunk_id == "c.zip"
        assert failure.member is not None
        assert failure.code in bad[failure.member]
        assert failure.member in failure.reason
        assert failure.code in failure.reason
        assert failure.num_samples == 1
    assert dataset.stats().failures == len(bad)


@pytest.mark.parametrize("every", [2, 3, 5, 1])
class TestSkip:
    COUNT = 200

    def make(self, tmp_path: Path, every: int) -> tuple[Dataset, list[int], dict[str, set[str]]]:
        members, good, bad = with_every_kth_broken(self.COUNT, every)
        dataset = load_dataset(write_zip(tmp_path / "c.zip", members), on_error="skip", limits=LIMITS)
        return dataset, good, bad

    def test_iteration(self, tmp_path: Path, every: int) -> None:
        dataset, good, bad = self.make(tmp_path, every)
        for _ in range(2):
            assert [number_of(image) for image, _ in catching_warning(dataset)] == good
            check_failures(dataset, bad)
            assert len(good) + len(dataset.failures) == len(dataset) == self.COUNT

    @pytest.mark.parametrize("batch_size", [1, 7, 32, 500])
    def test_batches_stay_full(self, tmp_path: Path, every: int, batch_size: int) -> None:
        dataset, good, bad = self.make(tmp_path, every)
        batches = catching_warning(dataset.iter_batches(batch_size, image_size=(6, 5)))
        assert [number_of(image) for images, _ in batches for image in images] == good
        labels = [label for _, some in batches for label in some]
        assert labels == [f"label{number % 3}" for number in good]
        assert all(len(images) == batch_size for images, _ in batches[:-1])
        check_failures(dataset, bad)
        full = catching_warning(dataset.iter_batches(batch_size, drop_last=True, image_size=(6, 5)))
        assert len(full) == len(good) // batch_size

    def test_arrays_are_trimmed(self, tmp_path: Path, every: int) -> None:
        members, good, bad = with_every_kth_broken(self.COUNT, every)
        path = write_zip(tmp_path / "c.zip", members)
        dataset = load_dataset(path, on_error="skip", limits=LIMITS, image_size=(6, 5))
        with pytest.warns(UserWarning, match=f"{len(bad)} of {self.COUNT} samples were left out"):
            images, labels = dataset.to_arrays()
        assert images.shape == (len(good), 6, 5, 3)
        assert [number_of(image) for image in images] == good
        assert labels.tolist() == [f"label{number % 3}" for number in good]
        check_failures(dataset, bad)


def test_arrays_without_a_size_though_the_first_image_is_bad(tmp_path: Path) -> None:
    members = {"bad/0.png": b"bad", **numbered(5)}
    dataset = load_dataset(write_zip(tmp_path / "c.zip", members), on_error="skip")
    with pytest.warns(UserWarning, match="1 of 6"):
        images, labels = dataset.to_arrays()
    assert [number_of(image) for image in images] == list(range(5))
    assert len(labels) == 5


def test_batches_though_the_first_images_are_bad(tmp_path: Path) -> None:
    members = {**{f"bad/{number}.png": b"bad" for number in range(20)}, **numbered(5)}
    dataset = load_dataset(write_zip(tmp_path / "c.zip", members), on_error="skip")
    ((images, _),) = catching_warning(dataset.iter_batches(8))
    assert [number_of(image) for image in images] == list(range(5))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    bad=st.sets(st.integers(0, 59)),
    cuts=st.lists(st.integers(0, 60), max_size=3),
    batch_size=st.integers(1, 25),
)
def test_any_bad_samples_in_any_chunks(
    tmp_path_factory: pytest.TempPathFactory, bad: set[int], cuts: list[int], batch_size: int
) -> None:
    folder = tmp_path_factory.mktemp("chunks")
    members = list(numbered(60).items())
    borders = [0, *sorted(cuts), 60]
    for chunk, (start, stop) in enumerate(itertools.pairwise(borders)):
        part = {name: b"bad" if at in bad else data for at, (name, data) in enumerate(members) if start <= at < stop}
        write_zip(folder / f"{chunk}.zip", part)
    with load_dataset(folder, on_error="skip") as dataset:
        batches = catching_warning(dataset.iter_batches(batch_size, image_size=(6, 5)))
        failed = [failure.member for failure in dataset.failures]
    good = [number for number in range(60) if number not in bad]
    assert [number_of(image) for images, _ in batches for image in images] == good
    assert all(len(images) == batch_size for images, _ in batches[:-1])
    assert failed == [members[number][0] for number in sorted(bad)]


class TestRaise:
    @pytest.mark.parametrize(
        "call",
        [list, lambda d: list(d.iter_batches(4)), lambda d: d.to_arrays()],
        ids=["samples", "batches", "arrays"],
    )
    @pytest.mark.parametrize("kind", range(len(BROKEN)))
    def test_the_error_says_where(self, tmp_path: Path, kind: int, call: Callable[[Dataset], Any]) -> None:
        data, codes = BROKEN[kind]
        members = {**numbered(10), "cat/bad.jpg": data}
        dataset = load_dataset(write_zip(tmp_path / "c.zip", members), limits=LIMITS, image_size=(6, 5))
        with pytest.raises(PixCrawlerError) as caught:
            call(dataset)
        error = caught.value
        assert (error.code in codes, error.chunk_id, error.member) == (True, "c.zip", "cat/bad.jpg")
        text = str(error)
        assert "c.zip" in text
        assert "cat/bad.jpg" in text
        assert error.code in text
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is type(error)
        assert vars(copy) == vars(error)
        assert str(copy) == text

    def test_all_before_it_is_delivered(self, tmp_path: Path) -> None:
        members, _, _ = with_every_kth_broken(50, 30)
        dataset = load_dataset(write_zip(tmp_path / "c.zip", members), limits=LIMITS)
        seen: list[int] = []
        samples = (seen.append(number_of(image)) for image, _ in dataset)
        with pytest.raises(PixCrawlerError):
            list(samples)
        assert seen == list(range(29))

    def test_names_from_outside_are_shown_escaped(self, tmp_path: Path) -> None:
        name = "a/\x1b[31mred\u202e.jpg"
        with pytest.raises(ImageDecodeError) as caught:
            list(load_dataset(write_zip(tmp_path / "c.zip", {name: b"bad"})))
        text = str(caught.value)
        assert text.isprintable()
        assert r"\x1b[31mred\u202e" in text
        assert caught.value.member == name


class TestMaxFailures:
    def make(self, tmp_path: Path, allowed: float | None, bad: int = 10) -> Dataset:
        members = {name: (b"bad" if at < bad else data) for at, (name, data) in enumerate(numbered(100).items())}
        path = write_zip(tmp_path / "c.zip", members)
        return load_dataset(path, on_error="skip", max_failures=allowed, image_size=(6, 5))

    @pytest.mark.parametrize("allowed", [None, 10, 11, 0.1, 0.5])
    def test_up_to_it_all_is_well(self, tmp_path: Path, allowed: float | None) -> None:
        assert len(catching_warning(self.make(tmp_path, allowed))) == 90

    @pytest.mark.parametrize("allowed", [0, 9, 0.09, 0.0])
    @pytest.mark.parametrize("call", [list, lambda d: d.to_arrays()], ids=["samples", "arrays"])
    def test_beyond_it_the_pass_ends(self, tmp_path: Path, allowed: float, call: Callable[[Dataset], Any]) -> None:
        dataset = self.make(tmp_path, allowed)
        for _ in range(2):
            with pytest.raises(TooManyFailuresError, match="samples failed") as caught:
                call(dataset)
            assert caught.value.code == "too_many_failures"
            assert len(dataset.failures) == int(allowed if isinstance(allowed, int) else allowed * 100) + 1

    @pytest.mark.parametrize("allowed", [-1, 1.0, 1.5, -0.1, "3", True, float("nan")])
    def test_what_is_neither_a_count_nor_a_fraction(self, tmp_path: Path, allowed: Any) -> None:
        with pytest.raises(ValueError, match="max_failures"):
            self.make(tmp_path, allowed)


def test_a_good_dataset_has_no_failures_and_no_warning(tmp_path: Path) -> None:
    dataset = load_dataset(write_zip(tmp_path / "c.zip", numbered(5)), on_error="skip")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(dataset)) == 5
    assert list(dataset.failures) == []
    assert dataset.failures == []


def test_the_warning_points_to_the_users_line(tmp_path: Path) -> None:
    dataset = load_dataset(write_zip(tmp_path / "c.zip", {**numbered(5), "bad.png": b""}), on_error="skip")
    with pytest.warns(UserWarning, match="dataset.failures") as caught:
        for _ in dataset:
            pass
    assert len(caught) == 1
    assert caught[0].filename == __file__


def all_errors() -> list[type[PixCrawlerError]]:
    return [getattr(exceptions, name) for name in exceptions.__all__]


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.__name__)
def test_every_error_crosses_processes_whole(kind: type[PixCrawlerError]) -> None:
    error = kind("expected 3, got 4", code="corrupt")
    error.with_place(chunk_id="c.zip", member="a/\n.jpg")
    error.__notes__ = ["while testing"]
    error.offset = 17
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        copy = pickle.loads(pickle.dumps(error, protocol))
        assert type(copy) is kind
        assert vars(copy) == vars(error)
        assert (str(copy), copy.args) == (str(error), error.args)
    assert "\n" not in str(error)


def test_errors_of_the_native_module_are_those_of_the_package() -> None:
    from pixcrawler import _native

    for code, (class_name, cause, remedy) in _native.error_codes().items():
        # An interrupt is no failure of a sample.
        assert code == "interrupted" or issubclass(getattr(exceptions, class_name), PixCrawlerError), class_name
        assert cause.endswith(".")
        assert remedy.endswith(".")


def test_neighbours_of_bad_samples_are_exact(tmp_path: Path) -> None:
    pictures = [picture(40, 40, seed) for seed in range(30)]
    members = {}
    for number, pixels in enumerate(pictures):
        members[f"{number}.png"] = encode(pixels)
        members[f"{number}-bad.png"] = BROKEN[number % len(BROKEN)][0]
    dataset = load_dataset(write_zip(tmp_path / "c.zip", members), on_error="skip", limits=LIMITS)
    images = [image for batch, _ in catching_warning(dataset.iter_batches(7, image_size=40)) for image in batch]
    np.testing.assert_array_equal(images, pictures)
