"""Single samples by number: only their bytes are fetched, neighbours together, the latest kept."""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_right, insort
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, cast

from pixcrawler._constants import SMALL_REQUESTS
from pixcrawler._native import Kept
from pixcrawler.downloader import RangesUnsupportedError
from pixcrawler.exceptions import (
    ArchiveError,
    AuthenticationError,
    DecompressionError,
    IntegrityError,
    PixCrawlerError,
)
from pixcrawler.schedule import OpenedChunk, plan_segments, segment_sizes
from pixcrawler.sources import ReadsMany

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import TypeAlias

    import numpy as np
    from numpy.typing import NDArray

    from pixcrawler._native import Buffer, Decoder, Item
    from pixcrawler.sources import Source

    # A range of a chunk, and which of the samples asked for lie in it.
    _Group: TypeAlias = tuple[tuple[OpenedChunk, int, int], list[int]]

__all__ = ["GAP_BYTES", "Located", "RandomAccess"]

# Members that lie this close together may be fetched by one request, up to so many bytes.
GAP_BYTES = 64 << 10
_RANGE_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Located:
    """A sample found by its number.

    Attributes:
        opened: The chunk.
        index: Of the member, in the chunk's directory.
    """

    opened: OpenedChunk
    index: int

    @property
    def member(self) -> str:
        """The member's name."""
        return self.opened.directory.name(self.index)


@dataclass(eq=False, slots=True)
class _Range:
    """Bytes of a chunk that are in memory."""

    start: int
    buffer: Buffer

    @property
    def stop(self) -> int:
        return self.start + len(self.buffer)


