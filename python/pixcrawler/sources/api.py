"""Chunks of a job, read over HTTP."""

from __future__ import annotations

import weakref
from copy import copy
from typing import TYPE_CHECKING

from pixcrawler._constants import TAIL_BYTES
from pixcrawler.exceptions import ArchiveError, JobNotCompleteError, PixCrawlerError, ProtocolError
from pixcrawler.records import DatasetInfo, JobStatus
from pixcrawler.sources import OpenChunk
from pixcrawler.sources.directory import read_directory
from pixcrawler.sources.labels import read_labels

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from pixcrawler._native import Buffer, SegmentBuffer
    from pixcrawler.client import PixCrawlerClient
    from pixcrawler.downloader import Downloader
    from pixcrawler.records import ChunkRecord, Job

__all__ = ["ApiSource", "info_of"]


class ApiSource:
    """The chunks of one job of an API. Thread-safe; can be pickled as its client can.

    Args:
        client: Makes the requests.
        job_id: The job.
        owns_client: Close the client with the source, also if making the source fails.

    Attributes:
        info: What the API tells about the dataset.
        chunks: In order.
        is_remote: True.
        is_loose: False.

    Raises:
        JobNotCompleteError: The job's status is not ``completed``.
        ProtocolError: The list of chunks has another length than the job says.
        NotFoundError, AuthenticationError, NetworkError: As :meth:`pixcrawler.client.PixCrawlerClient.get_job`.
    """

    is_remote = True
    is_loose = False

    def __init__(self, client: PixCrawlerClient, job_id: str, *, owns_client: bool = False) -> None:
        self._client = client
        self._owns_client = owns_client
        try:
            job = _completed(client.get_job(job_id))
            self.chunks: tuple[ChunkRecord, ...] = _all_of(job, tuple(client.iter_chunks(job)))
        except BaseException:
            if owns_client:
                client.close()
            raise
        self.info: DatasetInfo = info_of(job, self.chunks)
        self._start()

    def _start(self) -> None:
        self._downloader: Downloader = self._client.downloader(self.info.job_id)
        self._runs: weakref.WeakSet[Downloader] = weakref.WeakSet()

    def __getstate__(self) -> dict[str, Any]:
        """All but the downloaders."""
        state = self.__dict__.copy()
        del state["_downloader"], state["_runs"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make a downloader; no request is sent."""
        self.__dict__.update(state)
        self._start()

    def for_run(self) -> ApiSource:
        """The same source for one pass."""
        run = copy(self)
        downloader = self._downloader.for_run()
        self._runs.add(downloader)
        vars(run).update(_downloader=downloader, _owns_client=False, _runs=weakref.WeakSet())
        return run

    def open(self, chunk: ChunkRecord) -> OpenChunk:
        """Read a chunk's directory and labels, by one to three requests.

        What cannot be read as a zip is fetched once more: most likely it was damaged on the way.

        Args:
            chunk: One of :attr:`chunks`.

        Raises:
            RangesUnsupportedError: Only the whole chunk can be had: use :meth:`open_whole`.
            ArchiveError, LimitError: The directory is not to be trusted.
            PixCrawlerError: As :meth:`pixcrawler.downloader.Downloader.fetch_range`.
        """
        try:
            return self._open_tail(chunk)
        except ArchiveError:
            return self._open_tail(chunk)

    def _open_tail(self, chunk: ChunkRecord) -> OpenChunk:
        tail = self._downloader.fetch_tail(chunk)

        def read(start: int, stop: int) -> tuple[Buffer, int]:
            if start >= tail.start:
                return tail.buffer, tail.start
            before = self._downloader.fetch_range(chunk, start, min(stop, tail.start))
            if stop <= tail.start:
                return before, start
            # Only the part before the tail was fetched.
            return before.tobytes(0, len(before)) + tail.buffer.tobytes(0, stop - tail.start), start

        return self._open(chunk, tail.buffer, tail.size_bytes, read)

    def open_whole(self, chunk: ChunkRecord) -> tuple[OpenChunk, Buffer]:
        """Fetch a whole chunk and read its directory and labels.

        Args:
            chunk: One of :attr:`chunks`.

        Returns:
            The directory with the labels, and the chunk's bytes.

        Raises:
            ArchiveError, LimitError: The directory is not to be trusted.
            PixCrawlerError: As :meth:`pixcrawler.downloader.Downloader.fetch_whole`.
        """
        try:
            return self._open_fetched(chunk)
        except ArchiveError:
            if chunk.sha256 is not None:
                # These are the bytes that the catalogue promises.
                raise
            return self._open_fetched(chunk)

    def _open_fetched(self, chunk: ChunkRecord) -> tuple[OpenChunk, Buffer]:
        buffer = self._downloader.fetch_whole(chunk)
        return self._open(chunk, buffer, len(buffer), lambda _start, _stop: (buffer, 0)), buffer

    def read(self, chunk: ChunkRecord, start: int, stop: int) -> Buffer:
        """Bytes [start, stop) of a chunk.

        Args:
            chunk: One of :attr:`chunks`.
            start: First byte.
            stop: End, larger than ``start``.

        Raises:
            RangesUnsupportedError: Only the whole chunk can be had.
            PixCrawlerError: As :meth:`pixcrawler.downloader.Downloader.fetch_range`.
        """
        return self._downloader.fetch_range(chunk, start, stop)

    def read_many(self, ranges: Sequence[tuple[ChunkRecord, int, int]], at_once: int) -> list[SegmentBuffer | None]:
        """As :meth:`pixcrawler.downloader.Downloader.fetch_many`."""
        return self._downloader.fetch_many(ranges, at_once)

    def stats(self) -> dict[str, int]:
        """Counters since construction: requests, retries, bytes."""
        return self._downloader.stats()

    def interrupt(self) -> None:
        """End the calls that are under way, within a second; a pass's source serves no later ones."""
        self._downloader.interrupt()

    def close(self) -> None:
        """End all calls under way, within a second, and close the client if it is the source's own."""
        downloaders = (self._downloader, *self._runs)
        for downloader in downloaders:
            downloader.cancel()
        ended = all(downloader.close() for downloader in downloaders)
        # Closing a connection under a thread that reads from it could hand its descriptor to somebody else's file.
        if self._owns_client and ended:
            self._client.close()

    def _open(
        self,
        chunk: ChunkRecord,
        end: SegmentBuffer,
        size_bytes: int,
        read: Callable[[int, int], tuple[Buffer, int]],
    ) -> OpenChunk:
        """Parse the directory.

        Args:
            chunk: The chunk.
            end: Its last bytes, or all of them.
            size_bytes: Its size.
            read: Called with start and stop; returns bytes that hold these, and their position in the chunk.
        """
        limits = self._client.limits

        def read_bytes(start: int, stop: int) -> bytes:
            buffer, offset = read(start, stop)
            part = (start - offset, stop - offset)
            return buffer[slice(*part)] if isinstance(buffer, bytes) else buffer.tobytes(*part)

        try:
            tail = end.tobytes(max(0, len(end) - TAIL_BYTES), len(end))
            directory = read_directory(tail, size_bytes, read_bytes, limits, chunk_id=chunk.id)
            return OpenChunk(directory, read_labels(directory, read))
        except PixCrawlerError as error:
            if error.code == "not_a_zip" and len(end) == size_bytes:
                error.detail += self._downloader.start_of(chunk, end)
                # A login page, for example, of which the next answer may be free.
                error.retryable = chunk.sha256 is None
            raise error.with_place(chunk_id=chunk.id) from error.__cause__


def _completed(job: Job) -> Job:
    """The job, if it is complete."""
    if job.status is not JobStatus.COMPLETED:
        message = f"job {job.id} is {job.status}, {job.progress:g} %"
        raise JobNotCompleteError(message, status=job.status, progress=job.progress)
    return job


def _all_of(job: Job, chunks: tuple[ChunkRecord, ...]) -> tuple[ChunkRecord, ...]:
    """The chunks, if they are as many as the job has: else an epoch would leave out the others without a word."""
    if job.num_chunks not in {None, len(chunks)}:
        message = f"the job has {job.num_chunks} chunks, the list of them {len(chunks)}"
        raise ProtocolError(message, code="protocol")
    return chunks


def info_of(job: Job, chunks: tuple[ChunkRecord, ...]) -> DatasetInfo:
    """What a job's catalogue entry tells about its dataset.

    Args:
        job: The job.
        chunks: Its chunks, whose sizes and counts are added up where the job has none.
    """
    counts = [chunk.num_images for chunk in chunks]
    sizes = [chunk.size_bytes for chunk in chunks]
    return DatasetInfo(
        job_id=job.id,
        name=job.name,
        status=job.status,
        version=job.version,
        created_at=job.created_at,
        num_images=_sum(counts) if job.num_images is None else job.num_images,
        num_chunks=len(chunks),
        chunk_size=max((count or 0 for count in counts), default=0) or None
        if job.chunk_size is None
        else job.chunk_size,
        size_bytes=_sum(sizes) if job.size_bytes is None else job.size_bytes,
        labels=job.labels,
        classes=tuple(sorted({label.name for label in job.labels})),
        tags=job.tags,
        image_size=job.image_size,
    )


def _sum(values: list[int | None]) -> int | None:
    """The sum, if all are known."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
