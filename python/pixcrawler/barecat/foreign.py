"""tar and zip: which file is one, and what is in it, entry by entry."""

from __future__ import annotations

import os
import stat
import tarfile
import time
import zipfile
import zlib
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from typing import IO, TYPE_CHECKING, NamedTuple, cast

from pixcrawler.barecat.exceptions import BarecatError, BarecatIntegrityError
from pixcrawler.barecat.infos import BarecatDirInfo, BarecatFileInfo
from pixcrawler.barecat.paths import normalize

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from typing_extensions import Self

__all__ = [
    "TAR_KINDS",
    "Entry",
    "broken",
    "kind_of",
    "metadata_of_tar",
    "read_tar",
    "read_zip",
    "stem_of",
    "translated",
]

_KINDS = {
    ".tar": "tar",
    ".tar.gz": "tar.gz",
    ".tgz": "tar.gz",
    ".tar.bz2": "tar.bz2",
    ".tbz2": "tar.bz2",
    ".tar.xz": "tar.xz",
    ".txz": "tar.xz",
    ".zip": "zip",
}
TAR_KINDS = ("tar", "tar.gz", "tar.bz2", "tar.xz")

_SECOND_NS = 10**9
_MAX_INT = 2**63 - 1
# Files up to here are read at once.
_WHOLE_BYTES = 8 << 20
_BUFFER_BYTES = 1 << 20
# tarfile copies what is left of its buffer at each read: a large one takes longer than it saves.
_STREAM_BYTES = 1 << 16
# A header that holds a name or attributes.
_HEADER_BYTES = 1 << 20
_CHAINED_HEADERS = 32
_EXTENDED = frozenset(
    {tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK}
)

LINK = "symbolic links"
OTHER = "devices, pipes and other entries"
HARD_LINK = "hard links"
DANGLING = "hard links to files that are not there"


class Entry(NamedTuple):
    """What a tar or a zip has under a name.

    Attributes:
        info: A file's, with its size, or a directory's.
        data: A small file's content.
        fileobj: Or a larger one's, to be read before the next entry is asked for.
        link: Of a hard link, which has no content of its own: the path of the file.
    """

    info: BarecatFileInfo | BarecatDirInfo
    data: bytes | None = None
    fileobj: IO[bytes] | None = None
    link: str | None = None


def kind_of(path: str | os.PathLike[str]) -> str | None:
    """``"zip"``, ``"tar"``, or a tar with its compression such as ``"tar.gz"``, by the name's end; None is neither."""
    name = os.fspath(path).lower()
    return next((kind for suffix, kind in _KINDS.items() if name.endswith(suffix)), None)


def stem_of(path: str | os.PathLike[str]) -> str:
    """A file's name without its folder and its extension; ``.tar.gz`` is one."""
    name = os.path.basename(os.path.normpath(os.fspath(path)))
    suffix = next((suffix for suffix in _KINDS if name.lower().endswith(suffix)), os.path.splitext(name)[1])
    return name[: len(name) - len(suffix)] or name


def broken(name: str, detail: str) -> BarecatIntegrityError:
    """The error about a tar or a zip that cannot be read to its end."""
    return BarecatIntegrityError(f"{name}: {detail}", code="foreign_archive")


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Turn what the readers of tar, zip and their compressions raise into one error.

    Args:
        name: Of the file.

    Raises:
        BarecatIntegrityError: It is broken or ends too early.
        BarecatError: It is encrypted, or compressed by a method that is not known.
    """
    try:
        yield
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError) as exc:
        raise broken(name, str(exc) or "it ends too early") from exc
    except (NotImplementedError, RuntimeError) as exc:
        raise BarecatError(f"{name}: {exc}") from exc
    except OSError as exc:
        # gzip and bz2 say so that the stream is no such stream.
        if exc.errno is not None or isinstance(exc, BarecatError):
            raise
        raise broken(name, str(exc)) from exc
    except Exception as exc:
        # Its module need not be there.
        if type(exc).__name__ != "LZMAError":
            raise
        raise broken(name, str(exc)) from exc


def _decompressed(stream: IO[bytes], kind: str) -> IO[bytes]:
    if kind == "tar.gz":
        import gzip

        return cast("IO[bytes]", gzip.GzipFile(fileobj=stream, mode="rb"))
    if kind == "tar.bz2":
        import bz2

        return cast("IO[bytes]", bz2.BZ2File(stream))
    if kind == "tar.xz":
        import lzma

        return cast("IO[bytes]", lzma.LZMAFile(stream))
    return stream


class _StrictTarInfo(tarfile.TarInfo):
    """A header that is broken, or missing, is an error: tarfile takes it for the end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        info = super().frombuf(buf, encoding, errors)
        if info.type in _EXTENDED and not 0 <= info.size <= _HEADER_BYTES:
            message = f"expected a header of at most {_HEADER_BYTES} bytes, got {info.size}"
            raise tarfile.ReadError(message)
        return info

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> Self:
        assert isinstance(tarfile_, StrictTar)
        tarfile_.depth += 1
        try:
            if tarfile_.depth > _CHAINED_HEADERS:
                message = f"expected at most {_CHAINED_HEADERS} headers before an entry at byte {tarfile_.offset}"
                raise tarfile.ReadError(message)
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except (tarfile.HeaderError, ValueError, OverflowError) as exc:
            detail = f"expected a header or the end's mark at byte {tarfile_.offset}: {exc}"
            raise tarfile.ReadError(detail) from exc
        finally:
            tarfile_.depth -= 1


