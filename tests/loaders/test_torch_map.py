"""``to_torch()``: samples by number for torch, here and in a DataLoader's workers, from a disk and from a server."""

from __future__ import annotations

import importlib.util
import json
import pickle
import re
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from faulty_server import Fault, FaultyServer, serve_job
from pixcrawler import (
    ArchiveError,
    Failure,
    ImageDecodeError,
    NotFoundError,
    TooManyFailuresError,
    load_dataset,
)
from pixcrawler._machine import usable_cpus
from pixcrawler.worker_failures import WorkerFailures
from support import member_name, number_of, numbered, open_directory, run_child, write_zip, zip_of

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).resolve().parent.parent
BAD = b"\x89PNG\r\n\x1a\n no more"

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("torchvision") is None, reason="not installed: torchvision"),
    # To import torch in a worker that is spawned takes seconds, where other tests run beside it many.
    pytest.mark.timeout(240),
]


@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def transforms() -> Any:
    pytest.importorskip("torchvision")
    import torchvision.transforms

    return torchvision.transforms


# Pixels and labels.


@pytest.mark.parametrize("options", [{}, {"image_size": (96, 160)}, {"mode": "L"}, {"mode": "RGBA"}])
def test_floats_are_those_of_ToTensor_bit_for_bit(
    torch: Any, transforms: Any, kodak_folder: Path, options: dict[str, Any]
) -> None:
    dataset = load_dataset(kodak_folder, **options)
    to_tensor = transforms.ToTensor()
    samples = dataset.to_torch().__getitems__(list(range(0, 24, 3)))
    for number, (image, _) in zip(range(0, 24, 3), samples, strict=True):
        expected = to_tensor(dataset[number][0])
        assert (image.dtype, image.is_contiguous()) == (torch.float32, True)
        assert torch.equal(image, expected)
    assert torch.equal(dataset.to_torch()[5][0], to_tensor(dataset[5][0]))


def test_every_level_is_that_of_ToTensor(torch: Any, transforms: Any) -> None:
    from pixcrawler.loaders.torch import to_float

    for channels in (1, 3, 4):
        levels = np.arange(256, dtype=np.uint8).repeat(channels).reshape(16, 16, channels)
        assert torch.equal(to_float(levels), transforms.ToTensor()(levels))


def test_a_transform_gets_the_array(torch: Any, transforms: Any, kodak_folder: Path) -> None:
    from torchvision.transforms import v2

    dataset = load_dataset(kodak_folder, image_size=64)
    seen = []
    image, label = dataset.to_torch(transform=lambda array: seen.append(array) or array.shape)[3]
    assert (seen[0].dtype, image, label) == (np.uint8, (64, 64, 3), dataset.class_to_idx[dataset[3][1]])
    np.testing.assert_array_equal(seen[0], dataset[3][0])
    classic = transforms.Compose([transforms.ToPILImage(), transforms.CenterCrop(32), transforms.ToTensor()])
    modern = v2.Compose([v2.ToImage(), v2.CenterCrop(32), v2.ToDtype(torch.float32, scale=True)])
    crop = transforms.ToTensor()(dataset[3][0])[:, 16:48, 16:48]
    assert torch.equal(dataset.to_torch(classic)[3][0], crop)
    # v2 itself multiplies by 1/255 where ToTensor divides.
    torch.testing.assert_close(torch.as_tensor(dataset.to_torch(transform=modern)[3][0]), crop, rtol=2e-7, atol=0)
    assert torch.equal(dataset.to_torch(transforms.ToTensor())[3][0], dataset.to_torch()[3][0])


