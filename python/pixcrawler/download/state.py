"""What a download's folder says of itself: its state while it is under way, and the list of its files afterwards.

``.pixcrawler.json`` is the state, replaced at once; it stays, so that the same command finds that all is done.
``.pixcrawler/`` holds what is under way: chunks that arrive, and in ``out/`` the files to be, which get their names
when all are complete. ``.pixcrawler.files.jsonl`` lists the finished files with their checksums.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pixcrawler.download.files import AppendFile, Mark, sync_folder, write_atomically
from pixcrawler.failures import json_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pixcrawler.records import ChunkRecord

__all__ = ["FILES_NAME", "LOCK_NAME", "STATE_NAME", "WORK_NAME", "FileEntry", "Staging", "State", "read_files"]

STATE_NAME = ".pixcrawler.json"
WORK_NAME = ".pixcrawler"
FILES_NAME = ".pixcrawler.files.jsonl"
LOCK_NAME = ".pixcrawler.lock"
_STATE_MAX_BYTES = 64 << 20
_LAYOUT = 1
_BLOCK_BYTES = 4 << 20


def digest_of(chunks: Sequence[ChunkRecord]) -> str:
    """What tells one table of chunks from another: all but their addresses, which may be new each time."""
    rows = [[chunk.id, chunk.index, chunk.size_bytes, chunk.num_images, chunk.sha256] for chunk in chunks]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


@dataclass
class State:
    """How far a download is, as it stands in its folder.

    Attributes:
        job_id: The job.
        version: Of the job.
        chunks: :func:`digest_of` its chunks.
        options: What shapes the output: format, image size.
        done: Chunks that were written, from the first on.
        images: Images in them.
        failed: Samples left out of them.
        marks: How far each growing file of the output is good, by name.
        layout: What the output turned out to be, when all chunks are written.
        plan: Then, from the names of the finished files in ``out/`` to those that they get.
        is_complete: Whether they have got them.
        is_forced: Whether other files in the folder do not matter.
    """

    job_id: str
    version: int
    chunks: str
    options: dict[str, Any]
    done: int = 0
    images: int = 0
    failed: int = 0
    marks: dict[str, Mark] = field(default_factory=dict)
    layout: str = ""
    plan: dict[str, str] = field(default_factory=dict)
    is_complete: bool = False
    is_forced: bool = False

    @classmethod
    def read(cls, folder: Path) -> State | None:
        """The state of a folder; None if there is none that can be read."""
        try:
            with (folder / STATE_NAME).open("rb") as file:
                fields = json.loads(file.read(_STATE_MAX_BYTES))
            if fields.pop("state_version") != _LAYOUT:
                return None
            fields["marks"] = {name: Mark(*map(int, mark)) for name, mark in fields["marks"].items()}
            state = cls(**fields)
            numbers = (state.done, state.images, state.failed, *(n for mark in state.marks.values() for n in mark))
            texts = (state.job_id, state.chunks, state.layout, *state.plan, *state.plan.values())
            is_sound = all(type(n) is int and n >= 0 for n in numbers) and all(isinstance(t, str) for t in texts)
        except (FileNotFoundError, NotADirectoryError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None
        return state if is_sound and all(map(_is_inside, (*state.marks, *state.plan.values()))) else None

    def write(self, folder: Path) -> None:
        """Replace the folder's state, for good."""
        document = {"state_version": _LAYOUT, **asdict(self)}
        write_atomically(folder / STATE_NAME, json.dumps(document, indent=1).encode())


def _is_inside(name: str) -> bool:
    """Whether a name leads to a file below the folder that it is relative to."""
    parts = PurePosixPath(name).parts
    return bool(parts) and not name.startswith("/") and ".." not in parts and "\0" not in name


