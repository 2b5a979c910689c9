"""Downloads that are ended at any moment, and go on: nothing lost, nothing fetched twice, nothing of others touched."""

from __future__ import annotations

import errno
import itertools
import json
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import pixcrawler
from download.jobs import contents, download, lines_of
from faulty_server import Fault, FaultyServer, serve_job
from pixcrawler.download import files, state
from support import encode, numbered, picture, zip_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FORMATS = ["numpy", "images", "zip"]


def images_of(chunk: int) -> dict[str, bytes]:
    """The same names in every chunk."""
    return {f"label{at % 3}/{at}.png": encode(picture(40, 30, 12 * chunk + at)) for at in range(12)}


CHUNKS = {f"c{at}": zip_of(images_of(at)) for at in range(4)}
SIZE = sum(map(len, CHUNKS.values()))


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as running:
        serve_job(running, "j", CHUNKS, num_images=48)
        yield running


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """What each form holds if nothing goes wrong."""
    output = tmp_path_factory.mktemp("undisturbed")
    with FaultyServer() as running:
        serve_job(running, "j", CHUNKS)
        return {form: contents(Path(download(running, output / form, form).folder)) for form in FORMATS}


class EndedError(BaseException):
    """As a signal: nobody catches it."""


def left_bytes(folder: Path) -> int:
    """Bytes of chunks that an ended download has on the disk or has used."""
    found = state.State.read(folder)
    done = 0 if found is None else found.done
    used = sum(len(data) for data in list(CHUNKS.values())[:done])
    waiting = [path for path in (folder / ".pixcrawler").glob("*.partial") if int(path.name[1]) >= done]
    return used + sum(path.stat().st_size for path in waiting)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("after", [0, 2, 5])
def test_an_ended_download_goes_on_from_its_byte(
    server: FaultyServer, tmp_path: Path, undisturbed: dict[str, dict[str, bytes]], form: str, after: int
) -> None:
    ticks = 0

    def end(progress: pixcrawler.DownloadProgress) -> None:
        nonlocal ticks
        ticks += 1
        if ticks > after:
            raise KeyboardInterrupt

    server.always[""] = Fault(bytes_per_s=50_000)
    with pytest.raises(KeyboardInterrupt):
        download(server, tmp_path, form, on_progress=end, max_workers=2)
    assert contents(tmp_path / "j").keys() <= {f"{name}.zip" for name in CHUNKS}
    assert threading.active_count() < 20
    server.always.clear()
    had = left_bytes(tmp_path / "j")
    report = download(server, tmp_path, form)
    assert report.bytes_fetched == SIZE - had
    assert contents(tmp_path / "j") == undisturbed[form]
    assert not (tmp_path / "j" / ".pixcrawler").exists()
    asked = len(server.seen)
    again = download(server, tmp_path, form)
    assert (again.bytes_fetched, again.chunks_fetched, again.num_images) == (0, 0, 48)
    assert len(server.seen) == asked + 1, "one request, for the job"


