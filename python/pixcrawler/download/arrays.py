"""The folders that ``--format numpy`` makes, opened without reading them."""

from __future__ import annotations

import json
import operator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, overload

from pixcrawler.download.state import STATE_NAME, State
from pixcrawler.exceptions import IntegrityError, NotFoundError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ArrayFolder", "open_arrays"]

HEADER_BYTES = 128
_CHANNELS_AXIS = 3


def npy_header(descr: str, shape: tuple[int, ...]) -> bytes:
    """The header of a ``.npy`` file, version 1.0, as long for every shape, so that it can be written last.

    Args:
        descr: The type, as numpy writes it.
        shape: Of the array.
    """
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape!r}, }}"
    length = HEADER_BYTES - 10
    return b"\x93NUMPY\x01\x00" + length.to_bytes(2, "little") + f"{text:<{length - 1}}\n".encode("ascii")


def open_arrays(folder: str | os.PathLike[str]) -> ArrayFolder:
    """Open what ``pixcrawler download --format numpy`` made. No image is read: the arrays are mapped.

    ::

        arrays = pixcrawler.open_arrays("datasets/job_abc123")
        image, label = arrays[0]
        images, labels = arrays[:64]

    Args:
        folder: With ``images.npy`` and ``labels.npy``, where all images are of one size; else with ``pixels.npy``,
            ``offsets.npy``, ``shapes.npy`` and ``labels.npy``.

    Returns:
        The folder's images and labels.

    Raises:
        NotFoundError: There is no such folder, or no arrays are in it.
        IntegrityError: The arrays do not belong together, or a file is cut.
    """
    return ArrayFolder(folder)


