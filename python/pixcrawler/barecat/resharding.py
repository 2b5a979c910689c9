"""Another limit for an archive's shards, in place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pixcrawler.barecat.archive import Barecat
from pixcrawler.barecat.exceptions import FileTooLargeBarecatError
from pixcrawler.barecat.maintenance import copy_file, cut_ends, defrag
from pixcrawler.barecat.paths import parse_size
from pixcrawler.barecat.shards import checked_address

if TYPE_CHECKING:
    import os
    from typing import TypeAlias

    AnyPath: TypeAlias = str | os.PathLike[str]

__all__ = ["reshard"]

# Bytes that are moved between two commits.
_MOVED_BYTES = 64 << 20


def reshard(path: AnyPath, shard_size_limit: int | str) -> None:
    """Lay an archive's files out anew, in shards of at most so many bytes.

    With smaller shards, what cannot stay where it is goes into new shards behind the others, and from there to its
    place. No byte that a committed row names is overwritten or cut off, so a kill at any moment leaves every file
    readable: run it again. Space for all files once more may be needed meanwhile.

    Args:
        path: The archive's name.
        shard_size_limit: Bytes, or text such as ``"50G"``; the archive keeps it.

    Raises:
        FileTooLargeBarecatError: A file is larger; nothing was changed.
        BarecatIntegrityError: A file is broken; nothing that is broken is moved.
        ValueError: The limit is no size, or shards are symbolic links.
    """
    limit = parse_size(shard_size_limit)
    if limit is None:
        raise ValueError("expected a limit, got None")
    # To write to an archive makes one that is missing.
    Barecat(path).close()
    with Barecat(path, readonly=False) as archive:
        _check_sizes(archive, limit)
        if any(archive.shards.size(shard) > limit for shard in archive.shards.numbers()):
            _put_aside(archive, limit)
        archive.shard_size_limit = limit
        archive.commit()
        defrag(archive)


def _check_sizes(archive: Barecat, limit: int) -> None:
    for info in archive.index.iter_all_fileinfos():
        if isinstance(info.size, int) and info.size > limit:
            message = f"expected files of at most {limit} bytes, got one of {info.size}"
            raise FileTooLargeBarecatError(message, path=info.path)


def _put_aside(archive: Barecat, limit: int) -> None:
    """Move behind the last shard all files but those that already lie in the first one as they will in the end."""
    last = archive.appender.place
    position = (-1, -1, -1)
    kept, moved = 0, 0
    while rows := archive.index.page_by_address(position):
        for row in rows:
            position = (row[1], row[2], row[5])
            path, shard, offset, size, crc = row[0], *checked_address(row[1:5], row[0])
            if (shard, offset) >= last and size:
                # Put aside before.
                continue
            if shard == 0 and offset + size <= limit:
                kept = max(kept, offset + size)
                continue
            if not size:
                archive.index.move_bytes(path, 0, kept)
                continue
            copy_file(archive, (path, shard, offset, size, crc), archive.appender.start_file(size, limit, path))
            moved += size
            if moved > _MOVED_BYTES:
                archive.commit()
                moved = 0
    archive.commit()
    cut_ends(archive)