class Countdown:
    """Fails the step that it counts down to, once: with a full disk, or as if the process were killed there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
        self.kind = kind
        self.left = 0
        for name in ("write", "ftruncate", "fsync"):
            monkeypatch.setattr(os, name, self.failing(getattr(os, name)))
        if kind == "ended":
            monkeypatch.setattr(files, "write_atomically", self.failing(files.write_atomically))
            monkeypatch.setattr(state, "write_atomically", self.failing(state.write_atomically))
            monkeypatch.setattr(state, "_move", self.failing(state._move))
            monkeypatch.setattr(state.shutil, "rmtree", self.failing(state.shutil.rmtree))

    def failing(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            self.left -= 1
            if self.left == 0 and self.kind == "full":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if self.left == 0:
                raise EndedError
            return function(*args, **options)

        return call


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(("kind", "stride"), [("ended", 4), ("full", 7)])
def test_ended_at_every_kind_of_step_that_touches_the_disk(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, kind: str, stride: int
) -> None:
    small = {f"c{at}": zip_of(dict(list(images_of(at).items())[:4])) for at in range(2)}
    serve_job(server, "j", small)
    expected = contents(Path(download(server, tmp_path / "undisturbed", form).folder))
    countdown = Countdown(monkeypatch, kind)
    for step in range(1, 400, stride):
        output = tmp_path / str(step)
        countdown.left = step
        ended = None
        try:
            download(server, output, form, max_workers=1)
        except (EndedError, OSError) as error:
            ended = error
        if ended is None:
            break
        assert isinstance(ended, EndedError) or (ended.errno == errno.ENOSPC and ended.filename), ended
        download(server, output, form)
        assert contents(output / "j") == expected, step
        own = sorted(path.name for path in (output / "j").glob(".pixcrawler*"))
        assert own == [".pixcrawler.files.jsonl", ".pixcrawler.json"]
    assert step > 3 * stride
    assert countdown.left > 0, "it came to its end before the last step was reached"


def test_broken_lines_are_resumed(server: FaultyServer, tmp_path: Path) -> None:
    path = "/data/c0.zip"
    third = len(CHUNKS["c0"]) // 3
    server.fail(path, Fault(cut_after=third), Fault(cut_after=third, reset=True))
    report = download(server, tmp_path, "zip")
    assert report.bytes_fetched == SIZE
    assert server.ranges(path)[0] is None
    starts = [int((one or "bytes=0-").removeprefix("bytes=").rstrip("-")) for one in server.ranges(path)]
    assert len(starts) == 3
    assert starts == sorted(starts)
    assert starts[1] == third


def half_fetched(server: FaultyServer, output: Path, form: str = "zip", **options: Any) -> None:
    """A download that was ended when a third of the first chunk was there."""
    third = len(CHUNKS["c0"]) // 3
    server.fail("/data/c0.zip", *[Fault(cut_after=third)], *[Fault(status=404)])
    with pytest.raises(pixcrawler.PixCrawlerError):
        download(server, output, form, max_workers=1, **options)
    assert (output / "j" / ".pixcrawler" / "c0.zip.partial").stat().st_size == third


@pytest.mark.parametrize("has_sha256", [True, False])
@pytest.mark.parametrize("has_etag", [True, False])
def test_a_part_is_kept_if_something_tells_whose_it_is(
    server: FaultyServer, tmp_path: Path, has_sha256: bool, has_etag: bool
) -> None:
    (chunk, *_) = server.documents["/api/v1/jobs/j"]["chunks"]
    if not has_sha256:
        chunk["sha256"] = None
    if not has_etag:
        server.etags["/data/c0.zip"] = None
    half_fetched(server, tmp_path)
    download(server, tmp_path, "zip")
    third = len(CHUNKS["c0"]) // 3
    resumed = has_sha256 or has_etag
    assert server.ranges("/data/c0.zip")[-1] == (f"bytes={third}-" if resumed else None)
    assert (tmp_path / "j" / "c0.zip").read_bytes() == CHUNKS["c0"]


@pytest.mark.parametrize("has_etag", [True, False])
def test_a_chunk_that_was_replaced_is_begun_again(server: FaultyServer, tmp_path: Path, has_etag: bool) -> None:
    (chunk, *_) = server.documents["/api/v1/jobs/j"]["chunks"]
    other = zip_of({f"0/{name}": encode(picture(6, 5, at)) for at, name in enumerate(["a.png", "b.png"])})
    other = other[: len(CHUNKS["c0"])]
    chunk.update(sha256=None, size_bytes=None)
    if not has_etag:
        server.etags["/data/c0.zip"] = None
    half_fetched(server, tmp_path)
    server.files["/data/c0.zip"] = other
    download(server, tmp_path, "zip")
    assert (tmp_path / "j" / "c0.zip").read_bytes() == other


def test_a_server_without_ranges_sends_whole_chunks(server: FaultyServer, tmp_path: Path) -> None:
    half_fetched(server, tmp_path)
    server.always[""] = Fault(ignore_range=True)
    download(server, tmp_path, "zip")
    assert (tmp_path / "j" / "c0.zip").read_bytes() == CHUNKS["c0"]


def test_expired_addresses_are_asked_for_anew(server: FaultyServer, tmp_path: Path) -> None:
    signature = "first-signature"

    def job(_query: object) -> dict[str, Any]:
        chunks = [{**chunk, "url": f"{chunk['url']}?sig={signature}"} for chunk in records]
        return {"id": "j", "status": "completed", "chunks": chunks}

    records = server.documents["/api/v1/jobs/j"]["chunks"]
    server.documents["/api/v1/jobs/j"] = job
    server.signatures = {f"/data/{name}.zip": "first-signature" for name in CHUNKS}
    half_fetched(server, tmp_path)
    signature = "second-signature"
    server.signatures = dict.fromkeys(server.signatures, "second-signature")

    def expire(progress: pixcrawler.DownloadProgress) -> None:
        nonlocal signature
        if progress.chunks_done == 1:
            signature = "third-signature"
            server.signatures = dict.fromkeys(server.signatures, "third-signature")

    report = download(server, tmp_path, "zip", max_workers=1, on_progress=expire)
    assert report.bytes_fetched <= SIZE - len(CHUNKS["c0"]) // 3
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert b"-signature" not in path.read_bytes(), path


def test_spoilt_bytes_are_fetched_once_more(server: FaultyServer, tmp_path: Path) -> None:
    server.fail("/data/c1.zip", Fault(corrupt_at=500))
    report = download(server, tmp_path, "zip")
    assert report.bytes_fetched == SIZE + len(CHUNKS["c1"])
    server.always["/data/c1.zip"] = Fault(corrupt_at=500)
    with pytest.raises(pixcrawler.IntegrityError, match="SHA-256") as caught:
        download(server, tmp_path / "other", "zip")
    assert (caught.value.code, caught.value.chunk_id) == ("chunk_integrity", "c1")
    server.always.clear()
    download(server, tmp_path / "other", "zip")


@pytest.mark.parametrize("form", FORMATS)
def test_no_more_chunks_wait_on_the_disk_than_are_allowed(server: FaultyServer, tmp_path: Path, form: str) -> None:
    chunks = {f"c{at:02}": CHUNKS["c0"] for at in range(12)}
    serve_job(server, "j", chunks)
    most = 0

    def watch(progress: pixcrawler.DownloadProgress) -> None:
        nonlocal most
        most = max(most, len(list((tmp_path / "j" / ".pixcrawler").glob("*.partial"))))
        assert len(progress.active) <= 4

    download(server, tmp_path, form, max_workers=2, on_progress=watch)
    assert 1 <= most <= 4


def test_progress_grows_to_the_end(server: FaultyServer, tmp_path: Path) -> None:
    seen: list[pixcrawler.DownloadProgress] = []
    server.always[""] = Fault(bytes_per_s=20_000)
    download(server, tmp_path, on_progress=seen.append)
    assert len(seen) >= 4
    for before, after in itertools.pairwise(seen):
        assert before.bytes_fetched <= after.bytes_fetched
        assert before.images <= after.images
        assert before.chunks_done <= after.chunks_done
    assert {chunk.state for one in seen for chunk in one.active} >= {"fetching"}
    last = seen[-1]
    assert (last.bytes_done, last.bytes_total, last.images, last.images_total) == (SIZE, SIZE, 48, 48)
    assert (last.chunks_done, last.chunks_total, last.active, last.left_s) == (4, 4, (), 0)


class TestFolder:
    def test_other_options_are_refused(self, server: FaultyServer, tmp_path: Path) -> None:
        half_fetched(server, tmp_path, "images")
        for form, options, text in (
            ("numpy", {}, "format images, not with format numpy"),
            ("numpy", {"image_size": 8}, "not with format numpy and image size 8x8"),
        ):
            with pytest.raises(FileExistsError, match=text):
                download(server, tmp_path, form, **options)
        download(server, tmp_path, "images")
        with pytest.raises(FileExistsError, match="format images"):
            download(server, tmp_path, "zip")

    def test_another_version_is_refused(self, server: FaultyServer, tmp_path: Path) -> None:
        download(server, tmp_path)
        serve_job(server, "j", CHUNKS, num_images=48, version=2)
        with pytest.raises(FileExistsError, match="j version 1, not j version 2"):
            download(server, tmp_path)
        serve_job(server, "j", dict(list(CHUNKS.items())[1:]))
        with pytest.raises(FileExistsError, match="before its chunks changed"):
            download(server, tmp_path)
        assert download(server, tmp_path, force=True).num_images == 36

    @pytest.mark.parametrize("name", ["notes.txt", ".hidden", "images.npy", ".pixcrawler.json"])
    def test_what_others_wrote_is_refused(self, server: FaultyServer, tmp_path: Path, name: str) -> None:
        (tmp_path / "j").mkdir()
        (tmp_path / "j" / name).write_text("mine")
        with pytest.raises(FileExistsError, match="did not write"):
            download(server, tmp_path)
        assert (tmp_path / "j" / name).read_text() == "mine"
        assert download(server, tmp_path, force=True).num_images == 48
        assert len(pixcrawler.open_arrays(tmp_path / "j")) == 48
        if name in {"notes.txt", ".hidden"}:
            assert (tmp_path / "j" / name).read_text() == "mine"

    def test_force_removes_what_a_download_wrote_and_nothing_else(self, server: FaultyServer, tmp_path: Path) -> None:
        download(server, tmp_path, "images")
        (tmp_path / "j" / "label1" / "mine.txt").write_text("mine")
        (tmp_path / "j" / "notes.txt").write_text("mine")
        download(server, tmp_path, "zip", force=True)
        assert contents(tmp_path / "j").keys() == {*(f"{c}.zip" for c in CHUNKS), "label1/mine.txt", "notes.txt"}

    def test_a_forced_download_goes_on_too(self, server: FaultyServer, tmp_path: Path) -> None:
        (tmp_path / "j").mkdir()
        (tmp_path / "j" / "notes.txt").write_text("mine")
        half_fetched(server, tmp_path, force=True)
        had = left_bytes(tmp_path / "j")
        assert had >= len(CHUNKS["c0"]) // 3
        report = download(server, tmp_path, "zip", force=True)
        assert report.bytes_fetched == SIZE - had
        assert download(server, tmp_path, "zip").bytes_fetched == 0
        assert download(server, tmp_path, "zip", force=True).bytes_fetched == SIZE

    def test_force_follows_no_name_out_of_the_folder(self, server: FaultyServer, tmp_path: Path) -> None:
        download(server, tmp_path, "zip")
        (tmp_path / "victim").write_text("mine")
        entry = {"file": "../victim", "size_bytes": 4, "sha256": "0" * 64}
        (tmp_path / "j" / ".pixcrawler.files.jsonl").write_text(json.dumps(entry) + "\n")
        download(server, tmp_path, "zip", force=True)
        assert (tmp_path / "victim").read_text() == "mine"

    @pytest.mark.parametrize(
        "change",
        [
            {"plan": {"labels.npy": "../labels.npy"}},
            {"marks": {"../x": [1, 1]}},
            {"done": -1},
            {"images": "many"},
            {"plan": ["x"]},
            {"state_version": 2},
            {"unknown": 1},
        ],
    )
    def test_a_state_that_is_not_ours_is_refused(
        self, server: FaultyServer, tmp_path: Path, change: dict[str, Any]
    ) -> None:
        half_fetched(server, tmp_path, "numpy")
        path = tmp_path / "j" / ".pixcrawler.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
        with pytest.raises(FileExistsError, match=r"\.pixcrawler\.json"):
            download(server, tmp_path)
        download(server, tmp_path, force=True)

    def test_one_download_at_a_time(self, server: FaultyServer, tmp_path: Path) -> None:
        def second(_progress: object) -> None:
            with pytest.raises(FileExistsError, match="another download"):
                download(server, tmp_path)

        download(server, tmp_path, on_progress=second)

    def test_a_job_is_a_folder_of_its_name_in_the_output(self, server: FaultyServer, tmp_path: Path) -> None:
        serve_job(server, "C%3Ax%2A", {"c0": CHUNKS["c0"]})
        report = download(server, tmp_path / "a" / "b", job="C:x*")
        assert report.folder == str(tmp_path / "a" / "b" / "C_x_")
        for job in ("../j", "/j", "j.zip", "..", ""):
            with pytest.raises(ValueError, match="job_id must be"):
                download(server, tmp_path, job=job)

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"form": "tar"}, "format must be one of 'numpy', 'images', 'zip'"),
            ({"form": "zip", "image_size": 8}, "image_size is for the format"),
            ({"image_size": 0}, "image_size"),
            ({"max_workers": 0}, "max_workers"),
        ],
    )
    def test_wrong_arguments(self, server: FaultyServer, tmp_path: Path, options: dict[str, Any], text: str) -> None:
        with pytest.raises(ValueError, match=text):
            download(server, tmp_path, **options)
        assert not server.seen
        assert not list(tmp_path.iterdir())


class TestDamage:
    def test_a_damaged_chunk_is_fetched_alone(self, server: FaultyServer, tmp_path: Path) -> None:
        download(server, tmp_path, "zip")
        folder = tmp_path / "j"
        expected = contents(folder)
        notes = (folder / ".pixcrawler.files.jsonl").read_bytes()
        data = bytearray(expected["c2.zip"])
        data[700] ^= 4
        (folder / "c2.zip").write_bytes(data)
        (folder / "c0.zip").unlink()
        server.seen.clear()
        report = download(server, tmp_path, "zip")
        assert [seen.target for seen in server.seen[1:]] == ["/data/c0.zip", "/data/c2.zip"]
        assert (report.chunks_fetched, report.num_images, report.failed) == (2, 48, 0)
        assert contents(folder) == expected
        assert sorted((folder / ".pixcrawler.files.jsonl").read_bytes().splitlines()) == sorted(notes.splitlines())

    @pytest.mark.parametrize("form", ["numpy", "images"])
    def test_of_others_a_missing_file_is_told(self, server: FaultyServer, tmp_path: Path, form: str) -> None:
        download(server, tmp_path, form)
        name = max(contents(tmp_path / "j"))
        (tmp_path / "j" / name).unlink()
        with pytest.raises(pixcrawler.IntegrityError, match=name):
            download(server, tmp_path, form)
        download(server, tmp_path, form, force=True)
        assert (tmp_path / "j" / name).exists()

    @pytest.mark.parametrize("form", FORMATS)
    def test_verify_names_every_damaged_file(self, server: FaultyServer, tmp_path: Path, form: str) -> None:
        server.documents["/api/v1/jobs/j"]["chunks"][1]["num_images"] = 12
        server.files["/data/c1.zip"] = zip_of({**numbered(5), "bad/x.png": b"no image"})
        server.documents["/api/v1/jobs/j"]["chunks"][1].update(sha256=None, size_bytes=None)
        download(server, tmp_path, form)
        folder = tmp_path / "j"
        clean = pixcrawler.verify_dataset(folder)
        assert clean.bad == (1 if form == "zip" else 0)
        assert all(chunk.error is None for chunk in clean.chunks)
        for name, data in contents(folder).items():
            path = folder / name
            for at in (0, len(data) // 2, len(data) - 1):
                spoilt = bytearray(data)
                spoilt[at] ^= 1
                path.write_bytes(spoilt)
                if name == "metadata.jsonl":
                    continue
                named = {
                    problem.chunk_id for chunk in pixcrawler.verify_dataset(folder).chunks for problem in chunk.problems
                }
                assert name in named or (form == "images" and at == 0), (name, at)
                if len(contents(folder)) > 10 and at:
                    break
            path.write_bytes(data)
        (folder / name).unlink()
        report = pixcrawler.verify_dataset(folder)
        assert any(chunk.error is not None and chunk.chunk_id == name for chunk in report.chunks)


def test_what_is_written_of_a_job_holds_no_key(server: FaultyServer, tmp_path: Path) -> None:
    half_fetched(server, tmp_path)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert b"key" not in path.read_bytes(), path


def test_failures_of_earlier_runs_are_kept(server: FaultyServer, tmp_path: Path) -> None:
    chunks = {**CHUNKS, "c0": zip_of({"a/x.png": b"no image", **numbered(3)}), "c4": zip_of({"a/y.png": b"none"})}
    serve_job(server, "j", chunks)
    server.fail("/data/c2.zip", Fault(status=404))
    with pytest.raises(pixcrawler.PixCrawlerError):
        download(server, tmp_path, max_workers=1)
    report = download(server, tmp_path)
    assert report.failed == 2
    assert [line["member"] for line in lines_of(tmp_path / "j" / "failures.jsonl")] == ["a/x.png", "a/y.png"]
