"""Contestant: shuffled batches of 64 from a server through PyTorch's ``DataLoader``, by number or as a stream."""

from __future__ import annotations

import argparse
import importlib
from typing import TYPE_CHECKING, Any

from peers import BATCH_SIZE
from throttled_server import JOB_ID
from workers import serve_contestant, tell_missing

from pixcrawler import load_dataset

if TYPE_CHECKING:
    from collections.abc import Iterator


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("form", choices=("map", "stream"))
    parser.add_argument("--url", required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    arguments = parser.parse_args()
    try:
        data: Any = importlib.import_module("torch.utils.data")
    except ModuleNotFoundError as exc:
        tell_missing(str(exc.name))
        return

    # What a user writes, and all of it: the job, its directories and the workers' start are part of the time.
    def read() -> Iterator[Any]:
        with load_dataset(JOB_ID, "key", base_url=arguments.url, image_size=arguments.size) as dataset:
            if arguments.form == "stream":
                samples: Any = dataset.to_torch(streaming=True, shuffle=True)
                loader = data.DataLoader(samples, BATCH_SIZE, num_workers=arguments.workers)
            else:
                samples = dataset.to_torch()
                loader = data.DataLoader(samples, BATCH_SIZE, shuffle=True, num_workers=arguments.workers)
            for images, _ in loader:
                yield images

    def epoch() -> dict[str, Any]:
        count, total = 0, 0.0
        for images in read():
            count += len(images)
            # The same for every order, but for rounding.
            total += images.double().sum().item()
        return {"images": count, "total": total}

    # Their sum is told with each epoch: in another order they are not to be compared.
    serve_contestant(epoch, lambda: ())


if __name__ == "__main__":
    main()
