"""Paths in an archive: one spelling each, and which of them may be written."""

from __future__ import annotations

import os
import posixpath
import re

from pixcrawler.barecat.exceptions import IsADirectoryBarecatError

__all__ = ["below", "check_writable", "is_safe", "name_of", "normalize", "parent_of", "parse_size", "subtree"]

_SIZE = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([KMGT]?)\s*", re.IGNORECASE | re.ASCII)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}

# SQLite's integers are signed and have 64 bits.
SHARD_SIZE_UNLIMITED = 2**63 - 1


def normalize(path: str | os.PathLike[str]) -> str:
    """A path as the index holds it: POSIX ``normpath`` without leading slashes; the root is ``''``.

    Case and Unicode form are kept.

    Raises:
        TypeError: It is neither text nor a path.
    """
    if type(path) is not str:
        path = os.fspath(path)
        if not isinstance(path, str):
            message = f"a path in an archive is text, not {type(path).__name__}"
            raise TypeError(message)
    # Most paths are as they should be, and a lookup takes a few microseconds in all.
    if path[:1] not in "./" and path[-1:] != "/" and "//" not in path and "/." not in path:
        return path
    path = posixpath.normpath(path).lstrip("/")
    return "" if path == "." else path


def is_safe(path: str) -> bool:
    """Whether a path of an index lies inside a folder that it is joined to, and can be a file's name.

    Args:
        path: As the index holds it, however it came there.
    """
    if not path or "\0" in path or path != normalize(path) or path == ".." or path.startswith("../"):
        return False
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def check_writable(path: str) -> None:
    """Refuse a normalised path that must not become an entry's.

    Raises:
        IsADirectoryBarecatError: It is the root.
        ValueError: It starts with ``..``, or holds NUL or a lone surrogate.
    """
    if not path:
        raise IsADirectoryBarecatError("the path is the root's", path=path)
    if not is_safe(path):
        message = f"not a path for an archive: {path!r} starts with '..', or holds NUL or a lone surrogate"
        raise ValueError(message)


def parent_of(path: str) -> str:
    """The path up to its last slash, without it; ``''`` at the top."""
    return path.rpartition("/")[0]


def below(prefix: str, path: str) -> str:
    """A path put below a directory; either may be the root's, and both are normalised."""
    return f"{prefix}/{path}" if prefix and path else prefix or path


def name_of(path: str) -> str:
    """The path's last part."""
    return path.rpartition("/")[2]


def subtree(path: str) -> tuple[str, str]:
    """Bounds of all paths below a directory, in byte order: first <= path < second. Not for the root."""
    # "0" follows "/".
    return f"{path}/", f"{path}0"


def parse_size(size: float | str | None) -> int | None:
    """A shard size limit in bytes.

    Args:
        size: Bytes, or a number with K, M, G or T, powers of 1024, such as ``"50G"`` or ``"1.5m"``; None is None.

    Raises:
        ValueError: It is no such text, or not positive.
    """
    if size is None:
        return None
    if isinstance(size, str):
        match = _SIZE.fullmatch(size)
        if match is None:
            message = f"a size is a number, or a number with K, M, G or T, not {size!r}"
            raise ValueError(message)
        number = (
            float(match[1]) * _UNITS[match[2].upper()] if "." in match[1] else int(match[1]) * _UNITS[match[2].upper()]
        )
        size = number
    limit = min(int(size), SHARD_SIZE_UNLIMITED)
    if limit <= 0:
        message = f"a shard size limit is at least one byte, not {size!r}"
        raise ValueError(message)
    return limit
