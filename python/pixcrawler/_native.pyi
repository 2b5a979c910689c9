"""The Rust extension: bytes of chunks in, pixels in numpy arrays out. No policy, no network.

Every call that decodes or inflates releases the GIL. Failures of single images are returned, one per slot, as
exceptions of :mod:`pixcrawler.exceptions` that have not been raised; a caller's mistake raises ``ValueError`` or
``TypeError``.
"""

from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any, Final, TypeAlias, TypedDict, final

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from pixcrawler.barecat.exceptions import BarecatIntegrityError
from pixcrawler.exceptions import ArchiveError, PixCrawlerError
from pixcrawler.limits import Limits

__version__: Final[str]

class BuildInfo(TypedDict):
    version: str
    profile: str
    jpeg_library: str
    jpeg_simd: bool
    resize_kernel: str

def build_info() -> BuildInfo:
    """How the extension was built: version, cargo profile, JPEG library and its SIMD code; resize kernel in use."""

def error_codes() -> dict[str, tuple[str, str, str]]:
    """The byte-level error codes: code -> (exception class name, cause, remedy)."""

def detect_format(data: bytes, /) -> str | None:
    """The image format that the first bytes announce ("jpeg", "png", "webp", "gif", "bmp", "tiff" ...), or None.

    Args:
        data: The first bytes of a file; 32 suffice.
    """

def empty(shape: tuple[int, int, int, int], /) -> NDArray[np.uint8]:
    """A new C-contiguous uint8 array of unspecified content, such as :meth:`Decoder.decode_into` takes.

    Args:
        shape: (N, H, W, C).

    Raises:
        MemoryError: The memory cannot be had.

    Note:
        The array is the caller's own. When it and all views of it are gone, its memory is used again for others, as far
        as a :class:`MemoryLease` allows.
    """

def decode_png16(data: bytes, limits: Limits, /) -> tuple[bytes, tuple[int, int, int]]:
    """Decode a PNG of 16 bits a channel without loss. Releases the GIL.

    Args:
        data: The file.
        limits: Bounds on untrusted input.

    Returns:
        The samples, big-endian, rows from the top, and their shape (H, W, C) with 1 to 4 channels. The picture is not
        turned.

    Raises:
        ImageDecodeError, LimitError: It is broken, of another depth, or too large.
    """

def crc32c(data: bytes, initial: int = 0, /) -> int:
    """The CRC-32C of bytes. Releases the GIL for long ones.

    Args:
        data: The bytes.
        initial: The sum of what stands before them.
    """

def read_many(
    items: Sequence[tuple[LocalFile, int, int, int | None]], threads: int, /
) -> list[bytes | BarecatIntegrityError | OSError]:
    """Read parts of files, in order of address, neighbours together, without the GIL.

    Args:
        items: File, offset, size, and the CRC-32C to compare with (None: not compared); length N.
        threads: Size of the thread pool that shares the work, as in :class:`Decoder`.

    Returns:
        Length N, in order of ``items``: the bytes, or why they cannot be had, not raised.

    Raises:
        OverflowError: A number is negative or over 64 bits.
        KeyboardInterrupt: Ctrl-C.

    Note:
        Memory is taken for bytes that the files have, whatever an item claims.
    """

@final
class MemoryLease:
    """The right to keep released memory for using it again, for as long as the object lives.

    Fresh memory costs a page fault for every 4 KiB, a tenth of a photograph's decode time and more.

    Args:
        size_bytes: Bytes that may be kept on its account. Without any lease nothing is kept.
    """

    def __new__(cls, size_bytes: int, /) -> Self: ...
    @staticmethod
    def kept_bytes() -> int:
        """Bytes that are kept at present, by all leases together."""