def test_labels(torch: Any, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "c.zip", numbered(7))
    dataset = load_dataset(path)
    (_, labels) = next(iter(torch.utils.data.DataLoader(dataset.to_torch(), batch_size=7)))
    assert labels.dtype == torch.int64
    assert labels.tolist() == [dataset.class_to_idx[f"label{number % 3}"] for number in range(7)]
    # As they are, also where they are no positions.
    ints = load_dataset(path, label_fn=lambda member, *_: 1000 - int(Path(member).stem))
    (_, labels) = next(iter(torch.utils.data.DataLoader(ints.to_torch(), batch_size=7)))
    assert (labels.dtype, labels.tolist()) == (torch.int64, list(range(1000, 993, -1)))
    for other in (None, {"a": 1}, 1.5):
        unmapped = load_dataset(path, label_fn=lambda *_, other=other: other)
        with pytest.raises(TypeError, match="label_fn"):
            unmapped.to_torch()[0]
    names = load_dataset(path, label_fn=member_name)
    assert [names.to_torch()[number][1] for number in range(7)] == [
        names.classes.index(member) for member in numbered(7)
    ]


# As a sequence.


def test_indices_subsets_and_splits(torch: Any, tmp_path: Path) -> None:
    dataset = load_dataset(write_zip(tmp_path / "c.zip", numbered(20)))
    samples = dataset.to_torch(transform=number_of)
    assert isinstance(samples, torch.utils.data.Dataset)
    assert len(samples) == 20
    assert [samples[index][0] for index in (0, 19, -1, -20, np.int64(4), torch.tensor(5))] == [0, 19, 19, 0, 4, 5]
    for index in (20, -21):
        with pytest.raises(IndexError, match="of 20"):
            samples[index]
        with pytest.raises(IndexError, match="of 20"):
            samples.__getitems__([0, index])
    with pytest.raises(TypeError):
        samples[0:2]
    assert samples.__getitems__([]) == []
    assert [number for number, _ in samples.__getitems__([7, -1, 7])] == [7, 19, 7]
    assert [number for number, _ in samples] == list(range(20))
    generator = torch.Generator().manual_seed(1)
    train, test = torch.utils.data.random_split(samples, [0.75, 0.25], generator)
    assert (len(train), len(test)) == (15, 5)
    loaders = [torch.utils.data.DataLoader(part, batch_size=4, shuffle=True) for part in (train, test)]
    parts = [[int(number) for numbers, _ in loader for number in numbers] for loader in loaders]
    assert (len(parts[0]), sorted(parts[0] + parts[1])) == (15, list(range(20)))
    nested = torch.utils.data.Subset(torch.utils.data.Subset(samples, range(5, 15)), [0, 9])
    assert [number for number, _ in nested] == [5, 14]


def test_without_torch_it_says_what_to_install(tmp_path: Path) -> None:
    code = """
    import sys
    from pixcrawler import load_dataset
    sys.modules["torch"] = None
    dataset = load_dataset(sys.argv[1])
    try:
        dataset.to_torch()
    except ImportError as error:
        print(error)
    """
    told = run_child(code, write_zip(tmp_path / "c.zip", numbered(3)))
    assert 'pip install "pixcrawler-sdk[torch]"' in told


# Failures.


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """30 members, of which every fifth is bad."""
    members = dict(sorted(numbered(30).items(), key=lambda item: item[0][-8:]))
    bad = {name: BAD for at, name in enumerate(members) if at % 5 == 4}
    return write_zip(tmp_path / "damaged.zip", {**members, **bad})


def test_one_sample_always_raises(torch: Any, damaged: Path) -> None:
    for dataset in (load_dataset(damaged), load_dataset(damaged, on_error="skip")):
        with pytest.raises(ImageDecodeError) as caught:
            dataset.to_torch()[4]
        assert (caught.value.chunk_id, caught.value.member) == ("damaged.zip", "label1/0004.png")
        assert len(dataset.failures) == 0
    with pytest.raises(ImageDecodeError):
        load_dataset(damaged).to_torch().__getitems__([3, 4, 5])


