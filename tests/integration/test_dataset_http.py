"""Datasets over a real socket: the faulty passes deliver what the clean one does, and say what they could not."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from faulty_server import Fault, FaultyServer, serve_job
from pixcrawler import (
    AuthenticationError,
    Dataset,
    DownloadError,
    ImageSizeError,
    JobNotCompleteError,
    load_dataset,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "pxc_test"
JOB = "job_1"


def chunk_of(files: list[Path], *, metadata: bytes | None = None) -> bytes:
    """A zip of these files, stored, labels by folder."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number, file in enumerate(files):
            archive.writestr(f"{file.parent.name}/{number:03d}{file.suffix}", file.read_bytes())
        if metadata is not None:
            archive.writestr("metadata.jsonl", metadata)
    return out.getvalue()


@pytest.fixture(scope="module")
def photos(kodak_folder: Path) -> list[Path]:
    return sorted(kodak_folder.glob("*/*.jpg"))


@pytest.fixture(scope="module")
def chunks(photos: list[Path]) -> dict[str, bytes]:
    return {f"c{number}": chunk_of(photos[number * 8 : number * 8 + 8]) for number in range(3)}


@pytest.fixture
def server(chunks: dict[str, bytes]) -> Iterator[FaultyServer]:
    with FaultyServer() as running:
        serve_job(running, JOB, chunks, num_images=24)
        for record in running.documents[f"/api/v1/jobs/{JOB}"]["chunks"]:
            record["num_images"] = 8
        yield running


def open_job(server: FaultyServer, **options: object) -> Dataset:
    return load_dataset(JOB, KEY, server.url, **options)  # type: ignore[arg-type]  # options of any kind


def all_of(dataset: Dataset, batch_size: int = 5) -> tuple[np.ndarray, list[object]]:
    images, labels = [], []
    for batch, names in dataset.iter_batches(batch_size, image_size=48):
        images.append(batch)
        labels.extend(names)
    return np.concatenate(images), labels


@pytest.fixture(scope="module")
def clean(photos: list[Path]) -> np.ndarray:
    """What Pillow makes of the photographs."""
    pictures = [Image.open(photo).convert("RGB").resize((48, 48), Image.Resampling.BILINEAR) for photo in photos]
    return np.stack([np.asarray(picture) for picture in pictures])


def path_of(server: FaultyServer, chunk: str) -> str:
    return next(path for path in server.files if chunk in path)


def test_pixels_labels_and_order_are_those_of_the_files(
    server: FaultyServer, clean: np.ndarray, photos: list[Path]
) -> None:
    for workers in (1, 4):
        with open_job(server, max_workers=workers) as dataset:
            images, labels = all_of(dataset)
            assert np.array_equal(images, clean)
            assert labels == [photo.parent.name for photo in photos]
            assert len(dataset) == 24
            assert dataset.stats().images == 24


def test_no_image_byte_moves_before_it_is_asked_for(server: FaultyServer) -> None:
    with open_job(server) as dataset:
        assert dataset.info.num_images == 24
        assert dataset.num_chunks == 3
    assert [seen.target.split("?")[0] for seen in server.seen] == [f"/api/v1/jobs/{JOB}"]


def test_a_server_without_ranges_sends_whole_chunks(
    server: FaultyServer, clean: np.ndarray, chunks: dict[str, bytes]
) -> None:
    server.always[""] = Fault(ignore_range=True)
    with open_job(server) as dataset:
        assert np.array_equal(all_of(dataset)[0], clean)
        assert np.array_equal(all_of(dataset, 24)[0], clean)
        assert dataset[23][0].shape == dataset[-1][0].shape
        assert [label for _, label in dataset] == [label for _, label in dataset]


@pytest.mark.parametrize("memory_limit", ["1MB", "3MB"])
@pytest.mark.parametrize("ignore_range", [False, True])
def test_a_tight_memory_limit_delivers_everything(
    server: FaultyServer, clean: np.ndarray, memory_limit: str, ignore_range: bool
) -> None:
    server.always[""] = Fault(ignore_range=ignore_range)
    with open_job(server, memory_limit=memory_limit) as dataset:
        assert np.array_equal(all_of(dataset, 24)[0], clean)
        assert sum(1 for _ in dataset) == 24


