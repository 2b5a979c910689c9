"""Contestants on PyTorch's ``DataLoader``, as their users write them for a training loop. Started by a benchmark.

Batches of 64 of one size with a label each, from none, one or several worker processes, which are kept from one epoch
to the next; or from ``iter_batches``, which has none.
"""

from __future__ import annotations

import argparse
import importlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from data import member_names
from peers import BATCH_SIZE
from peers_contestant import children_cpu_s
from workers import serve_contestant, tell_missing

from pixcrawler import load_dataset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from numpy.typing import NDArray

    from pixcrawler import Dataset

    # Begins an epoch.
    Read: TypeAlias = Callable[[], Iterator[tuple[Any, Any]]]


def iter_batches(path: Path, _workers: int, side: int, *, numbered: bool) -> Read:
    """The package's own batches, without torch."""
    dataset = _dataset(path, side, numbered=numbered)
    return lambda: iter(dataset.iter_batches(BATCH_SIZE))


def stream(path: Path, workers: int, side: int, *, numbered: bool) -> Read:
    """The package's batches for torch: uint8, of one native call each."""
    batches = _dataset(path, side, numbered=numbered).to_torch(streaming=True, batch_size=BATCH_SIZE)
    return _reader(batches, workers, batch_size=None)


def samples(path: Path, workers: int, side: int, *, numbered: bool) -> Read:
    """The package's single samples for torch, float32 as ``ToTensor`` makes them, stacked by the DataLoader."""
    singles = _dataset(path, side, numbered=numbered).to_torch(streaming=True)
    return _reader(singles, workers, batch_size=BATCH_SIZE)


def imagefolder(path: Path, workers: int, side: int, *, numbered: bool) -> Read:
    """torchvision: ``ImageFolder`` with ``Resize`` and ``ToTensor``, which decode with Pillow."""
    datasets: Any = importlib.import_module("torchvision.datasets")
    folder = datasets.ImageFolder(path, _transform(side))
    if numbered:
        folder.samples = [(file, int(Path(file).stem)) for file, _ in folder.samples]
    return _reader(folder, workers, batch_size=BATCH_SIZE)


def webdataset(path: Path, workers: int, side: int, *, numbered: bool) -> Read:  # noqa: ARG001 - its labels are numbers
    """Tar shards, decoded by Pillow, with ``Resize`` and ``ToTensor``."""
    wds: Any = importlib.import_module("webdataset")
    shards = [str(shard) for shard in sorted(path.glob("*.tar"))]
    dataset = wds.WebDataset(shards, shardshuffle=False).decode("pil").to_tuple("jpg", "cls")
    dataset = dataset.map_tuple(_transform(side)).batched(BATCH_SIZE)
    loader = wds.WebLoader(dataset, batch_size=None, **_workers(workers))
    return lambda: iter(loader)


LOADERS = {loader.__name__: loader for loader in (iter_batches, stream, samples, imagefolder, webdataset)}


def _dataset(path: Path, side: int, *, numbered: bool) -> Dataset:
    """The zip, its labels those of the folders, or the images' numbers."""
    if not numbered:
        return load_dataset(path, image_size=side)
    numbers = {name: number for number, name in enumerate(member_names(path))}
    return load_dataset(path, image_size=side, label_fn=lambda member, _label, _metadata: numbers[member])


def _transform(side: int) -> Any:
    transforms: Any = importlib.import_module("torchvision.transforms")
    return transforms.Compose([transforms.Resize((side, side)), transforms.ToTensor()])


def _workers(workers: int) -> dict[str, Any]:
    return {"num_workers": workers, "persistent_workers": workers > 0}


def _reader(dataset: Any, workers: int, *, batch_size: int | None) -> Read:
    data: Any = importlib.import_module("torch.utils.data")
    loader = data.DataLoader(dataset, batch_size=batch_size, **_workers(workers))
    return lambda: iter(loader)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library", choices=sorted(LOADERS))
    parser.add_argument("path", type=Path, help="the zip, or the folder that peers_store.py wrote")
    parser.add_argument("--threads", type=int, help="not used: each takes what it takes by default")
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    arguments = parser.parse_args()
    try:
        psutil: Any = importlib.import_module("psutil")
        make = partial(LOADERS[arguments.library], arguments.path, arguments.workers, arguments.size)
        read = make(numbered=False)
    except ModuleNotFoundError as exc:
        tell_missing(str(exc.name))
        return

    def epoch() -> dict[str, Any]:
        began = children_cpu_s(psutil)
        count = sum(len(images) for images, _ in read())
        return {"images": count, "children_cpu_s": children_cpu_s(psutil) - began}

    serve_contestant(epoch, lambda: _in_order(make(numbered=True)))


def _in_order(read: Read) -> Iterator[NDArray[np.uint8]]:
    """All images as uint8, channels last, by their numbers: workers deliver in an order of their own."""
    images: dict[int, NDArray[np.uint8]] = {}
    for batch, numbers in read():
        array = np.asarray(batch)
        last = array if array.shape[-1] == 3 else array.transpose(0, 2, 3, 1)
        if last.dtype != np.uint8:
            last = np.rint(last * 255).astype(np.uint8)
        for image, number in zip(last, numbers, strict=True):
            images[int(number)] = np.array(image, order="C")
    return (images[number] for number in sorted(images))


if __name__ == "__main__":
    main()
