"""``Dataset.to_...``: a dataset in the form that each framework takes. Each method imports its framework inside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast, overload

if TYPE_CHECKING:
    from collections.abc import Callable

    import datasets
    import numpy as np
    import pandas as pd
    import tensorflow as tf
    from numpy.typing import NDArray

    from pixcrawler.dataset import Dataset
    from pixcrawler.loaders.torch import TorchDataset
    from pixcrawler.loaders.torch_stream import StreamingDataset

__all__ = ["Conversions"]


class Conversions:
    """The conversions of a :class:`pixcrawler.dataset.Dataset`, of which it is a base."""

    def to_arrays(self) -> tuple[NDArray[np.uint8], NDArray[Any]]:
        """The whole dataset as two numpy arrays, in the order of iteration. Nothing is lazy.

        X is allocated once and decoded in place: all of it takes X and ``memory_limit``. Its size is logged before
        (``pixcrawler.loaders.numpy``, level INFO). On a terminal a bar shows how far it is, if that takes long.

        Returns:
            X, uint8 (N, H, W, C): of ``image_size``, or the size that all images share. y, N labels: str of the longest
            one's width if all are strings, int64 if all are ints, else object. Where ``on_error`` skips, N is the
            number of images delivered.

        Raises:
            LimitError: X is larger than the memory that is available; the message says both sizes.
            ImageSizeError: Without ``image_size`` the images are of several sizes.
            PixCrawlerError: A sample cannot be delivered, unless ``on_error`` skips it.
        """
        from pixcrawler.loaders.numpy import to_arrays

        return to_arrays(cast("Dataset", self))

    @overload
    def to_torch(
        self, transform: Callable[[NDArray[np.uint8]], Any] | None = None, *, streaming: Literal[False] = False
    ) -> TorchDataset: ...
    @overload
    def to_torch(
        self,
        transform: Callable[[Any], Any] | None = None,
        *,
        streaming: Literal[True],
        batch_size: int | None = None,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        layout: Literal["NCHW", "NHWC"] = "NCHW",
    ) -> StreamingDataset: ...
    def to_torch(
        self,
        transform: Callable[[Any], Any] | None = None,
        *,
        streaming: bool = False,
        batch_size: int | None = None,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        layout: Literal["NCHW", "NHWC"] = "NCHW",
    ) -> TorchDataset | StreamingDataset:
        """The dataset for torch's ``DataLoader``: by number, or as a stream.

        Reads all directories that are not known yet, several at once, and hands them to a DataLoader's workers. No
        image is read before it is asked for. Of several workers each has its share of the processors and of
        ``memory_limit`` (by number it holds the batch that it works on beside that). What they leave out is in
        :attr:`failures` here, once for each sample, and ``max_failures`` holds for all of them together.

        Args:
            transform: Called with each image, uint8 (H, W, C), as ``ToPILImage``, ``ToTensor`` and what is composed of
                them and further transforms take it; of a stream of batches with each batch as it would be delivered,
                as the transforms of torchvision's ``v2`` take it (which draw once for a whole batch). It has to be
                picklable where workers are spawned.
            streaming: Read in the order of the chunks, or shuffled, instead of by number: faster, and the way to go
                where all samples are used. The other arguments are the stream's alone.
            batch_size: Deliver batches of so many images, each made by one native call, for
                ``DataLoader(..., batch_size=None)``: the fast way. None delivers single samples.
            shuffle: Another order in each epoch (``set_epoch``): runs of about 1 MiB of neighbours are put in random
                order, and samples are mixed over as many of these as the memory allows.
            seed: What the order depends on, beside the epoch and the numbers of ranks and workers.
            drop_last: Give all ranks equally many samples, and full batches alone.
            layout: The axes of a batch: "NCHW" (in memory channels_last, which costs nothing) or "NHWC".

        Returns:
            By number, a map-style dataset of (image, label), for ``shuffle``, ``random_split`` and ``Subset``. Without
            a transform the image is a float32 tensor (C, H, W) in [0, 1], the one that torchvision's ``ToTensor``
            makes. The label is an int, of which a DataLoader makes int64: the position in :attr:`class_to_idx` of a
            string, an int as it is. ``[i]`` raises whatever ``on_error`` says. A batch, which is one native call, holds
            what is good unless ``on_error`` is "raise"; if nothing of it is, its first error is raised.

            As a stream, an ``IterableDataset`` of the same pairs, or of (uint8 (B, C, H, W), int64 (B,)) if
            ``batch_size`` is given: see :class:`pixcrawler.loaders.torch_stream.StreamingDataset`.

        Raises:
            ImportError: torch is not installed; the message says how to install it.
            ValueError: An argument is out of its range, or is the stream's and ``streaming`` is False.
            PixCrawlerError: A chunk's directory cannot be read, unless ``on_error`` skips it.
        """
        if streaming:
            from pixcrawler.loaders.torch_stream import StreamingDataset

            return StreamingDataset(
                cast("Dataset", self),
                transform,
                batch_size=batch_size,
                shuffle=shuffle,
                seed=seed,
                drop_last=drop_last,
                layout=layout,
            )
        if batch_size is not None or shuffle or seed or drop_last or layout != "NCHW":
            message = (
                "batch_size, shuffle, seed, drop_last and layout need streaming=True; else the DataLoader has them"
            )
            raise ValueError(message)
        from pixcrawler.loaders.torch import TorchDataset

        return TorchDataset(cast("Dataset", self), transform)

    def to_dataframe(self, *, decode: bool = True) -> pd.DataFrame:
        """The whole dataset as a pandas DataFrame, a row a sample, in the order of iteration. Nothing is lazy.

        Everything is held at once: with ``decode`` all pixels (height x width x channels bytes an image), without it
        the files' bytes, and ``memory_limit`` beside it while the frame is made.

        Args:
            decode: Images as arrays. Otherwise the files as they are stored, laid out as Hugging Face's ``datasets``
                has images, so that ``to_parquet`` works and ``load_dataset("parquet")`` with ``datasets.Image()``
                reads what it wrote.

        Returns:
            Columns image, label, metadata, height, width. image: uint8 (H, W, C); or ``{"bytes": bytes, "path":
            name}``. label: strings, int64, or objects as they are stored. metadata: a dict. height and width: int64,
            of the array; without ``decode`` of the image at its own size, from the file's header (a sample whose header
            cannot be read fails, the rest of the image is not looked at).

            Without ``decode``, metadata is None instead of an empty dict, and a column that Arrow cannot hold (labels
            or a metadata field of several types, numbers beyond 64 bits, an empty object inside) has the JSON text of
            every value instead.

        Raises:
            ImportError: pandas, or without ``decode`` pyarrow, is not installed; the message says how to install it.
            PixCrawlerError: A sample cannot be delivered, unless ``on_error`` skips it.
        """
        from pixcrawler.loaders.pandas import to_dataframe

        return to_dataframe(cast("Dataset", self), decode=decode)

    @overload
    def to_hf(self, *, streaming: Literal[False] = False) -> datasets.Dataset: ...
    @overload
    def to_hf(self, *, streaming: Literal[True]) -> datasets.IterableDataset: ...
    @overload
    def to_hf(self, *, streaming: bool) -> datasets.Dataset | datasets.IterableDataset: ...
    def to_hf(self, *, streaming: bool = False) -> datasets.Dataset | datasets.IterableDataset:
        """A dataset of Hugging Face's ``datasets``, of the files as they are stored: none is decoded or encoded anew.

        Columns: image, an ``Image`` feature, decoded by Pillow when a row is read (a damaged picture fails then; what
        is no picture at all fails here); label, a ``ClassLabel`` with :attr:`classes` where labels are strings, else
        int64; metadata, the JSON text of the sample's metadata, ``"{}"`` without any. Options for decoding
        (``image_size``, ``mode``) have no effect. No network but the dataset's own is used.

        Args:
            streaming: Read nothing now, and chunk by chunk while iterating, in order, within ``memory_limit``. Each
                iteration begins anew; ``shuffle`` and the workers of a DataLoader take whole chunks, so that there can
                be as many workers as chunks, each with its own ``memory_limit``. :attr:`failures` and ``max_failures``
                are those of one chunk. The dataset must be one that can be pickled (no ``http_client``). Otherwise
                all files are written now, within ``memory_limit``, to an Arrow file below datasets' cache folder; it is
                mapped from there, and removed when the process ends (``save_to_disk`` keeps it).

        Returns:
            ``datasets.Dataset`` in the order of iteration, or ``datasets.IterableDataset``.

        Raises:
            ImportError: datasets is not installed; the message says how to install it.
            TypeError, ValueError: A label is neither one of the classes nor, where there are none, an int: the message
                names ``label_fn``. With ``streaming`` while iterating.
            PixCrawlerError: A sample cannot be delivered, unless ``on_error`` skips it. With ``streaming`` while
                iterating.
            OSError: The files cannot be written.
        """
        from pixcrawler.loaders.hf import to_hf

        return to_hf(cast("Dataset", self), streaming=streaming)

    def to_tensorflow(self) -> tf.data.Dataset:
        """The dataset as a ``tf.data.Dataset`` of (image, label), in order.

        The image is uint8 (H, W, C), the label a scalar int64: the position of a string in :attr:`class_to_idx`, an
        int as it is. Every pass over it is one over this dataset: decoded ahead by the native threads, several images
        a step, and ended when TensorFlow lets go of its iterator. ``failures`` and ``stats()`` tell of the latest.

        The shape is static, as models with ``Flatten`` and ``Dense`` need it, if ``image_size`` is given; else if the
        job says that its images share a size, or those of the first segment do: a later image of another size is an
        error then. Otherwise it is (None, None, C): resize in ``map`` before ``batch``.

        Read at once are the directories, as far as the catalogue does not name the labels and the number of samples,
        and without any ``image_size`` the headers in the first segment (one range request). Images are read when it
        is iterated over.

        Memory is ``memory_limit`` beside what TensorFlow holds. Images of a static shape are views of a batch of up to
        64 images or 4 MiB, which goes with the last of them: ``shuffle(n)``, which keeps some of many batches, may hold
        the memory of up to five times n images. ``skip(n)`` decodes what it skips.

        Returns:
            Its cardinality is ``len(self)``, or UNKNOWN if ``on_error`` skips.

        Raises:
            ImportError: TensorFlow is not installed.
            PixCrawlerError: A directory cannot be read, unless ``on_error`` skips it.

        Note:
            An error while iterating is TensorFlow's: ``tf.errors.InvalidArgumentError`` or ``UnknownError``, with
            the class and the whole text of ours (chunk, member, code, remedy) in its message. It may come up to a
            batch before its image.
        """
        from pixcrawler.loaders.tensorflow import to_tensorflow

        return to_tensorflow(cast("Dataset", self))
