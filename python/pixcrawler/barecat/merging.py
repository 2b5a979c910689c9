"""Archives made of others: what :meth:`pixcrawler.barecat.Barecat.merge_from_other_barecat` does."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, cast

from pixcrawler.barecat.exceptions import FileExistsBarecatError
from pixcrawler.barecat.globbing import compiled
from pixcrawler.barecat.infos import BarecatDirInfo, BarecatFileInfo, Order
from pixcrawler.barecat.paths import check_writable, normalize, parent_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pixcrawler.barecat.archive import Barecat

__all__ = ["included", "merge_archive"]

# Larger files are copied in parts.
_WHOLE_BYTES = 8 << 20


def included(pattern: str | None, filter_rules: Sequence[tuple[str, str]] | None) -> Callable[[str], bool]:
    """Which paths of a source are taken.

    Args:
        pattern: A glob that a path must match; None takes all.
        filter_rules: Pairs of ``"+"`` or ``"-"`` and a glob: the first that matches decides; without any, a path
            is taken.

    Raises:
        ValueError: A rule's sign is neither.
    """
    only = None if pattern is None else compiled(pattern)
    rules = [(sign, compiled(glob)) for sign, glob in filter_rules or ()]
    wrong = [sign for sign, _ in rules if sign not in {"+", "-"}]
    if wrong:
        raise ValueError(f"a rule is '+' or '-' and a glob, not {wrong[0]!r}")

    def is_included(path: str) -> bool:
        if only is not None and only.fullmatch(path) is None:
            return False
        return next((sign == "+" for sign, rule in rules if rule.fullmatch(path)), True)

    return is_included


def merge_archive(
    target: Barecat,
    source: Barecat,
    *,
    ignore_duplicates: bool,
    prefix: str,
    is_included: Callable[[str], bool],
    is_filtered: bool,
) -> None:
    """Copy an archive's files into another one, comparing their checksums. Holes and skipped files are not copied.

    Conflicts are found before anything is written.

    Args:
        target: To be written.
        source: To be read.
        ignore_duplicates: Leave out files that the target has.
        prefix: Directory of the target that they go below.
        is_included: Which of the source's files.
        is_filtered: Whether only directories with such files are taken.

    Raises:
        FileExistsBarecatError: The target has such a file.
        ValueError: A directory would take a file's place, or the other way round; or a path must not be an entry's.
    """
    prefix = normalize(prefix)
    place = prefix
    while place:
        if target.isfile(place):
            raise ValueError(f"the prefix {prefix!r} cannot be a directory: {place!r} exists as a file")
        place = parent_of(place)
    dirs = [] if is_filtered else [info for info in source.index.iter_all_dirinfos(Order.PATH) if info.path or prefix]
    for info in dirs:
        if target.isfile(_below(prefix, info.path)):
            raise ValueError(f"directory {info.path!r} conflicts with target file")
    for path in source.index.iter_all_filepaths():
        if is_included(path):
            _check_file(target, _below(prefix, path), ignore_duplicates=ignore_duplicates)
    for info in dirs:
        _merge_dir(target, _below(prefix, info.path), info)
    for file in source.index.iter_all_fileinfos(Order.ADDRESS):
        path = _below(prefix, file.path)
        if is_included(file.path) and not (ignore_duplicates and target.isfile(path)):
            _copy(target, source, file, path)


def _below(prefix: str, path: str) -> str:
    return f"{prefix}/{path}" if prefix and path else prefix or path


def _check_file(target: Barecat, path: str, *, ignore_duplicates: bool) -> None:
    check_writable(path)
    if target.isdir(path):
        raise ValueError(f"file {path!r} conflicts with target directory")
    if target.isfile(path):
        if ignore_duplicates:
            return
        raise FileExistsBarecatError("the target has such a file", path=path)
    place = parent_of(path)
    while place:
        if target.isdir(place):
            return
        if target.isfile(place):
            raise ValueError(f"directory {place!r} conflicts with target file")
        place = parent_of(place)


def _merge_dir(target: Barecat, path: str, info: BarecatDirInfo) -> None:
    """Make a directory, or let one that is there take both's modes and the later time."""
    new = BarecatDirInfo(path, info.mode, info.uid, info.gid, info.mtime_ns)
    if target.isdir(path):
        old = target.index.lookup_dir(path)
        new.uid = new.gid = None
        if info.mode is not None:
            new.mode = info.mode | (old.mode or 0)
        if info.mtime_ns is not None and old.mtime_ns is not None:
            new.mtime_ns = max(info.mtime_ns, old.mtime_ns)
    target.add(new, dir_exist_ok=True)


def _copy(target: Barecat, source: Barecat, file: BarecatFileInfo, path: str) -> None:
    new = BarecatFileInfo(path, file.mode, file.uid, file.gid, file.mtime_ns, size=file.size, crc32c=file.crc32c)
    if (file.size or 0) <= _WHOLE_BYTES:
        target.add(new, data=source.read(file))
        return
    with source.open(file, "rb") as stream:
        target.add(new, fileobj=cast("IO[bytes]", stream))