class ArrayFolder:
    """Images and labels of a folder, by number. Thread-safe; a pickle holds the path alone, and opens it again.

    Made by :func:`open_arrays`. Images are read-only views of the mapped files, uint8 (H, W, C) in RGB, in the order of
    the dataset: the system reads a page when it is first looked at, and memory is only its cache. The files must not be
    cut while they are open.

    Args:
        folder: As for :func:`open_arrays`.

    Attributes:
        labels: int64 (N,), read-only: what ``classes`` holds at that number, or, where there are no ``classes``, the
            labels as they are; float64 where they are numbers that are not all whole.
        classes: The labels that the numbers stand for, sorted; None where the labels are numbers themselves.
        images: uint8 (N, H, W, C), read-only, where all images are of one size; else None.
        shapes: int64 (N, 3): height, width and channels of each image.
    """

    labels: NDArray[Any]
    classes: tuple[Any, ...] | None
    images: NDArray[np.uint8] | None
    shapes: NDArray[np.int64]

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        import numpy as np

        self._folder = Path(folder)
        state = State.read(self._folder)
        if state is not None and not state.is_complete:
            message = f"the download into {self._folder} is not complete: run the same command again"
            raise NotFoundError(message, code="path_not_found")
        self.images = self._map("images.npy", 4) if (self._folder / "images.npy").exists() else None
        self.labels = self._map("labels.npy", 1, kinds="if")
        if self.images is not None:
            self.shapes = np.broadcast_to(np.array(self.images.shape[1:], np.int64), (len(self.images), 3))
        else:
            self._pixels = self._map("pixels.npy", 1)
            self.shapes = self._map("shapes.npy", 2, kinds="i")
            self._offsets = self._map("offsets.npy", 1, kinds="i")
            if self.shapes.shape[1] != _CHANNELS_AXIS or not self._fit():
                self._refuse("shapes.npy, offsets.npy and pixels.npy do not belong together")
        if len(self.labels) != len(self.shapes):
            self._refuse(f"{len(self.labels)} labels for {len(self.shapes)} images")
        self.classes = self._read_classes()

    def _map(self, name: str, axes: int, kinds: str = "u") -> NDArray[Any]:
        """A file's array, mapped, its type and axes checked."""
        import numpy as np

        path = self._folder / name
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (FileNotFoundError, NotADirectoryError):
            known = "another kind of download" if (self._folder / STATE_NAME).exists() else "no download"
            message = f"expected {name} in {self._folder}, found none: it holds {known}"
            raise NotFoundError(message, code="path_not_found") from None
        except (ValueError, EOFError) as error:
            self._refuse(f"{name}: {error}")
        if array.ndim != axes or array.dtype.kind not in kinds:
            self._refuse(f"{name} is {array.dtype} of {array.ndim} axes")
        # A plain array of the mapped memory: of a memmap every view, and every number drawn from it, would be slower.
        view: NDArray[Any] = np.asarray(array)
        return view

    def _refuse(self, detail: str) -> Any:
        message = f"{self._folder}: {detail}"
        raise IntegrityError(message, code="download_damaged")

    def _fit(self) -> bool:
        """Whether each image's pixels are where its offsets say, one behind the other, within the file."""
        import numpy as np

        shapes, offsets = self.shapes, self._offsets
        if len(offsets) != len(shapes) + 1 or (shapes <= 0).any() or (shapes > 1 << 20).any():
            return False
        ends = np.diff(offsets) == shapes.prod(axis=1)
        return bool(ends.all()) and offsets[0] == 0 and offsets[-1] == len(self._pixels)

    def _read_classes(self) -> tuple[Any, ...] | None:
        try:
            text = (self._folder / "classes.json").read_bytes()
        except FileNotFoundError:
            return None
        try:
            classes = json.loads(text)
        except ValueError:
            classes = None
        labels = self.labels
        is_sound = isinstance(classes, list) and labels.dtype.kind == "i"
        if not is_sound or (len(labels) and not 0 <= labels.min() <= labels.max() < len(classes)):
            self._refuse("classes.json and labels.npy do not belong together")
        return tuple(classes)

    @property
    def is_stacked(self) -> bool:
        """Whether all images are of one size, and stand in one array."""
        return self.images is not None

    def __len__(self) -> int:
        """Images."""
        return len(self.labels)

    def __iter__(self) -> Iterator[tuple[NDArray[np.uint8], Any]]:
        """Iterate over (image, label)."""
        return (self[number] for number in range(len(self)))

    @overload
    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], Any]: ...
    @overload
    def __getitem__(
        self, index: slice | Sequence[int]
    ) -> tuple[NDArray[np.uint8] | list[NDArray[np.uint8]], NDArray[Any]]: ...
    def __getitem__(self, index: int | slice | Sequence[int]) -> tuple[Any, Any]:
        """Images and labels by number.

        Args:
            index: A number (negative ones count from the end), a slice, or a sequence or array of numbers.

        Returns:
            For a number (image, label): a view, uint8 (H, W, C), and an int, or a float. Else (images, labels): one
            uint8 array (n, H, W, C) where all are of one size, which for a slice is a view, else a list of n views; and
            an array of n labels.

        Raises:
            IndexError: There is no such image.
        """
        import numpy as np

        if isinstance(index, slice):
            numbers: Any = range(len(self))[index]
            images = self.images[index] if self.images is not None else [self._view(number) for number in numbers]
            return images, self.labels[index]
        if not hasattr(index, "__index__") or isinstance(index, np.ndarray):
            chosen = np.asarray(index, np.int64)
            if self.images is not None:
                return self.images[chosen], self.labels[chosen]
            labels = self.labels[chosen]
            return [self._view(int(number) % len(self)) for number in chosen], labels
        position = operator.index(cast("int", index))
        if not -len(self) <= position < len(self):
            message = f"image {position} of {len(self)}"
            raise IndexError(message)
        position %= len(self)
        return self._view(position), self.labels[position].item()

    def _view(self, number: int) -> NDArray[np.uint8]:
        if self.images is not None:
            view: NDArray[np.uint8] = self.images[number]
        else:
            view = self._pixels[self._offsets[number] : self._offsets[number + 1]].reshape(self.shapes[number])
        return view

    def __reduce__(self) -> tuple[Any, ...]:
        """Open the same folder, in the other process."""
        return open_arrays, (str(self._folder.resolve()),)

    def __repr__(self) -> str:
        """How many images of what size."""
        sizes = "mixed sizes" if self.images is None else "{} x {} x {}".format(*self.images.shape[1:])
        return f"<ArrayFolder {str(self._folder)!r}: {len(self)} images of {sizes}>"
