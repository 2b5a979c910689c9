"""``to_arrays``: one array, decoded in place; what it takes, what it refuses, what it shows."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faulty_server import Fault, FaultyServer, serve_job
from pixcrawler import LimitError, _machine, load_dataset
from pixcrawler.loaders.numpy import label_array
from support import catching_warning, encode, number_of, numbered, picture, run_child, write_zip, zip_of

TESTS = Path(__file__).resolve().parent.parent
JPEG = encode(picture(40, 60), "JPEG")


class TestLabels:
    @pytest.mark.parametrize(
        ("labels", "dtype"),
        [
            ([], "U1"),
            (["cat", "hippopotamus", ""], "U12"),
            (["ä", "猫"], "U1"),
            ([3, -7, 1 << 62], "int64"),
            ([3, 1 << 63], "object"),
            ([True, False], "object"),
            ([1, "cat"], "object"),
            ([None, "cat"], "object"),
            ([1.5, 2.5], "object"),
            ([[1, 2], [3, 4]], "object"),
            ([(1, 2), (3, 4)], "object"),
            ([{"a": 1}, {}], "object"),
            ([np.zeros(3), np.zeros(3)], "object"),
        ],
    )
    def test_their_array(self, labels: list[Any], dtype: str) -> None:
        array = label_array(labels)
        assert array.dtype == np.dtype(dtype)
        assert array.shape == (len(labels),)
        assert all(one is other or one == other for one, other in zip(array.tolist(), labels, strict=True))


MEMORY = """
import gc, json, sys, warnings
sys.path.insert(0, sys.argv[1])
import support
from pixcrawler import load_dataset

