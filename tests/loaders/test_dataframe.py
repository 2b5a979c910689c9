"""``to_dataframe``: what people do with the frame works, and Parquet holds what it is given."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from pixcrawler import ImageDecodeError, load_dataset
from support import encode, number_of, numbered, picture, run_child, write_zip

pd = pytest.importorskip("pandas")

if TYPE_CHECKING:
    from collections.abc import Sequence

TESTS = Path(__file__).resolve().parent.parent
JPEG = encode(picture(40, 60), "JPEG")
COLUMNS = ["image", "label", "metadata", "height", "width"]


def with_metadata(path: Path, lines: Sequence[dict[str, Any]]) -> Path:
    """A chunk of one image a line; ``file_name`` is filled in."""
    members: dict[str, bytes] = {}
    told = []
    for (name, data), line in zip(numbered(len(lines)).items(), lines, strict=True):
        members[name] = data
        told.append(json.dumps({"file_name": name, **line}))
    members["metadata.jsonl"] = "\n".join(told).encode()
    return write_zip(path, members)


class TestDecoded:
    def test_what_the_guide_does_with_it(self, photos_zip: Path) -> None:
        dataset = load_dataset(photos_zip, image_size=(24, 32))
        df = dataset.to_dataframe()
        assert list(df.columns) == COLUMNS
        assert list(df.index) == list(range(500))
        assert len(df.head()) == 5
        assert "image" in repr(df.head())
        counts = df["label"].value_counts()
        assert counts.sum() == 500
        assert set(counts.index) == set(dataset.classes)
        described = df.describe()
        assert list(described.columns) == ["height", "width"]
        assert described.loc["mean"].tolist() == [24, 32]
        some = df[df["label"] == dataset.classes[0]]
        assert len(some) == counts[dataset.classes[0]]
        assert set(some["label"]) == {dataset.classes[0]}
        assert df.groupby("label").size().sum() == 500
        images, labels = dataset.to_arrays()
        np.testing.assert_array_equal(np.stack(df["image"].tolist()), images)
        assert df["label"].tolist() == labels.tolist()
        assert np.stack(some["image"].to_numpy()).shape == (len(some), 24, 32, 3)

    def test_images_of_many_sizes(self, kodak_folder: Path) -> None:
        df = load_dataset(kodak_folder).to_dataframe()
        assert [(image.shape[0], image.shape[1]) for image in df["image"]] == list(
            zip(df["height"], df["width"], strict=True)
        )
        assert df["image"].dtype == object
        assert all(image.dtype == np.uint8 for image in df["image"])
        assert (df["height"].dtype, df["width"].dtype) == (np.int64, np.int64)

    @pytest.mark.parametrize(
        ("labels", "dtype"),
        [(["a", "b"], "str"), ([1, 2], "int64"), ([None, "a"], "object"), ([{"x": 1}, [1]], "object")],
    )
    def test_labels_and_metadata_are_as_they_are_stored(self, tmp_path: Path, labels: list[Any], dtype: str) -> None:
        lines = [{"label": label, **more} for label, more in zip(labels, ({}, {"k": [1, {"d": None}]}), strict=True)]
        df = load_dataset(with_metadata(tmp_path / "c.zip", lines)).to_dataframe()
        assert df["label"].tolist() == labels
        assert df["label"].dtype == pd.Series([], dtype=dtype).dtype
        assert df["metadata"].tolist() == [{}, {"k": [1, {"d": None}]}]
        assert [number_of(image) for image in df["image"]] == [0, 1]

    def test_a_frame_is_the_users_own(self, tmp_path: Path) -> None:
        dataset = load_dataset(with_metadata(tmp_path / "c.zip", [{"k": 1}, {"k": 2}]))
        df = dataset.to_dataframe()
        df["metadata"][0]["k"] = "changed"
        df["image"][0][:] = 7
        again = dataset.to_dataframe()
        assert again["metadata"].tolist() == [{"k": 1}, {"k": 2}]
        assert number_of(again["image"][0]) == 0

    @pytest.mark.parametrize("decode", [True, False])
    def test_an_empty_dataset(self, tmp_path: Path, decode: bool) -> None:
        df = load_dataset(write_zip(tmp_path / "c.zip", {})).to_dataframe(decode=decode)
        assert (list(df.columns), len(df)) == (COLUMNS, 0)
        assert df["label"].value_counts().sum() == 0
        assert df["height"].dtype == np.int64
        assert len(df.describe()) == 8

    @pytest.mark.parametrize("decode", [True, False])
    def test_half_a_character_in_a_label(self, tmp_path: Path, decode: bool) -> None:
        path = with_metadata(tmp_path / "c.zip", [{"label": "\ud800"}, {"label": "b"}])
        df = load_dataset(path).to_dataframe(decode=decode)
        assert df["label"].tolist() == (['"\\ud800"', '"b"'] if not decode else ["\ud800", "b"])

    @pytest.mark.parametrize("decode", [True, False])
    def test_failures_are_as_in_any_pass(self, tmp_path: Path, decode: bool) -> None:
        path = write_zip(tmp_path / "c.zip", {**numbered(5), "bad/x.jpg": JPEG[:30]})
        with pytest.raises(ImageDecodeError) as caught:
            load_dataset(path).to_dataframe(decode=decode)
        assert caught.value.member == "bad/x.jpg"
        dataset = load_dataset(path, on_error="skip")
        with pytest.warns(UserWarning, match="1 of 6 samples were left out") as told:
            df = dataset.to_dataframe(decode=decode)
        # The user's own line, not the loader's.
        assert told[0].filename == __file__
        assert len(df) == 5
        assert list(df.index) == list(range(5))
        assert [failure.member for failure in dataset.failures] == ["bad/x.jpg"]


class TestEncoded:
    def test_the_files_as_they_are_stored(self, photos_zip: Path) -> None:
        df = load_dataset(photos_zip).to_dataframe(decode=False)
        assert list(df.columns) == COLUMNS
        with zipfile.ZipFile(photos_zip) as archive:
            for image, height, width in zip(df["image"][:40], df["height"], df["width"], strict=False):
                assert set(image) == {"bytes", "path"}
                assert image["bytes"] == archive.read(image["path"])
                with Image.open(io.BytesIO(image["bytes"])) as opened:
                    assert (opened.height, opened.width) == (height, width)
        assert df["metadata"].tolist() == [None] * 500
        assert list(df.describe().columns) == ["height", "width"]
        assert df["label"].value_counts().sum() == 500
        label = df["label"][0]
        assert (df[df["label"] == label]["label"] == label).all()

    def test_parquet_opens_in_datasets_and_gives_the_pictures(self, kodak_folder: Path, tmp_path: Path) -> None:
        pytest.importorskip("datasets")
        df = load_dataset(kodak_folder).to_dataframe(decode=False)
        df.to_parquet(tmp_path / "photos.parquet")
        same = pd.read_parquet(tmp_path / "photos.parquet")
        assert same["label"].tolist() == df["label"].tolist()
        assert [image["bytes"] for image in same["image"]] == [image["bytes"] for image in df["image"]]
        code = """
        import sys, warnings
        sys.path.insert(0, sys.argv[1])
        import datasets, numpy as np, pandas as pd, pixcrawler
        parquet, folder, cache = sys.argv[2:5]
        datasets.disable_progress_bars()
        found = datasets.load_dataset("parquet", data_files=parquet, split="train", cache_dir=cache)
        assert found.column_names == ["image", "label", "metadata", "height", "width"], found
        found = found.cast_column("image", datasets.Image())
        own = list(pixcrawler.load_dataset(folder))
        assert len(found) == len(own) == 24
        for row, (image, label) in zip(found, own):
            assert np.array_equal(np.asarray(row["image"].convert("RGB")), image)
            assert (row["height"], row["width"], row["label"]) == (*image.shape[:2], label)
        """
        run_child(code, TESTS, tmp_path / "photos.parquet", kodak_folder, tmp_path / "cache")

    @pytest.mark.parametrize(
        ("lines", "labels", "metadata"),
        [
            # As they are.
            ([{"label": "a"}, {"label": "b"}], ["a", "b"], [None, None]),
            ([{"label": 1, "s": 1}, {"label": 2, "s": 2.5}], [1, 2], [{"s": 1.0}, {"s": 2.5}]),
            ([{"label": None}, {"label": "b"}], [None, "b"], [None, None]),
            ([{"label": 1, "a": 1}, {"label": 2}], [1, 2], [{"a": 1}, None]),
            ([{"label": 1, "a": 1}, {"label": 2, "b": "x"}], [1, 2], [{"a": 1, "b": None}, {"a": None, "b": "x"}]),
            ([{"label": {"box": [1, 2]}}, {"label": {"box": []}}], [{"box": [1, 2]}, {"box": []}], [None, None]),
            # As JSON: of several types, empty objects inside, large numbers, half characters.
            ([{"label": 1}, {"label": "a"}], ["1", '"a"'], [None, None]),
            ([{"label": [1]}, {"label": {"x": None}}], ["[1]", '{"x": null}'], [None, None]),
            ([{"label": 1, "a": 1}, {"label": 2, "a": "x"}], [1, 2], ['{"a": 1}', '{"a": "x"}']),
            ([{"label": 1, "a": {}}, {"label": 2}], [1, 2], ['{"a": {}}', None]),
            ([{"label": 1, "a": [{"b": {}}]}, {"label": 2}], [1, 2], ['{"a": [{"b": {}}]}', None]),
            ([{"label": {}}, {"label": {}}], ["{}", "{}"], [None, None]),
            ([{"label": 1 << 70}, {"label": 1}], [str(1 << 70), "1"], [None, None]),
            ([{"label": 1, "a": True}, {"label": 2, "a": 3}], [1, 2], ['{"a": true}', '{"a": 3}']),
            ([{"label": 1, "a": "\ud800"}, {"label": 2}], [1, 2], ['{"a": "\\ud800"}', None]),
        ],
    )
    def test_what_stands_in_a_metadata_file_survives_parquet(
        self, tmp_path: Path, lines: list[dict[str, Any]], labels: list[Any], metadata: list[Any]
    ) -> None:
        dataset = load_dataset(with_metadata(tmp_path / "c.zip", lines))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            dataset.to_dataframe(decode=False).to_parquet(tmp_path / "c.parquet")
        import pyarrow.parquet as pq

        table = pq.read_table(tmp_path / "c.parquet")
        assert table.column("label").to_pylist() == labels
        assert table.column("metadata").to_pylist() == metadata
        assert [row["path"] for row in table.column("image").to_pylist()] == list(numbered(2))

    def test_labels_of_the_users_own_kind(self, tmp_path: Path) -> None:
        path = write_zip(tmp_path / "c.zip", numbered(2))
        answers = iter([Path("a"), 3, Path("a"), 3])
        df = load_dataset(path, label_fn=lambda *_: next(answers)).to_dataframe(decode=False)
        assert df["label"].tolist() == ['"a"', "3"]


def test_without_pyarrow_the_frame_of_arrays_is_there_and_the_other_says_what_to_install(tmp_path: Path) -> None:
    code = """
    import sys
    sys.modules["pyarrow"] = None
    from pixcrawler import load_dataset
    dataset = load_dataset(sys.argv[1])
    print(len(dataset.to_dataframe()))
    try:
        dataset.to_dataframe(decode=False)
    except ImportError as exc:
        print(exc)
    """
    printed = run_child(code, write_zip(tmp_path / "c.zip", numbered(3))).splitlines()
    assert printed[0] == "3"
    assert "to_dataframe(decode=False) needs pyarrow" in printed[1]
    assert 'pip install "pixcrawler-sdk[pandas]"' in printed[1]


def test_memory_of_the_files_is_theirs_and_the_limit(tmp_path: Path) -> None:
    code = """
    import gc, sys
    sys.path.insert(0, sys.argv[1])
    import support
    from pixcrawler import load_dataset
    load_dataset(sys.argv[3], memory_limit="4MB", decode_threads=2).to_dataframe(decode=False)
    gc.collect()
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    before = support.peak_bytes()
    df = load_dataset(sys.argv[2], memory_limit="16MB", decode_threads=2).to_dataframe(decode=False)
    print(support.peak_bytes() - before, sum(len(image["bytes"]) for image in df["image"]))
    """
    data = encode(picture(700, 900), "JPEG", quality=95)
    path = write_zip(tmp_path / "c.zip", {f"{n}.jpg": data for n in range(100)})
    warm = write_zip(tmp_path / "warm.zip", numbered(8))
    grown, held = map(int, run_child(code, TESTS, path, warm).split())
    assert held == 100 * len(data) > 50_000_000
    assert grown < held + 16_000_000 + 16_000_000
