"""The ledger of what an epoch left out."""

from __future__ import annotations

import errno
import json
import os
import sys
from typing import TYPE_CHECKING

import pytest

from pixcrawler import Failure, FailureLedger, ImageDecodeError, TooManyFailuresError, codes
from pixcrawler.dataset import part_of
from pixcrawler.exceptions import escape

if TYPE_CHECKING:
    from pathlib import Path


def failure(number: int = 0, *, code: str = "corrupt", num_samples: int = 1) -> Failure:
    return Failure("c.zip", f"{number}.jpg", code, "it is broken", num_samples)


def test_it_is_a_sequence_in_order() -> None:
    ledger = FailureLedger()
    records = [failure(number) for number in range(5)]
    for record in records:
        ledger.add(record)
    assert list(ledger) == records == ledger
    assert ledger != records[:4]
    assert (len(ledger), ledger[0], ledger[-1], ledger[1:3]) == (5, records[0], records[4], records[1:3])
    assert records[3] in ledger
    assert ledger.index(records[2]) == 2


def test_it_is_empty_and_false_at_first() -> None:
    assert not FailureLedger()
    assert repr(FailureLedger()) == "<FailureLedger of 0>"


def test_it_counts_the_codes() -> None:
    ledger = FailureLedger()
    for code in ("truncated_image", "corrupt", "corrupt"):
        ledger.add(failure(code=code))
    assert repr(ledger) == "<FailureLedger of 3: corrupt: 2, truncated_image: 1>"
    assert ledger.counts() == {"corrupt": 2, "truncated_image": 1}


@pytest.mark.parametrize("allowed", [0, 1, 5])
def test_more_than_are_allowed_are_too_many(allowed: int) -> None:
    ledger = FailureLedger(allowed)
    for number in range(allowed):
        ledger.add(failure(number))
    with pytest.raises(TooManyFailuresError, match=f"{allowed + 1} samples failed, {allowed} may") as caught:
        ledger.add(failure(allowed))
    assert (caught.value.code, caught.value.chunk_id) == ("too_many_failures", "c.zip")
    assert "it is broken" in str(caught.value)
    # The one too many is recorded as well.
    assert len(ledger) == allowed + 1


def test_a_failed_chunk_counts_its_samples() -> None:
    ledger = FailureLedger(500)
    ledger.add(failure(num_samples=500))
    with pytest.raises(TooManyFailuresError, match="501 samples"):
        ledger.add(failure())


def test_without_a_bound_any_number_may_fail() -> None:
    ledger = FailureLedger()
    for number in range(1000):
        ledger.add(failure(number))
    assert len(ledger) == 1000


def test_a_record_of_an_error() -> None:
    error = ImageDecodeError("expected 3, got 4", code="corrupt").with_place(chunk_id="c", member="m.jpg")
    record = Failure.of(error)
    assert (record.chunk_id, record.member, record.code, record.num_samples) == ("c", "m.jpg", "corrupt", 1)
    assert record.reason == str(error)
    with pytest.raises(AttributeError):
        record.code = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("code", "stage"),
    [
        ("timeout", "download"),
        ("file_io", "download"),
        ("chunk_integrity", "download"),
        ("auth", "download"),
        ("not_a_zip", "archive"),
        ("crc", "archive"),
        ("inflate", "archive"),
        ("metadata", "archive"),
        ("corrupt", "decode"),
        ("unsupported_format", "decode"),
        ("not_an_image", "decode"),
        ("limit_pixels", "limit"),
        ("limit_entries", "limit"),
        ("limit_chunk", "limit"),
        ("a code of another version", "download"),
    ],
)
def test_the_stage_follows_from_the_code(code: str, stage: str) -> None:
    assert failure(code=code).stage == stage


def test_every_code_has_one_of_four_stages() -> None:
    assert {failure(code=code).stage for code in codes.table()} == {"download", "archive", "decode", "limit"}


# A quote, a line end of Unicode's, a direction override, a control character, a lone surrogate, other scripts.
NAMES = [
    'a/"b".jpg',
    "a\u2028b\u0085c.jpg",
    "\u202egpj.exe",
    "\x1b[31m\n",
    "\udcff\ud800.jpg",
    "카라/写真.jpg",
    "\\udcff",
    None,
]


class TestSave:
    def make(self) -> FailureLedger:
        ledger = FailureLedger()
        for name in NAMES:
            ledger.add(Failure("c.zip", name, "corrupt", f"it is \u201cbroken\u201d: {escape(name or '')}", 3))
        return ledger

    def test_one_object_a_line_from_which_all_is_read_again(self, tmp_path: Path) -> None:
        path = tmp_path / "failures.jsonl"
        path.write_text("what stood there before")
        ledger = self.make()
        ledger.save(path)
        text = path.read_bytes().decode("utf-8")
        lines = text.splitlines()
        assert len(lines) == len(NAMES)
        records = [json.loads(line) for line in lines]
        assert [record["member"] for record in records] == NAMES
        assert [list(record) for record in records] == [
            ["chunk_id", "member", "stage", "code", "reason", "num_samples"]
        ] * len(NAMES)
        assert [record.pop("stage") for record in records] == ["decode"] * len(NAMES)
        assert [Failure(**record) for record in records] == ledger
        assert "카라/写真.jpg" in text
        assert all(line.isprintable() for line in lines)
        assert [entry.name for entry in tmp_path.iterdir()] == ["failures.jsonl"]

    def test_an_empty_one_is_an_empty_file(self, tmp_path: Path) -> None:
        FailureLedger().save(str(tmp_path / "failures.jsonl"))
        assert (tmp_path / "failures.jsonl").read_bytes() == b""

    def test_what_stood_there_stays_if_it_cannot_be_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "failures.jsonl"
        path.write_text("before")

        def fail(_descriptor: int) -> None:
            raise OSError(errno.ENOSPC, "no space left")

        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="no space left"):
            self.make().save(path)
        assert path.read_text() == "before"
        assert [entry.name for entry in tmp_path.iterdir()] == ["failures.jsonl"]
        with pytest.raises(FileNotFoundError):
            self.make().save(tmp_path / "no folder" / "failures.jsonl")

    def test_as_a_data_frame(self) -> None:
        pytest.importorskip("pandas")
        frame = self.make().to_dataframe()
        assert list(frame.columns) == ["chunk_id", "member", "stage", "code", "reason", "num_samples"]
        assert frame["member"].tolist() == NAMES
        assert frame["stage"].unique().tolist() == ["decode"]
        assert frame["num_samples"].sum() == 3 * len(NAMES)
        assert (frame.groupby("code").size() == len(NAMES)).all()
        empty = FailureLedger().to_dataframe()
        assert list(empty.columns) == list(frame.columns)
        assert len(empty) == 0

    def test_a_data_frame_without_pandas_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pandas", None)
        with pytest.raises(ImportError, match=r'pip install "pixcrawler-sdk\[pandas\]"'):
            self.make().to_dataframe()


@pytest.mark.parametrize(
    ("samples", "fraction", "part"), [(100, 0.29, 29), (100, 0.0, 0), (3, 0.34, 1), (0, 0.5, 0), (7, 0.999, 6)]
)
def test_a_fraction_of_the_samples_is_rounded_down(samples: int, fraction: float, part: int) -> None:
    assert part_of(samples, fraction) == part
