"""Archives copied into others: whole, in part, or by links to their shards."""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING

from pixcrawler.barecat import layout
from pixcrawler.barecat.contents import address_in
from pixcrawler.barecat.copying import contents_of
from pixcrawler.barecat.exceptions import BarecatError, BarecatIntegrityError, FileExistsBarecatError
from pixcrawler.barecat.globbing import compiled
from pixcrawler.barecat.index import Index
from pixcrawler.barecat.infos import BarecatDirInfo, BarecatFileInfo, Order
from pixcrawler.barecat.paths import below, check_writable, normalize, parent_of
from pixcrawler.barecat.shards import checked_address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import TypeAlias

    from pixcrawler.barecat.archive import Barecat
    from pixcrawler.barecat.reading import IndexReader

    AnyPath: TypeAlias = str | os.PathLike[str]
    Rules: TypeAlias = Sequence[tuple[str, str]]

__all__ = [
    "append",
    "chosen",
    "included",
    "merge",
    "merge_archive",
    "merge_index",
    "merge_into",
    "merge_symlink",
    "subset",
]


def included(pattern: str | None, filter_rules: Rules | None) -> Callable[[str], bool]:
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


def chosen(pattern: str | None, filter_rules: Rules | None) -> Callable[[str], bool] | None:
    """As :func:`included`, or None where everything is taken, directories without files too."""
    return included(pattern, filter_rules) if pattern is not None or filter_rules else None


# New archives.


def merge(
    source_paths: Iterable[AnyPath],
    target_path: AnyPath,
    shard_size_limit: int | str | None = None,
    overwrite: bool = False,
    ignore_duplicates: bool = False,
    as_subdirs: bool = False,
    prefix: str | None = None,
    pattern: str | None = None,
    filter_rules: Rules | None = None,
    *,
    on_source: Callable[[str, str], None] | None = None,
) -> None:
    """Make an archive of several: archives, tars and zips. It appears when it is complete.

    Holes and files that are left out are not copied; checksums are compared.

    Args:
        source_paths: Which.
        target_path: The new archive's name.
        shard_size_limit: Bytes that a shard may have, or text such as ``"50G"``.
        overwrite: Replace an archive that is there.
        ignore_duplicates: Of files of one path take the first; else one is an error.
        as_subdirs: Put each below a directory of its name, without folder and extension.
        prefix: Directory that everything goes below.
        pattern: As in :func:`included`.
        filter_rules: As in :func:`included`.
        on_source: Called with each source, and the directory that it goes below, before it is copied.

    Raises:
        FileExistsBarecatError: There is an archive already, or two sources have a file of one path.
        BarecatIntegrityError: A source is broken.
        ValueError: A directory would take a file's place, or the other way round.
    """
    from pixcrawler.barecat.archive import Barecat
    from pixcrawler.barecat.replacing import new_archive

    with (
        new_archive(os.fspath(target_path), overwrite=overwrite) as name,
        Barecat(name, shard_size_limit, readonly=False) as bc,
    ):
        for source, place in prefixes(source_paths, prefix, as_subdirs=as_subdirs, on_source=on_source):
            merge_into(
                bc,
                source,
                ignore_duplicates=ignore_duplicates,
                prefix=place,
                is_included=chosen(pattern, filter_rules),
            )


def append(
    source_paths: Iterable[AnyPath],
    target_path: AnyPath,
    shard_size_limit: int | str | None = None,
    *,
    as_subdirs: bool = False,
    prefix: str | None = None,
    pattern: str | None = None,
    filter_rules: Rules | None = None,
    on_source: Callable[[str, str], None] | None = None,
) -> None:
    """As :func:`merge`, into an archive that may be there already: the files that it has stay.

    Raises:
        ValueError: A source is the target.
    """
    from pixcrawler.barecat.archive import Barecat

    sources = [os.fspath(path) for path in source_paths]
    _check_apart(sources, os.fspath(target_path))
    with Barecat(target_path, shard_size_limit, readonly=False) as bc:
        for source, place in prefixes(sources, prefix, as_subdirs=as_subdirs, on_source=on_source):
            merge_into(bc, source, ignore_duplicates=True, prefix=place, is_included=chosen(pattern, filter_rules))


def _check_apart(sources: Iterable[str], target: str) -> None:
    for source in sources:
        if os.path.realpath(source) == os.path.realpath(target):
            raise ValueError(f"the target is one of the sources, which must stay: {source!r}")


