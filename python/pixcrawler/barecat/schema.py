"""The index's SQL, all of it: tables, indexes, triggers and every statement.

The schema is Barecat's 0.3. The triggers keep the directories' statistics for other programs; this package's own writer
keeps them itself, faster, and has ``use_triggers`` at 1 whenever it commits.
"""

from __future__ import annotations

from typing import Final

from pixcrawler.barecat.infos import Order

VERSION: Final = (0, 3)

_PARENT: Final = "rtrim(rtrim(path, replace(path, '/', '')), '/')"

TABLES: Final = f"""
CREATE TABLE files (
    path TEXT NOT NULL,
    parent TEXT NOT NULL GENERATED ALWAYS AS ({_PARENT}) VIRTUAL REFERENCES dirs (path) ON DELETE RESTRICT,
    shard INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    size INTEGER DEFAULT 0,
    crc32c INTEGER DEFAULT NULL,
    mode INTEGER DEFAULT NULL,
    uid INTEGER DEFAULT NULL,
    gid INTEGER DEFAULT NULL,
    mtime_ns INTEGER DEFAULT NULL
);
CREATE TABLE dirs (
    path TEXT NOT NULL,
    parent TEXT GENERATED ALWAYS AS (CASE path WHEN '' THEN NULL ELSE {_PARENT} END) VIRTUAL
        REFERENCES dirs (path) ON DELETE RESTRICT,
    num_subdirs INTEGER DEFAULT 0,
    num_files INTEGER DEFAULT 0,
    num_files_tree INTEGER DEFAULT 0,
    size_tree INTEGER DEFAULT 0,
    mode INTEGER DEFAULT NULL,
    uid INTEGER DEFAULT NULL,
    gid INTEGER DEFAULT NULL,
    mtime_ns INTEGER DEFAULT NULL
);
CREATE TABLE config (
    key TEXT PRIMARY KEY,
    value_text TEXT DEFAULT NULL,
    value_int INTEGER DEFAULT NULL
) WITHOUT ROWID;
"""

INDEXES: Final = """
CREATE UNIQUE INDEX idx_files_path ON files (path);
CREATE UNIQUE INDEX idx_dirs_path ON dirs (path);
CREATE INDEX idx_files_parent ON files (parent);
CREATE INDEX idx_dirs_parent ON dirs (parent);
CREATE INDEX idx_files_shard_offset ON files (shard, offset);
"""

_ENABLED: Final = "(SELECT value_int FROM config WHERE key = 'use_triggers') = 1"
# 2440587.5 is 1970-01-01 as a Julian day.
_NOW: Final = "CAST((julianday('now') - 2440587.5) * 86400000000000 AS INTEGER)"

