"""Passes over parts of a dataset: selected samples of chunks whose directories are known, in order or shuffled."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faulty_server import Fault, FaultyServer, serve_job
from pixcrawler import Dataset, DownloadError, load_dataset
from pixcrawler.schedule import Part
from support import catching_warning, encode, number_of, numbered, write_zip, zip_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BORDERS = ((0, 50), (50, 51), (51, 51), (51, 120))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """120 numbered images in four chunks."""
    folder = tmp_path_factory.mktemp("chunks")
    members = list(numbered(120).items())
    for chunk, (start, stop) in enumerate(BORDERS):
        write_zip(folder / f"{chunk}.zip", dict(members[start:stop]))
    return load_dataset(folder)


def parts_of(dataset: Dataset, spans: Sequence[tuple[int, int, int]]) -> list[Part]:
    """Parts of chunks: number of the chunk, first sample, one past the last."""
    parts = []
    for number, start, stop in spans:
        opened = dataset._random.opened(number)
        parts.append(Part(opened.chunk, opened, opened.directory.samples[start:stop]))
    return parts


def numbers_of(items: Any, batch_size: int | None) -> list[int]:
    if batch_size is None:
        return [number_of(image) for image, _ in items]
    batches = [images for images, _ in items]
    assert all(len(images) == batch_size for images in batches[:-1])
    return [number_of(image) for images in batches for image in images]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), batch_size=st.none() | st.integers(1, 50), memory_limit=st.sampled_from([40, 800, 9_000, 10**8]))
def test_any_parts_come_in_their_order_or_shuffled(
    dataset: Dataset, data: st.DataObject, batch_size: int | None, memory_limit: int
) -> None:
    # Memory for less than a sample, for a few of them and their batch, for all.
    spans = []
    for number, (first, stop) in enumerate(BORDERS):
        cuts = sorted(data.draw(st.lists(st.integers(0, stop - first), max_size=6)))
        spans += [(number, at, until) for at, until in pairwise(cuts)]
    spans = data.draw(st.permutations(spans))
    expected = [BORDERS[number][0] + at for number, start, stop in spans for at in range(start, stop)]
    options = replace(dataset.options, memory_limit=memory_limit)
    parts = parts_of(dataset, spans)
    with dataset.iter_parts(parts, options, batch_size=batch_size) as items:
        assert numbers_of(items, batch_size) == expected
    seed = data.draw(st.text(max_size=3))
    orders = [
        numbers_of(dataset.iter_parts(parts, options, batch_size=batch_size, seed=seed), batch_size) for _ in range(2)
    ]
    assert sorted(orders[0]) == sorted(expected)
    assert orders[0] == orders[1]


def test_a_shuffled_pass_mixes_what_the_memory_holds(dataset: Dataset) -> None:
    parts = parts_of(dataset, [(0, start, start + 10) for start in range(0, 50, 10)])
    random.Random(3).shuffle(parts)
    numbers = numbers_of(dataset.iter_parts(parts, dataset.options, batch_size=16, seed="a"), 16)
    assert sorted(numbers) == list(range(50))
    assert len({number // 10 for number in numbers[:16]}) == 5
    other = numbers_of(dataset.iter_parts(parts, dataset.options, batch_size=16, seed="b"), 16)
    assert numbers != other


@pytest.fixture(scope="module")
def noisy() -> dict[str, bytes]:
    """Chunks of PNGs of some 30 kB that cannot be compressed."""
    members = []
    rng = np.random.default_rng(1)
    for number in range(48):
        pixels = rng.integers(0, 256, (100, 100, 3), dtype=np.uint8)
        pixels[0, 0] = number
        members.append((f"label{number % 3}/{number:04d}.png", encode(pixels, compress_level=0)))
    return {f"c{at}": zip_of(dict(members[at * 12 : at * 12 + 12])) for at in range(4)}


@pytest.fixture
def server(noisy: dict[str, bytes]) -> Iterator[FaultyServer]:
    with FaultyServer() as running:
        serve_job(running, "j", noisy, num_images=48)
        for record in running.documents["/api/v1/jobs/j"]["chunks"]:
            record["num_images"] = 12
        yield running


def first_pixels(items: Any) -> list[int]:
    return [int(image[0, 0, 0]) for images, _ in items for image in images]


@pytest.mark.parametrize("memory_limit", ["100kB", "1MB", "256MB"])
def test_from_a_server_each_byte_is_asked_for_once_and_no_directory(server: FaultyServer, memory_limit: str) -> None:
    with load_dataset("j", "key", server.url, memory_limit=memory_limit) as dataset:
        spans = [(number, start, start + 3) for number in range(4) for start in range(0, 12, 3)]
        parts = parts_of(dataset, random.Random(1).sample(spans, len(spans)))
        server.seen.clear()
        # A batch is as large as the memory, or larger: what is shuffled must not wait for room that it holds itself.
        order = first_pixels(dataset.iter_parts(parts, dataset.options, batch_size=20, seed="s"))
        assert sorted(order) == list(range(48))
        assert order != sorted(order)
        asked = [(seen.target, seen.headers["range"]) for seen in server.seen]
        assert len(set(asked)) == len(asked) == len(parts)
        assert not any("bytes=-" in text for _, text in asked)
        assert order == first_pixels(dataset.iter_parts(parts, dataset.options, batch_size=20, seed="s"))
        assert first_pixels(dataset.iter_parts(parts[:2], dataset.options, batch_size=20)) == [
            12 * part.chunk.index + index for part in parts[:2] for index in part.samples
        ]


@pytest.mark.parametrize("memory_limit", ["100kB", "2MB", "256MB"])
@pytest.mark.parametrize("seed", [None, "s"])
def test_whole_chunks_among_parts(server: FaultyServer, memory_limit: str, seed: str | None) -> None:
    with load_dataset("j", "key", server.url, memory_limit=memory_limit) as dataset:
        parts = parts_of(dataset, [(0, 6, 12), (0, 0, 6), (3, 0, 12)])
        # These two come whole from their server: their directories could not be read before.
        for path in server.files:
            if "c1" in path or "c2" in path:
                server.always[path] = Fault(ignore_range=True)
        chunks = dataset.chunks
        mixed = [parts[0], Part(chunks[1]), parts[1], Part(chunks[2]), parts[2]]
        order = first_pixels(dataset.iter_parts(mixed, dataset.options, batch_size=20, seed=seed))
        assert sorted(order) == list(range(48))
        if seed is None:
            assert order == [*range(6, 12), *range(12, 24), *range(6), *range(24, 48)]


def test_a_server_that_stops_sending_ranges_is_an_error_of_the_samples(server: FaultyServer) -> None:
    with load_dataset("j", "key", server.url, on_error="skip", image_size=100) as dataset:
        parts = parts_of(dataset, [(0, 0, 12), (1, 0, 12)])
        server.always[next(path for path in server.files if "c1" in path)] = Fault(ignore_range=True)
        with load_dataset("j", "key", server.url) as strict, pytest.raises(DownloadError, match="whole chunks only"):
            first_pixels(strict.iter_parts(parts[1:], strict.options, batch_size=4))
        items = catching_warning(dataset.iter_parts(parts, dataset.options, batch_size=5))
        assert first_pixels(items) == list(range(12))
        assert [failure.code for failure in dataset.failures] == ["range_mismatch"] * 12
        assert {failure.chunk_id for failure in dataset.failures} == {"c1"}