@final
class LocalFile:
    """An open file, read at positions.

    Args:
        path: Which.

    Raises:
        OSError: It cannot be opened.
    """

    def __new__(cls, path: str | PathLike[str], /) -> Self: ...
    @property
    def size_bytes(self) -> int:
        """Its length now. Raises OSError."""

    def read(self, start: int, stop: int, /) -> SegmentBuffer:
        """The bytes [start, stop), sealed. Releases the GIL.

        Raises:
            EOFError: The file ends before ``stop``.
            OSError: It cannot be read.
            MemoryError: The memory cannot be had.
        """

    def read_bytes(self, offset: int, size: int, crc: int | None = None, /) -> bytes:
        """The ``size`` bytes from ``offset`` on. Releases the GIL.

        Args:
            offset: The first byte.
            size: How many.
            crc: Their CRC-32C, compared if it is given.

        Raises:
            BarecatIntegrityError: The file ends before (``shard_short``), or the sum is another (``crc32c``).
            OSError: The file cannot be read.
            OverflowError: A number is negative or over 64 bits.
        """

@final
class SegmentBuffer:
    """A byte range of a chunk while it arrives: written front to back, then sealed and immutable.

    Args:
        capacity: Length in bytes, that of the range that was asked for. Allocated as bytes arrive.
    """

    def __new__(cls, capacity: int) -> Self: ...
    def write(self, data: bytes, /) -> None:
        """Append bytes. Raises ValueError past the capacity or once sealed; nothing is written then."""

    def receive(self, descriptor: int, limit: int, timeout_s: float, /) -> tuple[int, bool]:
        """Append what arrives on a connected socket, without the GIL.

        It returns when the buffer is full, ``limit`` bytes came, the peer ended, the time is over, or a signal came.

        Args:
            descriptor: The socket's. Blocking or not makes no difference.
            limit: Bytes to append at most.
            timeout_s: How long it may take in all, in seconds.

        Returns:
            The bytes appended, and whether the peer sends no more.

        Raises:
            OSError: The connection broke, or ``descriptor`` is no socket; nothing is appended then.
            ValueError: The buffer is sealed, or another call writes it.
        """

    def seal(self) -> None:
        """Make it readable and immutable. Raises ValueError unless it is full."""

    @property
    def filled(self) -> int:
        """Bytes written so far."""

    def tobytes(self, start: int, stop: int, /) -> bytes:
        """A copy of a part of a sealed buffer."""

    def __len__(self) -> int: ...

Buffer: TypeAlias = bytes | SegmentBuffer

@final
class Location:
    """Where a zip's central directory stands, as :meth:`Directory.locate` finds it."""

    @property
    def start(self) -> int:
        """Its first byte, in the file."""

    @property
    def stop(self) -> int:
        """One past its last byte."""

    @property
    def entries(self) -> int:
        """Entries that the end record declares."""

