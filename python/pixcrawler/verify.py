"""Checks of a whole dataset: every chunk's structure, every member's CRC, every image decoded to its end."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pixcrawler import codes
from pixcrawler._machine import usable_cpus
from pixcrawler._native import MemoryLease
from pixcrawler.decode_jobs import InspectJobs
from pixcrawler.download.check import check_download
from pixcrawler.downloader import RangesUnsupportedError
from pixcrawler.exceptions import AuthenticationError, DecompressionError, IntegrityError, PixCrawlerError
from pixcrawler.limits import Limits
from pixcrawler.options import Options
from pixcrawler.passes import Pass, PassIterator, kept_bytes
from pixcrawler.repair import Repairer, RepairReport, check_folder
from pixcrawler.sources.archive import is_archive
from pixcrawler.sources.local import is_local, open_local

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import httpx

    from pixcrawler._native import Buffer, ImageInfo
    from pixcrawler.decode_ahead import Piece
    from pixcrawler.records import ChunkRecord
    from pixcrawler.schedule import Sample
    from pixcrawler.sources import OpenChunk, Source

__all__ = ["ChunkReport", "Problem", "RepairReport", "VerifyReport", "verify_dataset"]

_USUAL_BITS = 8


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a member, or with a chunk as a whole.

    Attributes:
        chunk_id: The chunk.
        member: The member's name in it; None for the chunk as a whole.
        code: The error's stable code (see :func:`pixcrawler.codes.table`).
        detail: What was expected and what was found.
        reason: What the code means, and the detail.
    """

    chunk_id: str
    member: str | None
    code: str
    detail: str
    reason: str

    @classmethod
    def of(cls, error: PixCrawlerError, chunk_id: str, member: str | None) -> Problem:
        """The record of an error."""
        reason = ": ".join(part for part in (error.cause.rstrip("."), error.detail) if part)
        return cls(chunk_id, member, error.code, error.detail, reason)


