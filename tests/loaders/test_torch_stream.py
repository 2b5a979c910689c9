"""``to_torch(streaming=True)`` in the real torch: every sample once over workers and ranks, however they start."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import textwrap
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from faulty_server import Fault, FaultyServer, serve_job
from support import encode, numbered, picture, run_child, write_zip, zip_of

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).resolve().parent.parent
# To import torch and torchvision alone takes half a minute where much else runs.
TIMEOUT_S = 180
pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="not installed: torch"),
    pytest.mark.timeout(TIMEOUT_S + 30),
]

COUNT = 100
BORDERS = (0, 37, 38, 38, COUNT)
PRELUDE = """
import os, sys, threading, time, warnings
sys.path.insert(0, sys.argv[1])
# More workers than processors; and those that leave samples out say so in their own processes.
warnings.filterwarnings("ignore", message="This DataLoader will create")
warnings.filterwarnings("ignore", message=".*were left out")
import numpy as np
import torch
from torch.utils.data import DataLoader
from pixcrawler import load_dataset
from support import number_of

def numbers_of(loader):
    found = []
    for images, labels in loader:
        assert images.dtype == torch.uint8 and labels.dtype == torch.int64
        own = [number_of(image) for image in images.permute(0, 2, 3, 1).numpy()]
        assert [number % 3 for number in own] == labels.tolist()
        found.append(own)
    return found

def flat(batches):
    return [number for batch in batches for number in batch]
"""


def run(code: str, *arguments: object) -> str:
    return run_child(PRELUDE + textwrap.dedent(code), TESTS, *arguments, timeout_s=TIMEOUT_S)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 numbered images in four chunks, one of them empty."""
    place = tmp_path_factory.mktemp("chunks")
    members = list(numbered(COUNT).items())
    for chunk in range(4):
        write_zip(place / f"{chunk}.zip", dict(members[BORDERS[chunk] : BORDERS[chunk + 1]]))
    return place


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    """The same, of a job whose labels the catalogue names."""
    members = list(numbered(COUNT).items())
    chunks = {f"c{at}": zip_of(dict(members[at * 25 : at * 25 + 25])) for at in range(4)}
    labels = [{"name": f"label{at}", "count": len(range(at, COUNT, 3))} for at in range(3)]
    with FaultyServer() as running:
        serve_job(running, "j", chunks, num_images=COUNT, labels=labels)
        for record in running.documents["/api/v1/jobs/j"]["chunks"]:
            record["num_images"] = 25
        yield running


