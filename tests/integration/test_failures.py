"""What bad samples do: raise in their turn, or be left out and recorded, each exactly once."""

from __future__ import annotations

import itertools
import json
import os
import pickle
import threading
import warnings
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixcrawler import (
    ArchiveError,
    Dataset,
    Failure,
    ImageDecodeError,
    ImageSizeError,
    InternalError,
    PixCrawlerError,
    TooManyFailuresError,
    UnsupportedImageError,
    exceptions,
    load_dataset,
)
from pixcrawler.decode_ahead import DecodeAhead
from pixcrawler.limits import Limits
from pixcrawler.stats import PassClock
from support import catching_warning, encode, member_name, number_of, numbered, picture, write_zip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

JPEG = encode(picture(40, 40), "JPEG")
PNG_CUT = encode(picture(20, 20))[:-30]
# Ways to be broken, with the codes that may be told.
BROKEN: list[tuple[bytes, set[str]]] = [
    (b"", {"not_an_image"}),
    (b"Thumbs.db and other company", {"not_an_image"}),
    (b"8BPS\0\1" + bytes(20), {"unsupported_format"}),
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


class TestFunction:
    def test_it_is_asked_once_for_each_failure_in_order_in_the_thread_that_iterates(self, tmp_path: Path) -> None:
        members, good, bad = with_every_kth_broken(100, 3)
        path = write_zip(tmp_path / "c.zip", members)
        asked: list[tuple[Failure, int]] = []

        def skip(failure: Failure) -> Literal["raise", "skip"]:
            asked.append((failure, threading.get_ident()))
            return "skip"

        dataset = load_dataset(path, on_error=skip, limits=LIMITS)
        for read in (list, lambda d: [image for batch, _ in d.iter_batches(8, image_size=(6, 5)) for image in batch]):
            asked.clear()
            assert len(catching_warning(_Once(lambda read=read: read(dataset)))) == len(good)
            check_failures(dataset, bad)
            assert [failure for failure, _ in asked] == dataset.failures
            assert {thread for _, thread in asked} == {threading.get_ident()}
            assert {failure.stage for failure, _ in asked} == {"decode", "limit"}

    def test_it_decides_for_each(self, tmp_path: Path) -> None:
        members = {**numbered(5), "bad/0.jpg": JPEG[:-300], "bad/1.jpg": b"no image", **numbered(8)}
        path = write_zip(tmp_path / "c.zip", members)
        dataset = load_dataset(path, on_error=lambda f: "skip" if f.code == "truncated_image" else "raise")
        seen: list[int] = []
        samples = (seen.append(number_of(image)) for image, _ in dataset)
        with pytest.raises(UnsupportedImageError) as caught:
            list(samples)
        assert caught.value.member == "bad/1.jpg"
        assert [failure.member for failure in dataset.failures] == ["bad/0.jpg"]

    @pytest.mark.parametrize(
        ("answer", "kind"), [(None, TypeError), (True, TypeError), ("ignore", ValueError), ("", ValueError)]
    )
    def test_any_other_answer_is_the_callers_mistake(self, tmp_path: Path, answer: Any, kind: type[Exception]) -> None:
        path = write_zip(tmp_path / "c.zip", {**numbered(3), "bad.jpg": b""})
        dataset = load_dataset(path, on_error=lambda _: answer)
        with pytest.raises(kind, match="on_error must return 'raise' or 'skip', not"):
            list(dataset)

    def test_F07_what_it_raises_ends_the_pass_and_the_next_one_is_whole(self, tmp_path: Path) -> None:
        path = write_zip(tmp_path / "c.zip", {**numbered(30), "bad.jpg": b"", **numbered(60)})
        answers: list[Any] = [ZeroDivisionError("the user's own"), "skip"]

        def decide(_failure: Failure) -> Literal["raise", "skip"]:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return "skip"

        dataset = load_dataset(path, on_error=decide)
        with pytest.raises(ZeroDivisionError, match="the user's own"):
            list(dataset.iter_batches(16))
        assert len(catching_warning(dataset)) == 60

    def test_sizes_are_raised_whatever_it_says(self, tmp_path: Path) -> None:
        path = write_zip(tmp_path / "c.zip", {**numbered(3), "large.png": encode(picture(20, 20))})
        with pytest.raises(ImageSizeError):
            list(load_dataset(path, on_error=lambda _: "skip").iter_batches(4))

    def test_it_bounds_nothing_by_itself(self, tmp_path: Path) -> None:
        path = write_zip(tmp_path / "c.zip", {**numbered(10), "1.jpg": b"", "2.jpg": b""})
        with pytest.raises(TooManyFailuresError):
            list(load_dataset(path, on_error=lambda _: "skip", max_failures=1))

    def test_F06_it_may_use_the_dataset(self, tmp_path: Path) -> None:
        path = write_zip(tmp_path / "c.zip", {**numbered(40), "bad.jpg": b"", **numbered(60)})
        read: list[int] = []

        def reenter(_failure: Failure) -> Literal["raise", "skip"]:
            read.append(number_of(dataset[7][0]))
            with dataset.iter_batches(4) as inner:
                read.append(number_of(next(inner)[0][3]))
            return "skip"

        dataset = load_dataset(path, on_error=reenter)
        with pytest.warns(UserWarning, match="1 of 61"):
            assert sum(len(images) for images, _ in dataset.iter_batches(16)) == 60
        assert read == [7, 3]
        # It closes the dataset under the pass's feet: told, and no hang.
        dataset = load_dataset(path, on_error=lambda _: dataset.close() or "skip")
        with pytest.raises(RuntimeError, match="closed"):
            list(dataset)


class _Once:
    """What a call returns, as something to iterate over: so that its warnings are caught too."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call

    def __iter__(self) -> Iterator[Any]:
        return iter(self._call())


class TestKept:
    CUT = JPEG[: len(JPEG) // 2]

    def make(self, tmp_path: Path, **options: Any) -> Dataset:
        members = {"a.jpg": JPEG, "cut.jpg": self.CUT, "b.jpg": JPEG, "junk.jpg": b"", "cut.png": PNG_CUT}
        return load_dataset(
            write_zip(tmp_path / "c.zip", members), on_truncated="keep", label_fn=member_name, **options
        )

    @pytest.mark.parametrize("size", [None, 40, 20])
    def test_J06_kept_images_are_flagged(self, tmp_path: Path, size: int | None) -> None:
        dataset = self.make(tmp_path, on_error="skip", image_size=size)
        reads: list[Callable[[], Iterable[Any]]] = [
            lambda: dataset,
            lambda: ((i, n) for images, names in dataset.iter_batches(2) for i, n in zip(images, names, strict=True)),
            lambda: zip(*dataset.to_arrays(), strict=True),
        ]
        for read in reads:
            with pytest.warns(UserWarning, match=r"2 of 5 samples.*; 1 of 5 images end too early and were kept"):
                names = [str(name) for _, name in read()]
            assert names == ["a.jpg", "cut.jpg", "b.jpg"]
            (record,) = dataset.kept
            assert (record.chunk_id, record.member, record.code) == ("c.zip", "cut.jpg", "truncated_image")
            assert (record.stage, record.num_samples) == ("decode", 1)
            assert "cut.jpg" in record.reason
            assert [failure.member for failure in dataset.failures] == ["junk.jpg", "cut.png"]
            assert (dataset.stats().images, dataset.stats().failures, dataset.stats().kept) == (3, 2, 1)
        assert dataset[1][0].shape == (size or 40, size or 40, 3)

    def test_of_a_good_pass_there_are_none(self, tmp_path: Path) -> None:
        dataset = load_dataset(write_zip(tmp_path / "c.zip", {"a.jpg": JPEG}), on_truncated="keep")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert len(list(dataset)) == 1
        assert dataset.kept == []

    def test_without_keep_it_is_a_failure(self, tmp_path: Path) -> None:
        dataset = load_dataset(write_zip(tmp_path / "c.zip", {"a.jpg": JPEG, "cut.jpg": self.CUT}), on_error="skip")
        assert len(catching_warning(dataset)) == 1
        assert (len(dataset.failures), len(dataset.kept)) == (1, 0)


class TestBrokenChunk:
    """Chunks of a folder that cannot be opened."""

    BROKEN = (b"<!DOCTYPE html><html>error</html>", b"")

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        folder = tmp_path / "chunks"
        folder.mkdir()
        members = list(numbered(60).items())
        for name, start, stop in (("0.zip", 0, 20), ("2.zip", 20, 45), ("4.zip", 45, 60)):
            write_zip(folder / name, dict(members[start:stop]))
        (folder / "1.zip").write_bytes(self.BROKEN[0])
        (folder / "5.zip").write_bytes(self.BROKEN[1])
        return folder

    def test_the_others_are_delivered_and_it_is_one_failure(self, folder: Path) -> None:
        asked: list[Failure] = []
        for on_error in ("skip", lambda failure: asked.append(failure) or "skip"):
            with load_dataset(folder, on_error=on_error) as dataset:
                assert (len(dataset), dataset.num_chunks) == (60, 5)
                assert dataset.classes == ("label0", "label1", "label2")
                with pytest.warns(UserWarning, match="2 of 62 samples were left out") as caught:
                    batches = list(dataset.iter_batches(7))
                assert len(caught) == 1
                assert [number_of(image) for images, _ in batches for image in images] == list(range(60))
                assert [(f.chunk_id, f.member, f.num_samples) for f in dataset.failures] == [
                    ("1.zip", None, 1),
                    ("5.zip", None, 1),
                ]
                assert {failure.code for failure in dataset.failures} == {"not_a_zip"}
                images, _ = catching_warning(_Once(dataset.to_arrays))
                assert [number_of(image) for image in images] == list(range(60))
                assert [number_of(dataset[number][0]) for number in (0, 19, 20, 59, -1)] == [0, 19, 20, 59, 59]
                if on_error == "skip":
                    copy = pickle.loads(pickle.dumps(dataset))
                    assert len(catching_warning(copy)) == 60 == len(copy)
        assert asked == [*dataset.failures] * 2

    def test_it_counts_against_max_failures(self, folder: Path) -> None:
        for allowed, is_well in ((2, True), (1, False), (0.04, True), (0.01, False)):
            with load_dataset(folder, on_error="skip", max_failures=allowed) as dataset:
                if is_well:
                    assert len(catching_warning(dataset)) == 60
                    continue
                with pytest.raises(TooManyFailuresError):
                    list(dataset)

    def test_without_skip_it_raises_at_loading(self, folder: Path) -> None:
        with pytest.raises(ArchiveError) as caught:
            load_dataset(folder)
        assert (caught.value.code, caught.value.chunk_id, caught.value.member) == ("not_a_zip", "1.zip", None)

    @pytest.mark.parametrize("data", BROKEN)
    def test_a_single_zip_raises_whatever_on_error_says(self, tmp_path: Path, data: bytes) -> None:
        path = tmp_path / "c.zip"
        path.write_bytes(data)
        with pytest.raises(ArchiveError):
            load_dataset(path, on_error="skip")


def test_a_folder_with_a_name_that_is_no_unicode(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "good.png").write_bytes(encode(picture(4, 4)))
    name = os.fsdecode(b"bad \xff.png")
    try:
        (folder / name).write_bytes(b"bad")
    except OSError:
        pytest.skip("this file system takes Unicode names alone")
    dataset = load_dataset(folder, on_error="skip")
    assert len(catching_warning(dataset)) == 1
    (failure,) = dataset.failures
    assert failure.member == r"bad \xff.png"
    dataset.failures.save(tmp_path / "failures.jsonl")
    assert json.loads((tmp_path / "failures.jsonl").read_text("utf-8"))["member"] == failure.member


class TestAccounts:
    """Every sample counts once, or the pass says so."""

    @pytest.mark.parametrize("read", [list, lambda d: list(d.iter_batches(8)), lambda d: d.to_arrays()])
    @pytest.mark.parametrize("fault", ["lost at the end", "lost between", "twice"])
    def test_what_does_not_add_up_raises(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, read: Callable[[Dataset], Any]
    ) -> None:
        original = DecodeAhead.next_piece
        handed: list[Any] = []

        def next_piece(self: DecodeAhead) -> Any:
            piece = original(self)
            handed.append(piece)
            if fault == "twice" and len(handed) == 2:
                return handed[0]
            if piece is not None and fault == "lost between" and len(handed) == 2:
                return original(self)
            if piece is not None and fault == "lost at the end" and piece.position >= 60:
                return None
            return piece

        monkeypatch.setattr(DecodeAhead, "next_piece", next_piece)
        dataset = load_dataset(write_zip(tmp_path / "c.zip", numbered(100)), on_error="skip", decode_threads=1)
        with pytest.raises(InternalError) as caught:
            read(dataset)
        assert caught.value.code == "accounting"

    def test_images_that_the_consumer_s_side_loses(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(PassClock, "deliver", lambda clock, images: setattr(clock, "images", clock.images + 1))
        dataset = load_dataset(write_zip(tmp_path / "c.zip", numbered(20)))
        with pytest.raises(InternalError, match="expected 20 samples, got 3 delivered"):
            list(dataset.iter_batches(8))

    @pytest.mark.parametrize("count", [0, 1, 31, 32, 33])
    def test_dropped_ones_are_accounted_for(self, tmp_path: Path, count: int) -> None:
        members = {**numbered(count), "bad.png": b""}
        dataset = load_dataset(write_zip(tmp_path / "c.zip", members), on_error="skip")
        assert len(catching_warning(dataset.iter_batches(16, drop_last=True))) == count // 16


def test_a_broken_first_image_does_not_set_the_batches_size(tmp_path: Path) -> None:
    other = encode(picture(30, 50), "JPEG")
    members = {"0.jpg": b"", "1.jpg": other[: len(other) // 2], "2.png": encode(picture(9, 9))[:-30], **numbered(20)}
    dataset = load_dataset(write_zip(tmp_path / "c.zip", members), on_error="skip")
    batches = catching_warning(dataset.iter_batches(8))
    assert [number_of(image) for images, _ in batches for image in images] == list(range(20))
    assert len(dataset.failures) == 3
    # One that is kept sets it.
    dataset = load_dataset(write_zip(tmp_path / "k.zip", {"1.jpg": other[: len(other) // 2]}), on_truncated="keep")
    ((images, _),) = catching_warning(dataset.iter_batches(8))
    assert images.shape == (1, 30, 50, 3)


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
    with pytest.warns(UserWarning, match=r"dataset\.failures.*dataset\.failures\.save\(") as caught:
        for _ in dataset:
            pass
    assert len(caught) == 1
    assert caught[0].filename == __file__


def all_errors() -> list[type[PixCrawlerError]]:
    return [getattr(exceptions, name) for name in exceptions.__all__]


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.__name__)
def test_F03_every_error_crosses_processes_whole(kind: type[PixCrawlerError]) -> None:
    error = kind("expected 3, got 4", code="corrupt")
    error.with_place(chunk_id="c.zip", member="a/\n.jpg")
    error.__notes__ = ["while testing"]
    error.offset = 17
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        copy = pickle.loads(pickle.dumps(error, protocol))
        assert type(copy) is kind
        assert vars(copy) == vars(error)
        assert (str(copy), copy.args) == (str(error), error.args)
    deep = deepcopy(error)
    assert (type(deep), vars(deep), str(deep)) == (kind, vars(error), str(error))
    assert "\n" not in str(error)


def test_errors_of_the_native_module_are_those_of_the_package() -> None:
    from pixcrawler import _native
    from pixcrawler.barecat import exceptions as of_archives

    for code, (class_name, cause, remedy) in _native.error_codes().items():
        # An interrupt is no failure of a sample.
        if code != "interrupted":
            known = getattr(exceptions, class_name, None) or getattr(of_archives, class_name)
            assert issubclass(known, PixCrawlerError), class_name
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