def subset(
    source_path: AnyPath,
    target_path: AnyPath,
    shard_size_limit: int | str | None = None,
    overwrite: bool = False,
    pattern: str | None = None,
    filter_rules: Rules | None = None,
) -> None:
    """Make an archive of some of another's files, with the directories that they lie in. As :func:`merge`."""
    merge([source_path], target_path, shard_size_limit, overwrite, pattern=pattern, filter_rules=filter_rules)


def prefixes(
    sources: Iterable[AnyPath],
    prefix: str | None,
    *,
    as_subdirs: bool,
    on_source: Callable[[str, str], None] | None = None,
) -> Iterator[tuple[str, str]]:
    """Sources, each with the directory that its entries go below.

    Args:
        sources: Which.
        prefix: One for all.
        as_subdirs: Below that one for each, of its name.
        on_source: Told each, when its turn has come.
    """
    from pixcrawler.barecat.foreign import stem_of

    start = normalize(prefix or "")
    for path in sources:
        source = os.fspath(path)
        place = below(start, stem_of(source)) if as_subdirs else start
        if on_source is not None:
            on_source(source, place)
        yield source, place


def merge_into(
    target: Barecat,
    source: AnyPath,
    *,
    ignore_duplicates: bool,
    prefix: str,
    is_included: Callable[[str], bool] | None,
) -> None:
    """Copy an archive's, a tar's or a zip's files into an archive.

    Args:
        target: To be written.
        source: The archive's, tar's or zip's name.
        ignore_duplicates: Leave out files that the target has.
        prefix: Directory of the target that they go below.
        is_included: Which of the source's files; None takes all, and directories without files.

    Raises:
        As :func:`merge_archive`, :func:`pixcrawler.barecat.archive2barecat`.
    """
    from pixcrawler.barecat.archive import Barecat
    from pixcrawler.barecat.conversion import add_foreign
    from pixcrawler.barecat.foreign import kind_of

    if kind_of(source) is not None:
        _check_prefix(target.index, normalize(prefix))
        add_foreign(
            target, source, prefix=normalize(prefix), is_included=is_included, ignore_duplicates=ignore_duplicates
        )
        return
    with Barecat(source) as opened:
        merge_archive(target, opened, ignore_duplicates=ignore_duplicates, prefix=prefix, is_included=is_included)


def merge_symlink(
    source_paths: Iterable[AnyPath],
    target_path: AnyPath,
    overwrite: bool = False,
    ignore_duplicates: bool = False,
    as_subdirs: bool = False,
    prefix: str | None = None,
    pattern: str | None = None,
    filter_rules: Rules | None = None,
    *,
    on_source: Callable[[str, str], None] | None = None,
) -> None:
    """Make an archive of several without copying: its shards are symbolic links to theirs. As :func:`merge`.

    Raises:
        ValueError: A source is a tar or a zip, or the target.
    """
    from pixcrawler.barecat.archive import Barecat
    from pixcrawler.barecat.foreign import kind_of
    from pixcrawler.barecat.replacing import new_archive

    sources = [os.fspath(path) for path in source_paths]
    target = os.fspath(target_path)
    for source in sources:
        if kind_of(source) is not None:
            raise ValueError(f"links to shards are not supported with tar/zip: {source!r}")
    _check_apart(sources, target)
    with new_archive(target, overwrite=overwrite) as name, closing(Index(name, readonly=False)) as index:
        shard = 0
        for source, place in prefixes(sources, prefix, as_subdirs=as_subdirs, on_source=on_source):
            with Barecat(source) as opened:
                numbers = opened.shards.numbers()
                if numbers != list(range(len(numbers))):
                    raise BarecatError(f"{source}: expected shards from 0 without holes", code="shard_missing")
                merge_index(
                    index,
                    opened.index,
                    ignore_duplicates=ignore_duplicates,
                    prefix=place,
                    is_included=chosen(pattern, filter_rules),
                    first_shard=shard,
                )
                for number in numbers:
                    link = os.path.relpath(opened.shards.path(number), os.path.dirname(os.path.abspath(target)))
                    os.symlink(link, layout.shard_path(name, shard + number))
            shard += len(numbers)


# Into an archive that is open.