def test_every_sample_once_whatever_the_workers(folder: Path) -> None:
    code = """
    dataset = load_dataset(sys.argv[2])
    everything = list(range(100))

    # Batches: full but for one, as many as len() says; in order where one process reads.
    stream = dataset.to_torch(streaming=True, batch_size=7)
    for workers in (0, 1, 2, 4):
        loader = DataLoader(stream, batch_size=None, num_workers=workers, persistent_workers=workers == 4)
        assert len(stream) == len(loader) == 15
        for _ in range(2):
            batches = numbers_of(loader)
            assert sorted(map(len, batches)) == [2] + [7] * 14, workers
            assert sorted(flat(batches)) == everything
            if workers < 2:
                assert flat(batches) == everything
        # Of several workers each reads a run, and the loader takes batches in turn.
        if workers == 2:
            assert flat(batches[0::2])[:14] == everything[:14]

    # Samples, floats as ToTensor makes them.
    from torchvision.transforms import ToTensor, v2
    stream = dataset.to_torch(streaming=True)
    assert len(stream) == 100
    for image, label in stream:
        assert image.dtype == torch.float32 and image.shape == (3, 6, 5) and isinstance(label, int)
    assert torch.equal(image, ToTensor()(dataset[99][0]))
    transformed = dataset.to_torch(lambda image: int(image[0, 0, 0]), streaming=True)
    for workers in (0, 3):
        got = torch.cat([numbers for numbers, _ in DataLoader(transformed, batch_size=8, num_workers=workers)])
        assert sorted(got.tolist()) == everything

    # What a batch is: a view of what was decoded.
    images, labels = next(iter(dataset.to_torch(streaming=True, batch_size=20)))
    assert images.shape == (20, 3, 6, 5) and images.is_contiguous(memory_format=torch.channels_last)
    images[:] = 0
    images, labels = next(iter(dataset.to_torch(streaming=True, batch_size=20, layout="NHWC")))
    assert images.shape == (20, 6, 5, 3) and images.is_contiguous()
    scaled = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.0] * 3, [0.5] * 3)])
    images, labels = next(iter(dataset.to_torch(scaled, streaming=True, batch_size=20)))
    assert images.shape == (20, 3, 6, 5) and float(images[10, 0, 0, 0]) == np.float32(10) / np.float32(255) / 0.5

    # A consumer that stops early leaves nothing behind.
    before = threading.active_count()
    for workers in (0, 2):
        loader = DataLoader(dataset.to_torch(streaming=True, batch_size=3), batch_size=None, num_workers=workers)
        for _ in loader:
            break
        iterator = iter(loader)
        next(iterator)
        del iterator
    import multiprocessing
    deadline = time.monotonic() + 20
    while (threading.active_count() > before or multiprocessing.active_children()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert threading.active_count() <= before and not multiprocessing.active_children(), threading.enumerate()

    # What is refused.
    for wrong in ({"batch_size": 0}, {"batch_size": "8"}, {"layout": "CHWN"}):
        try:
            dataset.to_torch(streaming=True, **wrong)
        except ValueError:
            continue
        raise AssertionError(wrong)
    for wrong in ({"batch_size": 8}, {"shuffle": True}, {"drop_last": True}, {"layout": "NHWC"}):
        try:
            dataset.to_torch(**wrong)
        except ValueError as error:
            assert "streaming=True" in str(error)
            continue
        raise AssertionError(wrong)
    print("done")
    """
    assert run(code, folder) == "done\n"


def test_shuffling_depends_on_seed_epoch_and_workers_alone(folder: Path) -> None:
    code = """
    import pickle
    from pixcrawler.loaders import torch_stream
    # Parts of a few of these small images.
    torch_stream._SHUFFLED_BYTES = 600
    dataset = load_dataset(sys.argv[2])

    def order(workers=0, epoch=0, seed=0, stream=None, batch_size=7):
        stream = stream or dataset.to_torch(streaming=True, batch_size=batch_size, shuffle=True, seed=seed)
        stream.set_epoch(epoch)
        found = flat(numbers_of(DataLoader(stream, batch_size=None, num_workers=workers)))
        assert sorted(found) == list(range(100))
        return found

    first = order()
    assert first != list(range(100))
    # Far from where they were, and neighbours no more.
    assert np.mean(np.abs(np.diff(first))) > 15
    assert order() == first
    assert order(epoch=1) != first != order(seed=1)
    assert order(2) == order(2) != first
    # A pickled one goes on in the epoch that was set.
    stream = dataset.to_torch(streaming=True, batch_size=7, shuffle=True)
    stream.set_epoch(5)
    again = pickle.loads(pickle.dumps(stream))
    assert flat(numbers_of(again)) == order(epoch=5)

    # The epoch reaches workers that live on.
    for workers in (0, 2):
        stream = dataset.to_torch(streaming=True, batch_size=7, shuffle=True)
        loader = DataLoader(stream, batch_size=None, num_workers=workers, persistent_workers=workers > 0)
        for epoch in (0, 1, 1, 0):
            stream.set_epoch(epoch)
            assert flat(numbers_of(loader)) == order(workers, epoch)

    # Ranks, as the environment tells them: each sample once, shares alike, and with drop_last equally many batches.
    for world in (1, 2, 3, 7):
        for shuffle in (False, True):
            for drop_last in (False, True):
                found, sizes = [], []
                for rank in range(world):
                    os.environ.update(RANK=str(rank), WORLD_SIZE=str(world))
                    stream = dataset.to_torch(streaming=True, batch_size=8, shuffle=shuffle, drop_last=drop_last)
                    batches = numbers_of(DataLoader(stream, batch_size=None, num_workers=2 if world == 3 else 0))
                    assert len(batches) == len(stream)
                    sizes.append(len(flat(batches)))
                    found += flat(batches)
                    assert len(dataset.to_torch(streaming=True)) in (100 // world, -(-100 // world))
                assert len(set(found)) == len(found)
                if drop_last:
                    assert set(sizes) == {100 // world // 8 * 8}
                else:
                    assert sorted(found) == list(range(100)) and max(sizes) - min(sizes) <= 1
    os.environ["RANK"] = "7"
    for wrong in (("7", "7"), ("x", "7"), ("1", None), (None, "2")):
        for name, value in zip(("RANK", "WORLD_SIZE"), wrong):
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        try:
            len(dataset.to_torch(streaming=True))
        except ValueError as error:
            assert "WORLD_SIZE" in str(error)
            continue
        raise AssertionError(wrong)
    print("done")
    """
    assert run(code, folder) == "done\n"


