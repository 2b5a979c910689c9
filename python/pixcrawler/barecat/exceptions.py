"""What archives raise: each is an error of the project and the built-in that a reader expects.

::

    BarecatError
      FileExistsBarecatError        (FileExistsError)
      FileNotFoundBarecatError      (FileNotFoundError)
      IsADirectoryBarecatError      (IsADirectoryError)
      NotADirectoryBarecatError     (NotADirectoryError)
      DirectoryNotEmptyBarecatError (OSError)
      NotEnoughSpaceBarecatError    (OSError)
      FileTooLargeBarecatError      (ValueError)  it is larger than a shard may be
      BarecatIntegrityError         (ArchiveError)  the index or a shard is broken
"""

from __future__ import annotations

from typing import ClassVar

from pixcrawler.exceptions import ArchiveError, PixCrawlerError

__all__ = [
    "BarecatError",
    "BarecatIntegrityError",
    "DirectoryNotEmptyBarecatError",
    "FileExistsBarecatError",
    "FileNotFoundBarecatError",
    "FileTooLargeBarecatError",
    "IsADirectoryBarecatError",
    "NotADirectoryBarecatError",
    "NotEnoughSpaceBarecatError",
]


class BarecatError(PixCrawlerError):
    """Base of all errors about archives.

    Args:
        detail: What was expected and what was found.
        code: A stable name from :func:`pixcrawler.codes.table`; each class has one of its own.
        path: The path in the archive that is concerned; it becomes ``member``.
        offset: Position in the shard, in bytes.
    """

    default_code: ClassVar[str] = "archive"

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        path: str | None = None,
        offset: int | None = None,
    ) -> None:
        super().__init__(detail, code=code or self.default_code, member=path, offset=offset)


class FileExistsBarecatError(BarecatError, FileExistsError):
    """There is an entry of that path already, or an archive."""

    default_code = "entry_exists"


class FileNotFoundBarecatError(BarecatError, FileNotFoundError):
    """There is no entry of that path, or no archive."""

    default_code = "entry_not_found"


class IsADirectoryBarecatError(BarecatError, IsADirectoryError):
    """The path is a directory's."""

    default_code = "entry_is_directory"


class NotADirectoryBarecatError(BarecatError, NotADirectoryError):
    """The path, or one that it lies below, is a file's."""

    default_code = "entry_not_directory"


class DirectoryNotEmptyBarecatError(BarecatError, OSError):
    """The directory has entries."""

    default_code = "directory_not_empty"


class NotEnoughSpaceBarecatError(BarecatError, OSError):
    """The disk is full. What was committed is untouched."""

    default_code = "no_space"


class FileTooLargeBarecatError(BarecatError, ValueError):
    """The file is larger than a shard of this archive may be."""

    default_code = "file_too_large"


class BarecatIntegrityError(BarecatError, ArchiveError):
    """The index or a shard is broken: bytes are missing or changed, or a row cannot be true."""

    default_code = "archive_index"