TRIGGERS: Final = f"""
CREATE TRIGGER add_file AFTER INSERT ON files WHEN {_ENABLED} BEGIN
    INSERT INTO dirs (path, num_files, num_files_tree, size_tree, mtime_ns)
    VALUES (NEW.parent, 1, 1, NEW.size, {_NOW})
    ON CONFLICT (path) DO UPDATE SET
        num_files = num_files + 1,
        num_files_tree = num_files_tree + 1,
        size_tree = size_tree + excluded.size_tree,
        mtime_ns = excluded.mtime_ns;
END;
CREATE TRIGGER del_file AFTER DELETE ON files WHEN {_ENABLED} BEGIN
    UPDATE dirs SET
        num_files = num_files - 1,
        num_files_tree = num_files_tree - 1,
        size_tree = size_tree - OLD.size,
        mtime_ns = {_NOW}
    WHERE path = OLD.parent;
END;
CREATE TRIGGER move_file AFTER UPDATE OF path ON files WHEN NEW.parent != OLD.parent AND {_ENABLED} BEGIN
    UPDATE dirs SET
        num_files = num_files + 1,
        num_files_tree = num_files_tree + 1,
        size_tree = size_tree + NEW.size,
        mtime_ns = {_NOW}
    WHERE path = NEW.parent;
    UPDATE dirs SET
        num_files = num_files - 1,
        num_files_tree = num_files_tree - 1,
        size_tree = size_tree - OLD.size,
        mtime_ns = {_NOW}
    WHERE path = OLD.parent;
END;
CREATE TRIGGER resize_file AFTER UPDATE OF size ON files
WHEN NEW.parent = OLD.parent AND NEW.size != OLD.size AND {_ENABLED} BEGIN
    UPDATE dirs SET size_tree = size_tree + NEW.size - OLD.size WHERE path = OLD.parent;
END;
CREATE TRIGGER add_subdir AFTER INSERT ON dirs WHEN {_ENABLED} BEGIN
    INSERT INTO dirs (path, num_subdirs, size_tree, num_files_tree, mtime_ns)
    VALUES (NEW.parent, 1, NEW.size_tree, NEW.num_files_tree, {_NOW})
    ON CONFLICT (path) DO UPDATE SET
        num_subdirs = num_subdirs + 1,
        size_tree = size_tree + excluded.size_tree,
        num_files_tree = num_files_tree + excluded.num_files_tree,
        mtime_ns = excluded.mtime_ns;
END;
CREATE TRIGGER del_subdir AFTER DELETE ON dirs WHEN {_ENABLED} BEGIN
    UPDATE dirs SET
        num_subdirs = num_subdirs - 1,
        size_tree = size_tree - OLD.size_tree,
        num_files_tree = num_files_tree - OLD.num_files_tree,
        mtime_ns = {_NOW}
    WHERE path = OLD.parent;
END;
CREATE TRIGGER move_subdir AFTER UPDATE OF path ON dirs WHEN NEW.parent != OLD.parent AND {_ENABLED} BEGIN
    UPDATE dirs SET
        num_subdirs = num_subdirs - 1,
        size_tree = size_tree - OLD.size_tree,
        num_files_tree = num_files_tree - OLD.num_files_tree,
        mtime_ns = {_NOW}
    WHERE path = OLD.parent;
    INSERT INTO dirs (path, num_subdirs, size_tree, num_files_tree, mtime_ns)
    VALUES (NEW.parent, 1, NEW.size_tree, NEW.num_files_tree, {_NOW})
    ON CONFLICT (path) DO UPDATE SET
        num_subdirs = num_subdirs + 1,
        size_tree = size_tree + excluded.size_tree,
        num_files_tree = num_files_tree + excluded.num_files_tree,
        mtime_ns = excluded.mtime_ns;
END;
CREATE TRIGGER resize_dir AFTER UPDATE OF size_tree, num_files_tree ON dirs
WHEN NEW.parent = OLD.parent
    AND (NEW.size_tree != OLD.size_tree OR NEW.num_files_tree != OLD.num_files_tree) AND {_ENABLED} BEGIN
    UPDATE dirs SET
        size_tree = size_tree + NEW.size_tree - OLD.size_tree,
        num_files_tree = num_files_tree + NEW.num_files_tree - OLD.num_files_tree
    WHERE path = OLD.parent;
END;
CREATE TRIGGER prevent_file_as_dir BEFORE INSERT ON files
WHEN {_ENABLED} AND EXISTS (SELECT 1 FROM dirs WHERE path = NEW.path) BEGIN
    SELECT RAISE(ABORT, 'Path already exists as directory');
END;
CREATE TRIGGER prevent_dir_as_file BEFORE INSERT ON dirs
WHEN {_ENABLED} AND EXISTS (SELECT 1 FROM files WHERE path = NEW.path) BEGIN
    SELECT RAISE(ABORT, 'Path already exists as file');
END;
"""

# Keys and numbers of a new index's config, but for the limit.
CONFIG: Final = (("use_triggers", 1), ("schema_version_major", VERSION[0]), ("schema_version_minor", VERSION[1]))
ADD_ROOT: Final = "INSERT INTO dirs (path, uid, gid, mtime_ns) VALUES ('', ?, ?, ?)"

# Only tables may be called so: a view of that name could run anything.
KINDS: Final = "SELECT name, type FROM sqlite_master WHERE name IN ('files', 'dirs', 'config', 'directories')"
GET_CONFIG: Final = "SELECT value_int FROM config WHERE key = ?"
SET_CONFIG: Final = (
    "INSERT INTO config (key, value_int) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value_int = excluded.value_int"
)

FILE_COLUMNS: Final = "path, mode, uid, gid, mtime_ns, shard, offset, size, crc32c"
DIR_COLUMNS: Final = "path, mode, uid, gid, mtime_ns, num_subdirs, num_files, size_tree, num_files_tree"

