"""From a folder or a zip to the chunks of a job."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from pixcrawler import load_dataset
from pixcrawler.exceptions import ArchiveError, NotFoundError, StoreError
from pixcrawler.server import pack as pack_module
from pixcrawler.server.store import JobSpec, PackResult, Store
from server.helpers import image_bytes, make_images

if TYPE_CHECKING:
    from pathlib import Path


def pack(folder: Path, source: Path, **spec: Any) -> PackResult:
    store, _ = Store.open_or_create(folder)
    with store:
        return store.pack(source, JobSpec(**{"name": "n", **spec}))


def chunk_files(store: Path) -> list[Path]:
    return sorted((store / "chunks").iterdir())


def chunk_hashes(store: Path) -> list[str]:
    with Store(store) as opened:
        job = opened.catalogue.list_jobs()[0][0]
        found = opened.catalogue.get_job(job.id, with_chunks=True)
        assert found is not None
        assert found.chunks is not None
        return [chunk.sha256 or "" for chunk in found.chunks]


def test_bytes_are_stored_as_they_are(tmp_path: Path) -> None:
    images = make_images(tmp_path / "images", 7)
    result = pack(tmp_path / "store", images, chunk_size=3)
    assert (result.job.status, result.job.progress) == ("completed", 100)
    assert (result.job.num_images, result.job.num_chunks, result.refused) == (7, 3, ())
    members = {}
    for sha256 in chunk_hashes(tmp_path / "store"):
        path = tmp_path / "store" / "chunks" / f"{sha256}.zip"
        assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256
        with zipfile.ZipFile(path) as chunk:
            assert chunk.testzip() is None
            assert all(info.compress_type == zipfile.ZIP_STORED for info in chunk.infolist())
            assert chunk.namelist() == sorted(chunk.namelist())
            members.update({name: chunk.read(name) for name in chunk.namelist()})
    on_disk = {path.relative_to(images).as_posix(): path.read_bytes() for path in images.rglob("*.jpg")}
    assert members == on_disk
    assert list(members) == sorted(on_disk)
    assert result.job.size_bytes == sum(path.stat().st_size for path in chunk_files(tmp_path / "store"))


def test_same_input_gives_the_same_chunks_from_folder_and_zip(tmp_path: Path) -> None:
    images = make_images(tmp_path / "images", 7)
    with zipfile.ZipFile(tmp_path / "images.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(images.rglob("*.jpg"), reverse=True):
            archive.write(path, path.relative_to(images))
    pack(tmp_path / "a", images, chunk_size=3)
    for path in images.rglob("*.jpg"):
        os.utime(path, (1, 1))
        path.chmod(0o600)
    pack(tmp_path / "b", images, chunk_size=3)
    pack(tmp_path / "c", tmp_path / "images.zip", chunk_size=3)
    assert chunk_hashes(tmp_path / "a") == chunk_hashes(tmp_path / "b") == chunk_hashes(tmp_path / "c")


def test_second_job_of_the_same_images_shares_the_files(tmp_path: Path) -> None:
    images = make_images(tmp_path / "images")
    first = pack(tmp_path / "store", images)
    before = chunk_files(tmp_path / "store")
    second = pack(tmp_path / "store", images)
    assert first.job.id != second.job.id
    assert chunk_files(tmp_path / "store") == before


def test_images_are_known_by_content_and_the_rest_is_reported(tmp_path: Path) -> None:
    images = tmp_path / "images"
    (images / "x").mkdir(parents=True)
    (images / "x" / "photo.txt").write_bytes(image_bytes("PNG"))
    (images / "x" / "no-suffix").write_bytes(image_bytes("WEBP"))
    (images / "x" / "moving").write_bytes(image_bytes("GIF"))
    (images / "x" / "fake.jpg").write_bytes(b"<html>not found</html>")
    (images / "x" / "empty.png").write_bytes(b"")
    for litter in (".hidden.jpg", "Thumbs.db", "desktop.ini"):
        (images / litter).write_bytes(image_bytes())
    for folder in (".git", "__MACOSX"):
        (images / folder).mkdir()
        (images / folder / "a.jpg").write_bytes(image_bytes())
    os.mkfifo(images / "x" / "pipe")
    result = pack(tmp_path / "store", images)
    with zipfile.ZipFile(chunk_files(tmp_path / "store")[0]) as chunk:
        assert chunk.namelist() == ["x/moving", "x/no-suffix", "x/photo.txt"]
    assert {(refused.name, refused.code) for refused in result.refused} == {
        ("x/fake.jpg", "not_an_image"),
        ("x/empty.png", "not_an_image"),
        ("x/pipe", "not_regular"),
    }


def test_labels_are_parent_folders_with_counts(tmp_path: Path) -> None:
    images = make_images(tmp_path / "images", 5)
    (images / "deep" / "bird").mkdir(parents=True)
    (images / "deep" / "bird" / "1").write_bytes(image_bytes())
    (images / "top.jpg").write_bytes(image_bytes())
    job = pack(tmp_path / "store", images).job
    assert [(label.name, label.count) for label in job.labels] == [("bird", 1), ("cat", 3), ("dog", 2)]


def test_metadata_lines_go_with_their_images_and_stand_last(tmp_path: Path) -> None:
    images = make_images(tmp_path / "images", 4, labels=("z",))
    lines = [
        '{"file_name": "z/0003.jpg",  "label": "last", "note": "\u00fc"}',
        '{"file_name": "z/0000.jpg", "label": 7}',
        '{"file_name": "z/0001.jpg", "note": "no label"}',
        '{"file_name": "z/missing.jpg", "label": "ghost"}',
    ]
    (images / "metadata.jsonl").write_text("\ufeff" + "\r\n\n".join(lines) + "\n", encoding="utf-8")
    result = pack(tmp_path / "store", images, chunk_size=2)
    found = []
    for sha256 in chunk_hashes(tmp_path / "store"):
        with zipfile.ZipFile(tmp_path / "store" / "chunks" / f"{sha256}.zip") as chunk:
            assert chunk.namelist()[-1] == "metadata.jsonl"
            found.append(chunk.read("metadata.jsonl").decode().splitlines())
    assert found == [[lines[1], lines[2]], [lines[0]]]
    # 0002.jpg has no line and so its folder's name; 7 is no text, and a line without a label says that there is none.
    assert [(label.name, label.count) for label in result.job.labels] == [("last", 1), ("z", 1)]
    assert [(refused.name, refused.code) for refused in result.refused] == [("z/missing.jpg", "path_not_found")]
    assert result.job.num_images == 4


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "7", '{"label": 1}', '{"file_name": 3}', '{"file_name": "a"}\n{"file_name": "a"}', "[" * 100_000,
     '{"file_name": "a", "label": "\\ud800"}'],
)  # fmt: skip
def test_malformed_metadata_fails_the_job_and_leaves_nothing(tmp_path: Path, text: str) -> None:
    images = make_images(tmp_path / "images")
    (images / "metadata.jsonl").write_text('{"file_name": "cat/0000.jpg"}\n' + text)
    with pytest.raises(ArchiveError, match=r"line [23]") as caught:
        pack(tmp_path / "store", images)
    assert caught.value.code == "metadata"
    assert chunk_files(tmp_path / "store") == []


def test_image_size_only_if_all_share_it(tmp_path: Path) -> None:
    images = make_images(tmp_path / "images", 3)
    assert pack(tmp_path / "store", images).job.image_size == (12, 16)
    (images / "cat" / "other.jpg").write_bytes(image_bytes(size=(16, 13)))
    assert pack(tmp_path / "store", images).job.image_size is None


def test_broken_image_shares_no_size_but_is_packed(tmp_path: Path) -> None:
    images = make_images(tmp_path / "images", 3)
    (images / "cat" / "broken.jpg").write_bytes(image_bytes()[:30])
    job = pack(tmp_path / "store", images).job
    assert (job.image_size, job.num_images) == (None, 4)


def test_chunk_closes_before_its_bytes_pass_the_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = make_images(tmp_path / "images", 6)
    size = len(image_bytes())
    monkeypatch.setattr(pack_module, "MAX_CHUNK_BYTES", 2 * size + size // 2)
    assert pack(tmp_path / "store", images).job.num_chunks == 3


def test_no_image_makes_a_failed_job(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.txt").write_text("text")
    with pytest.raises(StoreError) as caught:
        pack(tmp_path / "store", tmp_path / "images")
    assert caught.value.code == "no_images"
    with Store(tmp_path / "store") as store:
        assert [job.status for job in store.catalogue.list_jobs()[0]] == ["failed"]


def test_missing_source_and_bad_zip(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        pack(tmp_path / "store", tmp_path / "nothing")
    (tmp_path / "bad.zip").write_bytes(b"x" * 1000)
    with pytest.raises(ArchiveError):
        pack(tmp_path / "store", tmp_path / "bad.zip")


def test_broken_member_of_a_zip_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/good.jpg", image_bytes(seed=1))
        archive.writestr("a/bad.jpg", image_bytes(seed=2))
    data = bytearray(path.read_bytes())
    data[data.rfind(image_bytes(seed=2)) + 50] ^= 1
    path.write_bytes(data)
    result = pack(tmp_path / "store", path)
    assert result.job.num_images == 1
    assert [(refused.name, refused.code) for refused in result.refused] == [("a/bad.jpg", "crc")]


def test_job_is_running_with_progress_and_then_failed_without_chunks(tmp_path: Path) -> None:
    images = make_images(tmp_path / "images", 10)
    seen = []
    store, _ = Store.create(tmp_path / "store")

    def on_file(done: int, total: int) -> None:
        (job,), _ = store.catalogue.list_jobs()
        seen.append((job.status, job.progress, job.num_images))
        if done == 7:
            raise KeyboardInterrupt

    with store:
        with pytest.raises(KeyboardInterrupt):
            store.pack(images, JobSpec("n", chunk_size=2), on_file)
        (job,), _ = store.catalogue.list_jobs()
    assert seen == [("running", 10.0 * n, 0) for n in range(1, 8)]
    assert job.status == "failed"
    assert chunk_files(tmp_path / "store") == []


def test_full_disk_fails_the_job_and_keeps_other_jobs_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = make_images(tmp_path / "images", 4)
    pack(tmp_path / "store", images, chunk_size=2)
    before = chunk_files(tmp_path / "store")
    (images / "dog" / "9999.jpg").write_bytes(image_bytes(seed=99))

    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pack_module.os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            pack(tmp_path / "store", images, chunk_size=2)
    assert chunk_files(tmp_path / "store") == before
    assert pack(tmp_path / "store", images, chunk_size=2).job.status == "completed"


_DIE_WHILE_PACKING = """
import os, sys
from pathlib import Path
from pixcrawler.server.store import JobSpec, Store