@final
class Directory:
    """A chunk's members: a zip's validated central directory, a folder's files laid end to end, or those of a shard.

    Args:
        data: The central directory's bytes, those from ``location.start`` to ``location.stop``.
        location: What :meth:`locate` returned.
        file_size: Size of the whole chunk in bytes.
        limits: Bounds on entries and bytes.

    Raises:
        ArchiveError: The directory as a whole is not to be trusted. A single bad member is not an error here:
            decoding it is.
    """

    def __new__(cls, data: bytes, location: Location, file_size: int, limits: Limits) -> Self: ...
    @staticmethod
    def locate(tail: bytes, file_size: int, limits: Limits) -> Location:
        """Find the central directory from the last bytes of a zip (65,536, or the whole file).

        Raises:
            ArchiveError: No end record, or one that contradicts the file.
        """

    @staticmethod
    def identify(head: bytes, file_size: int) -> ArchiveError:
        """What is wrong with a file in whose last bytes there is no end record: it is no zip, or a cut one.

        Args:
            head: The file's first bytes; 512 suffice.
            file_size: Size of the whole file in bytes.

        Returns:
            An error with the code ``not_a_zip`` or ``truncated``, not raised.
        """

    @staticmethod
    def bare(names: Sequence[str], sizes: Sequence[int]) -> Directory:
        """Plain files laid end to end, without headers or checksums: member i begins at ``sum(sizes[:i])``."""

    @staticmethod
    def in_shard(
        rows: Sequence[tuple[Any, ...]],
        shard_bytes: int | None,
        limits: Limits,
        *,
        before: int = 0,
        following: Sequence[tuple[Any, ...]] | None = None,
    ) -> tuple[Directory, int, int]:
        """Files of an archive's shard: their CRC-32C is checked where the index holds it.

        A row that cannot be true, that the shard does not hold, that shares bytes with another, or whose path a zip's
        member may not have, is a member that is refused.

        Args:
            rows: (path, shard, offset, size, CRC-32C or None) as they stand in the index, by offset.
            shard_bytes: Size of the shard, which all rows name; None if there is no such shard.
            limits: Bounds on bytes.
            before: Where the files of earlier rows end.
            following: Rows of the same shard that come next.

        Returns:
            The directory, and the range [start, stop) of the shard that it describes: its extents count from start.
        """

    def __len__(self) -> int:
        """Entries, those of folders included."""

    def name(self, index: int, /) -> str:
        """A member's name as text; bytes that are not UTF-8 are read as CP437."""

    def raw_name(self, index: int, /) -> bytes:
        """A member's name as it stands in the chunk."""

    def extent(self, index: int, /) -> tuple[int, int]:
        """The bytes [start, stop) of the chunk that hold the member with its headers.

        One byte if it is refused; of plain files none then.
        """

    def is_refused(self, index: int, /) -> bool:
        """Whether the directory alone shows that a member must not be read: no other bytes will make it good."""

    def find(self, name: str, /) -> int | None:
        """The index of the member of that name, or None."""

    @property
    def tolerated(self) -> list[str]:
        """What is not as it should be and was let pass: bytes that no member claims, folders, unknown extra fields."""

    @property
    def samples(self) -> list[int]:
        """Indices of the samples, in the directory's order: all members but folders and a metadata.jsonl at the top."""

    def read_member(self, index: int, buffer: Buffer, offset: int, /) -> bytes:
        """Inflate one member and check its size and CRC.

        Args:
            index: Which member.
            buffer: Bytes that hold its extent.
            offset: Position in the chunk of ``buffer``'s first byte.

        Raises:
            ArchiveError, LimitError: The member is refused.
        """

    def __reduce__(self) -> tuple[Callable[[bytes], Directory], tuple[bytes]]:
        """Pickled as the table that was read, without reading it again: about 16 bytes an entry, and its name."""

def restore_directory(data: bytes, /) -> Directory:
    """The directory of a pickle.

    Raises:
        ValueError: These bytes are of no pickled directory.
    """

Item: TypeAlias = tuple[Buffer, int, Directory, int]
"""A member to decode: a buffer that holds its extent, the chunk position of its first byte, directory, index."""

@final
class ImageInfo:
    """What a picture is that was decoded to its end."""

    @property
    def height(self) -> int:
        """Rows of the picture as it is delivered at its own size."""

    @property
    def width(self) -> int:
        """Columns of the same."""

    @property
    def format(self) -> str:
        """The file format, as :func:`detect_format` names it."""

    @property
    def orientation(self) -> int:
        """EXIF's value, 1 (upright) to 8; 1 where there is none that can be read."""

    @property
    def color(self) -> str:
        """How the colours are coded: "grey", "grey+alpha", "RGB", "RGBA", "palette" or "CMYK"."""

    @property
    def bits(self) -> int:
        """Bits a channel, or an index into a palette, as coded."""

    @property
    def decoder(self) -> str:
        """Who decoded it, as in :class:`DecoderStats`."""

@final
class Kept:
    """An image that was delivered though it is not whole, as ``keep_truncated`` asks."""

    @property
    def image(self) -> NDArray[np.uint8] | None:
        """uint8 (H, W, C); None if it stands in a slot of the caller's array."""

    @property
    def error(self) -> PixCrawlerError:
        """Why it is not whole: the error that it would be else."""

