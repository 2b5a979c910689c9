"""Archives from tar and zip and back, beside the system's tools, Python's modules and the real Barecat."""

from __future__ import annotations

import bz2
import gzip
import io
import logging
import lzma
import os
import random
import shutil
import stat
import subprocess
import tarfile
import time
import warnings
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from pixcrawler import barecat
from pixcrawler.barecat import Barecat, BarecatDirInfo, BarecatFileInfo, BarecatIntegrityError, copying

if TYPE_CHECKING:
    from pathlib import Path

with warnings.catch_warnings():
    # Its dependencies' business.
    warnings.simplefilter("ignore")
    theirs = pytest.importorskip("barecat")

FILES = {
    f"d{n % 5}/{'ä' * (n % 3)}f{n}.bin": random.Random(n).randbytes(n * 137 % 5003 if n % 7 else 512) for n in range(60)
}
FILES["top.txt"] = b"top"
FILES["d1/empty"] = b""
FILES["d1/" + "long" * 60] = b"long"
MTIME_NS = 1_700_000_000_123_456_789
TARS = ("tar", "tar.gz", "tgz", "tar.bz2", "tbz2", "tar.xz", "txz")


@pytest.fixture(autouse=True)
def _all_paths_of_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files over 4,000 bytes are large, and batches small."""
    monkeypatch.setattr(copying, "_WHOLE_BYTES", 4_000)
    monkeypatch.setattr(copying, "_BATCH_BYTES", 20_000)
    monkeypatch.setattr("pixcrawler.barecat.foreign._WHOLE_BYTES", 4_000)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "source.barecat"
    with Barecat(path, readonly=False, shard_size_limit=30_000) as bc:
        names = list(FILES)
        random.Random(1).shuffle(names)
        for number, name in enumerate(names):
            mode, mtime_ns = stat.S_IFREG | 0o640 | number % 8, MTIME_NS + number * 10**9
            bc.add(BarecatFileInfo(name, mode, number, 3_000_000 if number == 3 else 7, mtime_ns), data=FILES[name])
        bc.add(BarecatDirInfo("empty/dir", 0o40750, 5, 6, MTIME_NS))
    return path


def content(path: Path, package: Any = barecat) -> dict[str, bytes]:
    with package.Barecat(str(path)) as bc:
        assert bc.verify_integrity()
        return {name: bc[name] for name in bc.files()}


def metadata(path: Path) -> list[tuple[Any, ...]]:
    with Barecat(path) as bc:
        infos = list(bc.index.iter_by_path())
    return [(one.path, one.isdir(), stat.S_IMODE(one.mode or 0), one.uid, one.gid, one.mtime_ns) for one in infos]


def names_in(folder: Path) -> set[str]:
    return {one.name for one in folder.iterdir()}


@pytest.mark.parametrize("suffix", TARS)
def test_a_tar_and_back(suffix: str, archive: Path, tmp_path: Path) -> None:
    tar = tmp_path / f"x.{suffix}"
    barecat.barecat2archive(archive, tar)
    with tarfile.open(tar) as found:
        members = found.getmembers()
        assert {one.name: found.extractfile(one).read() for one in members if one.isfile()} == FILES  # type: ignore[union-attr]
    names = [one.name for one in members]
    assert names == sorted(names)
    assert "empty" in names
    assert "" not in names
    skipped = barecat.archive2barecat(tar, tmp_path / "back.barecat", "30K")
    assert skipped == 0
    assert content(tmp_path / "back.barecat") == content(tmp_path / "back.barecat", theirs) == FILES
    found_metadata = metadata(tmp_path / "back.barecat")
    with Barecat(archive) as bc:
        untimed = {path for path in bc.dirs() if path != "empty/dir"}
    expected = [one for one in metadata(archive) if one[0] not in untimed]
    assert [one for one in found_metadata if one[0] not in untimed] == expected
    with Barecat(tmp_path / "back.barecat") as bc:
        assert bc.shard_size_limit == 30 << 10
        assert bc.sharder.num_shards > 3
    assert names_in(tmp_path).isdisjoint({"x.tar.partial", "back.barecat.partial"})


def test_the_systems_tar_and_unzip(archive: Path, tmp_path: Path) -> None:
    for suffix, tool in (("tar", ("tar", "xpf")), ("tar.gz", ("tar", "xpzf")), ("zip", ("unzip", "-q"))):
        if shutil.which(tool[0]) is None:
            continue
        folder = tmp_path / suffix
        folder.mkdir()
        barecat.barecat2archive(archive, tmp_path / f"x.{suffix}", root_dir="/root/dir/")
        subprocess.run(
            [*tool, tmp_path / f"x.{suffix}"], cwd=folder, check=True, env={"LC_ALL": "C.UTF-8", **os.environ}
        )
        root = folder / "root" / "dir"
        assert {str(one.relative_to(root)): one.read_bytes() for one in root.rglob("*") if one.is_file()} == FILES
        assert (root / "empty" / "dir").is_dir()
        assert os.access(root / "top.txt", os.R_OK)
        if suffix == "zip":
            assert abs((root / "empty" / "dir").stat().st_mtime - MTIME_NS / 1e9) < 2
            continue
        assert (root / "empty" / "dir").stat().st_mtime_ns == MTIME_NS
        subprocess.run(["tar", "cf", tmp_path / "theirs.tar", "-C", root, "."], check=True)
        barecat.archive2barecat(tmp_path / "theirs.tar", tmp_path / "theirs.barecat", overwrite=True)
        assert content(tmp_path / "theirs.barecat") == FILES
        with Barecat(tmp_path / "theirs.barecat") as bc:
            assert bc.index.lookup_dir("empty/dir").mode == 0o750
            assert bc.index.lookup_dir("").mode == stat.S_IMODE(root.stat().st_mode)


def test_a_zip_and_back(archive: Path, tmp_path: Path) -> None:
    zipped = tmp_path / "x.zip"
    with Barecat(archive, readonly=False) as bc:
        bc.add(BarecatFileInfo("old", mtime_ns=0), data=b"old")
        bc.add(BarecatFileInfo("new", mtime_ns=2**62), data=b"new")
    barecat.barecat2archive(archive, zipped)
    with zipfile.ZipFile(zipped) as found:
        assert found.testzip() is None
        assert {one.compress_type for one in found.infolist()} == {zipfile.ZIP_STORED}
        assert found.getinfo("old").date_time[0] == 1980
        assert found.getinfo("new").date_time[0] == 2107
        assert [one.rstrip("/") for one in found.namelist()] == sorted(one.rstrip("/") for one in found.namelist())
    barecat.archive2barecat(zipped, tmp_path / "back")
    assert content(tmp_path / "back") == {**FILES, "old": b"old", "new": b"new"}
    with Barecat(tmp_path / "back") as bc, Barecat(archive) as source:
        for name in FILES:
            info = bc.index.lookup_file(name)
            assert (info.mode, info.uid, info.gid) == (None, None, None)
            assert 0 <= source.index.lookup_file(name).mtime_ns - info.mtime_ns < 2 * 10**9  # type: ignore[operator]
        assert bc.isdir("empty/dir")
    with zipfile.ZipFile(tmp_path / "packed.zip", "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in FILES.items():
            made.writestr(name, data)
    barecat.archive2barecat(tmp_path / "packed.zip", tmp_path / "packed")
    assert content(tmp_path / "packed") == FILES


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "zip"])
def test_the_real_barecat_makes_the_same(suffix: str, archive: Path, tmp_path: Path) -> None:
    barecat.barecat2archive(archive, tmp_path / f"ours.{suffix}")
    theirs.barecat2archive(str(archive), str(tmp_path / f"theirs.{suffix}"))
    for name in ("ours", "theirs"):
        barecat.archive2barecat(tmp_path / f"{name}.{suffix}", tmp_path / f"{name}.ours")
        theirs.archive2barecat(str(tmp_path / f"{name}.{suffix}"), str(tmp_path / f"{name}.theirs"), None)
    for made in ("ours.ours", "ours.theirs", "theirs.ours", "theirs.theirs"):
        assert content(tmp_path / made) == content(tmp_path / made, theirs) == FILES, made
    files = [[one for one in metadata(tmp_path / f"{name}.ours") if not one[1]] for name in ("ours", "theirs")]
    if suffix == "zip":
        assert files[0] == files[1]
    else:
        # Its times are whole seconds there.
        assert [one[5] // 10**9 for one in files[0]] == [one[5] // 10**9 for one in files[1]]
        assert [one[:5] for one in files[0]] == [one[:5] for one in files[1]]


def tar_of(*members: tuple[str, bytes | str | None, bytes], **options: Any) -> bytes:
    """A tar of name, content (or target) and type."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", **options) as tar:
        for name, data, kind in members:
            member = tarfile.TarInfo(name)
            member.type = kind
            if isinstance(data, bytes):
                member.size = len(data)
            elif data is not None:
                member.linkname = data
            tar.addfile(member, io.BytesIO(data) if isinstance(data, bytes) else None)
    return out.getvalue()