class StrictTar(tarfile.TarFile):
    """A tar that is read once, from its beginning to its end's mark."""

    tarinfo = _StrictTarInfo
    # Headers that are being read, each of which is followed by another one that it says something of.
    depth = 0

    def next(self) -> tarfile.TarInfo | None:
        """The next member."""
        # It would remember all of them.
        self.members: list[tarfile.TarInfo] = []
        return super().next()


def read_tar(stream: IO[bytes], kind: str, skipped: Counter[str]) -> Iterator[Entry]:
    """The entries of a tar, in its order; nothing is sought.

    Args:
        stream: Its bytes.
        kind: One of ``TAR_KINDS``.
        skipped: Counts what is neither a file nor a directory.

    Raises:
        See :func:`translated`.
    """
    plain = _decompressed(stream, kind)
    with StrictTar.open(fileobj=plain, mode="r|", bufsize=_STREAM_BYTES) as tar:
        while (member := tar.next()) is not None:
            metadata = metadata_of_tar(member)
            if member.isdir():
                yield Entry(BarecatDirInfo(*metadata))
            elif member.islnk():
                yield Entry(BarecatFileInfo(*metadata), link=normalize(member.linkname))
            elif not member.isreg():
                skipped[skip_of_tar(member)] += 1
            elif member.size <= _WHOLE_BYTES and not member.issparse():
                yield Entry(BarecatFileInfo(*metadata, size=member.size), data=_read_member(tar, member))
            else:
                yield Entry(BarecatFileInfo(*metadata, size=member.size), fileobj=tar.extractfile(member))
    # Behind the end's mark there are zeros, and the checksum of what was compressed.
    while plain.read(_BUFFER_BYTES):
        pass


def _read_member(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    data: bytes = tar.fileobj.read(member.size)
    if len(data) != member.size:
        raise tarfile.ReadError(f"expected {member.size} bytes of {member.name!r}, got {len(data)}")
    return data


def _number(value: int) -> int | None:
    """What an index can hold."""
    return value if -_MAX_INT <= value <= _MAX_INT else None


def metadata_of_tar(member: tarfile.TarInfo) -> tuple[str, int, int | None, int | None, int | None]:
    """Path, mode, owner, group and time of a member; the time to the nanosecond, as its header has it."""
    try:
        mtime_ns = _number(int(Decimal(member.pax_headers.get("mtime") or member.mtime) * _SECOND_NS))
    except (InvalidOperation, ValueError, OverflowError):
        mtime_ns = None
    return member.name, member.mode & 0o7777, _number(member.uid), _number(member.gid), mtime_ns


def skip_of_tar(member: tarfile.TarInfo) -> str:
    """As what a member is counted that is left out."""
    return LINK if member.issym() else HARD_LINK if member.islnk() else OTHER


def read_zip(archive: zipfile.ZipFile, skipped: Counter[str]) -> Iterator[Entry]:
    """The entries of a zip, in the order of its directory. Of several of one name the last counts.

    Args:
        archive: Open to be read.
        skipped: As in :func:`read_tar`.

    Raises:
        See :func:`translated`.
    """
    for member in members_of_zip(archive, skipped):
        mtime_ns = mtime_of_zip(member)
        if member.is_dir():
            yield Entry(BarecatDirInfo(member.filename, mtime_ns=mtime_ns))
            continue
        info = BarecatFileInfo(member.filename, mtime_ns=mtime_ns, size=member.file_size)
        with archive.open(member) as file:
            if member.file_size <= _WHOLE_BYTES:
                # One byte more: the checksum is compared where the end is found.
                data = file.read(member.file_size + 1)
                if len(data) != member.file_size:
                    message = f"expected {member.file_size} bytes of {member.filename!r}, got {len(data)}"
                    raise zipfile.BadZipFile(message)
                yield Entry(info, data=data)
            else:
                yield Entry(info, fileobj=file)


def members_of_zip(archive: zipfile.ZipFile, skipped: Counter[str]) -> Iterator[zipfile.ZipInfo]:
    """A zip's files and directories."""
    last = {member.filename: member for member in archive.infolist()}
    for member in last.values():
        if member.header_offset < 0:
            raise zipfile.BadZipFile(f"{member.filename!r} would begin at byte {member.header_offset}")
        mode = member.external_attr >> 16
        if stat.S_IFMT(mode) in {0, stat.S_IFREG, stat.S_IFDIR} or member.is_dir():
            yield member
        else:
            skipped[LINK if stat.S_ISLNK(mode) else OTHER] += 1


def mtime_of_zip(member: zipfile.ZipInfo) -> int | None:
    """A member's time in nanoseconds; it is local time there."""
    try:
        return int(time.mktime((*member.date_time, 0, 0, -1))) * _SECOND_NS
    except (ValueError, OverflowError):
        return None
