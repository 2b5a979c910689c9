"""tar and zip, written."""

from __future__ import annotations

import stat
import tarfile
import time
import zipfile
from decimal import Decimal
from typing import IO, TYPE_CHECKING, Any, Protocol, cast

from pixcrawler.barecat.infos import BarecatDirInfo

if TYPE_CHECKING:
    from pixcrawler.barecat.copying import Content
    from pixcrawler.barecat.infos import BarecatEntryInfo

__all__ = ["Packer", "TarPacker", "ZipPacker"]

_BUFFER_BYTES = 1 << 20
_SECOND_NS = 10**9
_FILE_MODE, _DIR_MODE = 0o644, 0o755
_GZIP_LEVEL = 6
_FIRST_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
_LAST_ZIP_TIME = (2107, 12, 31, 23, 59, 58)


class Packer(Protocol):
    """What writes entries one after the other."""

    def add(self, path: str, info: BarecatEntryInfo, content: Content = b"", size: int = 0) -> None:
        """Write an entry.

        Args:
            path: Its name there.
            info: Its metadata; whether it is a directory.
            content: A file's.
            size: Its bytes.
        """

    def close(self) -> None:
        """Write the end."""

    def discard(self) -> None:
        """Let go without an end: what was written is not whole."""


def _known(value: Any, default: int) -> int:
    return value if type(value) is int else default


class _Tar(tarfile.TarFile):
    def forget(self) -> None:
        """It would remember all members."""
        self.members: list[tarfile.TarInfo] = []


class TarPacker:
    """A tar, in the form of POSIX 2001, which Python writes by default and all tars read.

    Args:
        stream: Written to, and never sought in.
        kind: One of ``TAR_KINDS``.
    """

    def __init__(self, stream: IO[bytes], kind: str) -> None:
        self._sink = _Counted(stream)
        self._compressor = _compressor(cast("IO[bytes]", self._sink), kind)
        self._stream = self._sink if self._compressor is None else _Counted(self._compressor)
        self._tar = _Tar(
            fileobj=cast("IO[bytes]", self._stream), mode="w", format=tarfile.PAX_FORMAT, copybufsize=_BUFFER_BYTES
        )

    def add(self, path: str, info: BarecatEntryInfo, content: Content = b"", size: int = 0) -> None:
        """See :class:`Packer`."""
        is_dir = isinstance(info, BarecatDirInfo)
        member = tarfile.TarInfo(path)
        member.type = tarfile.DIRTYPE if is_dir else tarfile.REGTYPE
        member.mode = stat.S_IMODE(_known(info.mode, _DIR_MODE if is_dir else _FILE_MODE))
        member.uid, member.gid = _known(info.uid, 0), _known(info.gid, 0)
        mtime_ns = _known(info.mtime_ns, 0)
        member.mtime, fraction = divmod(mtime_ns, _SECOND_NS)
        if fraction:
            member.pax_headers = {"mtime": f"{Decimal(mtime_ns).scaleb(-9):f}"}
        member.size = size
        if isinstance(content, bytes):
            self._tar.addfile(member)
            self._stream.write(content + bytes(-size % tarfile.BLOCKSIZE))
            self._tar.offset = self._stream.tell()
        else:
            self._tar.addfile(member, content)
        self._tar.forget()

    def close(self) -> None:
        """See :class:`Packer`."""
        self._tar.close()
        if self._compressor is not None:
            self._compressor.close()

    def discard(self) -> None:
        """See :class:`Packer`."""
        self._sink.is_open = False
        if self._compressor is not None:
            # It would do so whenever its memory is freed.
            self._compressor.close()


class _Counted:
    """A stream that knows how much was written to it; it need not be a file."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._place = 0
        self.is_open = True

    def write(self, data: bytes) -> int:
        if self.is_open:
            self._stream.write(data)
        self._place += len(data)
        return len(data)

    def flush(self) -> None:
        if self.is_open:
            self._stream.flush()

    def tell(self) -> int:
        return self._place


def _compressor(stream: IO[bytes], kind: str) -> IO[bytes] | None:
    if kind == "tar.gz":
        import gzip

        # No name and no time: the same content gives the same file.
        compressor = gzip.GzipFile(filename="", fileobj=stream, mode="wb", compresslevel=_GZIP_LEVEL, mtime=0)
        return cast("IO[bytes]", compressor)
    if kind == "tar.bz2":
        import bz2

        return cast("IO[bytes]", bz2.BZ2File(stream, "wb"))
    if kind == "tar.xz":
        import lzma

        return cast("IO[bytes]", lzma.LZMAFile(stream, "wb"))
    return None


class ZipPacker:
    """A zip with stored entries. It holds names and times; its directory is in memory until the end.

    Args:
        stream: Written to, from its beginning.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED)

    def add(self, path: str, info: BarecatEntryInfo, content: Content = b"", size: int = 0) -> None:
        """See :class:`Packer`."""
        is_dir = isinstance(info, BarecatDirInfo)
        member = zipfile.ZipInfo(f"{path}/" if is_dir else path, _zip_time(info.mtime_ns))
        member.create_system = 3
        member.external_attr = (stat.S_IFDIR | _DIR_MODE) << 16 | 0x10 if is_dir else (stat.S_IFREG | _FILE_MODE) << 16
        member.file_size = size
        if isinstance(content, bytes):
            self._zip.writestr(member, content)
            return
        with self._zip.open(member, "w") as out:
            while block := content.read(_BUFFER_BYTES):
                out.write(block)

    def close(self) -> None:
        """See :class:`Packer`."""
        self._zip.close()

    # Its file is thrown away.
    discard = close


def _zip_time(mtime_ns: int | None) -> tuple[int, int, int, int, int, int]:
    """Local time in seconds, within what a zip can say."""
    seconds = _known(mtime_ns, 0) // _SECOND_NS
    try:
        found = time.localtime(seconds)[:6]
    except (OverflowError, ValueError, OSError):
        return _FIRST_ZIP_TIME if seconds < 0 else _LAST_ZIP_TIME
    return min(max(found, _FIRST_ZIP_TIME), _LAST_ZIP_TIME)
