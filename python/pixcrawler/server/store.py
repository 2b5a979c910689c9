"""A store: a folder with a catalogue and content-addressed chunks, and the keys that may read it."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import sqlite3
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pixcrawler.exceptions import NotFoundError, StoreError
from pixcrawler.server.catalogue import Catalogue, JobSpec, Totals, chunk_record
from pixcrawler.server.pack import Refused, Summary, WrittenChunk, open_input, write_chunks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Self

    from pixcrawler.records import ChunkRecord, Job

__all__ = ["JobSpec", "PackResult", "Refused", "Store"]

_CATALOGUE_NAME: Final = "store.sqlite"
_LOCK_NAME: Final = "pack.lock"
_CHUNKS_NAME: Final = "chunks"

_KEY_PREFIX: Final = "pxc_"
_KEY_BYTES: Final = 32

# Without vowels and look-alikes: ids are read aloud, and spell nothing.
_ID_ALPHABET: Final = "bcdfghjkmnpqrstvwxz23456789"
_ID_CHARACTERS: Final = 10


@dataclass(frozen=True, slots=True)
class PackResult:
    """What :meth:`Store.pack` made.

    Attributes:
        job: The completed job.
        refused: The files of the input that were not packed, and why.
    """

    job: Job
    refused: tuple[Refused, ...]


class Store:
    """A store that exists. Safe to use from many threads; readers and one packer may be different processes.

    Args:
        path: The store's folder.

    Raises:
        NotFoundError: There is no store.
        StoreError: It is of another version, or broken.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        if not (self.path / _CATALOGUE_NAME).is_file():
            message = f"no store at {self.path}; `pixcrawler pack` makes one"
            raise NotFoundError(message, code="path_not_found")
        self.catalogue = Catalogue(self.path / _CATALOGUE_NAME)

    @classmethod
    def create(cls, path: Path) -> tuple[Self, str]:
        """Make a new, empty store with one key.

        Args:
            path: The folder; made if it is missing.

        Returns:
            The store, and its key: the only time that it can be had.

        Raises:
            StoreError: There is a store already.
            OSError: The folder cannot be written.
        """
        path = Path(path)
        (path / _CHUNKS_NAME).mkdir(parents=True, exist_ok=True)
        final = path / _CATALOGUE_NAME
        # Made aside and linked into place when complete: a store is there whole or not at all.
        partial = path / f"{_CATALOGUE_NAME}.{secrets.token_hex(4)}.partial"
        try:
            new = Catalogue(partial, create=True)
            key = _KEY_PREFIX + secrets.token_urlsafe(_KEY_BYTES)
            new.add_key(_key_hash(key), "admin")
            new.close()
            if final.exists():
                message = f"there is a store already at {path}"
                raise StoreError(message, code="store_exists")
            partial.rename(final)
        finally:
            partial.unlink(missing_ok=True)
        _sync_folder(path)
        return cls(path), key

    @classmethod
    def open_or_create(cls, path: Path) -> tuple[Self, str | None]:
        """The store at ``path``, made if there is none; with its key if it is new, as in :meth:`create`."""
        path = Path(path)
        if (path / _CATALOGUE_NAME).exists():
            return cls(path), None
        return cls.create(path)

    def close(self) -> None:
        """Close the catalogue. Idempotent."""
        self.catalogue.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def accepts_key(self, key: str) -> bool:
        """Whether a key may read. Takes the same time for every wrong key."""
        given = _key_hash(key)
        # Every key is looked at, so that the time does not tell which one matched.
        matches = [hmac.compare_digest(given, known) for known in self.catalogue.key_hashes()]
        return any(matches)

    def chunk_path(self, sha256: str) -> Path:
        """Where a chunk of the catalogue lies. ``sha256`` must come from the catalogue: it becomes part of a path."""
        return self.path / _CHUNKS_NAME / f"{sha256}.zip"

    def pack(self, source: Path, spec: JobSpec, on_file: Callable[[int, int], None] | None = None) -> PackResult:
        """Make a completed job of the images in a folder or a zip.

        Images are known by their content and stored as they are. The job is running, with its progress, while this
        works; if it fails, the job is failed and no new chunk stays.

        Args:
            source: The folder or the zip file.
            spec: The job's name and form.
            on_file: Called after each file with the number of files done and of all.

        Returns:
            The job, and the files that were refused.

        Raises:
            NotFoundError: There is nothing at ``source``.
            ArchiveError, LimitError: It is a file, but no zip that can be trusted.
            StoreError: Another process packs into this store; the input has no image; its metadata.jsonl is malformed.
            OSError: The store cannot be written.
        """
        with self._packing(), closing(open_input(Path(source))) as images:
            self._clean_up()
            job_id = "job_" + "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_CHARACTERS))
            self.catalogue.create_job(job_id, spec)
            summary = Summary()
            new_paths: list[Path] = []
            records: list[ChunkRecord] = []
            try:
                progress = self._progress(job_id, on_file)
                written = write_chunks(
                    images,
                    self.path / _CHUNKS_NAME,
                    stem=job_id,
                    chunk_size=spec.chunk_size,
                    summary=summary,
                    on_file=progress,
                )
                with closing(written):
                    for chunk in written:
                        self._place(chunk, new_paths)
                        records.append(
                            chunk_record(job_id, len(records), chunk.sha256, chunk.size_bytes, chunk.num_images)
                        )
                _require_images(records, summary, source)
                self.catalogue.complete_job(job_id, records, Totals(summary.labels, summary.image_size))
            except BaseException:
                for path in new_paths:
                    path.unlink(missing_ok=True)
                # The first error is the one to tell; the next pack tidies up what could not be done here.
                with suppress(sqlite3.Error):
                    self.catalogue.fail_job(job_id)
                raise
            job = self.catalogue.get_job(job_id)
            if job is None:
                message = f"job {job_id} vanished while it was packed"
                raise StoreError(message, code="store_corrupt")
            return PackResult(job, tuple(summary.refused))

    def _progress(self, job_id: str, on_file: Callable[[int, int], None] | None) -> Callable[[int, int], None]:
        recorded = 0

        def progress(done: int, total: int) -> None:
            nonlocal recorded
            percent = 100 * done // total
            # A transaction a percent is enough; the last one is that of completion.
            if percent > recorded and done < total:
                self.catalogue.set_progress(job_id, percent)
                recorded = percent
            if on_file is not None:
                on_file(done, total)

        return progress

    def _place(self, chunk: WrittenChunk, new_paths: list[Path]) -> None:
        """Give a chunk its final name; the same content may be there already, from another job."""
        final = self.chunk_path(chunk.sha256)
        if final.exists() and final.stat().st_size == chunk.size_bytes:
            chunk.path.unlink()
            return
        # Noted before it is there, so that no interruption leaves it behind unnoticed.
        new_paths.append(final)
        chunk.path.replace(final)
        _sync_folder(final.parent)

    @contextmanager
    def _packing(self) -> Iterator[None]:
        """One packer at a time, in all processes: SQLite's lock on a file of its own, gone with its holder."""
        with closing(sqlite3.connect(self.path / _LOCK_NAME, timeout=0, isolation_level=None)) as lock:
            try:
                lock.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError as error:
                message = f"another process is packing into {self.path}; try again when it is done"
                raise StoreError(message, code="store_busy") from error
            yield

    def _clean_up(self) -> None:
        """Undo what a killed packer left. Only under the lock: whatever is running then has no process any more."""
        abandoned = self.catalogue.running_jobs()
        if not abandoned:
            return
        for path in (self.path / _CHUNKS_NAME).iterdir():
            if path.suffix == ".partial" or (
                path.suffix == ".zip" and self.catalogue.chunk_size_bytes(path.stem) is None
            ):
                path.unlink(missing_ok=True)
        for job_id in abandoned:
            self.catalogue.fail_job(job_id)


def _require_images(records: list[ChunkRecord], summary: Summary, source: Path) -> None:
    if not records:
        message = f"no image among the {len(summary.refused)} files of {source}"
        raise StoreError(message, code="no_images")


def _key_hash(key: str) -> bytes:
    # A plain hash is enough: a key has 256 random bits, so there is no dictionary to try, and a slow hash would only
    # slow down every request.
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def _sync_folder(path: Path) -> None:
    """Make a rename in a folder survive a power failure; Windows neither can nor needs to."""
    if os.name == "nt":
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
