"""What an epoch left out, or kept though it is not whole, and how much of that is too much."""

from __future__ import annotations

import json
import os
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from pixcrawler import codes, exceptions
from pixcrawler.exceptions import ArchiveError, ImageDecodeError, LimitError, PixCrawlerError, TooManyFailuresError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd

__all__ = ["LEDGER_NAME", "Failure", "FailureLedger", "json_line"]

LEDGER_NAME = "failures.jsonl"

_STAGES: tuple[tuple[type[PixCrawlerError], Literal["limit", "archive", "decode"]], ...] = (
    (LimitError, "limit"),
    (ArchiveError, "archive"),
    (ImageDecodeError, "decode"),
)


@dataclass(frozen=True, slots=True)
class Failure:
    """A sample, or a whole chunk, that could not be delivered; or an image that was kept though it is not whole.

    Attributes:
        chunk_id: The chunk.
        member: The sample's name in it; None if the chunk as a whole failed.
        code: The error's stable code (see :func:`pixcrawler.codes.table`).
        reason: The whole message.
        num_samples: 1, or for a chunk the samples that the catalogue counts in it (1 if it does not say).
    """

    chunk_id: str
    member: str | None
    code: str
    reason: str
    num_samples: int = 1

    @classmethod
    def of(cls, error: PixCrawlerError, *, num_samples: int = 1) -> Failure:
        """The record of an error that has its place filled in."""
        return cls(error.chunk_id or "", error.member, error.code, str(error), num_samples)

    @property
    def stage(self) -> Literal["download", "archive", "decode", "limit"]:
        """How far it came.

        "download": the bytes could not be had, or are not those that the catalogue promises; "archive": the zip around
        the image, its compressed data and checksum included; "decode": the image's own bytes; "limit": one of
        :class:`pixcrawler.limits.Limits`, at any of these.
        """
        entry = codes.lookup(self.code)
        kind = getattr(exceptions, entry.exception, PixCrawlerError) if entry else PixCrawlerError
        return next((stage for base, stage in _STAGES if issubclass(kind, base)), "download")

    def to_dict(self) -> dict[str, Any]:
        """All fields and the stage, by name: a line of :meth:`FailureLedger.save`."""
        return {
            "chunk_id": self.chunk_id,
            "member": self.member,
            "stage": self.stage,
            "code": self.code,
            "reason": self.reason,
            "num_samples": self.num_samples,
        }

    def to_line(self) -> bytes:
        """The same as a line of :meth:`FailureLedger.save`."""
        return json_line(self.to_dict())


class FailureLedger(Sequence[Failure]):
    """Records of one pass, in the order of the samples.

    Args:
        allowed: Samples that may be recorded; None for any number.
    """

    def __init__(self, allowed: int | None = None) -> None:
        self._failures: list[Failure] = []
        self._allowed = allowed
        self._num_samples = 0

    @property
    def num_samples(self) -> int:
        """Samples that all records together stand for."""
        return self._num_samples

    def add(self, failure: Failure) -> None:
        """Record a failure.

        Raises:
            TooManyFailuresError: There are more now than are allowed.
        """
        self._failures.append(failure)
        self._num_samples += failure.num_samples
        if self._allowed is not None and self._num_samples > self._allowed:
            detail = f"{self._num_samples} samples failed, {self._allowed} may; the latest: {failure.reason}"
            raise TooManyFailuresError(detail, code="too_many_failures", chunk_id=failure.chunk_id)

    def counts(self) -> dict[str, int]:
        """Records by code."""
        return dict(sorted(Counter(failure.code for failure in self._failures).items()))

    def to_dataframe(self) -> pd.DataFrame:
        """The records as a pandas DataFrame.

        Returns:
            A row a record, in order; columns chunk_id, member, stage, code, reason, num_samples.

        Raises:
            ImportError: pandas is not installed; the message says how to install it.
        """
        from pixcrawler.loaders.pandas import failures_frame

        return failures_frame(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        r"""Write the records as JSON Lines: one object a line, with the columns of :meth:`to_dataframe`, in UTF-8.

        A text with characters that are not printable, line ends or lone surrogates (a file name that is no valid
        Unicode) is written with ``\\u`` escapes, from which ``json.loads`` makes the same text again.

        Args:
            path: The file. What stood there before is replaced at once, when all is written.

        Raises:
            OSError: It cannot be written; what stood there before is as it was.
        """
        target = Path(path)
        partial = target.with_name(f".{target.name}.{secrets.token_hex(8)}.partial")
        try:
            with partial.open("xb") as file:
                file.writelines(failure.to_line() for failure in self._failures)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise

    @overload
    def __getitem__(self, index: int) -> Failure: ...
    @overload
    def __getitem__(self, index: slice) -> list[Failure]: ...
    def __getitem__(self, index: int | slice) -> Failure | list[Failure]:
        """One record, or a list of them."""
        return self._failures[index]

    def __len__(self) -> int:
        """Records, of which one for a whole chunk counts once."""
        return len(self._failures)

    def __iter__(self) -> Iterator[Failure]:
        """In the order in which they were met."""
        return iter(self._failures)

    def __eq__(self, other: object) -> bool:
        """Equal to any sequence of equal records."""
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        """The count and the codes."""
        listed = ", ".join(f"{code}: {count}" for code, count in self.counts().items())
        return f"<FailureLedger of {len(self)}{': ' + listed if listed else ''}>"


def json_line(fields: Mapping[str, Any]) -> bytes:
    """An object as one line of a JSON Lines file, in UTF-8; escaped where a character is not printable."""
    line = json.dumps(fields, ensure_ascii=False)
    # JSON's own escapes leave U+2028 and its kind, at which some readers end a line, and surrogates, which UTF-8 lacks.
    return (line if line.isprintable() else json.dumps(fields)).encode() + b"\n"
