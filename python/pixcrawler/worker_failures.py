"""Failures of samples that several processes read: a DataLoader's workers, and the process that started them.

Each writes a line of JSON to one file in the system's temporary folder, and reads those of the others. That needs no
thread, no lock and no queue between them, works however a worker was started, and loses nothing when one is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import threading
import weakref
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pixcrawler._fork import restart_in_children
from pixcrawler.exceptions import TooManyFailuresError
from pixcrawler.failures import Failure, FailureLedger

__all__ = ["WorkerFailures"]


class WorkerFailures:
    """The failures that all processes have recorded, each sample's once, in the order in which they were met.

    Can be pickled, and used after a fork. The file is removed with the object that made it, or when its process ends.

    Args:
        allowed: Samples that may be recorded, by all processes together; None for any number.
    """

    def __init__(self, allowed: int | None) -> None:
        self._allowed = allowed
        descriptor, path = tempfile.mkstemp(prefix="pixcrawler-failures-", suffix=".jsonl")
        os.close(descriptor)
        self._path = path
        self._finalizer = weakref.finalize(self, _remove, path, os.getpid())
        self._start()

    def _start(self) -> None:
        self.start_after_fork()
        restart_in_children(self)

    def start_after_fork(self) -> None:
        """Read all again, behind a lock of its own."""
        self._lock = threading.Lock()
        self._ledger = FailureLedger()
        self._known: set[tuple[str, str | int | None]] = set()
        self._position = 0

    def __getstate__(self) -> dict[str, Any]:
        """Where the file is."""
        return {"_allowed": self._allowed, "_path": self._path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Use the file of another process."""
        vars(self).update(state)
        self._start()

    def record(self, failure: Failure, *, sample: int | None = None) -> None:
        """Record a failure, unless that sample's is recorded already.

        Args:
            failure: Which.
            sample: Its number in the dataset; what tells it from others where the failure names no member.

        Raises:
            TooManyFailuresError: With those of all processes there are more now than are allowed.
            OSError: It cannot be written down.
        """
        with self._lock:
            self._read()
            if _key(failure, sample) not in self._known:
                self._append(failure, sample)
                self._read()
            if self._allowed is not None and self._ledger.num_samples > self._allowed:
                detail = f"{self._ledger.num_samples} samples failed, {self._allowed} may; the latest: {failure.reason}"
                raise TooManyFailuresError(detail, code="too_many_failures", chunk_id=failure.chunk_id)

    def _append(self, failure: Failure, sample: int | None) -> None:
        line = json.dumps({**asdict(failure), "sample": sample}).encode() + b"\n"
        # One write to the end of the file is never mixed with another.
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        try:
            written = os.write(descriptor, line)
        finally:
            os.close(descriptor)
        if written < len(line):
            message = f"{self._path}: {written} of {len(line)} bytes were written: the disk is full"
            raise OSError(message)

    def read(self) -> FailureLedger:
        """The ledger, with what other processes have recorded since."""
        with self._lock:
            self._read()
            return self._ledger

    def __len__(self) -> int:
        """Records so far."""
        return len(self.read())

    def _read(self) -> None:
        with Path(self._path).open("rb") as file:
            file.seek(self._position)
            # A line that is being written has no end yet.
            lines = file.read().rpartition(b"\n")[0].splitlines()
        self._position += sum(len(line) + 1 for line in lines)
        for line in lines:
            fields = json.loads(line)
            sample = fields.pop("sample")
            failure = Failure(**fields)
            key = _key(failure, sample)
            if key not in self._known:
                self._known.add(key)
                self._ledger.add(failure)


def _key(failure: Failure, sample: int | None) -> tuple[str, str | int | None]:
    """What tells one sample's failures from another's."""
    return failure.chunk_id, sample if failure.member is None else failure.member


def _remove(path: str, owner: int) -> None:
    """Remove the file, but not from a forked child."""
    if os.getpid() == owner:
        with contextlib.suppress(OSError):
            Path(path).unlink()
