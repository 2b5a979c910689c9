"""Files and archives that appear whole: they are made under another name beside their own, and then put in place."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING

from pixcrawler.barecat import layout
from pixcrawler.barecat.exceptions import FileExistsBarecatError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["new_archive", "new_file"]

_SUFFIX = ".partial"


def _refuse(target: str) -> None:
    raise FileExistsBarecatError(f"there is one at {target}", code="archive_exists")


@contextmanager
def new_file(target: str, *, overwrite: bool) -> Iterator[IO[bytes]]:
    """A file to write. It has its name when the block has ended, and does not exist if the block raised.

    Args:
        target: Its name.
        overwrite: Replace one that is there.

    Raises:
        FileExistsBarecatError: There is one.
    """
    if os.path.isdir(target) or (os.path.lexists(target) and not overwrite):
        _refuse(target)
    partial = target + _SUFFIX
    try:
        with open(partial, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(partial)
        raise
    layout.sync_folder(target)


@contextmanager
def new_archive(target: str, *, overwrite: bool) -> Iterator[str]:
    """The name under which an archive is to be made. It gets its own name when the block has ended, the index last.

    A crash before that leaves what was there under its name, but for the moment of replacing it; what was made stands
    whole under the other name then.

    Args:
        target: Its name.
        overwrite: Replace one that is there.

    Raises:
        FileExistsBarecatError: There is one.
    """
    if os.path.isdir(target) or (layout.exists(target) and not overwrite):
        _refuse(target)
    partial = target + _SUFFIX
    layout.remove(partial)
    try:
        yield partial
    except BaseException:
        layout.remove(partial)
        raise
    layout.sync_folder(partial)
    layout.remove(target)
    for shard in layout.shard_numbers(partial):
        os.rename(layout.shard_path(partial, shard), layout.shard_path(target, shard))
    layout.sync_folder(target)
    os.rename(partial, target)
    layout.sync_folder(target)
