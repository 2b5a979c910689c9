"""What an input may cost at most; every limit is checked before the memory or time it bounds is spent."""

from __future__ import annotations

from dataclasses import dataclass, fields

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on untrusted input. The defaults suit chunks of some hundred photographs.

    Those before ``chunk_bytes`` are the native core's, of the same names and defaults.

    Attributes:
        entries: Entries of one central directory.
        directory_bytes: Bytes of one central directory.
        prefix_bytes: Bytes in front of a chunk's first member, such as a self-extractor's program.
        member_bytes: Bytes of one member as it stands in the archive.
        inflated_bytes: Bytes of one member when inflated.
        inflate_ratio: Inflated to compressed size, for members that inflate to more than 16 MiB.
        chunk_inflated_bytes: Bytes of all members of one chunk when inflated: those that come after are failures.
        pixels: Pixels (height x width) of one image.
        side: Width and height of one image: bounds rows and the tables of a resize.
        scans: Scans of one JPEG.
        scan_pixels: Scans x pixels of one JPEG of several scans: a pixel limit alone does not bound the time.
        markers: Markers of one JPEG; those behind its only scan do not count.
        png_chunks: Chunks that make the picture of one PNG; others are skipped unread and do not count.
        chunk_bytes: Bytes of one chunk.
        json_bytes: Bytes of one answer of the API, of which each JSON value counts as 16 at least; all pages of one
            list may have four times as many.
        header_bytes: Bytes of the headers of one answer, interim ones included; through a proxy httpcore bounds them.
        redirects: Redirects followed for one request.
        error_body_bytes: Bytes read of the body of an error answer.

    Raises:
        TypeError: A limit is not an int.
        ValueError: A limit is negative, or too large for 63 bits.
    """

    entries: int = 100_000
    directory_bytes: int = 64 << 20
    prefix_bytes: int = 0
    member_bytes: int = 64 << 20
    inflated_bytes: int = 256 << 20
    inflate_ratio: int = 100
    chunk_inflated_bytes: int = 16 << 30
    pixels: int = 100_000_000
    side: int = 100_000
    scans: int = 100
    scan_pixels: int = 10_000_000_000
    markers: int = 10_000
    png_chunks: int = 10_000
    chunk_bytes: int = 4 << 30
    json_bytes: int = 64 << 20
    header_bytes: int = 65_536
    redirects: int = 5
    error_body_bytes: int = 4096

    def __post_init__(self) -> None:
        """Refuse what the native core could not represent."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int):
                message = f"Limits.{field.name} must be an int, not {value!r}"
                raise TypeError(message)
            top = (1 << 32) - 1 if field.name == "scans" else (1 << 63) - 1
            if not 0 <= value <= top:
                message = f"Limits.{field.name} must be from 0 to {top}, not {value}"
                raise ValueError(message)