@dataclass(frozen=True)
class FileEntry:
    """A finished file.

    Attributes:
        file: Its name below the folder, with forward slashes.
        size_bytes: Its size.
        crc32: (length, CRC-32) of its parts, one after the other; None where ``sha256`` is known.
        sha256: Of the whole file.
    """

    file: str
    size_bytes: int
    crc32: tuple[tuple[int, int], ...] | None = None
    sha256: str | None = None

    def to_line(self) -> bytes:
        """The entry as a line of the list."""
        checked = {"sha256": self.sha256} if self.sha256 is not None else {"crc32": self.crc32}
        return json_line({"file": self.file, "size_bytes": self.size_bytes, **checked})

    def has_right_size(self, folder: Path) -> bool:
        """Whether the file is there, with its size."""
        try:
            return (folder / self.file).stat().st_size == self.size_bytes
        except OSError:
            return False

    def problem(self, folder: Path) -> str | None:
        """What is wrong with the file, which is read whole; None for nothing.

        Raises:
            OSError: It cannot be read.
        """
        path = folder / self.file
        if not path.is_file():
            return "it is missing"
        found = path.stat().st_size
        if found != self.size_bytes:
            return f"it has {found} bytes, not {self.size_bytes}"
        with path.open("rb", buffering=0) as file:
            if self.sha256 is not None:
                digest = hashlib.sha256()
                while block := file.read(_BLOCK_BYTES):
                    digest.update(block)
                return None if digest.hexdigest() == self.sha256 else "its SHA-256 is not that of the download"
            for length, crc in self.crc32 or ():
                left, found_crc = length, 0
                while left and (block := file.read(min(left, _BLOCK_BYTES))):
                    found_crc = zlib.crc32(block, found_crc)
                    left -= len(block)
                if left or found_crc != crc:
                    return "its CRC-32 is not that of the download"
        return None


def read_files(path: Path) -> Iterator[FileEntry]:
    """The entries of a list of files; of several for one file the last counts, and that is left to the caller.

    Raises:
        OSError: It cannot be read.
        ValueError: It is not such a list.
    """
    with path.open("rb") as lines:
        for line in lines:
            try:
                fields = json.loads(line)
                crc32 = fields.get("crc32")
                parts = None if crc32 is None else tuple((int(length), int(crc)) for length, crc in crc32)
                entry = FileEntry(fields["file"], int(fields["size_bytes"]), parts, fields.get("sha256"))
                is_sound = _is_inside(entry.file)
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
                message = f"{path}: a line is not an entry of a file"
                raise ValueError(message) from error
            if not is_sound:
                message = f"{path}: a name leads out of the folder"
                raise ValueError(message)
            yield entry


class Staging:
    """The files to be, until they get their names.

    Args:
        folder: The output's folder.
        state: How far they are good.

    Attributes:
        out: Where they are.
    """

    def __init__(self, folder: Path, state: State) -> None:
        self._folder = folder
        self._state = state
        self.out = folder / WORK_NAME / "out"
        self.out.mkdir(parents=True, exist_ok=True)
        self._files: dict[str, AppendFile] = {}

    def file(self, name: str, *, reserve: int = 0) -> AppendFile:
        """A growing file, cut back to what is known of it.

        Raises:
            IntegrityError: It is shorter.
            OSError: It cannot be opened.
        """
        if name not in self._files:
            mark = self._state.marks.get(name, Mark())
            self._files[name] = AppendFile(self.out / name, mark, reserve=reserve)
        return self._files[name]

    def save(self) -> None:
        """Note how far the growing files are, for good."""
        self._state.marks = {name: file.sync() for name, file in self._files.items()}
        sync_folder(self.out)
        self._state.write(self._folder)

    def publish(self) -> None:
        """Give all files the names of the state's plan, then remove what was under way. Goes on where it was ended."""
        self.close()
        for source, target in self._state.plan.items():
            if (self.out / source).exists():
                _move(self.out / source, self._folder / target)
        sync_folder(self._folder)
        # Before the state says so: a complete download has no such folder, which readers would take for a class.
        shutil.rmtree(self._folder / WORK_NAME)
        self._state.is_complete = True
        self._state.marks = {}
        self._state.write(self._folder)

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()
        self._files.clear()


def _move(source: Path, target: Path) -> None:
    """Rename; into a folder that is there already each file by itself, replacing what has its name."""
    if source.is_dir() and target.is_dir():
        for entry in source.iterdir():
            _move(entry, target / entry.name)
        return
    source.replace(target)