warnings.simplefilter("ignore")
path, limit, size, on_error, warm = sys.argv[2:7]
options = {"decode_threads": 2, "memory_limit": limit, "image_size": int(size) or None, "on_error": on_error}
load_dataset(warm, **options).to_arrays()
gc.collect()
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
before = support.peak_bytes()
X, y = load_dataset(path, **options).to_arrays()
print(json.dumps({"grown": support.peak_bytes() - before, "X": X.nbytes, "shape": X.shape, "sum": int(X.sum())}))
"""


class TestMemory:
    LIMIT = 32_000_000

    def measure(self, path: Path, size: int, warm: Path, on_error: str = "raise") -> dict[str, Any]:
        report = run_child(MEMORY, TESTS, path, f"{self.LIMIT}", size, on_error, warm)
        found: dict[str, Any] = json.loads(report)
        return found

    @pytest.fixture
    def warm(self, tmp_path: Path) -> Path:
        return write_zip(tmp_path / "warm.zip", {f"{n}.jpg": encode(picture(60, 60, n), "JPEG") for n in range(8)})

    def test_of_photographs_is_the_array_and_the_limit(self, photos_zip: Path, warm: Path) -> None:
        report = self.measure(photos_zip, 400, warm)
        assert report["shape"] == [500, 400, 400, 3]
        # As for other passes, malloc keeps some for each thread.
        assert report["X"] <= report["grown"] < report["X"] + self.LIMIT + 16_000_000

    def test_so_it_is_without_a_size_and_with_bad_images_among_the_good(self, tmp_path: Path, warm: Path) -> None:
        data = encode(picture(480, 640), "JPEG")
        path = write_zip(tmp_path / "bad.zip", {f"{n}.jpg": data if n % 7 else data[:-900] for n in range(300)})
        report = self.measure(path, 0, warm, "skip")
        assert report["shape"] == [257, 480, 640, 3]
        assert report["grown"] < 300 * 480 * 640 * 3 + self.LIMIT + 16_000_000


class TestRefusal:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return write_zip(tmp_path / "c.zip", numbered(20))

    @pytest.mark.parametrize("size", [(100, 200), None])
    def test_by_the_control_group_with_both_figures(
        self, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int] | None
    ) -> None:
        monkeypatch.setattr(_machine, "_CGROUP", tmp_path)
        dataset = load_dataset(path, image_size=size)
        needed = 20 * (100 * 200 if size else 6 * 5) * 3
        (tmp_path / "memory.max").write_text(str(10**9 + needed))
        (tmp_path / "memory.current").write_text(str(10**9))
        assert len(dataset.to_arrays()[0]) == 20
        (tmp_path / "memory.current").write_text(str(10**9 + 1))
        with pytest.raises(LimitError, match="iter_batches") as caught:
            dataset.to_arrays()
        assert caught.value.code == "memory"
        assert "20 images" in str(caught.value)
        if size is not None:
            # The size was known before anything was read.
            assert "100 x 200 x 3" in str(caught.value)

    def test_nothing_is_fetched_of_what_is_too_large(self) -> None:
        with FaultyServer() as server:
            serve_job(server, "j", {"c0": zip_of(numbered(20))}, num_images=20)
            with load_dataset("j", "key", server.url, image_size=65_000) as dataset:
                server.seen.clear()
                with pytest.raises(LimitError, match=r"253\.5 GB, .* GB are available: iter_batches"):
                    dataset.to_arrays()
                assert server.seen == []

    def test_by_a_real_limit_of_the_process(self, path: Path) -> None:
        code = """
        import resource, sys
        from pathlib import Path
        from pixcrawler import LimitError, load_dataset
        dataset = load_dataset(sys.argv[1], decode_threads=1)
        dataset.to_arrays()
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 300_000_000, resource.RLIM_INFINITY))
        # 20 x 3000 x 2000 x 3 = 360 MB
        try:
            load_dataset(sys.argv[1], decode_threads=1, image_size=(3000, 2000)).to_arrays()
        except LimitError as exc:
            print(exc)
        print(load_dataset(sys.argv[1], decode_threads=1, image_size=300).to_arrays()[0].shape)
        """
        refused, shape = run_child(code, path).splitlines()
        assert "0.4 GB, 0.3 GB are available" in refused
        assert "iter_batches" in refused
        assert shape == "(20, 300, 300, 3)"

    def test_memory_that_is_not_there_after_all(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("pixcrawler.loaders.numpy.available_bytes", lambda: None)
        with pytest.raises(LimitError, match=r"more than can be had: iter_batches"):
            # 20 x 65000 x 65000 x 4 bytes are more than the address space that Linux lends to one mapping here.
            load_dataset(path, image_size=65_000, mode="RGBA").to_arrays()


@pytest.mark.parametrize("size", [7, None])
def test_the_size_is_logged_before(tmp_path: Path, caplog: pytest.LogCaptureFixture, size: int | None) -> None:
    path = write_zip(tmp_path / "c.zip", numbered(20))
    with caplog.at_level(logging.INFO, logger="pixcrawler"):
        load_dataset(path, image_size=size).to_arrays()
    (record,) = caplog.records
    shape = "7 x 7" if size else "6 x 5"
    assert record.getMessage() == f"to_arrays: 20 images of {shape} x 3 are 0.0 MB"
    assert record.levelno == logging.INFO


class TestWithoutASize:
    def test_it_is_that_of_the_first_that_can_be_decoded(self, tmp_path: Path) -> None:
        members = {"bad/0.jpg": b"", "bad/1.jpg": JPEG[:-100], **numbered(200), "bad/2.jpg": b"no image"}
        dataset = load_dataset(write_zip(tmp_path / "c.zip", members), on_error="skip")
        images, labels = _quietly(dataset)
        assert images.shape == (200, 6, 5, 3)
        assert [number_of(image) for image in images] == list(range(200))
        assert len(labels) == 200

    def test_there_is_none_if_nothing_can_be_decoded(self, tmp_path: Path) -> None:
        members = {f"{number}.jpg": b"no image" for number in range(150)}
        dataset = load_dataset(write_zip(tmp_path / "c.zip", members), on_error="skip")
        images, labels = _quietly(dataset)
        assert (images.shape, images.dtype, labels.shape) == ((0, 0, 0, 3), np.uint8, (0,))
        assert len(dataset.failures) == 150

    def test_a_chunk_that_cannot_be_had_is_asked_for_as_often_as_in_any_pass(self) -> None:
        with FaultyServer() as server:
            serve_job(server, "j", {"c0": zip_of(numbered(30)), "c1": zip_of(numbered(30))}, num_images=60)
            for record in server.documents["/api/v1/jobs/j"]["chunks"]:
                record["num_images"] = 30
            path = next(path for path in server.files if "c0" in path)
            server.always[path] = Fault(status=404)
            counts = []
            for read in (lambda d: list(d.iter_batches(8)), lambda d: d.to_arrays()):
                server.seen.clear()
                with load_dataset("j", "key", server.url, on_error="skip") as dataset:
                    catching_warning(_Called(lambda read=read, dataset=dataset: read(dataset)))
                    assert dataset.failures.num_samples == 30
                counts.append(sum(seen.target.split("?", maxsplit=1)[0] == path for seen in server.seen))
            assert counts[0] == counts[1] > 0


def _quietly(dataset: Any) -> tuple[Any, Any]:
    return tuple(catching_warning(_Called(dataset.to_arrays)))  # type: ignore[return-value]


class _Called:
    """What a call returns, as something to iterate over: the call is made inside."""

    def __init__(self, call: Any) -> None:
        self._call = call

    def __iter__(self) -> Any:
        return iter(self._call())


ON_TERMINAL = """
import sys, time
import pixcrawler
from pixcrawler.loaders import progress
from pixcrawler.sources.local import FolderSource

