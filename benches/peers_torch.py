"""Contestants on PyTorch's ``DataLoader``: torchvision over files, WebDataset, LitData and MosaicML Streaming.

One thread is a loader without workers, in the contestant's own process; more are as many worker processes, kept from
one epoch to the next. Batches are stacked by the workers.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np
import peers_store
from peers import BATCH_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from peers_zip import Images


def torchvision(folder: Path, threads: int, side: int | None) -> Images:
    """A dataset of files: ``decode_image`` and antialiased ``v2.Resize`` of tensors."""
    return _loaded(_torch_data().DataLoader, _Files(folder, side), threads, side)


def webdataset(folder: Path, threads: int, side: int | None) -> Images:
    """Tar shards, decoded by Pillow: ``rgb8``, or ``pil`` and ``v2.Resize``."""
    wds: Any = importlib.import_module("webdataset")
    _torch_data()
    shards = [str(path) for path in sorted(folder.glob("*.tar"))]
    dataset = wds.WebDataset(shards, shardshuffle=False)
    if side is None:
        dataset = dataset.decode("rgb8").to_tuple("jpg", "cls")
    else:
        dataset = dataset.decode("pil").to_tuple("jpg", "cls").map_tuple(_PillowToTensor(side)).batched(BATCH_SIZE)
    loader = wds.WebLoader(dataset, batch_size=None, **_workers(threads))
    return lambda: iter(loader)


def litdata(folder: Path, threads: int, side: int | None) -> Images:
    """Chunks of an optimized dataset, decoded by LitData itself (torchvision's ``decode_jpeg``), and ``v2.Resize``."""
    library: Any = importlib.import_module("litdata")
    _torch_data()
    dataset = library.StreamingDataset(str(folder), shuffle=False, transform=_LitDataSample(side))
    return _loaded(library.StreamingDataLoader, dataset, threads, side)


def streaming(folder: Path, threads: int, side: int | None) -> Images:
    """MDS shards, whose ``jpeg`` encoding gives Pillow's images, and ``v2.Resize`` of these."""
    library: Any = importlib.import_module("streaming")
    _torch_data()
    to_tensor = _PillowToTensor(side)

    class Photos(library.StreamingDataset):  # type: ignore[misc]
        def __getitem__(self, at: Any) -> tuple[Any, int]:
            sample = super().__getitem__(at)
            return to_tensor(sample["image"]), sample["number"]

    dataset = Photos(local=str(folder), shuffle=False, batch_size=BATCH_SIZE if side else 1)
    return _loaded(_torch_data().DataLoader, dataset, threads, side)


def _torch_data() -> Any:
    """``torch.utils.data``, with torch confined to one thread a process."""
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(1)
    return importlib.import_module("torch.utils.data")


def _workers(threads: int) -> dict[str, Any]:
    return {"num_workers": threads, "persistent_workers": True} if threads > 1 else {"num_workers": 0}


def _loaded(loader: Callable[..., Any], dataset: Any, threads: int, side: int | None) -> Images:
    how = {"batch_size": BATCH_SIZE} if side else {"batch_size": 1, "collate_fn": _only}
    made = loader(dataset, **how, **_workers(threads))

    def read() -> Iterator[tuple[Any, int]]:
        return iter(made)

    return read


def _only(samples: list[Any]) -> Any:
    """Images of different sizes make no batch."""
    return samples[0]


class _Files:
    """A map-style dataset of JPEG files."""

    def __init__(self, folder: Path, side: int | None) -> None:
        self._paths = [str(path) for path in peers_store.files(folder)]
        self._io: Any = importlib.import_module("torchvision.io")
        self._resize = _Resize(side)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, number: int) -> tuple[Any, int]:
        image = self._io.decode_image(self._paths[number], mode=self._io.ImageReadMode.RGB, apply_exif_orientation=True)
        return self._resize(image), number


class _Resize:
    """``v2.Resize``, which antialiases tensors and Pillow's images alike; nothing without a size."""

    def __init__(self, side: int | None) -> None:
        v2: Any = importlib.import_module("torchvision.transforms.v2")
        self._resize = v2.Resize((side, side), antialias=True) if side else None

    def __call__(self, image: Any) -> Any:
        return image if self._resize is None else self._resize(image)


class _PillowToTensor:
    """An image of Pillow's, lazily decoded or not, resized and made a tensor."""

    def __init__(self, side: int | None) -> None:
        self._torch: Any = importlib.import_module("torch")
        self._resize = _Resize(side)

    def __call__(self, image: Any) -> Any:
        return self._torch.from_numpy(np.array(self._resize(image.convert("RGB"))))


class _LitDataSample:
    """What LitData decoded, resized."""

    def __init__(self, side: int | None) -> None:
        self._resize = _Resize(side)

    def __call__(self, sample: dict[str, Any]) -> tuple[Any, int]:
        return self._resize(sample["image"]), sample["number"]