def test_a_chunk_that_cannot_be_had_is_one_failure_of_all_its_images(server: FaultyServer, clean: np.ndarray) -> None:
    server.always[path_of(server, "c1")] = Fault(status=404)
    with open_job(server) as dataset, pytest.raises(DownloadError) as caught:
        all_of(dataset)
    assert caught.value.chunk_id == "c1"
    with open_job(server, on_error="skip") as dataset, pytest.warns(UserWarning, match="8 of 24"):
        images, _ = all_of(dataset)
    assert np.array_equal(images, np.concatenate([clean[:8], clean[16:]]))
    (failure,) = dataset.failures
    assert (failure.chunk_id, failure.member, failure.num_samples) == ("c1", None, 8)


def test_batches_before_a_bad_chunk_are_delivered(server: FaultyServer, clean: np.ndarray) -> None:
    server.always[path_of(server, "c2")] = Fault(status=404)
    with open_job(server) as dataset:
        batches = dataset.iter_batches(4, image_size=48)
        delivered = [next(batches)[0] for _ in range(4)]
        with pytest.raises(DownloadError):
            next(batches)
    assert np.array_equal(np.concatenate(delivered), clean[:16])


def test_a_refused_key_is_never_a_skipped_image(server: FaultyServer) -> None:
    with open_job(server, on_error="skip") as dataset:
        server.always[""] = Fault(status=401)
        with pytest.raises(AuthenticationError):
            all_of(dataset)


def test_an_unfinished_job_tells_its_progress(chunks: dict[str, bytes]) -> None:
    with FaultyServer() as server:
        serve_job(server, JOB, chunks, status="running", progress=40)
        with pytest.raises(JobNotCompleteError) as caught:
            open_job(server)
    assert (caught.value.status, caught.value.progress) == ("running", 40)


def test_single_samples_fetch_their_own_bytes(server: FaultyServer, clean: np.ndarray, photos: list[Path]) -> None:
    with open_job(server, image_size=48) as dataset:
        order = [17, 0, 23, 5]
        for number in order:
            image, label = dataset[number]
            assert np.array_equal(image, clean[number])
            assert label == photos[number].parent.name
        asked = len(server.seen)
        assert np.array_equal(dataset[17][0], clean[17])
        assert len(server.seen) == asked, "kept, not fetched again"
        some = dataset[9:13]
        assert np.array_equal(np.stack([image for image, _ in some]), clean[9:13])
        assert len(server.seen) == asked + 2, "a directory, and one request for all neighbours"
        mixed = dataset[[20, 1, 20]]
        assert np.array_equal(np.stack([image for image, _ in mixed]), clean[[20, 1, 20]])


def test_the_first_batch_comes_before_all_else(photos: list[Path], clean: np.ndarray) -> None:
    chunk = chunk_of(photos)
    with FaultyServer() as server:
        serve_job(server, JOB, {"c0": chunk}, num_images=24)
        with open_job(server) as dataset:
            iterator = dataset.iter_batches(6, image_size=48)
            first, _ = next(iterator)
            assert np.array_equal(first, clean[:6])
            iterator.close()
        (path,) = server.files
        first_bytes = sum(photo.stat().st_size for photo in photos[:6])
        asked = [text for text in server.ranges(path)[1:] if text]
        stop = int(asked[0].split("-")[1]) + 1
        assert first_bytes < stop < first_bytes + 6 * 200, "the first request ends with the first batch"


def test_images_of_several_sizes_need_a_size(photos: list[Path]) -> None:
    with FaultyServer() as server:
        serve_job(server, JOB, {"c0": chunk_of(photos)}, num_images=24)
        with open_job(server) as dataset, pytest.raises(ImageSizeError, match="image_size=") as caught:
            for _ in dataset.iter_batches(4):
                pass
        assert "512 x 768" in str(caught.value)
        assert "768 x 512" in str(caught.value)


def test_labels_and_metadata_come_from_the_chunk(photos: list[Path]) -> None:
    lines = b'{"file_name": "buildings/000.jpg", "label": 7, "source": "x"}\n{"file_name": "buildings/001.jpg"}\n'
    with FaultyServer() as server:
        serve_job(server, JOB, {"c0": chunk_of(photos[:3], metadata=lines)}, num_images=3)
        with open_job(server, image_size=32) as dataset:
            assert [label for _, label in dataset] == [7, None, "buildings"]
        seen: list[tuple[str, object, dict[str, object]]] = []

        def label_fn(member: str, label: object, metadata: dict[str, object]) -> str:
            seen.append((member, label, metadata))
            return f"own-{len(seen)}"

        with open_job(server, image_size=32, label_fn=label_fn) as dataset:
            assert [label for _, label in dataset] == ["own-1", "own-2", "own-3"]
        assert seen[0] == ("buildings/000.jpg", 7, {"source": "x"})
