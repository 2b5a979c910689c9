"""The kinds of jobs of a pass: samples as stacked batches, as single arrays, inspected only, or as they are stored."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from pixcrawler import _native
from pixcrawler.decode_ahead import DRIVERS, Encoded, Piece
from pixcrawler.exceptions import IntegrityError, PixCrawlerError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from pixcrawler._native import Item
    from pixcrawler.decode_ahead import DecodeAhead, Job

__all__ = ["ArrayJobs", "EncodedJobs", "InspectJobs", "StackedJobs"]


class StackedJobs:
    """Samples of one size, stacked: each job is one batch.

    Args:
        batch_size: Samples of a batch.
        image_size: (height, width) of every image, or None for the size that the first one has.
        channels: Bytes a pixel.
        destination: Called once with (height, width), in a decode thread; returns the array (N, H, W, C) uint8 that
            takes all images of the run one after the other. None for new arrays.
    """

    def __init__(
        self,
        batch_size: int,
        image_size: tuple[int, int] | None,
        channels: int,
        destination: Callable[[tuple[int, int]], NDArray[np.uint8]] | None = None,
    ) -> None:
        self._lock = threading.Lock()
        self._whole: NDArray[np.uint8] | None = None
        self._batch_size = batch_size
        self._image_size = image_size
        self._channels = channels
        self._destination = destination

    def size_after(self, good: int) -> int:
        """Samples of the next job, such that after ``good`` ones before it a job ends where a batch does."""
        return self._batch_size - good % self._batch_size

    def is_full(self, job: Job) -> bool:
        """Whether a job has all its samples: a batch is never cut."""
        return len(job.samples) == job.wanted

    def run(self, ahead: DecodeAhead, job: Job) -> None:
        """Decode a job."""
        size = self._image_size or ahead.find_stacked_size(job)
        whole = self._place(size) if size is not None else None
        # Without any size no sample of the job can be decoded: slots of one pixel take the errors.
        height, width = size or (1, 1)
        reserved_bytes = 0
        if whole is None:
            reserved_bytes = job.wanted * height * width * self._channels
            if not ahead.take_output(job, reserved_bytes):
                return
            out = _native.empty((job.wanted, height, width, self._channels))
        else:
            out = whole[job.position : job.position + job.wanted]
        errors: dict[int, PixCrawlerError] = {}
        kept: dict[int, PixCrawlerError] = {}
        done = 0
        while (stop := ahead.ready(job, done)) > done:
            if stop > len(out):
                message = (
                    f"expected {job.position + len(out)} samples as the catalogue counts, the directories have more"
                )
                raise IntegrityError(message, code="image_count")
            slots = out[done:stop]

            def call(items: list[Item], start: int, slots: NDArray[np.uint8] = slots) -> Sequence[object]:
                return ahead.decoder.decode_into(items, slots[start : start + len(items)])

            decoded = ahead.decode(job.samples[done:stop], call)
            errors.update({done + position: error for position, error in decoded.errors.items()})
            kept.update({done + position: error for position, error in decoded.kept.items()})
            done += len(decoded.images)
        if not job.is_complete:
            return
        if done < len(out) and whole is None:
            # The last batch: an array of its own size, not a part of a larger one.
            out = out[:done].copy()
        # What stands in its destination is not ours to account for.
        piece = Piece(job.position, job.samples, out, errors, kept, out.nbytes if whole is None else 0)
        ahead.hand_over(job, piece, reserved_bytes=reserved_bytes)

    def _place(self, size: tuple[int, int]) -> NDArray[np.uint8] | None:
        """The array that takes all images, if there is one."""
        with self._lock:
            if self._whole is None and self._destination is not None:
                self._whole = self._destination(size)
            return self._whole


class ArrayJobs:
    """Samples each of its own size, in an array of its own.

    Jobs are as small as keeps the threads busy: what is decoded ahead of the consumer is then still in the processor's
    cache when it is handed out, and its memory still there when it is used again (photographs of 2,000 x 1,400, two
    threads: 182 images/s, and 145 with 16 a job).

    Args:
        threads: Decode threads.
        memory_bytes: The memory limit.
    """

    _SAMPLES = 16
    _ENCODED_BYTES_A_THREAD = 1 << 19

    def __init__(self, threads: int, memory_bytes: int) -> None:
        self._samples = max(self._SAMPLES, 2 * threads)
        self._encoded_bytes = self._ENCODED_BYTES_A_THREAD * threads
        # Decoded bytes of one piece; a larger image makes a piece by itself.
        self._max_bytes = min(memory_bytes // 64 * threads, memory_bytes // 8)

    def size_after(self, good: int) -> int:  # noqa: ARG002 - batches have no borders here
        """Samples of the next job, at most."""
        return self._samples

    def is_full(self, job: Job) -> bool:
        """Whether a job is large enough before it has all its samples."""
        return job.encoded_bytes >= self._encoded_bytes

    def run(self, ahead: DecodeAhead, job: Job) -> None:
        """Decode a job."""
        done = 0
        while (stop := ahead.ready(job, done)) > done and ahead.take_output(job, self._max_bytes):
            done += self._decode(ahead, job, done, stop)

    def _decode(self, ahead: DecodeAhead, job: Job, start: int, stop: int) -> int:
        """Decode and hand over as many samples as make a piece: nothing here holds an image longer than that."""
        samples = job.samples[start:stop]

        def call(items: list[Item], _start: int) -> Sequence[object]:
            return ahead.decoder.decode(items, max_bytes=self._max_bytes)

        images, errors, kept = ahead.decode(samples, call)
        size_bytes = sum(image.nbytes for image in images if image is not None)
        piece = Piece(job.position + start, samples[: len(images)], images, errors, kept, size_bytes)
        ahead.hand_over(job, piece, reserved_bytes=self._max_bytes)
        return len(images)


class InspectJobs:
    """Samples that are decoded to be checked: their pixels are not kept.

    Args:
        threads: Decode threads.
    """

    _SAMPLES = 32

    def __init__(self, threads: int) -> None:
        self._samples = max(self._SAMPLES, 4 * threads)

    def size_after(self, good: int) -> int:  # noqa: ARG002 - batches have no borders here
        """Samples of the next job, at most."""
        return self._samples

    def is_full(self, job: Job) -> bool:
        """Whether a job has all its samples."""
        return len(job.samples) == job.wanted

    def run(self, ahead: DecodeAhead, job: Job) -> None:
        """Inspect a job."""

        def call(items: list[Item], _start: int) -> Sequence[object]:
            return ahead.decoder.inspect(items)

        done = 0
        while (stop := ahead.ready(job, done)) > done:
            samples = job.samples[done:stop]
            infos, errors, _ = ahead.decode(samples, call)
            ahead.hand_over(job, Piece(job.position + done, samples, [], errors, infos=infos), reserved_bytes=0)
            done = stop


class EncodedJobs:
    """Samples as they are stored: inflated, their CRC checked, not decoded. What is no picture at all is an error.

    Members are read one by one in the thread of the job, not in the native decoder's: one thread inflates 1.2 GB/s and
    copies 7 GB/s of what is stored, and there are two.

    Args:
        memory_bytes: The memory limit.
        probes: Read the pictures' headers for their sizes, and refuse those whose header cannot be read.
    """

    # Of a decoder, in a pass of these: for the figures of how busy they were.
    THREADS = DRIVERS
    _SAMPLES = 64
    _ENCODED_BYTES = 1 << 20

    def __init__(self, memory_bytes: int, *, probes: bool) -> None:
        # Inflated bytes of one piece; a larger member ends it.
        self._max_bytes = min(memory_bytes // 16, 4 * self._ENCODED_BYTES)
        self._probes = probes

    def size_after(self, good: int) -> int:  # noqa: ARG002 - batches have no borders here
        """Samples of the next job, at most."""
        return self._SAMPLES

    def is_full(self, job: Job) -> bool:
        """Whether a job is large enough before it has all its samples."""
        return job.encoded_bytes >= self._ENCODED_BYTES

    def run(self, ahead: DecodeAhead, job: Job) -> None:
        """Read a job."""

        def call(items: list[Item], _start: int) -> Sequence[object]:
            return self._read(ahead, items)

        done = 0
        while (stop := ahead.ready(job, done)) > done and ahead.take_output(job, self._max_bytes):
            samples = job.samples[done:stop]
            read, errors, _ = ahead.decode(samples, call)
            size_bytes = sum(len(one.data) for one in read if one is not None)
            piece = Piece(job.position + done, samples[: len(read)], read, errors, size_bytes=size_bytes)
            ahead.hand_over(job, piece, reserved_bytes=self._max_bytes)
            done += len(read)

    def _read(self, ahead: DecodeAhead, items: list[Item]) -> list[Encoded | PixCrawlerError]:
        """The first members, as many as make a piece, or their errors."""
        began = time.perf_counter()
        members: list[bytes | PixCrawlerError] = []
        size_bytes = 0
        for buffer, offset, directory, index in items:
            try:
                data = directory.read_member(index, buffer, offset)
            except PixCrawlerError as exc:
                # The traceback would hold the segment's bytes for as long as the error lives.
                members.append(exc.with_traceback(None))
                continue
            members.append(data)
            size_bytes += len(data)
            if size_bytes >= self._max_bytes:
                break
        ahead.note_inflated(time.perf_counter() - began)
        return self._opened(ahead, members)

    def _opened(self, ahead: DecodeAhead, members: list[bytes | PixCrawlerError]) -> list[Encoded | PixCrawlerError]:
        """The members with the sizes of their pictures, as far as they are to be known."""
        probed = {
            position: (data, 0, _native.Directory.bare([""], [len(data)]), 0)
            for position, data in enumerate(members)
            # The decoder says best why something is no picture.
            if isinstance(data, bytes) and (self._probes or _native.detect_format(data) is None)
        }
        found = dict(zip(probed, ahead.decoder.probe(list(probed.values())), strict=True)) if probed else {}
        opened: list[Encoded | PixCrawlerError] = []
        for position, data in enumerate(members):
            size = found.get(position)
            if isinstance(data, PixCrawlerError):
                opened.append(data)
            else:
                opened.append(size if isinstance(size, PixCrawlerError) else Encoded(data, size))
        return opened
