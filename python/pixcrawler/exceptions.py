"""Every error this package raises about the outside world; a caller's mistake is a plain ValueError or TypeError.

::

    PixCrawlerError
      AuthenticationError        (PermissionError)  the API or a chunk's server refuses the key
      NotFoundError              (LookupError)      no such job, chunk or path
      JobNotCompleteError        (RuntimeError)     the job has no finished dataset yet; .status, .progress
      NetworkError               (ConnectionError)  the server cannot be reached, or answers with an error
        RateLimitError                              it asks to wait too long or too often; .retry_after_s
        ProtocolError            (ValueError)       it answers something that the wire contract does not allow
      DownloadError              (OSError)          a chunk's bytes cannot be had
        IntegrityError                              they can, but are not those that the catalogue promises
      DecompressionError         (ValueError)       a chunk's bytes cannot become images; never retried
        ArchiveError                                the zip or archive around them is broken or unsafe
        ImageDecodeError                            an image's own bytes are broken
          UnsupportedImageError                     they are sound, but of a kind that is not decoded
        LimitError                                  a configured limit would be exceeded
      ImageSizeError             (ValueError)       an image has another size than its batch
      TooManyFailuresError       (RuntimeError)     more samples failed than max_failures allows
      StoreError                 (RuntimeError)     a store cannot be opened, written or served
      InternalError              (RuntimeError)     this package broke a promise of its own

Archives have a tree of their own: :mod:`pixcrawler.barecat.exceptions`.

The class in parentheses is the built-in that the error also is. Each error carries a stable ``code``, explained by
:func:`pixcrawler.codes.table`. All errors pickle with all their fields, so they cross process boundaries whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pixcrawler import codes

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "ArchiveError",
    "AuthenticationError",
    "DecompressionError",
    "DownloadError",
    "ImageDecodeError",
    "ImageSizeError",
    "IntegrityError",
    "InternalError",
    "JobNotCompleteError",
    "LimitError",
    "NetworkError",
    "NotFoundError",
    "PixCrawlerError",
    "ProtocolError",
    "RateLimitError",
    "StoreError",
    "TooManyFailuresError",
    "UnsupportedImageError",
]

# A zip member's name may have 65,535 bytes; a message shows this many characters of a foreign text.
_SHOWN_CHARACTERS = 300

_E = TypeVar("_E", bound="PixCrawlerError")


def escape(text: str, *, limit: int = _SHOWN_CHARACTERS) -> str:
    """Text from outside, made fit for a terminal or a log line.

    Args:
        text: Any text, lone surrogates included.
        limit: Characters to show at most; what is cut is marked.

    Returns:
        The text with every character that is not printable (controls, line ends, direction overrides, surrogates)
        written as a Python escape.
    """
    shown = text if len(text) <= limit else text[:limit]
    if not shown.isprintable():
        shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in shown)
    return shown if len(text) <= limit else f"{shown}... ({len(text)} characters)"


class PixCrawlerError(Exception):
    """Base of all errors of this package.

    Args:
        detail: What was expected and what was found, in words and numbers. No secrets.
        code: A stable name from :func:`pixcrawler.codes.table`.
        chunk_id: The chunk concerned.
        member: Name of the member concerned, as it stands in the chunk.
        offset: Position in bytes: in the chunk for errors of the archive, in the member for those of an image.
        retryable: Whether the same request may succeed later.

    Attributes:
        detail, code, chunk_id, member, offset, retryable: As given.
    """

    def __init__(
        self,
        detail: str,
        *,
        code: str,
        chunk_id: str | None = None,
        member: str | None = None,
        offset: int | None = None,
        retryable: bool = False,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code
        self.chunk_id = chunk_id
        self.member = member
        self.offset = offset
        self.retryable = retryable

    @property
    def cause(self) -> str:
        """What the code means, one sentence; empty for a code that this version does not know."""
        entry = codes.lookup(self.code)
        return entry.cause if entry else ""

    @property
    def remedy(self) -> str:
        """What to do about it, one sentence; empty for a code that this version does not know."""
        entry = codes.lookup(self.code)
        return entry.remedy if entry else ""

    def with_place(self, *, chunk_id: str | None = None, member: str | None = None) -> Self:
        """Fill in where it happened; what is known already stays.

        Args:
            chunk_id: The chunk concerned.
            member: The member concerned.

        Returns:
            This same error.
        """
        self.chunk_id = chunk_id if self.chunk_id is None else self.chunk_id
        self.member = member if self.member is None else self.member
        return self

    def __str__(self) -> str:
        """Where, cause, detail, code, remedy, on one line, with control characters escaped."""
        places = []
        if self.chunk_id is not None:
            places.append(f"chunk {escape(self.chunk_id)}")
        if self.member is not None:
            places.append(f"member {escape(self.member)}")
        if self.offset is not None:
            places.append(f"byte {self.offset}")
        where = f"{', '.join(places)}: " if places else ""
        # The detail is ours, but may quote a server; it is bounded where it is made.
        parts = [self.cause.rstrip("."), escape(self.detail, limit=2000).rstrip(".")]
        what = ": ".join(part for part in parts if part)
        return f"{where}{what} [{self.code}]. {self.remedy}".rstrip()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle all fields, those of subclasses and notes included."""
        return _restore, (type(self), self.args), self.__dict__.copy()


