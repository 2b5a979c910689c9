"""Contents of many files on their way elsewhere: read together, compared with their checksums."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import IO, TYPE_CHECKING, TypeAlias, cast

from pixcrawler._native import crc32c
from pixcrawler.barecat.contents import address_in
from pixcrawler.barecat.exceptions import BarecatIntegrityError
from pixcrawler.barecat.shards import checked_address

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pixcrawler.barecat.contents import Contents
    from pixcrawler.barecat.infos import BarecatFileInfo

__all__ = ["Content", "contents_of"]

# Larger files are copied in parts; the others are read so many at once, and so many bytes.
_WHOLE_BYTES = 8 << 20
_BATCH_FILES = 1000
_BATCH_BYTES = 16 << 20

Content: TypeAlias = "bytes | IO[bytes]"


def contents_of(
    archive: Contents, infos: Iterable[BarecatFileInfo], *, ahead: bool = True
) -> Iterator[tuple[BarecatFileInfo, Content]]:
    """Files with their contents, in the order given.

    Args:
        archive: To be read.
        infos: Which of its files.
        ahead: Read the next ones in a thread while the consumer has these; only of an archive that is read-only.

    Yields:
        The info, and the content as bytes, or of a large file as something with ``read(size)``.

    Raises:
        BarecatIntegrityError: Bytes are missing, or are not those that were stored. Of a large file that is told when
            its end is read.
    """
    if not ahead:
        for batch in _batches(infos):
            yield from zip(batch, _read(archive, batch), strict=True)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="pixcrawler-copy") as pool:
        pending = None
        for batch in _batches(infos):
            coming = pool.submit(_read, archive, batch)
            if pending is not None:
                yield from zip(pending[0], pending[1].result(), strict=True)
            pending = batch, coming
        if pending is not None:
            yield from zip(pending[0], pending[1].result(), strict=True)


def _batches(infos: Iterable[BarecatFileInfo]) -> Iterator[list[BarecatFileInfo]]:
    batch: list[BarecatFileInfo] = []
    total = 0
    for info in infos:
        size = checked_address(address_in(info), info.path)[2]
        if batch and (len(batch) == _BATCH_FILES or total + size > _BATCH_BYTES):
            yield batch
            batch, total = [], 0
        batch.append(info)
        total += size if size <= _WHOLE_BYTES else 0
    if batch:
        yield batch


def _read(archive: Contents, batch: list[BarecatFileInfo]) -> list[Content]:
    small = [info for info in batch if (info.size or 0) <= _WHOLE_BYTES]
    found = iter(archive.read_many(small))
    return [
        next(found) if (info.size or 0) <= _WHOLE_BYTES else cast("IO[bytes]", _Stream(archive, info)) for info in batch
    ]


class _Stream:
    """A large file, read from its beginning to its end; there its checksum is compared."""

    def __init__(self, archive: Contents, info: BarecatFileInfo) -> None:
        self._shards = archive.shards
        self._path = info.path
        self._shard, self._next, size, self._expected = checked_address(address_in(info), info.path)
        self._left = size
        self._crc = 0

    def read(self, size: int = -1) -> bytes:
        """So many bytes, or all that are left."""
        count = self._left if size < 0 else min(size, self._left)
        if not count:
            return b""
        data = self._shards.read(self._path, self._shard, self._next, count)
        self._next += count
        self._left -= count
        self._crc = crc32c(data, self._crc)
        if not self._left and self._expected is not None and self._crc != self._expected:
            message = f"expected CRC32C {self._expected:08x}, got {self._crc:08x}"
            raise BarecatIntegrityError(message, code="crc32c", path=self._path)
        return data
