"""The archive: :class:`Barecat`, a mapping from paths to bytes and a small file system."""

from __future__ import annotations

import os
import time
from collections.abc import MutableMapping
from contextlib import suppress
from functools import partial
from typing import IO, TYPE_CHECKING, Any

from pixcrawler.barecat import layout
from pixcrawler.barecat.appending import Appender, store
from pixcrawler.barecat.contents import Contents, address_in
from pixcrawler.barecat.exceptions import (
    BarecatError,
    FileExistsBarecatError,
    FileNotFoundBarecatError,
)
from pixcrawler.barecat.files import open_file
from pixcrawler.barecat.index import Index
from pixcrawler.barecat.infos import BarecatDirInfo, BarecatFileInfo
from pixcrawler.barecat.paths import SHARD_SIZE_UNLIMITED, normalize, parse_size
from pixcrawler.barecat.shards import Shards, checked_address

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from typing_extensions import Buffer, Self

    from pixcrawler.barecat.files import BarecatFileObject

    AnyPath: TypeAlias = str | os.PathLike[str]

__all__ = ["Barecat"]

# Work done since is lost if the process is killed.
_COMMIT_S = 2.0
_BUFFER_BYTES = 1 << 20


class Barecat(Contents, MutableMapping[str, bytes]):
    """An archive: shards of bytes, and an index that finds any file in them at once.

    ::

        with Barecat("photos.barecat", shard_size_limit="50G", readonly=False) as bc:
            bc["cat/1.jpg"] = data
        bc = Barecat("photos.barecat")
        data = bc["cat/1.jpg"]

    One that is read-only opens its files at first use, may be used by any number of threads, after a fork, and pickled
    (as its path and options). One that is written to belongs to one thread; it commits every few seconds, and when it
    is closed, bytes before rows: what was committed survives a crash at any moment.

    Args:
        path: The archive's name: that of its index, and the beginning of its shards' names.
        shard_size_limit: Bytes that a shard may have, or text such as ``"50G"``; None keeps what the archive says.
        readonly: Refuse changes. Else the archive is made if it is missing.
        overwrite: Remove an archive that is there.
        auto_codec: Deprecated in Barecat and not offered here: see :class:`DecodedView`.
        exist_ok: Let there be an archive already.
        append_only: Let files be added, and nothing be changed or removed.
        threadsafe: Accepted: every archive that is read-only is.
        allow_writing_symlinked_shard: Write to shards that are symbolic links.
        wal: Let a new index keep a write-ahead log. Not for network file systems.
        readonly_is_immutable: Take no locks on the index: nobody changes it as long as it is open.
        index_suffix: Make a new index under the name that older versions gave it, ``NAME-sqlite-index``.

    Raises:
        FileNotFoundBarecatError: There is no such archive.
        FileExistsBarecatError: There is one, and ``exist_ok`` is False.
        BarecatError: Another process writes to it, or it is of a version that is not read.
        BarecatIntegrityError: Its index is broken.
        ValueError: The arguments contradict each other.
    """

    def __init__(
        self,
        path: AnyPath,
        shard_size_limit: int | str | None = None,
        readonly: bool = True,
        overwrite: bool = False,
        auto_codec: bool = False,
        exist_ok: bool = True,
        append_only: bool = False,
        threadsafe: bool = False,
        allow_writing_symlinked_shard: bool = False,
        wal: bool = False,
        readonly_is_immutable: bool = False,
        *,
        index_suffix: bool = False,
    ) -> None:
        # First, for an archive that could not be opened is closed too.
        self._index: Index | None = None
        if auto_codec:
            raise ValueError("auto_codec is not offered: wrap the archive in DecodedView(archive)")
        if readonly and (overwrite or append_only):
            raise ValueError("overwrite and append_only are for writing: pass readonly=False")
        if threadsafe and not readonly:
            raise ValueError("an archive that is written to belongs to one thread: threadsafe needs readonly=True")
        limit = parse_size(shard_size_limit)
        self.path = os.path.abspath(os.fspath(path))
        self.readonly = readonly
        self.append_only = append_only
        self.threadsafe = threadsafe
        self._immutable = readonly_is_immutable
        self.shards = Shards(self.path)
        self._appender = Appender(self.path, append_only=append_only, allow_symlinks=allow_writing_symlinked_shard)
        self._is_appending = False
        self._limit = SHARD_SIZE_UNLIMITED
        # Deleted content at a shard's end: where the shard ended, by shard.
        self._loose_ends: dict[int, int] = {}
        self._prepare(limit, overwrite=overwrite, exist_ok=exist_ok)
        index_path = layout.find_index(self.path, index_suffix=index_suffix)
        self._index = Index(index_path, limit, readonly=readonly, wal=wal, readonly_is_immutable=readonly_is_immutable)
        self._committed = time.monotonic()

    def _prepare(self, limit: int | None, *, overwrite: bool, exist_ok: bool) -> None:
        if self.readonly:
            if not os.path.isfile(layout.find_index(self.path)):
                raise FileNotFoundBarecatError(f"no archive's index at {self.path}", code="archive_not_found")
            return
        if overwrite:
            layout.remove(self.path)
        elif layout.exists(self.path):
            if not exist_ok:
                raise FileExistsBarecatError(f"there is one at {self.path}", code="archive_exists")
            self._check_limit(limit)

    def _check_limit(self, limit: int | None) -> None:
        for shard in self.shards.numbers() if limit is not None else ():
            size = self.shards.size(shard)
            if limit is not None and size > limit:
                raise ValueError(f"expected a limit of at least {size} bytes, which shard {shard} has, got {limit}")

    # Its end.

    def commit(self) -> None:
        """Make all changes so far durable and visible to others: bytes first, then the rows that name them.

        Raises:
            BarecatError: Readers kept the index locked for too long; nothing is lost, try again.
            NotEnoughSpaceBarecatError: The disk is full.
        """
        index = self.index
        if self.readonly:
            return
        self._appender.sync()
        index.commit()
        self._is_appending = False
        self._committed = time.monotonic()
        self._cut_loose_ends()

    def _cut_loose_ends(self) -> None:
        """Free what deleted files left at the shards' ends, now that no committed row names it."""
        ends, self._loose_ends = self._loose_ends, {}
        for shard, end in ends.items():
            if self.shards.size(shard) == end:
                self._appender.cut(shard, self.index.logical_shard_end(shard))

    def _changed(self) -> None:
        """Commit now and then; where a reader is in the way, later."""
        if time.monotonic() - self._committed <= _COMMIT_S:
            return
        try:
            self.commit()
        except BarecatError as exc:
            if exc.code != "archive_locked":
                raise
            # Soon again: until then SQLite lets no new reader in.
            self._committed = time.monotonic()

    def close(self) -> None:
        """Commit, and let go of all files. Idempotent."""
        index = self._index
        if index is None:
            return
        if not self.readonly and index.is_own:
            if not self.shards.numbers():
                # Shard 0 exists once a writer has closed.
                self._start_appending()
            self.commit()
        index.close()
        self._index = None
        self._appender.close()
        self.shards.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        # What was added is kept, as if the archive had been closed; there is nobody to tell of an error.
        with suppress(Exception):
            self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        if not self.readonly:
            raise ValueError("an archive that is written to cannot be pickled: open it read-only")
        options = {"threadsafe": self.threadsafe, "readonly_is_immutable": self._immutable}
        return partial(Barecat, self.path, **options), ()

    def __repr__(self) -> str:
        state = "closed" if self._index is None else "readonly" if self.readonly else "writing"
        return f"<Barecat {self.path!r}, {state}>"

    def __setitem__(self, path: AnyPath, data: bytes) -> None:
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise ValueError(f"a file's content is bytes, bytearray or memoryview, not {type(data).__name__}")  # noqa: TRY004
        self.add(normalize(path), data=data)

    def __delitem__(self, path: AnyPath) -> None:
        path = normalize(path)
        self.check_changeable()
        if not self.index.isfile(path):
            raise KeyError(path)
        self.remove(path)

    def clear(self) -> None:
        """Remove everything but the root."""
        self.check_changeable()
        for name in self.index.listdir_names():
            self._remove_tree(name)
        self._changed()

    # Changes.

    def open(
        self,
        item: AnyPath | BarecatFileInfo,
        mode: str = "r",
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> BarecatFileObject | io.TextIOWrapper:
        """Open a file.

        Args:
            item: Its path or its info.
            mode: ``r``, ``w``, ``x`` or ``a``, with ``+`` to read and write, with ``b`` for bytes.
            encoding: Of text; None is UTF-8.
            errors: Of text, as in ``open``.
            newline: Of text, as in ``open``.

        Returns:
            A file object for bytes, or one for text around it.

        Raises:
            FileNotFoundBarecatError: There is none to read.
            FileExistsBarecatError: There is one, and the mode is ``x``.
            ValueError: The mode is none, or would write to a read-only archive.
        """
        return open_file(self, item, mode, encoding, errors, newline)

    def check_writable(self) -> None:
        """Raises PermissionError if the archive is read-only, ValueError if it is closed."""
        if self.readonly:
            raise PermissionError("the archive was opened read-only: pass readonly=False")
        self.index.check_own()

    def check_changeable(self) -> None:
        """The same if what is there must not change."""
        self.check_writable()
        if self.append_only:
            raise PermissionError("the archive was opened append-only: nothing in it is changed or removed")

    @property
    def shard_size_limit(self) -> int:
        """Bytes that a shard may have; settable. Raises ValueError if a shard has more."""
        return self.index.shard_size_limit

    @shard_size_limit.setter
    def shard_size_limit(self, limit: int | str) -> None:
        self.check_writable()
        self._check_limit(parse_size(limit))
        self.index.shard_size_limit = limit
        self._limit = self.index.shard_size_limit

    def _start_appending(self) -> None:
        if not self._is_appending:
            self._appender.begin(self.index.last_shard())
            self._limit = self.index.shard_size_limit
            self._is_appending = True

    def add(
        self,
        item: AnyPath | BarecatFileInfo | BarecatDirInfo,
        *,
        data: Buffer | None = None,
        fileobj: IO[bytes] | None = None,
        bufsize: int = _BUFFER_BYTES,
        dir_exist_ok: bool = False,
        file_exist_ok: bool = False,
    ) -> None:
        """Add a file, or a directory's entry.

        Args:
            item: A file's path; or a file's info, whose size, if it is set, must be that of the content; or a
                directory's info.
            data: The file's content.
            fileobj: Or a file to read it from.
            bufsize: Bytes read from ``fileobj`` at once.
            dir_exist_ok: Let there be such a directory; it takes the metadata.
            file_exist_ok: Let there be such a file; it stays as it is.

        Raises:
            FileExistsBarecatError: There is such an entry.
            IsADirectoryBarecatError: A directory has the path.
            NotADirectoryBarecatError: It lies below a file.
            FileTooLargeBarecatError: It is larger than a shard may be.
            NotEnoughSpaceBarecatError: The disk is full.
            ValueError: The path must not be an entry's, the size is another, or not one content is given.
            PermissionError: The archive is read-only.
        """
        self.check_writable()
        if isinstance(item, BarecatDirInfo):
            self.index.add_dir(item, exist_ok=dir_exist_ok)
            self._changed()
            return
        if (data is None) == (fileobj is None):
            raise ValueError("a file's content is either data or fileobj")
        path = normalize(item)
        try:
            self.index.check_new_file(path)
        except FileExistsBarecatError:
            if file_exist_ok:
                return
            raise
        info = BarecatFileInfo(path)
        if isinstance(item, BarecatFileInfo):
            info = BarecatFileInfo(
                path, item.mode, item.uid, item.gid, item.mtime_ns, None, None, item.size, item.crc32c
            )
        self._store(info, data, fileobj, bufsize, self._insert)
        self._changed()

    def _insert(self, path: str, info: BarecatFileInfo) -> None:
        self.index.insert_file(path, info)

    def _store(
        self,
        info: BarecatFileInfo,
        data: Buffer | None,
        fileobj: IO[bytes] | None,
        bufsize: int,
        write_row: Callable[[str, BarecatFileInfo], None],
    ) -> None:
        """Append a file's bytes and write its row; where one of them fails, neither stays."""
        self._start_appending()
        before = self._appender.place
        try:
            new = store(self._appender, info, data, fileobj, bufsize, self._limit)
            write_row(new.path, new)
        except BaseException:
            # A second failure here would hide the first.
            with suppress(OSError):
                self._appender.cut_back(before)
            raise

    def add_by_path(self, filesys_path: AnyPath, store_path: AnyPath | None = None, dir_exist_ok: bool = False) -> None:
        """Add a file of the disk, or a directory's entry without its content, with mode, owner and time.

        Args:
            filesys_path: Which; a symbolic link is followed.
            store_path: Its path in the archive; None is ``filesys_path``, normalised.
            dir_exist_ok: As in :meth:`add`.

        Raises:
            OSError: It cannot be read.
            As :meth:`add`.
        """
        self.check_writable()
        status = os.stat(filesys_path)
        path = normalize(filesys_path if store_path is None else store_path)
        if os.path.isdir(filesys_path):
            directory = BarecatDirInfo(path)
            directory.fill_from_statresult(status)
            self.add(directory, dir_exist_ok=dir_exist_ok)
            return
        info = BarecatFileInfo(path)
        info.fill_from_statresult(status)
        with open(filesys_path, "rb", buffering=0) as file:
            self.add(info, fileobj=file)

    def mkdir(self, path: AnyPath, mode: int = 0o755, exist_ok: bool = False) -> None:
        """Make a directory and those above it. Raises as ``Index.add_dir``; PermissionError if read-only."""
        self.check_writable()
        path = normalize(path)
        if exist_ok and self.index.isdir(path):
            return
        self.index.add_dir(BarecatDirInfo(path, mode=mode))
        self._changed()

    def remove(self, item: AnyPath | BarecatFileInfo) -> None:
        """Remove a file. Raises FileNotFoundBarecatError, IsADirectoryBarecatError; PermissionError if read-only."""
        self.check_changeable()
        path = normalize(item)
        row = self.index.address(path)
        self.index.remove_file(path)
        if row is not None:
            self._loosen(row)
        self._changed()

    def _loosen(self, row: Sequence[Any]) -> None:
        """Note that a file at a shard's very end is no more, so that the next commit cuts it off."""
        shard, offset, size, _ = checked_address(row, "")
        end = self.shards.size(shard)
        if size and (offset + size == end or shard in self._loose_ends):
            self._loose_ends[shard] = end

    def rmdir(self, item: AnyPath | BarecatDirInfo) -> None:
        """Remove an empty directory. Raises as ``Index.remove_empty_dir``; PermissionError if read-only."""
        self.check_changeable()
        self.index.remove_empty_dir(item)
        self._changed()

    def rmtree(self, item: AnyPath | BarecatDirInfo) -> None:
        """Remove a directory and all that is below it. Raises as ``Index.remove_recursively``."""
        self.check_changeable()
        self._remove_tree(normalize(item))
        self._changed()

    def _remove_tree(self, path: str) -> None:
        ends: dict[int, tuple[int, int]] = {}
        for info in self.index.iter_fileinfos_below(path) if self.index.isdir(path) else ():
            shard, offset, size, _ = checked_address(address_in(info), info.path)
            if size:
                ends[shard] = max(ends.get(shard, (0, 0)), (offset, size))
        row = self.index.address(path)
        self.index.remove_recursively(path)
        for shard, (offset, size) in ends.items():
            self._loosen((shard, offset, size, None))
        if row is not None:
            self._loosen(row)

    def rename(self, old_path: AnyPath, new_path: AnyPath) -> None:
        """Give an entry another path; no byte moves. Raises as ``Index.rename``; PermissionError if read-only."""
        self.check_changeable()
        self.index.rename(old_path, new_path)
        self._changed()

    def update_file(
        self,
        old_item: AnyPath | BarecatFileInfo,
        new_item: AnyPath | BarecatFileInfo | None = None,
        *,
        data: Buffer | None = None,
        fileobj: IO[bytes] | None = None,
        size: int | None = None,
        bufsize: int = _BUFFER_BYTES,
    ) -> None:
        """Replace a file's content: new bytes in new space, and then the row.

        Args:
            old_item: The file.
            new_item: An info whose metadata it takes where they are set; its path is that of the file.
            data: The new content.
            fileobj: Or a file to read it from.
            size: Its bytes, if that is known.
            bufsize: Bytes read from ``fileobj`` at once.

        Raises:
            FileNotFoundBarecatError: There is no such file.
            As :meth:`add`.
        """
        self.check_changeable()
        path = normalize(old_item)
        if new_item is not None and normalize(new_item) not in {"", path}:
            raise ValueError(f"new_item is for metadata: rename {path!r} to change its path")
        if (data is None) == (fileobj is None):
            raise ValueError("a file's content is either data or fileobj")
        row = self.index.address(path)
        if row is None:
            raise FileNotFoundBarecatError("no such file", path=path)
        metadata = new_item if isinstance(new_item, BarecatFileInfo) else BarecatFileInfo(path)
        info = BarecatFileInfo(path, metadata.mode, metadata.uid, metadata.gid, metadata.mtime_ns)
        info.size = metadata.size if size is None else size
        self._store(info, data, fileobj, bufsize, self._switch)
        self._loosen(row)
        self._changed()

    def _switch(self, path: str, info: BarecatFileInfo) -> None:
        self.index.update_file(
            path,
            info.shard,
            info.offset,
            info.size,
            info.crc32c,
            info.mtime_ns,
            info.mode,
            info.uid,
            info.gid,
        )

    def replace_content(self, path: str, fileobj: IO[bytes], size: int, *, is_new: bool) -> None:
        """What a file object that was written to does when it is closed."""
        if is_new:
            self.add(BarecatFileInfo(path, size=size), fileobj=fileobj)
        else:
            self.update_file(path, fileobj=fileobj, size=size)

    def merge_from_other_barecat(
        self,
        source: AnyPath | Barecat,
        ignore_duplicates: bool = False,
        prefix: str = "",
        pattern: str | None = None,
        filter_rules: Sequence[tuple[str, str]] | None = None,
    ) -> None:
        """Copy another archive's files into this one, comparing their checksums.

        Args:
            source: The other archive, or its name.
            ignore_duplicates: Leave out files that this one has; else one is an error.
            prefix: Directory that they go below.
            pattern: A glob that a path must match; ``**`` stands for any number of directories.
            filter_rules: Pairs of ``"+"`` or ``"-"`` and a glob: the first that matches decides, without any a path is
                taken.

        Raises:
            FileExistsBarecatError: This archive has such a file; nothing is copied.
            ValueError: A directory would take a file's place, or the other way round; nothing is copied.
            BarecatIntegrityError: A file of the source is broken; those before it are copied.
        """
        from pixcrawler.barecat.merging import chosen, merge_archive

        self.check_writable()
        opened = source if isinstance(source, Barecat) else Barecat(source)
        try:
            merge_archive(
                self,
                opened,
                ignore_duplicates=ignore_duplicates,
                prefix=prefix,
                is_included=chosen(pattern, filter_rules),
            )
        finally:
            if opened is not source:
                opened.close()

    # Checks and upkeep.

    def check_crc32c(self, item: AnyPath | BarecatFileInfo) -> bool:
        """Whether a file's bytes are there and have the checksum of its row; what is wrong is logged.

        Raises:
            FileNotFoundBarecatError: There is no such file.
        """
        from pixcrawler.barecat.maintenance import file_problem, logged

        path, row = self._address_of(item)
        problem = file_problem(self.shards, path, row)
        return not logged([problem] if problem else [])

    def verify_integrity(self, quick: bool = False) -> bool:
        """Whether the archive is sound; what is not is logged.

        Args:
            quick: Compare the checksum of the last file alone. The index, and that all bytes are there, is always
                checked.

        See :func:`pixcrawler.barecat.maintenance.problems`.
        """
        from pixcrawler.barecat.maintenance import logged, problems

        return not logged(problems(self, quick=quick))

    def defrag(self, quick: bool = False) -> int:
        """Close the holes that deleted files left. A crash at any moment loses nothing.

        Args:
            quick: Only move files from the end into holes that they fit in.

        Returns:
            Bytes that the shards have become smaller by.
        """
        from pixcrawler.barecat.maintenance import defrag

        return defrag(self, quick=quick)

    @property
    def appender(self) -> Appender:
        """Where bytes are written, ready. For maintenance."""
        self.check_writable()
        self._start_appending()
        return self._appender