def test_a_batch_holds_what_is_good(torch: Any, damaged: Path) -> None:
    dataset = load_dataset(damaged, on_error="skip")
    samples = dataset.to_torch(transform=number_of)
    assert [number for number, _ in samples.__getitems__([3, 4, 9, 5])] == [3, 5]
    with pytest.raises(ImageDecodeError) as caught:
        samples.__getitems__([9, 4])
    assert caught.value.member == "label0/0009.png"
    assert [failure.member for failure in dataset.failures] == ["label1/0004.png", "label0/0009.png"]
    loader = torch.utils.data.DataLoader(samples, batch_size=6, shuffle=True)
    for _ in range(3):
        assert sum(len(labels) for _, labels in loader) == 24
    # Each sample once, however often it was asked for.
    assert sorted(failure.member[-8:] for failure in dataset.failures) == [f"{n:04}.png" for n in range(4, 30, 5)]
    # A pass has a ledger of its own, until more is read by number.
    with pytest.warns(UserWarning, match="6 of 30 samples were left out"):
        assert len(list(dataset)) == 24
    assert len(dataset.failures) == 6
    assert dataset.failures[0].member == "label1/0004.png"
    # Another form of the same dataset adds to the same ledger.
    dataset.to_torch().__getitems__([0, 4])
    assert len(dataset.failures) == 6


def test_on_error_as_a_function(torch: Any, damaged: Path) -> None:
    asked: list[Failure] = []

    def decide(failure: Failure) -> str:
        asked.append(failure)
        return "raise" if failure.member == "label2/0014.png" else "skip"

    samples = load_dataset(damaged, on_error=decide).to_torch(transform=number_of)
    assert [number for number, _ in samples.__getitems__([4, 5])] == [5]
    with pytest.raises(ImageDecodeError) as caught:
        samples.__getitems__([13, 14, 15])
    assert caught.value.member == "label2/0014.png"
    assert [failure.member for failure in asked] == ["label1/0004.png", "label2/0014.png"]


@pytest.mark.parametrize("allowed", [2, 0.08])
def test_max_failures(torch: Any, damaged: Path, allowed: float) -> None:
    dataset = load_dataset(damaged, on_error="skip", max_failures=allowed)
    samples = dataset.to_torch()
    for _ in range(2):
        assert len(samples.__getitems__(range(14))) == 12
    with pytest.raises(TooManyFailuresError, match="3 samples failed, 2 may"):
        samples.__getitems__(range(10, 20))
    with pytest.raises(TooManyFailuresError):
        samples.__getitems__([0, 4])
    assert len(dataset.failures) == 3


def test_a_chunk_that_cannot_be_opened(torch: Any) -> None:
    chunks = {"good": zip_of(numbered(4)), "bad": b"no zip" * 100, "gone": zip_of(numbered(3))}
    with FaultyServer() as server:
        serve_job(server, "j", chunks, num_images=11, labels=[{"name": f"label{n}", "count": 1} for n in range(3)])
        for chunk, count in zip(server.documents["/api/v1/jobs/j"]["chunks"], (4, 4, 3), strict=True):
            chunk["num_images"] = count
        server.always["/data/gone.zip"] = Fault(status=404)
        with load_dataset("j", "key", base_url=server.url) as dataset, pytest.raises((ArchiveError, NotFoundError)):
            dataset.to_torch()
        with load_dataset("j", "key", base_url=server.url, on_error="skip") as dataset:
            samples = dataset.to_torch(transform=number_of)
            # The one is known to be no zip; the other is asked for again, once a batch.
            asked = len(server.ranges("/data/bad.zip")), len(server.ranges("/data/gone.zip"))
            assert [number for number, _ in samples.__getitems__(range(11))] == [0, 1, 2, 3]
            assert len(server.ranges("/data/bad.zip")) == asked[0]
            assert len(server.ranges("/data/gone.zip")) == asked[1] + 1
            with pytest.raises(ArchiveError) as caught:
                samples[5]
            assert caught.value.chunk_id == "bad"
            # One record for each sample that is missing.
            assert dataset.failures.counts() == {"download_failed": 3, "not_a_zip": 4}
            assert dataset.failures.num_samples == 7