@dataclass(frozen=True, slots=True)
class ChunkReport:
    """What was found in one chunk.

    Attributes:
        chunk_id: The chunk.
        size_bytes: Its size, if known.
        entries: Entries of its directory, folders and ``metadata.jsonl`` included; None if it could not be opened.
        good: Members that decode to their end.
        bad: Those that do not, in order.
        unchecked: Members whose bytes, or the memory for them, could not be had: nobody knows.
        error: Why the chunk as a whole is not to be trusted; its members may have been checked or not.
    """

    chunk_id: str
    size_bytes: int | None
    entries: int | None
    good: int
    bad: tuple[Problem, ...] = ()
    unchecked: tuple[Problem, ...] = ()
    error: Problem | None = None

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All that is wrong with it: the chunk as a whole first, then its members in order of kind."""
        return (*(() if self.error is None else (self.error,)), *self.bad, *self.unchecked)


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What was found in a dataset.

    Attributes:
        job_id: The job's id, or the path.
        chunks: One report a chunk, in order.
        formats: Good members by file format.
        colors: Good members by how their colours are coded, such as "RGB", "grey", "palette", "CMYK", "RGB 16 bit".
        orientations: Good members by EXIF orientation; 1 is upright.
        decoders: Good members by who decoded them.
        smallest: (height, width) of the good image with the fewest pixels, turned upright; None if none is good.
        largest: The same of the one with the most.
        elapsed_s: How long it took, in seconds.
        repair: What was written by ``repair_to``.
    """

    job_id: str
    chunks: tuple[ChunkReport, ...]
    formats: Mapping[str, int]
    colors: Mapping[str, int]
    orientations: Mapping[int, int]
    decoders: Mapping[str, int]
    smallest: tuple[int, int] | None
    largest: tuple[int, int] | None
    elapsed_s: float
    repair: RepairReport | None = None

    @property
    def good(self) -> int:
        """Members that decode to their end."""
        return sum(chunk.good for chunk in self.chunks)

    @property
    def bad(self) -> int:
        """Members that do not."""
        return sum(len(chunk.bad) for chunk in self.chunks)

    @property
    def unchecked(self) -> int:
        """Members whose bytes could not be had."""
        return sum(len(chunk.unchecked) for chunk in self.chunks)

    @property
    def size_bytes(self) -> int:
        """Bytes of all chunks whose size is known."""
        return sum(chunk.size_bytes or 0 for chunk in self.chunks)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All that is wrong, chunk by chunk."""
        return tuple(problem for chunk in self.chunks for problem in chunk.problems)

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong, and nothing was left unchecked."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """All of it as a JSON object would have it, the sums included."""
        sums = {
            "is_clean": self.is_clean,
            "good": self.good,
            "bad": self.bad,
            "unchecked": self.unchecked,
            "size_bytes": self.size_bytes,
        }
        return {"job_id": self.job_id, **sums, **asdict(self)}


def verify_dataset(
    job_id: str | os.PathLike[str],
    api_key: str | None = None,
    base_url: str | None = None,
    max_workers: int = 4,
    timeout: float = 300,
    verify_ssl: bool = True,
    *,
    on_truncated: Literal["fail", "keep"] = "fail",
    limits: Limits | None = None,
    memory_limit: int | str = "256MB",
    decode_threads: int | None = None,
    repair_to: str | os.PathLike[str] | None = None,
    on_progress: Callable[[int, int | None], None] | None = None,
    allow_private_hosts: bool = False,
    http_client: httpx.Client | None = None,
) -> VerifyReport:
    """Check every chunk and every member of a dataset, each image decoded to its end.

    What is good here is what :func:`pixcrawler.load_dataset` with the same arguments delivers. Of an API's chunks whose
    SHA-256 the catalogue gives, all bytes are fetched and their size and SHA-256 checked: such a chunk is held whole in
    memory, whatever ``memory_limit`` says. Of a folder that ``pixcrawler download`` made, each file is compared
    with what was written, too; of its arrays that is all.

    Args:
        job_id: As in :func:`pixcrawler.load_dataset`: a finished job's id, or a local path.
        api_key: As there.
        base_url: As there.
        max_workers: As there.
        timeout: As there.
        verify_ssl: As there.
        on_truncated: "fail" or "keep": whether JPEGs that end too early are bad.
        limits: Bounds on untrusted input; what exceeds them is bad.
        memory_limit: As there.
        decode_threads: As there.
        repair_to: A new or empty folder, to which everything is written but the bad members: a zip for each zip, of the
            same name (an API's are fetched a second time); of a plain folder, its files. Not of an archive. Chunks that
            as a whole cannot be trusted, or cannot be read a second time, are not written.
        on_progress: Called with the members done and those of all, as far as that is known.
        allow_private_hosts: As there.
        http_client: As there.

    Returns:
        The report. Damage, unreadable chunks and network failures within the dataset are in it, not raised.

    Raises:
        ValueError, TypeError: An argument is out of its range, or ``repair_to`` is given with an archive.
        FileExistsError: ``repair_to`` is neither missing nor an empty folder.
        AuthenticationError: The key is missing or wrong.
        NotFoundError: There is no such job or path.
        JobNotCompleteError: The job has no finished dataset yet.
        PixCrawlerError: The API or the folder's ``metadata.jsonl`` cannot be read.
        OSError: The repaired chunks cannot be written.
    """
    options = Options(
        on_truncated=on_truncated,
        limits=limits or Limits(),
        memory_limit=memory_limit,
        max_workers=max_workers,
        decode_threads=decode_threads,
    )
    folder = None if repair_to is None else Path(repair_to)
    if folder is not None and is_local(job_id) and is_archive(Path(job_id)):
        message = f"repair_to takes zips and folders, {job_id} is an archive: remove the bad files from a copy of it"
        raise ValueError(message)
    if folder is not None:
        check_folder(folder)
    began = time.perf_counter()
    found = check_download(job_id) if is_local(job_id) else None
    if found is not None and found.format == "numpy":
        # There is nothing to decode.
        chunk = ChunkReport(str(job_id), found.size_bytes, None, 0 if found.damaged else found.num_images)
        empty = VerifyReport(str(job_id), (chunk,), {}, {}, {}, {}, None, None, time.perf_counter() - began)
        return _with_files(empty, found.damaged)
    source: Source
    if is_local(job_id):
        source = open_local(job_id, options.limits, skips=True)
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
        source = ApiSource(client, str(job_id), owns_client=True)
    with closing(source):
        repairer = None if folder is None else Repairer(folder, source, options.limits)
        report = _verify(source, options, repairer, on_progress)
    return report if found is None else _with_files(report, found.damaged)


def _with_files(report: VerifyReport, damaged: Mapping[str, str]) -> VerifyReport:
    """The report, with the files of a download that are not as they were written: each a chunk as a whole."""
    left = dict(damaged)
    chunks = []
    for chunk in report.chunks:
        detail = left.pop(chunk.chunk_id, None)
        is_new = detail is not None and chunk.error is None
        chunks.append(replace(chunk, error=_file_problem(chunk.chunk_id, detail or "")) if is_new else chunk)
    chunks += [ChunkReport(name, None, None, 0, error=_file_problem(name, detail)) for name, detail in left.items()]
    return replace(report, chunks=tuple(chunks))


def _file_problem(name: str, detail: str) -> Problem:
    return Problem.of(IntegrityError(detail, code="download_damaged"), name, None)


def _verify(
    source: Source,
    options: Options,
    repairer: Repairer | None,
    on_progress: Callable[[int, int | None], None] | None,
) -> VerifyReport:
    began = time.perf_counter()
    watched = _Watched(source)
    findings = _Findings(watched, repairer)
    lease = MemoryLease(kept_bytes(options))
    threads = options.decode_threads or usable_cpus()
    run = Pass(watched, options, None, InspectJobs(threads), first_batch=0, threads=threads, max_failures=None)
    done = 0
    with PassIterator(run, run.pieces()) as pieces:
        for piece in pieces:
            findings.add(piece)
            done += len(piece.samples) + (piece.chunk_samples or 0)
            if on_progress is not None:
                on_progress(done, source.info.num_images)
    del lease
    return findings.report(began)


@dataclass(slots=True)
class _Chunk:
    """The findings in a chunk so far, by index in its directory."""

    good: int = 0
    bad: dict[int, Problem] = field(default_factory=dict)
    unchecked: dict[int, Problem] = field(default_factory=dict)


class _Findings:
    """Puts the pieces of a pass together, chunk by chunk, and has each finished chunk repaired."""

    def __init__(self, source: _Watched, repairer: Repairer | None) -> None:
        self._source = source
        self._repairer = repairer
        self._reports: list[ChunkReport] = []
        # Of the chunk whose number is that of the reports there are.
        self._chunk = _Chunk()
        self._formats: Counter[str] = Counter()
        self._colors: Counter[str] = Counter()
        self._orientations: Counter[int] = Counter()
        self._decoders: Counter[str] = Counter()
        self._smallest: tuple[int, int] | None = None
        self._largest: tuple[int, int] | None = None

    def add(self, piece: Piece) -> None:
        """Take a piece, the next in order."""
        errors: Sequence[PixCrawlerError | None] = [piece.chunk_error, *piece.errors.values()]
        for error in errors:
            if isinstance(error, AuthenticationError):
                # A refused key says nothing about the data.
                raise error
        for position, sample in enumerate(piece.samples):
            self._finish_chunks(sample.segment.opened.chunk.index)
            info = piece.infos[position]
            if info is None:
                self._add_problem(sample, piece.errors[position])
            else:
                self._chunk.good += 1
                self._add_good(info)

    def _add_problem(self, sample: Sample, error: PixCrawlerError) -> None:
        problem = Problem.of(error, sample.segment.opened.chunk.id, sample.member)
        is_bad = isinstance(error, DecompressionError) and error.code != "limit_memory"
        (self._chunk.bad if is_bad else self._chunk.unchecked)[sample.index] = problem

    def _add_good(self, info: ImageInfo) -> None:
        self._formats[info.format] += 1
        self._colors[info.color if info.bits == _USUAL_BITS else f"{info.color} {info.bits} bit"] += 1
        self._orientations[info.orientation] += 1
        self._decoders[info.decoder] += 1
        size = (info.height, info.width)
        if self._smallest is None or info.height * info.width < self._smallest[0] * self._smallest[1]:
            self._smallest = size
        if self._largest is None or info.height * info.width > self._largest[0] * self._largest[1]:
            self._largest = size

    def _finish_chunks(self, index: int) -> None:
        """Report the chunks before one of which a sample came: none of theirs comes any more."""
        while len(self._reports) < index:
            number = len(self._reports)
            chunk, found = self._source.chunks[number], self._chunk
            error = self._error_of(chunk) or self._repair(chunk)
            if error is not None and self._repairer is not None:
                self._repairer.leave_out(chunk)
            self._reports.append(
                ChunkReport(
                    chunk.id,
                    chunk.size_bytes,
                    self._source.entries.get(number),
                    found.good,
                    tuple(found.bad.values()),
                    tuple(found.unchecked.values()),
                    error,
                )
            )
            self._chunk = _Chunk()

    def _repair(self, chunk: ChunkRecord) -> Problem | None:
        """Write a chunk without its bad members; returns why it could not be read again."""
        if self._repairer is None:
            return None
        try:
            self._repairer.add(self._source.own(chunk), self._chunk.bad.keys(), self._chunk.unchecked.keys())
        except AuthenticationError:
            raise
        except PixCrawlerError as exc:
            return Problem.of(exc, chunk.id, exc.member)
        return None

    def _error_of(self, chunk: ChunkRecord) -> Problem | None:
        """What is wrong with a chunk as a whole."""
        error = self._source.errors.get(chunk.index)
        if error is not None:
            return Problem.of(error, chunk.id, error.member)
        count = self._chunk.good + len(self._chunk.bad) + len(self._chunk.unchecked)
        if chunk.num_images not in {None, count}:
            detail = f"expected {chunk.num_images} images as the catalogue says, the directory has {count}"
            cause = codes.table()["image_count"].cause
            return Problem(chunk.id, None, "image_count", detail, f"{cause.rstrip('.')}: {detail}")
        return None

    def report(self, began: float) -> VerifyReport:
        """The whole report, when all pieces came."""
        self._finish_chunks(len(self._source.chunks))
        repair = None if self._repairer is None else self._repairer.finish()
        return VerifyReport(
            self._source.info.job_id,
            tuple(self._reports),
            dict(self._formats.most_common()),
            dict(self._colors.most_common()),
            dict(sorted(self._orientations.items())),
            dict(self._decoders.most_common()),
            self._smallest,
            self._largest,
            time.perf_counter() - began,
            repair,
        )


class _Watched:
    """A source whose chunks are read whole where their SHA-256 is known, and of which it is noted how opening went.

    Args:
        source: Where the chunks come from.

    Attributes:
        entries: Entries of the directories, by the chunk's index.
        errors: Why chunks could not be opened, by the chunk's index.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.info = source.info
        # Numbered here: a catalogue may say anything.
        self.chunks = tuple(replace(chunk, index=index) for index, chunk in enumerate(source.chunks))
        self.is_remote = source.is_remote
        self.is_loose = source.is_loose
        self.entries: dict[int, int] = {}
        self.errors: dict[int, PixCrawlerError] = {}

    def own(self, chunk: ChunkRecord) -> ChunkRecord:
        """The source's own record of a chunk."""
        return self._source.chunks[chunk.index]

    def open(self, chunk: ChunkRecord) -> OpenChunk:
        """As the source, but not for a chunk whose SHA-256 is known: it is checked as the whole chunk is read."""
        if chunk.sha256 is not None:
            raise RangesUnsupportedError
        with self._noting_errors(chunk):
            opened = self._source.open(self.own(chunk))
        self.entries[chunk.index] = len(opened.directory)
        return opened

    def open_whole(self, chunk: ChunkRecord) -> tuple[OpenChunk, Buffer]:
        """As the source."""
        with self._noting_errors(chunk):
            opened, buffer = self._source.open_whole(self.own(chunk))
        self.entries[chunk.index] = len(opened.directory)
        return opened, buffer

    @contextmanager
    def _noting_errors(self, chunk: ChunkRecord) -> Iterator[None]:
        try:
            yield
        except PixCrawlerError as exc:
            self.errors[chunk.index] = exc
            raise

    def read(self, chunk: ChunkRecord, start: int, stop: int) -> Buffer:
        """As the source."""
        return self._source.read(self.own(chunk), start, stop)

    def for_run(self) -> _Watched:
        """Itself, over the source for one pass."""
        self._source = self._source.for_run()
        return self

    def stats(self) -> Mapping[str, int]:
        """As the source."""
        return self._source.stats()

    def interrupt(self) -> None:
        """As the source."""
        self._source.interrupt()

    def close(self) -> None:
        """As the source."""
        self._source.close()
