"""The progress bar that people wrap around a dataset."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from pixcrawler import load_dataset
from support import number_of, numbered, write_zip

if TYPE_CHECKING:
    from pathlib import Path


def test_tqdm_around_a_dataset_and_its_batches(tmp_path: Path) -> None:
    tqdm = pytest.importorskip("tqdm").tqdm
    with load_dataset(write_zip(tmp_path / "c.zip", numbered(23))) as dataset:
        shown = io.StringIO()
        bar = tqdm(dataset, total=dataset.num_images, file=shown, mininterval=0)
        assert [number_of(image) for image, _label in bar] == list(range(23))
        assert bar.n == bar.total == dataset.num_images == 23
        assert "23/23" in shown.getvalue()
        assert "100%" in shown.getvalue()
        # Without a total it takes the dataset's length, and a second pass begins anew.
        again = tqdm(dataset, file=io.StringIO())
        assert (again.total, sum(1 for _ in again)) == (23, 23)
        batches = tqdm(dataset.iter_batches(10), total=3, file=io.StringIO())
        assert [len(labels) for _images, labels in batches] == [10, 10, 3]