class RandomAccess:
    """Reads samples by number. Safe to use from several threads.

    Args:
        source: Where chunks come from.
        memory_bytes: Bytes of fetched ranges that are kept.
        max_workers: Requests at once.
        skips: Whether a chunk that cannot be opened counts as one without samples.
        opened: Chunks whose directory is known already, by number; or why one can never be opened.
    """

    def __init__(
        self,
        source: Source,
        memory_bytes: int,
        max_workers: int,
        *,
        skips: bool,
        opened: Mapping[int, OpenedChunk | DecompressionError] | None = None,
    ) -> None:
        self._source = source
        self._memory_bytes = memory_bytes
        self._max_workers = max_workers
        self._at_once = max_workers * (SMALL_REQUESTS if source.is_remote else 1)
        self._skips = skips
        self._lock = threading.Lock()
        self._opened: dict[int, OpenedChunk | DecompressionError] = dict(opened or {})
        self._samples: dict[int, Sequence[int]] = {}
        self._ranges: OrderedDict[tuple[int, int], _Range] = OrderedDict()
        # By chunk, where its ranges begin, in order.
        self._starts: dict[int, list[int]] = {}
        self._kept_bytes = 0
        self._executor: ThreadPoolExecutor | None = None
        self._stops: list[int] | None = None

    def close(self) -> None:
        """Let go of everything that is kept."""
        with self._lock:
            executor, self._executor = self._executor, None
            self._ranges.clear()
            self._starts.clear()
            self._opened.clear()
            self._samples.clear()
            self._kept_bytes = 0
        if executor is not None:
            executor.shutdown(wait=False, cancel_futures=True)

    @property
    def known(self) -> Mapping[int, OpenedChunk | DecompressionError]:
        """Chunks whose directory is kept, by number; or why one can never be opened."""
        # In one step, so that a fork in another thread finds it whole.
        return self._opened.copy()

    def open_all(self, *, whole: bool = True) -> list[OpenedChunk | None]:
        """Read all directories, as many at once as there may be requests.

        Args:
            whole: Fetch chunks that their server sends only whole; else they are left unknown.

        Returns:
            The chunks, in order; None for one that cannot be opened, or is left unknown.

        Raises:
            AuthenticationError: The key is refused.
            PixCrawlerError: A chunk cannot be opened, and failures are not skipped.
        """
        open_one = partial(self._opened_or_none, whole=whole)
        numbers = range(len(self._source.chunks))
        if not self._source.is_remote or len(self._opened) == len(numbers):
            return list(map(open_one, numbers))
        with ThreadPoolExecutor(self._max_workers, thread_name_prefix="pixcrawler-open") as executor:
            try:
                return list(executor.map(open_one, numbers))
            except PixCrawlerError:
                raise
            except BaseException:
                # Ctrl-C: these threads are waited for.
                self._source.interrupt()
                raise

    def opened(self, number: int, *, whole: bool = True) -> OpenedChunk:
        """A chunk with its directory, which is kept.

        Args:
            number: Which.
            whole: Fetch all of it if its server sends it only whole.

        Raises:
            RangesUnsupportedError: It does, and it is not to be fetched.
            PixCrawlerError: The chunk as a whole cannot be read.
        """
        found = self._opened.get(number)
        if found is None:
            try:
                found = self._open(number, whole=whole)
            except DecompressionError as exc:
                # Other answers will not make it good. A copy: the error itself holds all frames that it came through.
                self._opened[number] = copy(exc)
                raise
            # A directory takes about 100 bytes an entry: those of all chunks are small beside one batch.
            self._opened[number] = found
        if isinstance(found, DecompressionError):
            raise copy(found)
        return found

    def _open(self, number: int, *, whole: bool) -> OpenedChunk:
        chunk = self._source.chunks[number]
        try:
            try:
                opened = OpenedChunk.of(chunk, self._source.open(chunk))
            except RangesUnsupportedError:
                if not whole:
                    raise
                members, buffer = self._source.open_whole(chunk)
                opened = OpenedChunk.of(chunk, members, is_whole=True)
                self._keep(number, _Range(0, buffer))
        except PixCrawlerError as exc:
            raise exc.with_place(chunk_id=chunk.id) from exc.__cause__
        return opened

    def _samples_of(self, number: int, opened: OpenedChunk) -> Sequence[int]:
        """The indices of a chunk's samples."""
        samples = self._samples.get(number)
        if samples is None:
            found = opened.directory.samples
            is_all = len(found) == len(opened.directory)
            samples = self._samples[number] = range(len(found)) if is_all else array("L", found)
        return samples

    def readable(self) -> Iterator[OpenedChunk]:
        """All chunks, in order; without those that cannot be opened, if failures are skipped.

        Raises:
            AuthenticationError: The key is refused.
            PixCrawlerError: A chunk cannot be opened, and failures are not skipped.
        """
        for number in range(len(self._source.chunks)):
            opened = self._opened_or_none(number)
            if opened is not None:
                yield opened

    def _opened_or_none(self, number: int, *, whole: bool = True) -> OpenedChunk | None:
        try:
            return self.opened(number, whole=whole)
        except RangesUnsupportedError:
            return None
        except AuthenticationError:
            raise
        except PixCrawlerError:
            if not self._skips:
                raise
            return None

    def locate_all(self, numbers: Sequence[int]) -> list[Located | PixCrawlerError]:
        """Find samples.

        Args:
            numbers: From 0, in the order of iteration.

        Returns:
            For each its place, or why it has none: its chunk cannot be read (it is asked for once), or has fewer
            samples than the catalogue counts.
        """
        if self._stops is None:
            self._stops = list(accumulate(self._count(chunk) for chunk in range(len(self._source.chunks))))
        found: list[Located | PixCrawlerError] = []
        failed: dict[int, PixCrawlerError] = {}
        for number in numbers:
            chunk = bisect_right(self._stops, number)
            position = number - (self._stops[chunk - 1] if chunk else 0)
            if chunk not in failed:
                try:
                    found.append(self._locate(chunk, position))
                    continue
                except PixCrawlerError as exc:
                    if exc.code == "image_count":
                        found.append(exc)
                        continue
                    failed[chunk] = exc
            found.append(failed[chunk])
        return found

    def _locate(self, chunk: int, position: int) -> Located:
        opened = self.opened(chunk)
        samples = self._samples_of(chunk, opened)
        if position >= len(samples):
            detail = (
                f"expected at least {position + 1} samples as the catalogue counts, the directory has {len(samples)}"
            )
            raise IntegrityError(detail, code="image_count", chunk_id=opened.chunk.id)
        return Located(opened, samples[position])

    def _count(self, number: int) -> int:
        count = self._source.chunks[number].num_images
        if count is not None:
            return count
        opened = self._opened_or_none(number)
        return 0 if opened is None else len(self._samples_of(number, opened))

    def read(
        self, samples: Sequence[Located], decoder: Decoder, gap_bytes: int
    ) -> list[NDArray[np.uint8] | PixCrawlerError]:
        """Decode samples, in one native call.

        Args:
            samples: Which.
            decoder: How.
            gap_bytes: Those that lie this close together in a chunk are fetched by one request.

        Returns:
            For each sample its array (H, W, C) uint8, or its error with its place filled in.
        """
        buffers = self._fetch(samples, gap_bytes)
        items: list[Item] = []
        positions = []
        results: list[NDArray[np.uint8] | PixCrawlerError] = []
        for position, (sample, fetched) in enumerate(zip(samples, buffers, strict=True)):
            if isinstance(fetched, PixCrawlerError):
                results.append(fetched)
            else:
                # The placeholder is replaced below: every item gets a result.
                results.append(_missing(sample))
                items.append((fetched.buffer, fetched.start, sample.opened.directory, sample.index))
                positions.append(position)
        decoded = decoder.decode(items, max_bytes=1 << 62) if items else []
        for position, result in zip(positions, decoded, strict=True):
            sample = samples[position]
            if isinstance(result, ArchiveError) and self._source.is_remote:
                results[position] = self._decode_again(sample, decoder, result)
            else:
                results[position] = _delivered(result)
        for sample, result in zip(samples, results, strict=True):
            if isinstance(result, PixCrawlerError):
                result.with_place(chunk_id=sample.opened.chunk.id, member=sample.member)
        return results

    def first_size(self, decoder: Decoder) -> tuple[int, int] | None:
        """The size that the images of the first segment share: one range request for their headers.

        Nothing is decoded, unless the headers name several sizes: a broken image's may claim any.

        Args:
            decoder: One that delivers images at their own size.

        Returns:
            (height, width) as delivered; None if the images are of several sizes, or there is none.

        Raises:
            PixCrawlerError: A chunk cannot be opened, and failures are not skipped.
        """
        for opened in self.readable():
            segments = plan_segments(opened, opened.directory.samples, segment_sizes(self._source.is_remote))
            if not segments:
                continue
            samples = [Located(opened, index) for index in segments[0].samples]
            probed = self._probe(samples, decoder)
            sizes = set(probed) - {None}
            if len(sizes) > 1:
                sizes = self._real_sizes(samples, probed, decoder)
            if sizes:
                return sizes.pop() if len(sizes) == 1 else None
        return None

    def _probe(self, samples: Sequence[Located], decoder: Decoder) -> list[tuple[int, int] | None]:
        """For each sample the size that its header names; None if it cannot be read."""
        sizes: list[tuple[int, int] | None] = [None] * len(samples)
        fetched = [(at, one) for at, one in enumerate(self._fetch(samples, GAP_BYTES)) if isinstance(one, _Range)]
        items = [(one.buffer, one.start, samples[at].opened.directory, samples[at].index) for at, one in fetched]
        for (at, _), found in zip(fetched, decoder.probe(items), strict=True):
            sizes[at] = None if isinstance(found, PixCrawlerError) else found
        return sizes

    def _real_sizes(
        self,
        samples: Sequence[Located],
        probed: Sequence[tuple[int, int] | None],
        decoder: Decoder,
    ) -> set[tuple[int, int] | None]:
        """Two of the sizes that images have which can be decoded; fewer if there are no two."""
        sizes: set[tuple[int, int] | None] = set()
        for sample, size in zip(samples, probed, strict=True):
            if size is not None and size not in sizes:
                (image,) = self.read([sample], decoder, GAP_BYTES)
                if not isinstance(image, PixCrawlerError):
                    sizes.add(size)
            if len(sizes) == 2:  # noqa: PLR2004 - two are several
                break
        return sizes

    def _decode_again(
        self,
        sample: Located,
        decoder: Decoder,
        error: ArchiveError,
    ) -> NDArray[np.uint8] | PixCrawlerError:
        """Fetch the bytes once more: those that came do not have the checksum that the directory holds."""
        if sample.opened.directory.is_refused(sample.index):
            return error
        start, stop = sample.opened.directory.extent(sample.index)
        self._forget(sample.opened.chunk.index)
        try:
            buffer = self._source.read(sample.opened.chunk, start, stop)
        except (PixCrawlerError, RangesUnsupportedError):
            return error
        item = (buffer, start, sample.opened.directory, sample.index)
        return _delivered(decoder.decode([item], max_bytes=1 << 62)[0])

    def _fetch(self, samples: Sequence[Located], gap_bytes: int) -> list[_Range | PixCrawlerError]:
        """Bytes that hold each sample, from those kept or by as few requests as make sense."""
        found: list[_Range | PixCrawlerError | None] = [self._kept(sample) for sample in samples]
        missing = [position for position, kept in enumerate(found) if kept is None]
        groups = _coalesce(samples, missing, gap_bytes, one_by_one=self._source.is_loose)
        if len(groups) == 1:
            fetched = [self._read(*groups[0][0])]
        elif groups:
            fetched = self._read_all(groups)
        else:
            fetched = []
        for (_, positions), one in zip(groups, fetched, strict=True):
            for position in positions:
                found[position] = one
        return [one if one is not None else _missing(sample) for sample, one in zip(samples, found, strict=True)]

    def _read_all(self, groups: Sequence[_Group]) -> list[_Range | PixCrawlerError]:
        ranges = [(opened.chunk, start, stop) for (opened, start, stop), _ in groups]
        found: dict[int, _Range | PixCrawlerError] = {}
        if isinstance(self._source, ReadsMany):
            # A thread for each costs more than the request.
            for at, buffer in enumerate(self._source.read_many(ranges, self._at_once)):
                if buffer is not None:
                    found[at] = _Range(ranges[at][1], buffer)
                    self._keep(ranges[at][0].index, _Range(ranges[at][1], buffer))
        left = [at for at in range(len(groups)) if at not in found]
        try:
            found.update(zip(left, self._pool().map(lambda at: self._read(*groups[at][0]), left), strict=True))
            return [found[at] for at in range(len(groups))]
        except BaseException:
            # Ctrl-C: the interpreter would wait for these threads when it exits.
            self._source.interrupt()
            raise

    def _read(self, opened: OpenedChunk, start: int, stop: int) -> _Range | PixCrawlerError:
        try:
            try:
                fetched = _Range(start, self._source.read(opened.chunk, start, stop))
            except RangesUnsupportedError:
                fetched = _Range(0, self._source.open_whole(opened.chunk)[1])
        except PixCrawlerError as exc:
            return exc.with_place(chunk_id=opened.chunk.id)
        self._keep(opened.chunk.index, fetched)
        return fetched

    def _kept(self, sample: Located) -> _Range | None:
        start, stop = sample.opened.directory.extent(sample.index)
        number = sample.opened.chunk.index
        with self._lock:
            starts = self._starts.get(number, ())
            # Of several that overlap only the last that begins before the sample is looked at.
            at = bisect_right(starts, start)
            if at:
                key = number, starts[at - 1]
                kept = self._ranges[key]
                if stop <= kept.stop:
                    self._ranges.move_to_end(key)
                    return kept
        return None

    def _keep(self, number: int, fetched: _Range) -> None:
        with self._lock:
            if (number, fetched.start) in self._ranges:
                self._drop((number, fetched.start))
            self._ranges[number, fetched.start] = fetched
            insort(self._starts.setdefault(number, []), fetched.start)
            self._kept_bytes += len(fetched.buffer)
            while self._kept_bytes > self._memory_bytes and len(self._ranges) > 1:
                self._drop(next(iter(self._ranges)))

    def _drop(self, key: tuple[int, int]) -> None:
        number, start = key
        starts = self._starts[number]
        del starts[bisect_right(starts, start) - 1]
        self._kept_bytes -= len(self._ranges.pop(key).buffer)

    def _forget(self, number: int) -> None:
        with self._lock:
            for start in tuple(self._starts.get(number, ())):
                self._drop((number, start))

    def _pool(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(self._at_once, thread_name_prefix="pixcrawler-read")
            return self._executor


def _delivered(result: NDArray[np.uint8] | Kept | PixCrawlerError) -> NDArray[np.uint8] | PixCrawlerError:
    if isinstance(result, Kept):
        # Of a call for new arrays it has one.
        return cast("NDArray[np.uint8]", result.image)
    return result


def _missing(sample: Located) -> PixCrawlerError:
    return IntegrityError("no bytes were fetched for the sample", code="short_body", chunk_id=sample.opened.chunk.id)


def _coalesce(
    samples: Sequence[Located],
    positions: Sequence[int],
    gap_bytes: int,
    *,
    one_by_one: bool,
) -> list[_Group]:
    """Ranges that hold the samples at these positions: neighbours in a chunk share one, unless each can fail alone."""
    placed = []
    for position in positions:
        sample = samples[position]
        placed.append((sample.opened.chunk.index, *sample.opened.directory.extent(sample.index), position))
    groups: list[_Group] = []
    for number, start, stop, position in sorted(placed):
        if groups and not one_by_one:
            (opened, first, last), members = groups[-1]
            is_near = opened.chunk.index == number and start <= last + gap_bytes
            if is_near and max(stop, last) - first <= _RANGE_BYTES:
                groups[-1] = ((opened, first, max(stop, last)), [*members, position])
                continue
        groups.append(((samples[position].opened, start, stop), [position]))
    return groups