def merge_archive(
    target: Barecat,
    source: Barecat,
    *,
    ignore_duplicates: bool,
    prefix: str,
    is_included: Callable[[str], bool] | None,
) -> None:
    """Copy an archive's files into another one, comparing their checksums. Holes and skipped files are not copied.

    Conflicts are found before anything is written.

    Args:
        target: To be written.
        source: To be read.
        ignore_duplicates: Leave out files that the target has.
        prefix: Directory of the target that they go below.
        is_included: Which of the source's files; None takes all, and directories without files.

    Raises:
        FileExistsBarecatError: The target has such a file.
        ValueError: A directory would take a file's place, or the other way round; or a path must not be an entry's.
    """
    prefix = normalize(prefix)
    for directory in _checked(target.index, source.index, prefix, is_included, ignore_duplicates=ignore_duplicates):
        target.add(directory, dir_exist_ok=True)
    files = _files(target.index, source.index, prefix, is_included, ignore_duplicates=ignore_duplicates)
    for file, content in contents_of(source, files, ahead=source.readonly):
        new = BarecatFileInfo(below(prefix, file.path), file.mode, file.uid, file.gid, file.mtime_ns)
        new.size, new.crc32c = file.size, file.crc32c
        if isinstance(content, bytes):
            target.add(new, data=content)
        else:
            target.add(new, fileobj=content)


def merge_index(
    target: Index,
    source: IndexReader,
    *,
    ignore_duplicates: bool,
    prefix: str,
    is_included: Callable[[str], bool] | None = None,
    first_shard: int,
) -> None:
    """Copy an index's rows into another one, whose archive has, or will have, the source's shards under other numbers.

    Args:
        target: To be written.
        source: To be read.
        ignore_duplicates: As in :func:`merge_archive`, here and below.
        prefix: As there.
        is_included: As there.
        first_shard: Number of the source's shard 0 in the target.

    Raises:
        As :func:`merge_archive`; BarecatIntegrityError: A row cannot be true.
    """
    prefix = normalize(prefix)
    for directory in _checked(target, source, prefix, is_included, ignore_duplicates=ignore_duplicates):
        target.add_dir(directory, exist_ok=True)
    for file in _files(target, source, prefix, is_included, ignore_duplicates=ignore_duplicates):
        shard = checked_address(address_in(file), file.path)[0]
        file.path, file.shard = below(prefix, file.path), shard + first_shard
        target.add_file(file)


def _files(
    target: Index,
    source: IndexReader,
    prefix: str,
    is_included: Callable[[str], bool] | None,
    *,
    ignore_duplicates: bool,
) -> Iterator[BarecatFileInfo]:
    """Infos of the source's files that are to be copied, in order of address."""
    for file in source.iter_all_fileinfos(Order.ADDRESS):
        if is_included is not None and not is_included(file.path):
            continue
        if not (ignore_duplicates and target.isfile(below(prefix, file.path))):
            yield file


def _checked(
    target: Index,
    source: IndexReader,
    prefix: str,
    is_included: Callable[[str], bool] | None,
    *,
    ignore_duplicates: bool,
) -> list[BarecatDirInfo]:
    """Refuse what contradicts itself; returns the directories to be made, or to be changed where they are there."""
    _check_prefix(target, prefix)
    wanted: set[str] = set()
    for path in source.iter_all_filepaths():
        if not isinstance(path, str):
            raise BarecatIntegrityError(f"a path is text, not {path!r:.40}", code="archive_row")
        if is_included is None or is_included(path):
            _check_file(target, below(prefix, path), ignore_duplicates=ignore_duplicates)
            place = parent_of(path)
            while place not in wanted:
                wanted.add(place)
                place = parent_of(place)
    dirs = []
    for info in source.iter_all_dirinfos(Order.PATH):
        path = below(prefix, info.path)
        if not path or (is_included is not None and info.path not in wanted):
            continue
        check_writable(path)
        if target.isfile(path):
            raise ValueError(f"directory {info.path!r} conflicts with target file")
        dirs.append(_merged_dir(target, path, info))
    return dirs


def _check_prefix(target: IndexReader, prefix: str) -> None:
    place = prefix
    while place:
        if target.isfile(place):
            raise ValueError(f"the prefix {prefix!r} cannot be a directory: {place!r} exists as a file")
        place = parent_of(place)


def _check_file(target: IndexReader, path: str, *, ignore_duplicates: bool) -> None:
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


def _merged_dir(target: Index, path: str, info: BarecatDirInfo) -> BarecatDirInfo:
    """A directory's metadata; one that is there takes both's modes and the later time."""
    new = BarecatDirInfo(path, info.mode, info.uid, info.gid, info.mtime_ns)
    if target.isdir(path):
        old = target.lookup_dir(path)
        new.uid = new.gid = None
        if info.mode is not None:
            new.mode = info.mode | (old.mode or 0)
        if info.mtime_ns is not None and old.mtime_ns is not None:
            new.mtime_ns = max(info.mtime_ns, old.mtime_ns)
    return new
