"""Names from outside, made fit to be names of files: on every system, inside their folder, each only once."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["IMAGE_EXTENSIONS", "UniqueNames", "image_name", "safe_name", "zip_names"]

# Of 255 bytes that most file systems allow: room for a number that makes a name unique, and for ".partial".
_MAX_BYTES = 200
_MAX_EXTENSION = 16
# What Windows forbids in a name, besides what is not printable.
_FORBIDDEN = re.compile(r'[<>:"/\\|?*]')
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?:\..*)?", re.IGNORECASE)

# By content, as the decoders tell them; the first bytes, and for WebP those from 8 on.
_MAGIC = (
    (b"\xff\xd8\xff", ".jpg"),
    (b"\x89PNG\r\n\x1a\n", ".png"),
    (b"GIF87a", ".gif"),
    (b"GIF89a", ".gif"),
    (b"BM", ".bmp"),
    (b"II*\0", ".tif"),
    (b"MM\0*", ".tif"),
)
IMAGE_EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
"""Those that image folders' readers know an image by."""


def safe_name(text: str) -> str:
    """One name of a file or folder; the same text always gives the same name, and most texts give themselves.

    Never empty, hidden, ``.`` or ``..``; without separators, drive letters, control and other characters that cannot be
    shown, and characters that a system forbids; not a device of Windows; at most 200 bytes of UTF-8.

    Args:
        text: Any text, lone surrogates included.
    """
    name = "".join(c if c.isprintable() else "_" for c in unicodedata.normalize("NFC", text))
    name = _FORBIDDEN.sub("_", name).strip(" ").rstrip(". ")
    if not name or name.startswith(".") or _DEVICES.fullmatch(name):
        name = f"_{name}"
    if len(name.encode()) <= _MAX_BYTES:
        return name
    stem, extension = _split(name)
    mark = f"~{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"
    kept = stem.encode()[: _MAX_BYTES - len(mark) - len(extension.encode())].decode("utf-8", "ignore")
    return f"{kept}{mark}{extension}"


def _split(name: str) -> tuple[str, str]:
    """Stem and extension; a very long extension is none."""
    stem, dot, extension = name.rpartition(".")
    return (stem, dot + extension) if stem and len(extension.encode()) < _MAX_EXTENSION else (name, "")


def image_name(member: str, data: bytes) -> str:
    """A safe file name of an image: its own, and the extension of its content where its own is not that of an image.

    Args:
        member: Its name in the chunk.
        data: Its bytes.
    """
    name = safe_name(member.rpartition("/")[2])
    if _split(name)[1].lower() in IMAGE_EXTENSIONS:
        return name
    is_webp = data.startswith(b"RIFF") and data[8:12] == b"WEBP"
    found = ".webp" if is_webp else next((end for magic, end in _MAGIC if data.startswith(magic)), "")
    return name + found


class UniqueNames:
    """Names given out once, as a file system sees them that knows no upper and lower case.

    Args:
        taken: Names that are not to be given.
    """

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken: set[str] = set()
        self._next: dict[str, int] = {}
        for name in taken:
            self.take(name)

    def take(self, name: str) -> None:
        """Note that a name is in use."""
        self._taken.add(_key(name))

    def give(self, name: str) -> str:
        """The name, or, if it is taken, with the first free number from 2 on before its extension."""
        stem, extension = _split(name)
        # Goes on where the last search of this name ended: a thousand equal names cost no million looks.
        number = self._next.get(_key(name), 1)
        free = name if number == 1 else f"{stem}-{number}{extension}"
        while _key(free) in self._taken:
            number += 1
            free = f"{stem}-{number}{extension}"
        self._next[_key(name)] = number
        self.take(free)
        return free


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def zip_names(ids: Sequence[str]) -> list[str]:
    """File names for chunks, whose order is that of the chunks: their ids, or their numbers where ids would not do.

    Args:
        ids: The chunks' ids, in order.
    """
    names = [f"{one}.zip" for one in ids]
    are_plain = all(safe_name(name) == name for name in names) and len({_key(name) for name in names}) == len(names)
    return names if are_plain and sorted(names) == names else [f"chunk-{number:06d}.zip" for number in range(len(ids))]