folder, delay_s, expected_s = sys.argv[1:4]
read = FolderSource.read

def slowly(self, *arguments):
    time.sleep(float(delay_s))
    return read(self, *arguments)

FolderSource.read = slowly
# The same rule on another scale.
progress._EXPECTED_S, progress._OBSERVED_S = float(expected_s), 0.05
dataset = pixcrawler.load_dataset(folder, image_size=8, memory_limit="1MB")
try:
    X, y = dataset.to_arrays()
    print(len(X))
except pixcrawler.PixCrawlerError as exc:
    print(exc.code)
print("rich" in sys.modules)
"""


def on_terminal(*arguments: object) -> tuple[list[str], str]:
    """Run the code with stderr on a real pseudo-terminal; its stdout's lines, and what the terminal got."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", textwrap.dedent(ON_TERMINAL), *map(str, arguments)]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = bytearray()
        with contextlib.suppress(OSError):
            while part := os.read(ours, 4096):
                shown += part
        os.close(ours)
        assert process.stdout is not None
        out = process.stdout.read().decode().split("\n")
    return out[:-1], shown.decode()


class TestProgress:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for name, data in numbered(150).items():
            path = tmp_path / "photos" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return tmp_path / "photos"

    def test_a_bar_on_a_terminal_that_is_gone_at_the_end(self, folder: Path) -> None:
        out, shown = on_terminal(folder, 0.01, 0.5)
        assert out == ["150", "True"]
        assert "to_arrays" in shown
        assert "/150" in shown
        # Cursor shown again, the bar's line erased.
        assert "\x1b[?25h" in shown
        assert shown.rstrip("\r\n").endswith("\x1b[2K")

    def test_none_for_what_is_quick(self, folder: Path) -> None:
        assert on_terminal(folder, 0.01, 1000) == (["150", "False"], "")

    def test_it_goes_when_the_pass_fails(self, folder: Path) -> None:
        (folder / "zzz.png").write_bytes(b"no image")
        out, shown = on_terminal(folder, 0.01, 0.5)
        assert out == ["not_an_image", "True"]
        assert shown.rstrip("\r\n").endswith("\x1b[2K")

    def test_none_where_stderr_is_no_terminal(self, folder: Path) -> None:
        assert run_child(ON_TERMINAL, folder, 0.01, 0.5).split() == ["150", "False"]


def test_samples_done_are_told_in_order(tmp_path: Path) -> None:
    dataset = load_dataset(write_zip(tmp_path / "c.zip", numbered(200)))
    told: list[int] = []
    out = np.zeros((200, 6, 5, 3), np.uint8)
    labels = dataset.decode_all_into(out, on_progress=told.append)
    assert len(labels) == 200
    assert [number_of(image) for image in out] == list(range(200))
    assert told == sorted(told)
    assert told[-1] == 200


def test_an_array_in_a_file_is_filled_in_place(tmp_path: Path) -> None:
    dataset = load_dataset(write_zip(tmp_path / "c.zip", numbered(100)))
    mapped = np.lib.format.open_memmap(tmp_path / "images.npy", "w+", np.uint8, (100, 6, 5, 3))
    dataset.decode_all_into(mapped)
    del mapped
    assert [number_of(image) for image in np.load(tmp_path / "images.npy")] == list(range(100))
