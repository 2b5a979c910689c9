"""The store's catalogue: every SQL statement there is, schema.sql aside."""

from __future__ import annotations

import sqlite3
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import resources
from typing import TYPE_CHECKING, Final

from pixcrawler.exceptions import StoreError
from pixcrawler.records import ChunkRecord, Job, JobStatus, LabelCount

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["SCHEMA_VERSION", "Catalogue", "JobSpec", "Totals"]

SCHEMA_VERSION: Final = 1

_TEXT_CHARACTERS = 200
_MAX_CHUNK_SIZE = 10_000
_BUSY_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What a new job is to be called and how it is cut.

    Attributes:
        name: What people call it.
        project_id: The project it belongs to; made if it is new.
        tags: Distinct words to find it by.
        chunk_size: Images in a full chunk.

    Raises:
        ValueError: A text is empty, over 200 characters or not printable, or ``chunk_size`` is not from 1 to 10,000.
    """

    name: str
    project_id: str | None = None
    tags: tuple[str, ...] = ()
    chunk_size: int = 500

    def __post_init__(self) -> None:
        """Refuse what could not be shown or stored."""
        texts = [("name", self.name), *(("tag", tag) for tag in self.tags)]
        if self.project_id is not None:
            texts.append(("project", self.project_id))
        for what, text in texts:
            if not text.strip() or len(text) > _TEXT_CHARACTERS or not text.isprintable():
                message = (
                    f"{what} must be 1 to {_TEXT_CHARACTERS} printable characters, not {text[:_TEXT_CHARACTERS]!r}"
                )
                raise ValueError(message)
        if not 1 <= self.chunk_size <= _MAX_CHUNK_SIZE:
            message = f"chunk_size must be from 1 to {_MAX_CHUNK_SIZE}, not {self.chunk_size}"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Totals:
    """What packing found out about a job.

    Attributes:
        labels: String label -> images that have it. Labels of other types are in the chunks alone.
        image_size: (height, width) if all images share one size.
    """

    labels: Mapping[str, int]
    image_size: tuple[int, int] | None


class Catalogue:
    """Jobs, chunks and hashes of keys in one SQLite file. Safe to use from many threads.

    Args:
        path: The file.
        create: Make a new one.

    Raises:
        StoreError: Not a catalogue, one of another version, or unreadable.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self._path = path
        # A connection serves one thread at a time, then lies here for the next: opening one costs more than a query.
        self._idle: deque[sqlite3.Connection] = deque()
        try:
            with self._connection() as db:
                if create:
                    db.execute("PRAGMA journal_mode = WAL")
                    schema = resources.files("pixcrawler.server").joinpath("schema.sql").read_text(encoding="utf-8")
                    db.executescript(f"BEGIN IMMEDIATE;\n{schema}\nPRAGMA user_version = {SCHEMA_VERSION};\nCOMMIT;")
                (version,) = db.execute("PRAGMA user_version").fetchone()
        except sqlite3.Error as error:
            self.close()
            message = f"{path} cannot be used as a catalogue: {error}"
            raise StoreError(message, code="store_corrupt") from error
        if version != SCHEMA_VERSION:
            self.close()
            message = f"{path} has schema version {version}; this version of pixcrawler reads {SCHEMA_VERSION}"
            raise StoreError(message, code="store_version")

    def close(self) -> None:
        """Close the connections. Idempotent."""
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            db = self._idle.pop()
        except IndexError:
            db = sqlite3.connect(self._path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
            db.row_factory = sqlite3.Row
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("PRAGMA trusted_schema = OFF")
        try:
            yield db
        except BaseException:
            db.close()
            raise
        self._idle.append(db)

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[sqlite3.Connection]:
        # A failure closes the connection, which rolls back.
        with self._connection() as db:
            db.execute(f"BEGIN {kind}")
            yield db
            db.execute("COMMIT")

    # Keys.

    def add_key(self, key_hash: bytes, name: str) -> None:
        """Let a key in.

        Args:
            key_hash: Its SHA-256.
            name: What it is for.
        """
        with self._transaction("IMMEDIATE") as db:
            db.execute("INSERT INTO keys (hash, name, created_at) VALUES (?, ?, ?)", (key_hash, name, _now()))

    def key_hashes(self) -> list[bytes]:
        """The SHA-256 of every key that may read."""
        with self._connection() as db:
            return [row["hash"] for row in db.execute("SELECT hash FROM keys")]

    # Writing a job.

    def create_job(self, job_id: str, spec: JobSpec) -> None:
        """Record a job that is being packed: running, no progress, no chunks."""
        now = _now()
        with self._transaction("IMMEDIATE") as db:
            if spec.project_id is not None:
                db.execute("INSERT OR IGNORE INTO projects (id) VALUES (?)", (spec.project_id,))
            db.execute(
                "INSERT INTO jobs (id, name, project_id, status, created_at, updated_at, chunk_size)"
                " VALUES (?, ?, ?, 'running', ?, ?, ?)",
                (job_id, spec.name, spec.project_id, now, now, spec.chunk_size),
            )
            db.executemany("INSERT OR IGNORE INTO tags VALUES (?, ?)", [(job_id, tag) for tag in spec.tags])

    def set_progress(self, job_id: str, progress: float) -> None:
        """Record how far a running job is, 0 to 100."""
        with self._transaction("IMMEDIATE") as db:
            db.execute("UPDATE jobs SET progress = ?, updated_at = ? WHERE id = ?", (progress, _now(), job_id))

    def complete_job(self, job_id: str, chunks: Sequence[ChunkRecord], totals: Totals) -> None:
        """Give a running job its chunks and labels and make it completed, all at once."""
        height, width = totals.image_size or (None, None)
        rows = [(job_id, chunk.index, chunk.sha256, chunk.size_bytes, chunk.num_images) for chunk in chunks]
        with self._transaction("IMMEDIATE") as db:
            db.executemany("INSERT INTO chunks VALUES (?, ?, ?, ?, ?)", rows)
            db.executemany("INSERT INTO labels VALUES (?, ?, ?)", [(job_id, *item) for item in totals.labels.items()])
            db.execute(
                "UPDATE jobs SET status = 'completed', progress = 100, updated_at = :now,"
                " image_height = :height, image_width = :width,"
                " num_chunks = (SELECT count(*) FROM chunks WHERE job_id = :id),"
                " num_images = (SELECT coalesce(sum(num_images), 0) FROM chunks WHERE job_id = :id),"
                " size_bytes = (SELECT coalesce(sum(size_bytes), 0) FROM chunks WHERE job_id = :id)"
                " WHERE id = :id",
                {"id": job_id, "now": _now(), "height": height, "width": width},
            )

    def fail_job(self, job_id: str) -> None:
        """Make a running job failed."""
        with self._transaction("IMMEDIATE") as db:
            db.execute("UPDATE jobs SET status = 'failed', updated_at = ? WHERE id = ?", (_now(), job_id))

    def running_jobs(self) -> list[str]:
        """The ids of the jobs that are recorded as running."""
        with self._connection() as db:
            return [row["id"] for row in db.execute("SELECT id FROM jobs WHERE status = 'running'")]

    # Reading.

    def list_jobs(
        self,
        *,
        project_id: str | None = None,
        status: str | None = None,
        tag: str | None = None,
        page: int = 1,
        size: int = 50,
    ) -> tuple[list[Job], int]:
        """One page of the jobs, newest first.

        Args:
            project_id: Only those of this project.
            status: Only those with this status.
            tag: Only those with this tag.
            page: Which page, from 1.
            size: Jobs on a page.

        Returns:
            The jobs of the page, without chunks, and the number of jobs on all pages.
        """
        where = (
            "WHERE (:project IS NULL OR project_id = :project) AND (:status IS NULL OR status = :status)"
            " AND (:tag IS NULL OR EXISTS (SELECT 1 FROM tags WHERE tags.job_id = jobs.id AND tags.name = :tag))"
        )
        values = {"project": project_id, "status": status, "tag": tag, "size": size, "skip": (page - 1) * size}
        # One read transaction: the count and the page must be of one moment.
        with self._transaction("DEFERRED") as db:
            (total,) = db.execute(f"SELECT count(*) FROM jobs {where}", values).fetchone()  # noqa: S608  (constant text)
            query = f"SELECT * FROM jobs {where} ORDER BY number DESC LIMIT :size OFFSET :skip"  # noqa: S608  (the same)
            jobs = [_job(db, row) for row in db.execute(query, values).fetchall()]
        return jobs, total

    def get_job(self, job_id: str, *, with_chunks: bool = False) -> Job | None:
        """One job, or None.

        Args:
            job_id: Its id.
            with_chunks: Fill in ``chunks``.
        """
        with self._transaction("DEFERRED") as db:
            row = db.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
            if row is None:
                return None
            return _job(db, row, tuple(_chunks(db, job_id, 0, row["num_chunks"])) if with_chunks else None)

    def list_chunks(self, job_id: str, *, page: int = 1, size: int = 50) -> tuple[list[ChunkRecord], int] | None:
        """One page of a job's chunks in order and the number of them all, or None if there is no such job."""
        with self._transaction("DEFERRED") as db:
            row = db.execute("SELECT num_chunks FROM jobs WHERE id = ?", (job_id,)).fetchone()
            if row is None:
                return None
            return _chunks(db, job_id, (page - 1) * size, size), row["num_chunks"]

    def chunk_size_bytes(self, sha256: str) -> int | None:
        """The length of a chunk by its content's hash, or None if no job has it."""
        with self._connection() as db:
            row = db.execute("SELECT size_bytes FROM chunks WHERE sha256 = ? LIMIT 1", (sha256,)).fetchone()
            return None if row is None else row["size_bytes"]


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="microseconds")


