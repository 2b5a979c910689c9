"""``load_dataset``: the way in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pixcrawler.dataset import Dataset
from pixcrawler.limits import Limits
from pixcrawler.options import Options, size_of
from pixcrawler.sources.local import is_local, open_local

if TYPE_CHECKING:
    import os

    import httpx

    from pixcrawler.options import ErrorFunction, ImageSize, LabelFunction
    from pixcrawler.sources import Source

__all__ = ["load_dataset"]


def load_dataset(
    job_id: str | os.PathLike[str],
    api_key: str | None = None,
    base_url: str | None = None,
    max_workers: int = 4,
    timeout: float = 300,
    verify_ssl: bool = True,
    *,
    image_size: ImageSize | None = None,
    resize_mode: Literal["stretch", "crop", "pad"] = "stretch",
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bilinear",
    mode: Literal["RGB", "L", "RGBA"] = "RGB",
    apply_exif: bool = True,
    draft: bool = False,
    on_error: Literal["raise", "skip"] | ErrorFunction = "raise",
    max_failures: float | None = None,
    on_truncated: Literal["fail", "keep"] = "fail",
    limits: Limits | None = None,
    memory_limit: int | str = "256MB",
    decode_threads: int | None = None,
    label_fn: LabelFunction | None = None,
    allow_private_hosts: bool = False,
    http_client: httpx.Client | None = None,
) -> Dataset:
    """Open a dataset: one call to the API, no image moves yet.

    Args:
        job_id: A finished job's id; or a local path, if it is a ``PathLike``, contains a separator, or ends in
            ``.zip`` or ``.barecat``: a zip, a folder of zip chunks, a plain folder of images, or an archive. An
            archive's images come in the order of their addresses, which is that of writing, as the index is now; a
            label is the name of the parent folder, or stands in a ``metadata.jsonl`` at the top. Rows that cannot be
            true and files whose bytes are missing or changed are failures of single samples.
        api_key: The key; else ``PIXCRAWLER_API_KEY``, else the one that ``pixcrawler login`` stored.
        base_url: The API; else ``PIXCRAWLER_BASE_URL``, else that of ``pixcrawler login``, else
            https://api.pixcrawler.com.
        max_workers: Requests at once; of single samples, whose requests are small, eight times as many.
        timeout: Total time for one request, in seconds; one that breaks off is resumed. One that brings nothing for
            30 s, or less than 30 kB in 30 s, is ended before.
        verify_ssl: Check the server's certificate.
        image_size: (height, width) in pixels of every image, or an int for a square. None leaves each image its own
            size.
        resize_mode: "stretch" (Pillow's ``resize``), "crop" (torchvision's ``Resize`` then ``CenterCrop``) or "pad"
            (Pillow's ``ImageOps.pad(color=0)``).
        interpolation: "nearest", "bilinear", "bicubic" or "lanczos", each byte for byte Pillow's.
        mode: "RGB", "L" or "RGBA": 3, 1 or 4 channels.
        apply_exif: Turn images as their EXIF orientation says: that of a JPEG's first EXIF segment, a PNG's eXIf or a
            WebP's EXIF chunk, where it is one plain value of 1 to 8 in a whole IFD0. All else counts as upright; XMP is
            not read.
        draft: Let JPEGs be decoded at a fraction of their size where that covers ``image_size``. Faster; changes
            pixels.
        on_error: "raise" at the first bad sample, or "skip" it and record it in ``dataset.failures``. Or a function:
            it is called once for each :class:`Failure`, in order, in the thread that iterates, and returns "skip" or
            "raise"; what it raises itself ends the pass. An image of another size than its batch, a refused key and a
            server that is down raise whatever it says. Unless it is "raise", a chunk of a folder that cannot be opened
            is a failure with ``member`` None, and ``len(dataset)`` counts the samples of the others.
        max_failures: Samples that may be skipped in one pass: a count, or a fraction below 1 of ``len(dataset)``. A
            chunk that cannot be opened counts as the samples that the catalogue gives it, or as one.
        on_truncated: "fail" or "keep" JPEGs that end too early. Those kept are recorded in ``dataset.kept``.
        limits: Bounds on untrusted input.
        memory_limit: Memory held at once beside the arrays handed out: bytes, or a text such as "256MB". A quarter of
            it may stay with the dataset between passes, until it is closed.
        decode_threads: Threads that decode; None for the processors that the process may use.
        label_fn: Called with (member name, label, metadata) for every sample; returns the label to deliver.
        allow_private_hosts: Let a public API point to chunks at private addresses.
        http_client: An httpx client to use; it is not closed.

    Returns:
        The dataset.

    Raises:
        ValueError, TypeError: An argument is out of its range, or ``job_id`` is an address (``file://...``).
        AuthenticationError: The key is missing or wrong.
        NotFoundError: There is no such job or path.
        JobNotCompleteError: The job has no finished dataset yet; see its ``.status`` and ``.progress``.
        PixCrawlerError: The API or the file cannot be read.
    """
    options = Options(
        image_size=size_of(image_size),
        resize_mode=resize_mode,
        interpolation=interpolation,
        mode=mode,
        apply_exif=apply_exif,
        draft=draft,
        on_error=on_error,
        max_failures=max_failures,
        on_truncated=on_truncated,
        limits=limits or Limits(),
        memory_limit=memory_limit,
        max_workers=max_workers,
        decode_threads=decode_threads,
        label_fn=label_fn,
    )
    source: Source
    if is_local(job_id):
        # Of a folder the other zips are delivered; of one zip alone nothing is.
        source = open_local(job_id, options.limits, skips=options.skips and Path(job_id).is_dir())
    else:
        from pixcrawler.client import PixCrawlerClient
        from pixcrawler.sources.api import ApiSource

        client = PixCrawlerClient(
            api_key,
            base_url,
            timeout,
            verify_ssl,
            limits=options.limits,
            http_client=http_client,
            allow_private_hosts=allow_private_hosts,
            max_workers=max_workers,
        )
        # Not in a traceback that lists variables.
        del api_key
        try:
            source = ApiSource(client, str(job_id), owns_client=True)
        except BaseException:
            client.close()
            raise
    return Dataset(source, options)
