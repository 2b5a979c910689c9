"""A dataset as a ``tf.data.Dataset``: several images a step of a generator, taken apart in TensorFlow's graph."""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from functools import reduce
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from pixcrawler._machine import usable_cpus
from pixcrawler.loaders.class_index import ClassIndex
from pixcrawler.loaders.missing import needs

with needs("tensorflow", "to_tensorflow()"):
    import tensorflow as tf

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from numpy.typing import NDArray
    from typing_extensions import Self

    from pixcrawler.dataset import Dataset
    from pixcrawler.options import Options
    from pixcrawler.passes import PassIterator

    # Takes from a pass what one step delivers; StopIteration at the end.
    _Take: TypeAlias = Callable[[PassIterator[Any]], tuple[Any, ...]]

__all__ = ["to_tensorflow"]

# A step of TensorFlow's generator costs about 0.4 ms of processor time, a photograph's decode 1 ms: several images
# share one. TensorFlow takes an array as it is, and slices of it are no copies either: of 224 x 224 in steps of 32 the
# way to the user's batch(64) costs 45 us an image. With unbatch(), which gives each image fresh memory, it is 190.
_STEP_IMAGES = 64
_STEP_BYTES = 4 << 20
# Images of their own sizes in a step: each is an array, a component of the element, and not copied. This costs 110 us
# an image; one image a step 180; one flat array cut up in the graph 120 for small ones, 300 for those of 400 x 400.
_COMPONENTS = 8

# How long the interpreter's exit waits for TensorFlow's threads, at most, and until when they count as out of here.
_EXIT_S = 10.0
_QUIET_S = 0.3


def to_tensorflow(dataset: Dataset) -> tf.data.Dataset:
    """The dataset of :meth:`pixcrawler.dataset.Dataset.to_tensorflow`.

    Args:
        dataset: Which.

    Returns:
        Of (uint8 (H, W, C), int64 ()).

    Raises:
        PixCrawlerError: A directory cannot be read.
    """
    index = ClassIndex(dataset)
    size = dataset.options.image_size or dataset.info.image_size or dataset.first_size()
    elements = _of_own_sizes(dataset, index) if size is None else _of_one_size(dataset, index, size)
    if not dataset.options.skips:
        elements = elements.apply(tf.data.experimental.assert_cardinality(len(dataset)))
    # TensorFlow keeps every generator until the process ends, so these hold the dataset weakly. What is made of a
    # tf.data.Dataset keeps it, and so does an iterator: with the last of them goes the dataset with its memory.
    elements.pixcrawler_dataset = dataset
    return elements


def _of_one_size(dataset: Dataset, index: ClassIndex, size: tuple[int, int]) -> tf.data.Dataset:
    shape = (*size, dataset.options.channels)
    count = _step_images(dataset.options, shape)

    def take(batches: PassIterator[Any]) -> tuple[Any, ...]:
        images, labels = next(batches)
        return images, _numbers(index, labels)

    begin = _beginning(
        dataset, lambda living: living.iter_parts(None, living.options, batch_size=count, stacked_size=size), take
    )
    signature = (tf.TensorSpec((None, *shape), tf.uint8), tf.TensorSpec((None,), tf.int64))
    return tf.data.Dataset.from_generator(begin, output_signature=signature).flat_map(_slices)


def _step_images(options: Options, shape: tuple[int, int, int]) -> int:
    """Images of one size in a step: enough for all threads, as far as memory allows."""
    height, width, channels = shape
    image_bytes = height * width * channels
    wanted = max(min(_STEP_IMAGES, _STEP_BYTES // image_bytes), options.decode_threads or usable_cpus())
    return max(min(wanted, options.memory_bytes // 8 // image_bytes), 1)


@tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
def _slices(images: tf.Tensor, labels: tf.Tensor) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((images, labels))


def _of_own_sizes(dataset: Dataset, index: ClassIndex) -> tf.data.Dataset:
    channels = dataset.options.channels
    nothing = np.empty((0, 0, channels), np.uint8)

    def take(samples: PassIterator[Any]) -> tuple[Any, ...]:
        several = list(islice(samples, _COMPONENTS))
        if not several:
            raise StopIteration
        missing = _COMPONENTS - len(several)
        labels = np.pad(_numbers(index, [label for _, label in several]), (0, missing))
        return len(several), labels, *(image for image, _ in several), *[nothing] * missing

    begin = _beginning(dataset, iter, take)
    image = tf.TensorSpec((None, None, channels), tf.uint8)
    signature = (tf.TensorSpec((), tf.int64), tf.TensorSpec((_COMPONENTS,), tf.int64), *[image] * _COMPONENTS)
    return tf.data.Dataset.from_generator(begin, output_signature=signature).flat_map(_one_by_one)


@tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
def _one_by_one(count: tf.Tensor, labels: tf.Tensor, *images: tf.Tensor) -> tf.data.Dataset:
    elements = [tf.data.Dataset.from_tensors((image, labels[at])) for at, image in enumerate(images)]
    return reduce(lambda head, last: head.concatenate(last), elements).take(count)


def _numbers(index: ClassIndex, labels: list[Any]) -> NDArray[np.int64]:
    return np.fromiter(map(index, labels), np.int64, len(labels))


# Passes in TensorFlow's threads.


def _beginning(
    dataset: Dataset,
    begin: Callable[[Dataset], PassIterator[Any]],
    take: _Take,
) -> Callable[[], _Steps]:
    """What ``from_generator`` calls for each pass."""
    kept = weakref.ref(dataset)

    def begin_pass() -> _Steps:
        with _Visit():
            living = kept()
            if living is None:
                message = "the pixcrawler dataset is gone: keep what to_tensorflow() returned for as long as it is read"
                raise RuntimeError(message)
            return _Steps(begin(living), take)

    return begin_pass


class _Steps:
    """The steps of one pass. TensorFlow drops it together with its own iterator, and that ends the pass.

    Args:
        passed: The pass.
        take: What one step is.
    """

    def __init__(self, passed: PassIterator[Any], take: _Take) -> None:
        self._passed = passed
        self._take = take
        _steps.add(self)

    def __iter__(self) -> Self:
        """Itself."""
        return self

    def __next__(self) -> tuple[Any, ...]:
        """What the next step delivers."""
        with _Visit():
            return self._take(self._passed)

    def close(self) -> None:
        """End the pass."""
        self._passed.close()


class _Visit:
    """The time that one of TensorFlow's threads spends here: none once the interpreter is about to exit."""

    def __enter__(self) -> None:
        """Note the thread."""
        if _is_exiting.is_set():
            _last_visit[0] = time.monotonic()
            message = "the interpreter is exiting"
            raise RuntimeError(message)
        _inside.add(threading.get_ident())

    def __exit__(self, *_: object) -> None:
        """Note that it leaves."""
        _inside.discard(threading.get_ident())
        _last_visit[0] = time.monotonic()


_steps: weakref.WeakSet[_Steps] = weakref.WeakSet()
_is_exiting = threading.Event()
_inside: set[int] = set()
_last_visit = [0.0]


@atexit.register
def _end_all() -> None:
    """End the passes that are left, and wait for TensorFlow's threads to be out of Python.

    It destroys its last iterators while the interpreter is taken down, and waits for their threads then: one that is
    inside Python by that time never comes back, and the process hangs.
    """
    _is_exiting.set()
    for steps in list(_steps):
        steps.close()
        _last_visit[0] = time.monotonic()
    until = time.monotonic() + _EXIT_S
    while (now := time.monotonic()) < until and (_inside or now < _last_visit[0] + _QUIET_S):
        time.sleep(_QUIET_S / 10)