FILES: Final = f"SELECT {FILE_COLUMNS} FROM files"
DIRS: Final = f"SELECT {DIR_COLUMNS} FROM dirs"
FILE_PATHS: Final = "SELECT path FROM files"
DIR_PATHS: Final = "SELECT path FROM dirs"
PATH_AND_ADDRESS: Final = "SELECT path, shard, offset, size, crc32c FROM files"
ADDRESS: Final = "SELECT shard, offset, size, crc32c FROM files WHERE path = ?"
FILE: Final = f"{FILES} WHERE path = ?"
DIR: Final = f"{DIRS} WHERE path = ?"
IS_FILE: Final = "SELECT 1 FROM files WHERE path = ?"
IS_DIR: Final = "SELECT 1 FROM dirs WHERE path = ?"
# Whether a path is a file's and whether it is a directory's.
KIND: Final = "SELECT EXISTS (SELECT 1 FROM files WHERE path = ?1), EXISTS (SELECT 1 FROM dirs WHERE path = ?1)"
IN_DIR: Final = " WHERE parent = ?"
BELOW: Final = " WHERE path >= ? AND path < ?"
HAS_ENTRIES: Final = (
    "SELECT EXISTS (SELECT 1 FROM files WHERE parent = ?1) OR EXISTS (SELECT 1 FROM dirs WHERE parent = ?1)"
)
TOTALS: Final = "SELECT num_files_tree, size_tree FROM dirs WHERE path = ''"
COUNT_DIRS: Final = "SELECT count(*) FROM dirs"
LAST_FILE: Final = f"{FILES} ORDER BY shard DESC, offset DESC, size DESC LIMIT 1"
SHARD_END: Final = "SELECT coalesce(max(offset + size), 0) FROM files WHERE shard = ?"
SHARD_ENDS: Final = "SELECT shard, max(offset + size) FROM files GROUP BY shard"
LAST_SHARD: Final = "SELECT max(shard) FROM files"
# Pages: between two of them no lock is held, so that a long pass over an archive delays no writer.
PAGES: Final = " WHERE rowid > ? ORDER BY rowid LIMIT ?"
PAGED_FILES: Final = f"SELECT rowid, {FILE_COLUMNS} FROM files{PAGES}"
PAGED_FILE_PATHS: Final = f"SELECT rowid, path FROM files{PAGES}"
PAGES_BY_PATH: Final = " WHERE path > ? ORDER BY path LIMIT ?"
# The same by address, which may change between two pages.
FROM_ADDRESS: Final = (
    "SELECT path, shard, offset, size, crc32c, rowid FROM files"
    " WHERE (shard, offset, rowid) > (?, ?, ?) ORDER BY shard, offset, rowid LIMIT ?"
)
# For a dataset: what a folder of images would deliver, in order of address. The planner must not think that the
# condition spares many rows: it would sort them itself, in memory, instead of walking the index.
SAMPLES: Final = (
    f"{PATH_AND_ADDRESS} WHERE likelihood("
    "(path GLOB '.*' OR path GLOB '*/.*' OR path IN ('metadata.jsonl', 'failures.jsonl')) IS NOT TRUE, 1.0)"
    " ORDER BY shard, offset, rowid"
)