def test_the_shared_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    failures = [Failure("c", f"{number}\r\n\u2028.jpg", "corrupt", "bad \udcff") for number in range(5)]
    one = WorkerFailures(3)
    other: WorkerFailures = pickle.loads(pickle.dumps(one))
    one.record(failures[0])
    other.record(failures[0])
    other.record(failures[1])
    one.record(Failure("c", None, "download_failed", "gone"), sample=7)
    assert list(one.read()) == list(other.read()) == [*failures[:2], Failure("c", None, "download_failed", "gone")]
    with pytest.raises(TooManyFailuresError, match="4 samples failed, 3 may"):
        other.record(failures[2])
    assert len(one) == 4
    # A line that is still being written is read when it is whole.
    (file,) = tmp_path.glob("pixcrawler-failures-*")
    line = json.dumps({**failures[4].to_dict(), "sample": None}).replace('"stage": "decode", ', "").encode() + b"\n"
    with file.open("ab") as appended:
        appended.write(line[:20])
    assert len(one) == 4
    with file.open("ab") as appended:
        appended.write(line[20:])
    assert one.read()[4] == failures[4]
    del other
    assert file.exists()
    del one
    assert not file.exists()


# Workers.

USERS_CODE = """
import torch
from support import number_of

def number(image):
    return number_of(image)

def told(image):
    # The image, and what a worker has of the machine.
    samples = torch.utils.data.get_worker_info().dataset
    options = samples._here().options
    return torch.tensor(
        [number_of(image), options.memory_bytes, options.decode_threads or 0, samples._here()._random._kept_bytes]
    )
"""

PRELUDE = """
import sys
sys.path[:0] = [sys.argv[1], sys.argv[2]]
if __name__ == "__main__":
    import json, os, pickle, threading, warnings
    import torch, users_code
    from torch.utils.data import DataLoader, WeightedRandomSampler
    import pixcrawler
    from pixcrawler import load_dataset

    def check(loader, expected, epochs=1):
        told = []
        for _ in range(epochs):
            seen = []
            for images, labels in loader:
                assert labels.dtype == torch.int64
                told += images.tolist()
                for image, label in zip(images.tolist(), labels.tolist()):
                    seen.append(image[0] if isinstance(image, list) else image)
                    assert label == seen[-1] % 3
            assert sorted(seen) == expected, seen
        return told
"""


@pytest.fixture
def users_code(tmp_path: Path) -> Path:
    (tmp_path / "users_code.py").write_text(USERS_CODE)
    return tmp_path


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    """A job of three chunks of 40, 25 and 35 numbered images, and one of them damaged."""
    members = list(numbered(100).items())
    parts = {"a": members[:40], "b": members[40:65], "c": members[65:]}
    chunks = {name: zip_of(dict(part)) for name, part in parts.items()}
    damaged = dict(members[40:65])
    for name in list(damaged)[::5]:
        damaged[name] = BAD
    labels = [{"name": f"label{number}", "count": 1} for number in range(3)]
    with FaultyServer() as server:
        serve_job(server, "damaged", {**chunks, "b": zip_of(damaged)}, num_images=100, labels=labels)
        server.files["/damaged/b.zip"] = server.files["/data/b.zip"]
        server.documents["/api/v1/jobs/damaged"]["chunks"][1]["url"] = f"{server.url}/damaged/b.zip"
        serve_job(server, "good", chunks, num_images=100, labels=labels)
        for job in ("damaged", "good"):
            for record, count in zip(server.documents[f"/api/v1/jobs/{job}"]["chunks"], (40, 25, 35), strict=True):
                record["num_images"] = count
        yield server


def run(code: str, users_code: Path, server: FaultyServer, *arguments: object) -> str:
    return run_child(PRELUDE + code, TESTS, users_code, server.url, *arguments, timeout_s=200)