def on_file(done, total):
    if done == 5:
        os._exit(9)

Store(Path(sys.argv[1])).pack(Path(sys.argv[2]), JobSpec("killed", chunk_size=2), on_file)
"""


def test_next_pack_cleans_up_after_a_killed_one(tmp_path: Path) -> None:
    images = make_images(tmp_path / "images", 8)
    other = make_images(tmp_path / "other", 3, labels=("bird",))
    pack(tmp_path / "store", other)
    before = chunk_files(tmp_path / "store")
    command = [sys.executable, "-c", _DIE_WHILE_PACKING, tmp_path / "store", images]
    assert subprocess.run(command, check=False).returncode == 9
    assert len(chunk_files(tmp_path / "store")) > len(before)
    with Store(tmp_path / "store") as store:
        assert [job.status for job in store.catalogue.list_jobs()[0]] == ["running", "completed"]
    pack(tmp_path / "store", other)
    assert chunk_files(tmp_path / "store") == before
    with Store(tmp_path / "store") as store:
        assert [job.status for job in store.catalogue.list_jobs()[0]] == ["completed", "failed", "completed"]


def test_one_packer_at_a_time(tmp_path: Path) -> None:
    images = make_images(tmp_path / "images")
    codes = []

    def on_file(_done: int, _total: int) -> None:
        with pytest.raises(StoreError) as caught:
            pack(tmp_path / "store", images)
        codes.append(caught.value.code)

    store, _ = Store.create(tmp_path / "store")
    with store:
        store.pack(images, JobSpec("n"), on_file)
    assert set(codes) == {"store_busy"}


def test_key_is_stored_as_a_hash_only(tmp_path: Path) -> None:
    store, key = Store.create(tmp_path / "store")
    with store:
        assert key.startswith("pxc_")
        assert store.accepts_key(key)
        assert not any(
            store.accepts_key(wrong) for wrong in ("", key[:-1], key + " ", key.upper(), "pxc_\u00fc", "\udc80")
        )
    assert all(key.encode() not in path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file())
    with pytest.raises(StoreError):
        Store.create(tmp_path / "store")
    assert Store.open_or_create(tmp_path / "store")[1] is None


def test_store_of_another_version_or_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        Store(tmp_path)
    store, _ = Store.create(tmp_path / "store")
    store.close()
    with sqlite3.connect(tmp_path / "store" / "store.sqlite") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StoreError, match="99") as caught:
        Store(tmp_path / "store")
    assert caught.value.code == "store_version"
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "store.sqlite").write_text("no database " * 500)
    with pytest.raises(StoreError) as caught:
        Store(tmp_path / "text")
    assert caught.value.code == "store_corrupt"


@pytest.mark.parametrize(
    "spec", [{"name": ""}, {"name": "a\nb"}, {"tags": ("",)}, {"project_id": "x" * 201}, {"chunk_size": 0}]
)
def test_bad_specification_is_a_value_error(spec: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"name|tag|project|chunk_size"):
        JobSpec(**{"name": "n", **spec})


def test_names_that_the_reader_refuses_are_not_packed(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a\\b.jpg", "C:\\x.jpg", "b c.jpg", "\u00fc.jpg", "new\nline.jpg"):
        (images / name).write_bytes(image_bytes())
    (images / os.fsdecode(b"bad\xff.jpg")).write_bytes(image_bytes())
    result = pack(tmp_path / "store", images)
    assert {(refused.name, refused.code) for refused in result.refused} == {
        ("a\\b.jpg", "unsafe_name"),
        ("C:\\x.jpg", "unsafe_name"),
        (os.fsdecode(b"bad\xff.jpg"), "name"),
    }
    with load_dataset(chunk_files(tmp_path / "store")[0]) as dataset:
        assert len(list(dataset)) == result.job.num_images == 3


def test_real_photographs(tmp_path: Path, photos_zip: Path) -> None:
    result = pack(tmp_path / "store", photos_zip)
    assert (result.job.num_images, result.job.num_chunks, result.refused) == (500, 1, ())
    assert sum(label.count for label in result.job.labels) == 500
    with zipfile.ZipFile(photos_zip) as given, zipfile.ZipFile(chunk_files(tmp_path / "store")[0]) as packed:
        assert packed.namelist() == sorted(given.namelist())
        assert all(given.read(name) == packed.read(name) for name in packed.namelist())