def _restore(cls: type[_E], args: tuple[Any, ...]) -> _E:
    """Make an error without ``__init__``, whose keywords differ from class to class; pickle then sets the fields."""
    error = cls.__new__(cls)
    error.args = args
    return error


class AuthenticationError(PixCrawlerError, PermissionError):
    """The API or a chunk's server refuses the key, or there is none."""


class NotFoundError(PixCrawlerError, LookupError):
    """There is no such job, chunk or path."""


class JobNotCompleteError(PixCrawlerError, RuntimeError):
    """The job has no finished dataset yet.

    Args:
        detail: As in :class:`PixCrawlerError`.
        status: The job's status, if the API told it.
        progress: 0 to 100, if the API told it.
        code: As in :class:`PixCrawlerError`.

    Attributes:
        status, progress: As given.
    """

    def __init__(
        self,
        detail: str,
        *,
        status: str | None = None,
        progress: float | None = None,
        code: str = "job_not_complete",
    ) -> None:
        super().__init__(detail, code=code)
        self.status = status
        self.progress = progress


class NetworkError(PixCrawlerError, ConnectionError):
    """The server cannot be reached, or answers with an error.

    Args:
        detail: As in :class:`PixCrawlerError`.
        code: As in :class:`PixCrawlerError`.
        chunk_id: As in :class:`PixCrawlerError`.
        retryable: As in :class:`PixCrawlerError`.
        retry_after_s: Seconds that the server asked to wait, if it named a number or a date.

    Attributes:
        retry_after_s: As given.
    """

    def __init__(
        self,
        detail: str,
        *,
        code: str,
        chunk_id: str | None = None,
        retryable: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail, code=code, chunk_id=chunk_id, retryable=retryable)
        self.retry_after_s = retry_after_s


class RateLimitError(NetworkError):
    """The server asks for a pause that is longer than the client may wait, or keeps asking."""


class ProtocolError(NetworkError, ValueError):
    """The server answers something that the wire contract does not allow."""


class DownloadError(PixCrawlerError, OSError):
    """A chunk's bytes cannot be had."""


class IntegrityError(DownloadError):
    """A chunk's bytes are not those that the catalogue promises, or changed while they were read."""


class DecompressionError(PixCrawlerError, ValueError):
    """A chunk's bytes cannot become images. Never retried."""


class ArchiveError(DecompressionError):
    """The zip or archive is broken or unsafe, or a member's bytes are not those that the directory says."""


class ImageDecodeError(DecompressionError):
    """An image's own bytes are broken."""


class UnsupportedImageError(ImageDecodeError):
    """The member is well-formed, but of a kind that is not decoded."""


class LimitError(DecompressionError):
    """A configured limit of :class:`pixcrawler.limits.Limits` would be exceeded."""


class ImageSizeError(PixCrawlerError, ValueError):
    """An image has another size than its batch, and no ``image_size`` was given to resize to."""


class TooManyFailuresError(PixCrawlerError, RuntimeError):
    """More samples failed than ``max_failures`` allows."""


class StoreError(PixCrawlerError, RuntimeError):
    """A store cannot be opened, written or served."""


class InternalError(PixCrawlerError, RuntimeError):
    """This package broke a promise of its own: please report it."""
