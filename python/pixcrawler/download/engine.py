"""A whole job onto the disk: chunks fetched ahead, verified, and turned into the output one after the other."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pixcrawler.download.fetch import ChunkFetcher, FetchedChunk
from pixcrawler.download.files import lock_folder, named_errors
from pixcrawler.download.formats import WRITERS, Format
from pixcrawler.download.names import safe_name, zip_names
from pixcrawler.download.progress import ChunkProgress, DownloadProgress, DownloadReport
from pixcrawler.download.state import (
    FILES_NAME,
    LOCK_NAME,
    STATE_NAME,
    WORK_NAME,
    Staging,
    State,
    digest_of,
    read_files,
)
from pixcrawler.exceptions import IntegrityError, escape
from pixcrawler.limits import Limits
from pixcrawler.options import Options, size_of
from pixcrawler.sources.local import is_local

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import httpx

    from pixcrawler.download.formats import Writer
    from pixcrawler.download.state import FileEntry
    from pixcrawler.downloader import Downloader
    from pixcrawler.options import ImageSize
    from pixcrawler.sources.api import ApiSource

__all__ = ["download_dataset"]

_TICK_S = 0.2
_SHOWN_NAMES = 3
_OPENS = {
    "numpy": "pixcrawler.open_arrays({!r})",
    "images": 'datasets.load_dataset("imagefolder", data_dir={!r})',
    "zip": "pixcrawler.load_dataset({!r})",
}
# What a folder may hold beside a download that is under way.
_OWN_NAMES = frozenset({STATE_NAME, f"{STATE_NAME}.partial", WORK_NAME, LOCK_NAME})


def download_dataset(
    job_id: str,
    output_dir: str | os.PathLike[str] = "datasets",
    format: Format = "numpy",  # noqa: A002 - the command's option of that name
    *,
    image_size: ImageSize | None = None,
    force: bool = False,
    on_progress: Callable[[DownloadProgress], None] | None = None,
    api_key: str | None = None,
    base_url: str | None = None,
    max_workers: int = 4,
    timeout: float = 300,
    verify_ssl: bool = True,
    limits: Limits | None = None,
    memory_limit: int | str = "256MB",
    decode_threads: int | None = None,
    allow_private_hosts: bool = False,
    http_client: httpx.Client | None = None,
) -> DownloadReport:
    """Download a finished job into the folder ``<output_dir>/<job_id>``.

    However it ends, the same call continues: chunks that were written are not fetched again, and one that was under way
    is resumed from the byte that it reached. The files get their names when all are complete. Beside the output at most
    ``max_workers + 2`` chunks are on the disk.

    What "numpy" and "images" cannot deliver is left out and listed in ``failures.jsonl``: of "numpy" what cannot be
    decoded, of "images" what cannot be unpacked or is no picture. A chunk's size is checked, and its SHA-256 if the
    catalogue has one.

    Args:
        job_id: A finished job's id.
        output_dir: Where the job's folder is to be; made if missing.
        format: "numpy": decoded images, ``images.npy`` and ``labels.npy`` where all are of one size, else
            ``pixels.npy``, ``offsets.npy``, ``shapes.npy`` and ``labels.npy``, with ``classes.json`` unless the labels
            are numbers: :func:`pixcrawler.open_arrays` opens both. "images": the files as they are, as
            ``<label>/<name>`` with a ``metadata.jsonl``: an image folder. "zip": the chunks as they are:
            ``load_dataset`` opens the folder.
        image_size: Of "numpy": (height, width) in pixels of every image, or an int for a square. None leaves each image
            its own size.
        force: Begin anew: an earlier download in the folder is removed, whatever its options, and a file that has the
            name of one that is written is replaced. Without, both are refused.
        on_progress: Called about five times a second, in this thread.
        api_key: As for :func:`pixcrawler.load_dataset`, as are all that follow.
        base_url: The API.
        max_workers: Requests at once.
        timeout: Total time for one request, in seconds; one that breaks off is resumed.
        verify_ssl: Check the server's certificate.
        limits: Bounds on untrusted input.
        memory_limit: Memory held at once for decoding.
        decode_threads: Threads that decode.
        allow_private_hosts: Let a public API point to chunks at private addresses.
        http_client: An httpx client to use; it is not closed.

    Returns:
        What was done. If all was there already, nothing is fetched; of "zip" every chunk is checked then, and what is
        damaged is fetched again.

    Raises:
        ValueError, TypeError: An argument is out of its range.
        FileExistsError: The folder holds something else, or a download with other options or of another version, and
            ``force`` is not set; or another process downloads into it.
        OSError: The disk does not take it.
        IntegrityError: A chunk is not what the catalogue promises; or of an earlier download, a file is missing.
        PixCrawlerError: As :func:`pixcrawler.load_dataset`, or a chunk cannot be had.
    """
    from pixcrawler.client import PixCrawlerClient
    from pixcrawler.sources.api import ApiSource

    if format not in get_args(Format):
        message = f"format must be one of {', '.join(map(repr, get_args(Format)))}, not {format!r}"
        raise ValueError(message)
    if image_size is not None and format != "numpy":
        message = f'image_size is for the format "numpy": {format!r} keeps the images as they are'
        raise ValueError(message)
    if is_local(job_id):
        message = f"job_id must be the id of a job, not a path ({job_id}): load_dataset opens what is on this disk"
        raise ValueError(message)
    options = Options(
        image_size=size_of(image_size),
        limits=limits or Limits(),
        memory_limit=memory_limit,
        max_workers=max_workers,
        decode_threads=decode_threads,
    )
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
    began_s = time.monotonic()
    with client:
        source = ApiSource(client, job_id)
        folder = Path(output_dir, safe_name(job_id))
        folder.mkdir(parents=True, exist_ok=True)
        with lock_folder(folder / LOCK_NAME):
            try:
                downloader = client.downloader(source.info.job_id).for_run()
                download = _Download(folder, source, downloader, options, format, on_progress, began_s)
                return download.run(force=force)
            finally:
                # While it is held: who waits for it finds the state.
                (folder / LOCK_NAME).unlink(missing_ok=True)


class _Download:
    """One run of a download."""

    def __init__(
        self,
        folder: Path,
        source: ApiSource,
        downloader: Downloader,
        options: Options,
        form: Format,
        on_progress: Callable[[DownloadProgress], None] | None,
        began_s: float,
    ) -> None:
        self._folder = folder
        self._info = source.info
        self._records = source.chunks
        self._downloader = downloader
        self._options = options
        self._format = form
        self._on_progress = on_progress
        self._began_s = began_s
        self._told_s = 0.0
        self._names = zip_names([chunk.id for chunk in source.chunks])
        wanted = {"format": form, "image_size": options.image_size and list(options.image_size)}
        self._state = State(self._info.job_id, self._info.version, digest_of(source.chunks), wanted)
        self._todo: list[FetchedChunk] = []
        self._taken = 0
        self._images_before = 0

    def run(self, *, force: bool) -> DownloadReport:
        found = State.read(self._folder)
        if force and not self._is_unfinished(found):
            self._clear()
            found = None
            self._state.is_forced = True
        else:
            self._check_folder(found)
        if found is not None:
            self._state = found
        state = self._state
        if state.plan and not state.is_complete:
            Staging(self._folder, state).publish()
        missing = self._missing()
        if not state.is_complete:
            state.write(self._folder)
        if missing or not state.is_complete:
            self._fetch(missing)
        return self._report()

    # What is in the folder.

    def _is_unfinished(self, found: State | None) -> bool:
        """Whether the folder holds this very download, begun with ``force``: the same call goes on with it."""
        return found is not None and found.is_forced and not found.is_complete and self._is_same(found)

    def _is_same(self, found: State) -> bool:
        own = self._state
        of_job = (found.job_id, found.version, found.chunks) == (own.job_id, own.version, own.chunks)
        return of_job and found.options == own.options

    def _check_folder(self, found: State | None) -> None:
        """Refuse a folder that is not this download's."""
        refused = None
        if found is None:
            entries = {entry.name for entry in self._folder.iterdir()} - _OWN_NAMES
            if entries or (self._folder / STATE_NAME).exists():
                refused = f"the folder holds what this download did not write ({_listed(entries) or STATE_NAME})"
        elif (found.job_id, found.version, found.chunks) != (
            self._state.job_id,
            self._state.version,
            self._state.chunks,
        ):
            was, now = (f"{state.job_id} version {state.version}" for state in (found, self._state))
            refused = (
                f"the folder holds {was}{'' if was != now else ', as it was before its chunks changed'}, not {now}"
            )
        elif found.options != self._state.options:
            was, now = (_options_text(state.options) for state in (found, self._state))
            refused = f"the folder holds a download with {was}, not with {now}"
        elif not found.plan and not found.is_forced:
            entries = {entry.name for entry in self._folder.iterdir()} - _OWN_NAMES - set(self._names)
            if entries:
                refused = f"the folder holds what this download did not write ({_listed(entries)})"
        if refused is not None:
            raise FileExistsError(errno.EEXIST, refused, str(self._folder))

    def _clear(self) -> None:
        """Remove what an earlier download wrote, and that alone."""
        with contextlib.suppress(OSError, ValueError):
            for entry in read_files(self._folder / FILES_NAME):
                path = self._folder / entry.file
                path.unlink(missing_ok=True)
                with contextlib.suppress(OSError):
                    # Only an empty one.
                    if path.parent != self._folder:
                        path.parent.rmdir()
        for name in (FILES_NAME, STATE_NAME, f"{STATE_NAME}.partial"):
            (self._folder / name).unlink(missing_ok=True)
        if (self._folder / WORK_NAME).is_dir():
            shutil.rmtree(self._folder / WORK_NAME)

    def _missing(self) -> list[int]:
        """The chunks that are to be fetched.

        Raises:
            IntegrityError: Of a complete download other than of chunks, a file is missing or has another size.
        """
        state = self._state
        if self._format != "zip":
            if not state.is_complete:
                return list(range(state.done, len(self._records)))
            damaged = [entry.file for entry in self._entries() if not entry.has_right_size(self._folder)]
            if damaged:
                message = f"{self._folder}: missing or of another size: {_listed(damaged)}"
                raise IntegrityError(message, code="download_damaged")
            return []
        if state.is_complete:
            entries = {entry.file: entry for entry in self._entries()}
            good = {name for name, entry in entries.items() if self._is_good(entry)}
        else:
            # What was verified and renamed; all is read when all is there.
            good = {name for name in self._names[: state.done] if (self._folder / name).is_file()}
        return [number for number, name in enumerate(self._names) if name not in good]

    def _is_good(self, entry: FileEntry) -> bool:
        self._tick()
        return entry.problem(self._folder) is None

    def _entries(self) -> list[FileEntry]:
        try:
            return list(read_files(self._folder / FILES_NAME))
        except (OSError, ValueError) as error:
            message = f"{self._folder / FILES_NAME}: {error}"
            raise IntegrityError(message, code="download_damaged") from error

    # The work.

    def _fetch(self, missing: Sequence[int]) -> None:
        state, work = self._state, self._folder / WORK_NAME
        self._images_before = state.images
        staging = Staging(self._folder, state)
        if state.is_complete:
            self._keep_entries(staging, {self._names[number] for number in missing})
        writer: Writer = WRITERS[self._format](staging, state, self._options, self._names, self._info.classes)
        self._todo = [
            FetchedChunk(self._records[number], work / f"{self._names[number]}.partial") for number in missing
        ]
        limits, workers = self._options.limits, self._options.max_workers
        try:
            with ChunkFetcher(self._downloader, self._todo, limits=limits, max_workers=workers) as fetcher:
                for position, number in enumerate(missing):
                    chunk = fetcher.wait(position, self._tick)
                    chunk.state = "writing"
                    with named_errors(self._folder):
                        writer.add(chunk, self._tick)
                    state.done = max(state.done, number + 1)
                    staging.save()
                    self._taken = position + 1
                    self._tick(force=True)
            state.layout, state.plan = writer.finish()
            staging.save()
            staging.publish()
        finally:
            staging.close()
        self._tick(force=True)

    def _keep_entries(self, staging: Staging, bad: set[str]) -> None:
        """Take over the list of files of a download of which some chunks are fetched again."""
        file = staging.file(FILES_NAME)
        file.write(b"".join(entry.to_line() for entry in self._entries() if entry.file not in bad))

    def _tick(self, *, force: bool = False) -> None:
        """Tell how far it is, now and then."""
        now_s = time.monotonic()
        if self._on_progress is None or (now_s - self._told_s < _TICK_S and not force):
            return
        self._told_s = now_s
        self._on_progress(self._progress())

    def _progress(self) -> DownloadProgress:
        sizes = [record.size_bytes for record in self._records]
        known = [size for size in sizes if size is not None]
        missing = {chunk.record.index for chunk in self._todo[self._taken :]}
        active = [chunk for chunk in self._todo[self._taken :] if chunk.state != "waiting" or chunk.size_bytes]
        done = sum(size or 0 for number, size in enumerate(sizes) if number not in missing)
        return DownloadProgress(
            bytes_done=done + sum(chunk.size_bytes for chunk in active),
            bytes_total=sum(known) if len(known) == len(sizes) else self._info.size_bytes,
            bytes_fetched=self._downloader.stats()["bytes"],
            images=self._state.images,
            images_in_run=self._state.images - self._images_before,
            images_total=self._info.num_images,
            failed=self._state.failed,
            chunks_done=len(sizes) - len(missing),
            chunks_total=len(sizes),
            active=tuple(
                ChunkProgress(chunk.record.id, chunk.state, chunk.size_bytes, chunk.record.size_bytes)
                for chunk in active
            ),
            elapsed_s=time.monotonic() - self._began_s,
        )

    def _report(self) -> DownloadReport:
        state = self._state
        # With a separator, as load_dataset takes a name alone for a job's.
        place = str(self._folder)
        place = place if os.sep in place else f"{os.curdir}{os.sep}{place}"
        return DownloadReport(
            folder=place,
            job_id=state.job_id,
            version=state.version,
            format=self._format,
            layout=state.layout,
            num_images=state.images,
            failed=state.failed,
            num_chunks=len(self._records),
            chunks_fetched=self._taken,
            bytes_fetched=self._downloader.stats()["bytes"],
            elapsed_s=time.monotonic() - self._began_s,
            opens_with=_OPENS[self._format].format(place),
        )


def _options_text(options: dict[str, Any]) -> str:
    size = options.get("image_size")
    return f"format {options.get('format')}" + (f" and image size {size[0]}x{size[1]}" if size else "")


def _listed(names: Iterable[str]) -> str:
    """The first names, fit to be shown."""
    ordered = sorted(names)
    shown = ", ".join(escape(name, limit=60) for name in ordered[:_SHOWN_NAMES])
    more = len(ordered) - _SHOWN_NAMES
    return f"{shown} and {more} more" if more > 0 else shown