def _job(db: sqlite3.Connection, row: sqlite3.Row, chunks: tuple[ChunkRecord, ...] | None = None) -> Job:
    labels = db.execute("SELECT name, num_images FROM labels WHERE job_id = ? ORDER BY name", (row["id"],))
    tags = db.execute("SELECT name FROM tags WHERE job_id = ? ORDER BY name", (row["id"],))
    return Job(
        id=row["id"],
        name=row["name"],
        project_id=row["project_id"],
        status=JobStatus(row["status"]),
        progress=row["progress"],
        created_at=datetime.fromisoformat(row["created_at"]),
        updated_at=datetime.fromisoformat(row["updated_at"]),
        version=row["version"],
        num_images=row["num_images"],
        num_chunks=row["num_chunks"],
        chunk_size=row["chunk_size"],
        size_bytes=row["size_bytes"],
        image_size=None if row["image_height"] is None else (row["image_height"], row["image_width"]),
        labels=tuple(LabelCount(name, count) for name, count in labels),
        tags=tuple(name for (name,) in tags),
        chunks=chunks,
    )


def _chunks(db: sqlite3.Connection, job_id: str, skip: int, size: int) -> list[ChunkRecord]:
    rows = db.execute("SELECT * FROM chunks WHERE job_id = ? ORDER BY position LIMIT ? OFFSET ?", (job_id, size, skip))
    return [chunk_record(job_id, row["position"], row["sha256"], row["size_bytes"], row["num_images"]) for row in rows]


def chunk_record(job_id: str, index: int, sha256: str, size_bytes: int, num_images: int) -> ChunkRecord:
    """A chunk as the catalogue describes it; its url is its place in the store, relative to the store's folder."""
    return ChunkRecord(
        id=f"{job_id}-{index:05d}",
        index=index,
        url=f"chunks/{sha256}.zip",
        size_bytes=size_bytes,
        num_images=num_images,
        sha256=sha256,
    )