class DecoderStats(TypedDict):
    """What a decoder has done; times are nanoseconds, summed over threads.

    Attributes:
        encoded_bytes: Bytes of members read, inflated.
        inflate_ns: Reading members.
        decode_ns: Decoding, colour conversion and turning.
        resize_ns: Resizing.
        images_by_decoder: Images by who decoded them: ``pixcrawler-jpeg``, ``libjpeg-turbo``, ``png``, ``libwebp``,
            ``gif``, ``bmp``, ``tiff``.
    """

    encoded_bytes: int
    inflate_ns: int
    decode_ns: int
    resize_ns: int
    images_by_decoder: dict[str, int]

@final
class Decoder:
    """Inflates, decodes, orients and resizes batches of members, in parallel, with one set of options.

    Args:
        mode: "RGB" (3 channels), "L" (1) or "RGBA" (4).
        image_size: (height, width) of every output, or None for each image's own.
        resize_mode: "stretch", "crop" or "pad".
        interpolation: "nearest", "bilinear", "bicubic" or "lanczos", each as Pillow computes it.
        apply_exif: Turn images as their EXIF orientation says.
        draft: Let JPEGs be decoded at 1/2, 1/4 or 1/8 where that still covers ``image_size``; changes pixels.
        keep_truncated: Deliver JPEGs that end too early, their missing part grey, as :class:`Kept`.
        limits: Bounds on untrusted input.
        threads: Size of the thread pool, shared by all decoders of that size in the process.
        working_bytes: Bound on the memory that decoders use at once beside their output; one image larger than it
            runs alone.
    """

    def __new__(
        cls,
        *,
        mode: str,
        image_size: tuple[int, int] | None,
        resize_mode: str,
        interpolation: str,
        apply_exif: bool,
        draft: bool,
        keep_truncated: bool,
        limits: Limits,
        threads: int,
        working_bytes: int,
    ) -> Self: ...
    def probe(self, items: Sequence[Item], /) -> list[tuple[int, int] | PixCrawlerError]:
        """(height, width) that each member has when decoded at its own size, from its headers."""

    def decode_into(self, items: Sequence[Item], out: NDArray[np.uint8], /) -> list[PixCrawlerError | Kept | None]:
        """Decode members into the slots of an existing batch.

        Args:
            items: Length N.
            out: uint8, shape (N, H, W, C), C-contiguous, writeable. Slot i receives items[i]. Without ``image_size`` an
                image of another size than (H, W) is an :class:`ImageSizeError`.

        Returns:
            Length N: None or :class:`Kept` where slot i was written, else its error; a failed slot's content is
            unspecified.

        Raises:
            ValueError: ``out`` has another shape or layout, or is in use by another call; nothing was written.
            TypeError: ``out`` has another dtype.
            KeyboardInterrupt: Ctrl-C; the content of ``out`` is unspecified.
        """

    def decode(self, items: Sequence[Item], /, *, max_bytes: int) -> list[NDArray[np.uint8] | Kept | PixCrawlerError]:
        """Decode members into new arrays (H, W, C), each of its own size (or ``image_size``).

        Args:
            items: Length N.
            max_bytes: Bound on the arrays together. What exceeds it is left for another call; the first image never is.

        Returns:
            Length 1 to N (0 of 0): arrays, :class:`Kept`, or the errors of those that failed.

        Raises:
            KeyboardInterrupt: Ctrl-C.
        """

    def inspect(self, items: Sequence[Item], /) -> list[ImageInfo | PixCrawlerError]:
        """Inflate members, check their CRC, and decode each whole at its own size, keeping no pixels.

        Args:
            items: Length N.

        Returns:
            Length N: what each picture is, or the error that decoding it at its own size gives.

        Raises:
            KeyboardInterrupt: Ctrl-C.
        """

    def stop(self) -> None:
        """End calls under way in other threads, after the images in work; these and later calls raise RuntimeError."""

    def stats(self) -> DecoderStats:
        """What all calls so far did."""