def requests_of(server: FaultyServer) -> tuple[int, list[tuple[str, int, int]]]:
    """Requests for a chunk's end, and all other ranges, since the last call."""
    seen = [one for one in server.seen if one.target.startswith(("/data/", "/damaged/"))]
    server.seen.clear()
    tails = [one for one in seen if one.headers["range"].startswith("bytes=-")]
    matches = [(one.target, re.fullmatch(r"bytes=(\d+)-(\d+)", one.headers["range"])) for one in seen]
    return len(tails), [(path, int(match[1]), int(match[2]) + 1) for path, match in matches if match]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_F01_workers_read_each_sample_once_and_no_directory(
    users_code: Path, server: FaultyServer, method: str
) -> None:
    # Forked ones cost nothing; the others import torch each.
    workers = 4 if method == "fork" else 2
    code = """
    method, workers = sys.argv[4], int(sys.argv[5])
    torch.multiprocessing.set_forkserver_preload(["torch"])
    dataset = load_dataset("damaged", "key", base_url=sys.argv[3], memory_limit="100MB", on_error="skip")
    samples = dataset.to_torch(transform=users_code.told)
    print(json.dumps("opened"), flush=True)
    sys.stdin.readline()
    good = [number for number in range(100) if number not in range(40, 65, 5)]
    loader = DataLoader(
        samples, 7, shuffle=True, num_workers=workers, multiprocessing_context=method, persistent_workers=True
    )
    check(loader, good)
    print(json.dumps("read"), flush=True)
    sys.stdin.readline()
    told = check(loader, good, epochs=2)
    if method == "fork":
        samples = dataset.to_torch(transform=users_code.number)
        check(DataLoader(samples, 7, shuffle=True), good)
        check(DataLoader(samples, 16, shuffle=True, num_workers=1), good, epochs=2)
    missing = [failure.member[-8:-4] for failure in dataset.failures]
    _, memory, threads, kept = zip(*told)
    print(json.dumps([sorted(set(memory)), sorted(set(threads)), max(kept), sorted(missing)]))
    """
    command = [sys.executable, "-c", textwrap.dedent(PRELUDE + code), str(TESTS), str(users_code), server.url]
    with subprocess.Popen(
        [*command, method, str(workers)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert json.loads(process.stdout.readline()) == "opened"
        assert requests_of(server) == (3, [])
        process.stdin.write("\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline()) == "read"
        tails, ranges = requests_of(server)
        process.stdin.write("\n")
        process.stdin.flush()
        memory, threads, kept, missing = json.loads(process.stdout.readline())
        assert process.wait(60) == 0
    assert tails == 0
    expected = []
    for path in ("/data/a.zip", "/damaged/b.zip", "/data/c.zip"):
        directory = open_directory(server.files[path])
        expected.extend((path, *directory.extent(index)) for index in directory.samples)
    bytes_asked = sorted((path, at) for path, start, stop in ranges for at in range(start, stop))
    assert bytes_asked == sorted((path, at) for path, start, stop in expected for at in range(start, stop))
    assert requests_of(server)[0] == 0
    assert memory == [100_000_000 // workers]
    assert threads == [max(1, usable_cpus() // workers)]
    assert 0 < kept <= 100_000_000 // workers // 4
    assert missing == ["0040", "0045", "0050", "0055", "0060"]


def test_F01_forks_while_passes_and_reads_are_under_way_in_the_parent(users_code: Path, server: FaultyServer) -> None:
    server.always["/data/a.zip"] = Fault(latency_s=0.005)
    code = """
    dataset = load_dataset("good", "key", base_url=sys.argv[3], on_error="skip")
    samples = dataset.to_torch(transform=users_code.number)
    over = threading.Event()
    def busy(work):
        while not over.is_set():
            work()
    works = [
        lambda: sum(len(labels) for _, labels in dataset.iter_batches(8)) == 100 or os._exit(3),
        lambda: len(dataset[0:100:7]) == 15 or os._exit(4),
        lambda: len(dataset.failures) == 0 or os._exit(5),
    ]
    threads = [threading.Thread(target=busy, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for turn in range(4):
        loader = DataLoader(samples, batch_size=9, shuffle=True, num_workers=4, multiprocessing_context="fork")
        check(loader, list(range(100)))
    over.set()
    for thread in threads:
        thread.join()
    print("all read")
    """
    assert run(code, users_code, server) == "all read\n"


def test_F03_errors_in_workers_reach_the_parent_as_what_they_are(users_code: Path, server: FaultyServer) -> None:
    code = """
    def load(**options):
        return load_dataset("damaged", "key", base_url=sys.argv[3], **options)

    def read(dataset):
        loader = DataLoader(dataset.to_torch(), 8, shuffle=True, num_workers=4, multiprocessing_context="fork")
        return [sum(len(labels) for _, labels in loader) for _ in range(2)]

    # Of all workers together, and of an epoch as of two.
    assert read(load(on_error="skip", max_failures=5)) == [95, 95]
    try:
        read(load(on_error="skip", max_failures=4))
    except pixcrawler.TooManyFailuresError as error:
        print(error.code)
    for dataset, way in ((load(), "batch"), (load(on_error="skip"), "alone")):
        batch_size = 8 if way == "batch" else None
        loader = DataLoader(dataset.to_torch(), batch_size, num_workers=2, multiprocessing_context="fork")
        try:
            for _ in loader:
                pass
        except pixcrawler.ImageDecodeError as error:
            print(error.code, error.chunk_id, error.member, *getattr(error, "__notes__", ["DataLoader worker"]))
    """
    told = run(code, users_code, server).splitlines()
    assert told[0] == "too_many_failures"
    errors = [line for line in told if line.startswith("truncated_image b label1/0040.png ")]
    assert len(errors) == 2
    assert all("DataLoader worker" in line for line in errors)


def test_a_pickle_for_elsewhere_holds_no_secrets_and_asks_for_itself(torch: Any, server: FaultyServer) -> None:
    with load_dataset("good", "the-secret-key", base_url=server.url) as dataset:
        samples = dataset.to_torch(transform=number_of)
        requests_of(server)
        pickled = pickle.dumps(samples)
        assert b"the-secret-key" not in pickled
        assert len(pickled) < 3000
        other = pickle.loads(pickled)
        assert [number for number, _ in other.__getitems__([3, 70])] == [3, 70]
        assert requests_of(server)[0] == 2
        other._dataset.close()


def test_the_directories_are_asked_for_at_once(torch: Any) -> None:
    chunks = {f"c{number}": zip_of(numbered(2)) for number in range(12)}
    at_once, most, lock = 0, 0, threading.Lock()
    with FaultyServer() as server:
        serve_job(server, "j", chunks)

        def draw(path: str, _: int) -> Fault | None:
            nonlocal at_once, most
            if path.startswith("/data/"):
                with lock:
                    at_once += 1
                    most = max(most, at_once)
                server.stop.wait(0.1)
                with lock:
                    at_once -= 1
            return None

        # Not as server.draw, which is called behind a lock: that would keep requests apart.
        server.take = lambda path: draw(path, 0) or Fault()  # type: ignore[method-assign]
        with load_dataset("j", "key", base_url=server.url, max_workers=3) as dataset:
            assert len(dataset.to_torch()) == 24
            assert most == 3
            assert dataset.classes == ("label0", "label1")
        assert requests_of(server)[0] == 12


def test_photographs_in_batches_equal_those_alone(torch: Any, transforms: Any, photos_zip: Path) -> None:
    dataset = load_dataset(photos_zip, image_size=64)
    expected, labels = dataset.to_arrays()
    loader = torch.utils.data.DataLoader(dataset.to_torch(), batch_size=50)
    for batch, (images, indices) in enumerate(loader):
        part = expected[50 * batch : 50 * batch + 50]
        assert torch.equal(images, torch.from_numpy(part).permute(0, 3, 1, 2).to(torch.float32).div(255))
        assert [dataset.classes[index] for index in indices] == labels[50 * batch : 50 * batch + 50].tolist()