REG, DIR, HARD, SYM, FIFO = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.FIFOTYPE


def test_entries_of_all_kinds(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = tar_of(
        ("d/one", b"1" * 100, REG),
        ("d/hard", "./d/one", HARD),
        ("large", b"2" * 9_000, REG),
        ("hard2", "large", HARD),
        ("self", "self", HARD),
        ("d/soft", "one", SYM),
        ("dangling", "nowhere", HARD),
        ("fifo", None, FIFO),
        # A directory's entry behind its files; a name twice.
        ("d", None, DIR),
        ("/abs//x/", None, DIR),
        ("/abs/y", b"3", REG),
        ("d/one", b"again", REG),
    )
    with caplog.at_level(logging.WARNING):
        skipped = barecat.archive2barecat(io.BytesIO(data), tmp_path / "x", kind="tar")
    assert skipped == 4
    assert "1 symbolic links" in caplog.text
    assert "2 hard links to files that are not there" in caplog.text
    assert content(tmp_path / "x") == {
        "d/one": b"again",
        "d/hard": b"1" * 100,
        "large": b"2" * 9_000,
        "hard2": b"2" * 9_000,
        "abs/y": b"3",
    }
    with Barecat(tmp_path / "x") as bc:
        assert bc.index.lookup_dir("d").mode == 0o644
        assert bc.isdir("abs/x")
    linked = tmp_path / "linked.zip"
    with zipfile.ZipFile(linked, "w") as made:
        link = zipfile.ZipInfo("soft")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        made.writestr(link, "file")
        made.writestr("file", b"1")
        made.writestr("dir/below", b"2")
        made.writestr("dir/", b"")
    assert barecat.archive2barecat(linked, tmp_path / "y") == 1
    assert content(tmp_path / "y") == {"file": b"1", "dir/below": b"2"}


def test_sparse_files_and_old_formats(tmp_path: Path) -> None:
    for number, options in enumerate(({"format": tarfile.GNU_FORMAT}, {"format": tarfile.USTAR_FORMAT})):
        data = tar_of(("a/" + "b" * 90, b"1" * 600, REG), **options)
        barecat.archive2barecat(io.BytesIO(data), tmp_path / f"{number}", kind="tar")
        assert content(tmp_path / f"{number}") == {"a/" + "b" * 90: b"1" * 600}
    with (tmp_path / "holes").open("wb") as file:
        file.seek(1 << 20)
        file.write(b"end")
    for form in ("gnu", "pax"):
        made = tmp_path / f"{form}.tar"
        subprocess.run(["tar", "cSf", made, f"--format={form}", "-C", tmp_path, "holes"], check=True)
        assert made.stat().st_size < 100_000
        barecat.archive2barecat(made, tmp_path / f"{form}.barecat")
        assert content(tmp_path / f"{form}.barecat") == {"holes": bytes(1 << 20) + b"end"}
        with pytest.raises(ValueError, match="holes"):
            barecat.wrap_archive(made, tmp_path / "wrapped")


@pytest.mark.parametrize("name", ["../x", "a/../../x", "..", "bad\udcff", "."])
def test_names_that_must_not_be(name: str, tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(tar_of(("good", b"1", REG), (name, b"1", REG)))
    before = names_in(tmp_path)
    for make in (barecat.archive2barecat, barecat.wrap_archive):
        with pytest.raises((ValueError, barecat.IsADirectoryBarecatError)):
            make(tmp_path / "x.tar", tmp_path / "y")
    assert names_in(tmp_path) == before


def test_W10_A05_unsafe_rows_do_not_get_out(tmp_path: Path) -> None:
    import sqlite3
    from contextlib import closing

    for path in ("../x", "/x", "a//b", b"blob"):
        with Barecat(tmp_path / "x", readonly=False, overwrite=True) as bc:
            bc["a"] = b"1"
        with closing(sqlite3.connect(tmp_path / "x")) as connection, connection:
            connection.execute("UPDATE files SET path = ?", (path,))
        for suffix in ("tar", "zip"):
            with pytest.raises(BarecatIntegrityError) as unsafe:
                barecat.barecat2archive(tmp_path / "x", tmp_path / f"y.{suffix}")
            assert unsafe.value.code == "archive_row"
    assert names_in(tmp_path) == {"x", "x-shard-00000"}
    with pytest.raises(ValueError, match="root_dir"):
        barecat.barecat2archive(tmp_path / "x", tmp_path / "y.tar", root_dir="../x")


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.bz2", "tar.xz", "zip"])
def test_a_tar_or_zip_that_is_cut_or_changed_is_an_error(kind: str, tmp_path: Path) -> None:
    plain = tar_of(*((name, data, REG) for name, data in list(FILES.items())[:20]))
    if kind == "zip":
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
            for name, data in list(FILES.items())[:20]:
                made.writestr(name, data)
        good = out.getvalue()
    else:
        good = {"tar": bytes, "tar.gz": gzip.compress, "tar.bz2": bz2.compress, "tar.xz": lzma.compress}[kind](plain)
    path = tmp_path / f"x.{kind}"
    path.write_bytes(good)
    barecat.archive2barecat(path, tmp_path / "good")
    expected = content(tmp_path / "good")
    assert len(expected) == 20
    # The end's mark is 1024 bytes, behind which there may be more zeros.
    end = len(plain.rstrip(b"\0")) // 512 * 512 + 512
    cuts = [
        0,
        1,
        511,
        512,
        600,
        1024,
        len(good) // 2,
        len(good) // 2 // 512 * 512,
        end if kind == "tar" else len(good) - 1,
    ]
    for cut in cuts:
        path.write_bytes(good[:cut])
        with pytest.raises(BarecatIntegrityError) as cut_short:
            barecat.archive2barecat(path, tmp_path / "cut")
        assert cut_short.value.code == "foreign_archive", cut
    for place in range(0, len(good), max(len(good) // 24, 1)):
        damaged = bytearray(good)
        damaged[place] ^= 0x55
        path.write_bytes(damaged)
        try:
            barecat.archive2barecat(path, tmp_path / "damaged", overwrite=True)
        except (barecat.BarecatError, ValueError):
            continue
        # A tar has no checksum of contents; elsewhere what is not refused is whole.
        if kind != "tar":
            assert content(tmp_path / "damaged") == expected, place
    assert {"cut", "cut.partial", "damaged.partial"}.isdisjoint(names_in(tmp_path))


def test_hostile_headers(tmp_path: Path) -> None:
    def header(kind: bytes, size: int) -> bytes:
        member = tarfile.TarInfo("x")
        member.type, member.size = kind, size
        return member.tobuf(tarfile.GNU_FORMAT)

    long_name = tarfile.TarInfo("x")
    long_name.type, long_name.size = tarfile.GNUTYPE_LONGNAME, 1
    chain = (long_name.tobuf() + b"n".ljust(512, b"\0")) * 3000
    for data in (
        header(tarfile.XHDTYPE, 2**40),
        header(tarfile.GNUTYPE_LONGNAME, 2**60),
        header(REG, 2**60),
        header(REG, 5_000) + b"1" * 100,
        header(tarfile.XHDTYPE, 512) + b"9999999999 path=x\n".ljust(512, b"\0"),
        chain,
    ):
        for size in (len(data), len(data) + 1024):
            with pytest.raises((barecat.BarecatError, ValueError)):
                barecat.archive2barecat(io.BytesIO(data.ljust(size, b"\0")), tmp_path / "x", kind="tar")
    assert names_in(tmp_path) == set()
    member = tarfile.TarInfo("x")
    member.uid, member.gid, member.mtime = 2**70, -5, 1e300
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.addfile(member)
    barecat.archive2barecat(io.BytesIO(out.getvalue()), tmp_path / "x", kind="tar")
    with Barecat(tmp_path / "x") as bc:
        info = bc.index.lookup_file("x")
        assert (info.uid, info.gid, info.mtime_ns) == (None, -5, None)


def test_checksums_are_compared_on_the_way_out(archive: Path, tmp_path: Path) -> None:
    large, small = (max(FILES, key=lambda name: len(FILES[name])), "top.txt")
    for name in (large, small):
        shutil.copytree(tmp_path, tmp_path / "copy", ignore=shutil.ignore_patterns("copy"))
        path = tmp_path / "copy" / archive.name
        with Barecat(path) as bc:
            info = bc.index.lookup_file(name)
            shard = bc.shards.path(info.shard or 0)
        with open(shard, "r+b") as file:
            file.seek(info.end - 1)
            file.write(bytes([FILES[name][-1] ^ 1]))
        for suffix in ("tar", "zip"):
            with pytest.raises(BarecatIntegrityError) as broken:
                barecat.barecat2archive(path, tmp_path / f"x.{suffix}")
            assert (broken.value.code, broken.value.member) == ("crc32c", name)
        with pytest.raises(BarecatIntegrityError):
            barecat.merge([path], tmp_path / "merged")
        shutil.rmtree(tmp_path / "copy")
    assert not [one for one in names_in(tmp_path) if not one.startswith(archive.name)]


def test_D04_nothing_is_overwritten_unasked(archive: Path, tmp_path: Path) -> None:
    tar = tmp_path / "x.tar"
    tar.write_bytes(b"mine")
    (tmp_path / "folder.tar").mkdir()
    for target in (tar, tmp_path / "folder.tar"):
        with pytest.raises(barecat.FileExistsBarecatError):
            barecat.barecat2archive(archive, target)
    assert tar.read_bytes() == b"mine"
    with pytest.raises(barecat.FileExistsBarecatError):
        barecat.barecat2archive(archive, tmp_path / "folder.tar", overwrite=True)
    barecat.barecat2archive(archive, tar, overwrite=True)
    with Barecat(tmp_path / "old", readonly=False, shard_size_limit=5, index_suffix=True) as bc:
        bc.update({f"{n}": b"12345" for n in range(20)})
    for make in (barecat.archive2barecat, barecat.wrap_archive):
        with pytest.raises(barecat.FileExistsBarecatError):
            make(tar, tmp_path / "old")
    assert len(content(tmp_path / "old")) == 20
    # A failure leaves what was there, also where it was to be overwritten.
    (tmp_path / "bad.tar").write_bytes(tar.read_bytes()[:5_000])
    with pytest.raises(BarecatIntegrityError):
        barecat.archive2barecat(tmp_path / "bad.tar", tmp_path / "old", overwrite=True)
    assert len(content(tmp_path / "old")) == 20
    barecat.archive2barecat(tar, tmp_path / "old", overwrite=True)
    assert content(tmp_path / "old") == FILES
    assert {one for one in names_in(tmp_path) if one.startswith("old")} == {"old", "old-shard-00000"}
    for wrong in ("x.rar", "x"):
        with pytest.raises(ValueError, match=r"ends in \.tar"):
            barecat.archive2barecat(wrong, tmp_path / "new")
        with pytest.raises(ValueError, match=r"ends in \.tar"):
            barecat.barecat2archive(archive, wrong)


def test_a_tar_through_pipes(archive: Path, tmp_path: Path) -> None:
    class Pipe(io.RawIOBase):
        """Neither sought nor asked where it is."""

        def __init__(self, data: bytes = b"") -> None:
            self.data = data

        def readable(self) -> bool:
            return True

        def writable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            count = min(size, 700) if size >= 0 else len(self.data)
            found, self.data = self.data[:count], self.data[count:]
            return found

        def write(self, data: Any) -> int:
            self.data += bytes(data)
            return len(data)

        def tell(self) -> int:
            raise OSError("a pipe")

        seek = tell  # type: ignore[assignment]

    for kind in ("tar", "tar.gz", "tar.bz2", "tar.xz"):
        pipe: Any = Pipe()
        barecat.barecat2archive(archive, pipe, kind=kind)
        barecat.archive2barecat(pipe, tmp_path / kind, kind=kind)
        assert content(tmp_path / kind) == FILES


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_wrapping(kind: str, archive: Path, tmp_path: Path) -> None:
    source = tmp_path / f"x.{kind}"
    barecat.barecat2archive(archive, source)
    assert barecat.wrap_archive(source, tmp_path / "w.barecat") == 0
    assert os.path.realpath(tmp_path / "w.barecat-shard-00000") == str(source)
    assert content(tmp_path / "w.barecat") == content(tmp_path / "w.barecat", theirs) == FILES
    with Barecat(tmp_path / "w.barecat") as bc:
        assert {one.crc32c for one in bc.index.iter_all_fileinfos()} == {None}
        assert bc.isdir("empty/dir")
    with pytest.raises(ValueError, match="symbolic"):
        Barecat(tmp_path / "w.barecat", readonly=False)["new"] = b"1"
    barecat.barecat2archive(tmp_path / "w.barecat", tmp_path / f"again.{kind}")
    assert (tmp_path / f"again.{kind}").read_bytes() == source.read_bytes() or kind == "tar"
    # The same rows as the real one's.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from barecat.cli.impl import wrap_archive

    wrap_archive(str(source), str(tmp_path / "t.barecat"))
    rows = []
    for name in ("w", "t"):
        with Barecat(tmp_path / f"{name}.barecat") as bc:
            rows.append(sorted((one.path, one.offset, one.size) for one in bc.index.iter_all_fileinfos()))
    assert rows[0] == rows[1]


def test_what_cannot_be_wrapped(archive: Path, tmp_path: Path) -> None:
    barecat.barecat2archive(archive, tmp_path / "x.tar.gz")
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a", b"1" * 1000)
    for name in ("x.tar.gz", "x.zip"):
        with pytest.raises(ValueError, match="wrap"):
            barecat.wrap_archive(tmp_path / name, tmp_path / "w")
    (tmp_path / "x.tar").write_bytes(
        tar_of(("a", b"1" * 600, REG), ("b", "a", HARD), ("c", "a", SYM), ("a", b"2", REG))
    )
    assert barecat.wrap_archive(tmp_path / "x.tar", tmp_path / "w") == 2
    assert content(tmp_path / "w") == {"a": b"2"}
    (tmp_path / "cut.tar").write_bytes((tmp_path / "x.tar").read_bytes()[:700])
    with pytest.raises(BarecatIntegrityError):
        barecat.wrap_archive(tmp_path / "cut.tar", tmp_path / "v")
    # A zip whose directory gives two names to the same bytes.
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as made:
        made.writestr("a", b"1" * 100)
        made.filelist.append(zipfile.ZipInfo("b"))
        made.filelist[1].file_size = made.filelist[1].compress_size = 100
        made.filelist[1].header_offset = made.filelist[1].CRC = 0
    with pytest.raises(BarecatIntegrityError, match="share"):
        barecat.wrap_archive(tmp_path / "twice.zip", tmp_path / "v")
    assert not barecat.exists(tmp_path / "v")


def test_encrypted_and_unknown_zips(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as made:
        made.writestr("a", b"1" * 100)
    data = bytearray((tmp_path / "x.zip").read_bytes())
    directory = data.index(b"PK\1\2")
    for place, value in ((6, 1), (8, 99)):
        changed = bytearray(data)
        changed[place] = changed[directory + place + 2] = value
        (tmp_path / "x.zip").write_bytes(changed)
        with pytest.raises(barecat.BarecatError):
            barecat.archive2barecat(tmp_path / "x.zip", tmp_path / "y")
        with pytest.raises(ValueError, match="wrap"):
            barecat.wrap_archive(tmp_path / "x.zip", tmp_path / "y")


def test_a_year_of_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Times before 1970 and of half a second survive a tar."""
    for mtime_ns in (-1, -(10**9), -1_500_000_000, 0, 1, 999_999_999, MTIME_NS):
        with Barecat(tmp_path / "x", readonly=False, overwrite=True) as bc:
            bc.add(BarecatFileInfo("a", mtime_ns=mtime_ns), data=b"1")
        barecat.barecat2archive(tmp_path / "x", tmp_path / "x.tar", overwrite=True)
        barecat.archive2barecat(tmp_path / "x.tar", tmp_path / "y", overwrite=True)
        with Barecat(tmp_path / "y") as bc:
            assert bc.index.lookup_file("a").mtime_ns == mtime_ns
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        with zipfile.ZipFile(tmp_path / "x.zip", "w") as made:
            made.writestr(zipfile.ZipInfo("a", (2020, 1, 2, 3, 4, 6)), b"1")
            made.writestr(zipfile.ZipInfo("b", (2020, 0, 2, 3, 4, 6)), b"1")
        barecat.archive2barecat(tmp_path / "x.zip", tmp_path / "z")
        with Barecat(tmp_path / "z") as bc:
            assert bc.index.lookup_file("a").mtime_ns == 1577901846 * 10**9
    finally:
        monkeypatch.undo()
        time.tzset()