ADD_FILE: Final = (
    "INSERT INTO files (path, mode, uid, gid, mtime_ns, shard, offset, size, crc32c) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
ADD_DIR: Final = "INSERT INTO dirs (path, mode, uid, gid, mtime_ns) VALUES (?, ?, ?, ?, ?)"
SET_FILE: Final = (
    "UPDATE files SET shard = ?, offset = ?, size = ?, crc32c = coalesce(?, crc32c), mode = coalesce(?, mode),"
    " uid = coalesce(?, uid), gid = coalesce(?, gid), mtime_ns = coalesce(?, mtime_ns) WHERE path = ?"
)
SET_DIR: Final = (
    "UPDATE dirs SET mode = coalesce(?, mode), uid = coalesce(?, uid), gid = coalesce(?, gid),"
    " mtime_ns = coalesce(?, mtime_ns) WHERE path = ?"
)
MOVE_FILE: Final = "UPDATE files SET path = ? WHERE path = ?"
MOVE_BYTES: Final = "UPDATE files SET shard = ?, offset = ? WHERE path = ?"
# What stands behind the old prefix goes behind the new one.
MOVE_DIR: Final = "UPDATE dirs SET path = ?1 || substr(path, length(?2) + 1) WHERE path = ?2"
MOVE_DIRS_BELOW: Final = "UPDATE dirs SET path = ?1 || substr(path, length(?2) + 1) WHERE path >= ?3 AND path < ?4"
MOVE_FILES_BELOW: Final = "UPDATE files SET path = ?1 || substr(path, length(?2) + 1) WHERE path >= ?3 AND path < ?4"
# Children and parents change their paths in several statements.
DEFER_REFERENCES: Final = "PRAGMA defer_foreign_keys = ON"
DELETE_FILE: Final = "DELETE FROM files WHERE path = ?"
DELETE_DIR: Final = "DELETE FROM dirs WHERE path = ?"
DELETE_FILES_BELOW: Final = "DELETE FROM files WHERE path >= ? AND path < ?"
SET_MODE: Final = ("UPDATE files SET mode = ? WHERE path = ?", "UPDATE dirs SET mode = ? WHERE path = ?")
SET_OWNER: Final = (
    "UPDATE files SET uid = ?, gid = ? WHERE path = ?",
    "UPDATE dirs SET uid = ?, gid = ? WHERE path = ?",
)
SET_MTIME: Final = ("UPDATE files SET mtime_ns = ? WHERE path = ?", "UPDATE dirs SET mtime_ns = ? WHERE path = ?")

ADD_STATISTICS: Final = (
    "UPDATE dirs SET num_subdirs = num_subdirs + ?, num_files = num_files + ?, num_files_tree = num_files_tree + ?,"
    " size_tree = size_tree + ?, mtime_ns = coalesce(?, mtime_ns) WHERE path = ?"
)
SET_STATISTICS: Final = (
    "UPDATE dirs SET num_subdirs = ?, num_files = ?, num_files_tree = ?, size_tree = ? WHERE path = ?"
)
GET_STATISTICS: Final = "SELECT path, num_subdirs, num_files, num_files_tree, size_tree FROM dirs"
COUNT_BY_PARENT: Final = "SELECT parent, count(*), sum(size) FROM files GROUP BY parent"
TWICE: Final = "SELECT path FROM files INTERSECT SELECT path FROM dirs"
INTEGRITY: Final = "PRAGMA integrity_check"
REFERENCES: Final = "PRAGMA foreign_key_check"

# Upgrades: what older indexes hold, and the rows of a new one.
OLD_CONFIG: Final = "SELECT key, value_text, value_int FROM config WHERE key NOT LIKE 'schema_version%'"
COPY_CONFIG: Final = "INSERT OR REPLACE INTO config (key, value_text, value_int) VALUES (?, ?, ?)"
OLD_COLUMNS: Final = "SELECT name FROM pragma_table_info('files')"
# Of the time before versions were numbered; the root's row need not be there.
UNVERSIONED_FILES: Final = "SELECT path, shard, offset, size, NULL FROM files ORDER BY shard, offset"
UNVERSIONED_FILES_WITH_CRC: Final = "SELECT path, shard, offset, size, crc32 FROM files ORDER BY shard, offset"
UNVERSIONED_DIRS: Final = "SELECT path, NULL, NULL, NULL, NULL FROM directories"
OLD_DIRS: Final = "SELECT path, mode, uid, gid, mtime_ns FROM dirs"
ADD_DIR_WITH_STATISTICS: Final = (
    "INSERT INTO dirs (path, mode, uid, gid, mtime_ns, num_subdirs, num_files, num_files_tree, size_tree)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def ordered(statement: str, order: Order, *, of_files: bool) -> str:
    """A SELECT with its ORDER BY.

    Raises:
        ValueError: Directories have no address, or DESC stands alone or with RANDOM.
    """
    descending = bool(order & Order.DESC)
    suffix = " DESC" if descending else ""
    main = order & ~Order.DESC
    if main == Order.PATH:
        return f"{statement} ORDER BY path{suffix}"
    if main == Order.ADDRESS and of_files:
        return f"{statement} ORDER BY shard{suffix}, offset{suffix}"
    if main == Order.ADDRESS:
        raise ValueError("directories have no address: use Order.PATH, or list files alone")
    if main == Order.RANDOM and not descending:
        return f"{statement} ORDER BY random()"
    if main == Order.ANY and not descending:
        return statement
    raise ValueError(f"an order is ANY, RANDOM, PATH or ADDRESS, the last two also with DESC, not {order!r}")


def for_paths(statement: str, count: int) -> str:
    """A SELECT of so many rows by path."""
    return f"{statement} WHERE path IN ({', '.join('?' * count)})"