def ranges_of(server: FaultyServer) -> Counter[str]:
    """What was asked for of chunks."""
    return Counter(f"{seen.target} {seen.headers.get('range')}" for seen in server.seen if "/api/" not in seen.target)


STARTED_IN_EVERY_WAY = """
    import multiprocessing
    multiprocessing.set_forkserver_preload(["torch"])
    if __name__ == "__main__":
        dataset = load_dataset("j", "key", sys.argv[2])
        stream = dataset.to_torch(streaming=True, batch_size=7, shuffle=True)
        print("made", flush=True)
        sys.stdin.readline()
        for method, persistent in (("fork", False), ("spawn", True), ("forkserver", False)):
            loader = DataLoader(
                stream, batch_size=None, num_workers=2, multiprocessing_context=method, persistent_workers=persistent
            )
            for epoch in range(2 if persistent else 1):
                stream.set_epoch(epoch)
                batches = numbers_of(loader)
                assert sorted(flat(batches)) == list(range(100)) and len(batches) == len(stream)
                print(method, flat(batches), flush=True)
                sys.stdin.readline()
    """


def test_workers_ask_for_no_directory_and_for_each_byte_once(server: FaultyServer) -> None:
    code = PRELUDE + textwrap.dedent(STARTED_IN_EVERY_WAY)
    command = [sys.executable, "-c", code, str(TESTS), server.url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            assert child.stdout.readline() == "made\n"
            # Once in the parent: of each chunk its end.
            assert [text.split()[1] for text in ranges_of(server).elements()] == ["bytes=-65536"] * 4
            orders = []
            for _ in range(4):
                server.seen.clear()
                child.stdin.write("go\n")
                child.stdin.flush()
                orders.append(child.stdout.readline())
                asked = ranges_of(server)
                assert asked
                assert not any("=-" in text for text in asked)
                assert set(asked.values()) == {1}
        finally:
            child.stdin.close()
            child.wait(TIMEOUT_S)
    assert child.returncode == 0
    fork, spawn, next_epoch, forkserver = (order.partition(" ") for order in orders)
    assert (fork[0], spawn[0], forkserver[0]) == ("fork", "spawn", "forkserver")
    # However they are started, and in the next epoch another.
    assert fork[2] == spawn[2] != next_epoch[2]


GLOO = """
    if __name__ == "__main__":
        import json
        import torch.distributed
        dataset = load_dataset(sys.argv[2])
        # Made before: who reads what is decided when a pass begins.
        stream = dataset.to_torch(streaming=True, batch_size=7, shuffle=True)
        rank = int(sys.argv[3])
        torch.distributed.init_process_group("gloo", init_method="file://" + sys.argv[4], rank=rank, world_size=2)
        found = {}
        for workers, method in ((0, None), (2, "fork"), (1, "spawn")):
            loader = DataLoader(stream, batch_size=None, num_workers=workers, multiprocessing_context=method)
            batches = numbers_of(loader)
            assert len(batches) == len(loader) == 8
            found[f"{workers} {method}"] = flat(batches)
        torch.distributed.destroy_process_group()
        print(json.dumps(found))
    """


def test_ranks_of_torch_distributed(folder: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        ranks = [pool.submit(run, GLOO, folder, rank, tmp_path / "store") for rank in range(2)]
        first, second = (json.loads(rank.result()) for rank in ranks)
    for way in ("0 None", "2 fork", "1 spawn"):
        assert len(first[way]) == len(second[way]) == COUNT // 2
        assert sorted(first[way] + second[way]) == list(range(COUNT))
    assert first["0 None"] == first["1 spawn"]


def test_what_workers_leave_out_reaches_the_parent(tmp_path: Path) -> None:
    members = numbered(40)
    bad = [name for number, name in enumerate(members) if number % 8 == 3]
    for name in bad:
        members[name] = encode(picture(30, 30), "JPEG")[:300]
    names = list(members)
    folder = tmp_path / "chunks"
    folder.mkdir()
    for chunk in range(2):
        write_zip(folder / f"{chunk}.zip", {name: members[name] for name in names[chunk * 20 : chunk * 20 + 20]})
    (folder / "2.zip").write_bytes(b"no zip")
    code = """
    from pixcrawler import PixCrawlerError, TooManyFailuresError, UnsupportedImageError
    dataset = load_dataset(sys.argv[2], on_error="skip", image_size=(6, 5))
    good = [number for number in range(40) if number % 8 != 3]
    stream = dataset.to_torch(streaming=True, batch_size=4)
    for workers in (0, 2, 2):
        found = numbers_of(DataLoader(stream, batch_size=None, num_workers=workers))
        assert sorted(flat(found)) == good
        # Full but for each reader's last.
        assert sum(len(batch) < 4 for batch in found) <= max(workers, 1)
        failures = dataset.failures
        assert sorted((failure.chunk_id, failure.member or "") for failure in failures) == sorted(
            [("2.zip", "")] + [(f"{at // 20}.zip", f"label{at % 3}/{at:04d}.png") for at in range(3, 40, 8)]
        ), list(failures)
    samples = DataLoader(dataset.to_torch(lambda image: image[0, 0, 0], streaming=True), num_workers=2)
    assert sorted(int(image) for image, _ in samples) == good

    # Over all workers together, and as the class that it is.
    for allowed in (5, 6):
        limited = load_dataset(sys.argv[2], on_error="skip", max_failures=allowed, image_size=(6, 5))
        loader = DataLoader(limited.to_torch(streaming=True, batch_size=4), batch_size=None, num_workers=2)
        try:
            assert len(flat(numbers_of(loader))) == 35 and allowed == 6
        except TooManyFailuresError:
            assert allowed == 5
    strict = load_dataset(os.path.join(sys.argv[2], "1.zip"), image_size=(6, 5))
    for workers in (0, 1):
        try:
            for _ in DataLoader(strict.to_torch(streaming=True, batch_size=4), batch_size=None, num_workers=workers):
                pass
        except PixCrawlerError as error:
            assert (error.chunk_id, error.member, error.code) == ("1.zip", "label0/0027.png", "truncated_image")
            continue
        raise AssertionError
    print("done")
    """
    assert run(code, folder) == "done\n"


def test_whole_chunks_are_sent_once(server: FaultyServer) -> None:
    server.always[""] = Fault(ignore_range=True)
    code = """
    dataset = load_dataset("j", "key", sys.argv[2])
    for shuffle in (False, True):
        for workers, world in ((0, 1), (2, 1), (3, 1), (2, 3)):
            for batch_size in (7, None):
                found = []
                for rank in range(world):
                    os.environ.update(RANK=str(rank), WORLD_SIZE=str(world))
                    stream = dataset.to_torch(streaming=True, batch_size=batch_size, shuffle=shuffle)
                    if batch_size is None:
                        # uint8 from floats.
                        loader = DataLoader(stream, batch_size=10, num_workers=workers)
                        own = [
                            number_of(image)
                            for images, _ in loader
                            for image in (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
                        ]
                        assert len(own) == len(stream)
                    else:
                        batches = numbers_of(DataLoader(stream, batch_size=None, num_workers=workers))
                        assert len(batches) == len(stream)
                        own = flat(batches)
                    found += own
                assert sorted(found) == list(range(100)), (workers, world, shuffle, found)
                print("epoch")
    """
    epochs = run(code, server.url).count("epoch")
    assert epochs == 16
    whole = Counter(seen.target for seen in server.seen if "/api/" not in seen.target and "range" not in seen.headers)
    assert set(whole.values()) == {epochs}
