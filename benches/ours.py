"""Contestant: pixcrawler through its public API, over a local zip or over HTTP. Started by the benchmarks."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from workers import serve_contestant

from pixcrawler import load_dataset

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from pixcrawler import Dataset

BATCH_SIZE = 64


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", help="a path or a job's id")
    parser.add_argument("--threads", type=int)
    parser.add_argument(
        "--size", type=int, help="batches of images of this size; without it images one by one, as they are"
    )
    parser.add_argument("--url")
    parser.add_argument("--key")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()

    def load() -> Dataset:
        return load_dataset(arguments.dataset, arguments.key, base_url=arguments.url, decode_threads=arguments.threads)

    def read(dataset: Dataset) -> Iterator[tuple[NDArray[np.uint8], Any]]:
        return dataset.iter_batches(BATCH_SIZE, image_size=arguments.size) if arguments.size else iter(dataset)

    # What a user writes, and all of it: opening the dataset is part of the time.
    def epoch() -> dict[str, Any]:
        count = 0
        with load() as dataset:
            for _, labels in read(dataset):
                count += len(labels) if arguments.size else 1
            return {"images": count, "stats": asdict(dataset.stats())}

    def pixels() -> Iterator[NDArray[np.uint8]]:
        with load() as dataset:
            for images, _ in read(dataset):
                yield images

    serve_contestant(epoch, pixels)


if __name__ == "__main__":
    main()
