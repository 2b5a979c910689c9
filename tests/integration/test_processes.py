"""Other processes: forks in the midst of work, every way of starting workers, Ctrl-C, the interpreter's end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from support import encode, numbered, picture, run_child, write_zip

TESTS = Path(__file__).resolve().parent.parent
# What a hung child would never keep to.
FORK_TIMEOUT_S = 20

PRELUDE = """
import multiprocessing, os, signal, sys, threading, time, zlib
sys.path.insert(0, sys.argv[1])
import support
from pixcrawler import load_dataset
"""


@pytest.fixture(scope="module")
def chunk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """JPEGs enough for several batches and threads."""
    members = {f"label{number % 3}/{number:03d}.jpg": encode(picture(120, 160, number), "JPEG") for number in range(96)}
    return write_zip(tmp_path_factory.mktemp("data") / "chunk.zip", members)


def run(code: str, *arguments: object, timeout_s: float = FORK_TIMEOUT_S) -> str:
    return run_child(PRELUDE + code, TESTS, *arguments, timeout_s=timeout_s)


FORK = """
def in_child(work):
    pid = os.fork()
    if pid == 0:
        signal.alarm(15)
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            os._exit(status)
    return pid

def check(pid):
    _, status = os.waitpid(pid, 0)
    assert status == 0, f"the child ended with {status}"

dataset = load_dataset(sys.argv[2], decode_threads=3)
"""


def test_F01_a_batch_in_a_forked_child_after_one_in_the_parent(chunk: Path) -> None:
    code = """
expected = support.checksums(dataset)
for image, _ in dataset[:8]:
    pass
def work():
    assert support.checksums(dataset) == expected
    assert [label for _, label in dataset[:5]] == [label for _, label in expected[:5]]
for _ in range(3):
    check(in_child(work))
assert support.checksums(dataset) == expected
def grandchild():
    work()
    check(in_child(work))
check(in_child(grandchild))
"""
    run(FORK + code, chunk)


def test_F01_forks_in_the_midst_of_a_pass(chunk: Path) -> None:
    code = """
expected = support.checksums(dataset)
def work():
    assert support.checksums(dataset) == expected
pids = []
seen = 0
for images, labels in dataset.iter_batches(8, image_size=32):
    seen += len(labels)
    pids.append(in_child(work))
assert seen == 96
for pid in pids:
    check(pid)
"""
    run(FORK + code, chunk)


def test_F01_forks_while_another_thread_decodes(chunk: Path) -> None:
    code = """
expected = support.checksums(dataset)
over = threading.Event()
def busy():
    while not over.is_set():
        assert support.checksums(dataset, 32) == expected
thread = threading.Thread(target=busy)
thread.start()
def work():
    assert support.checksums(load_dataset(sys.argv[2], decode_threads=3)) == expected
    # The ledger's and the random access's locks may have been held when the fork happened.
    assert len(dataset[:3]) == 3 and len(dataset.failures) == 0
for _ in range(12):
    time.sleep(0.01)
    check(in_child(work))
over.set()
thread.join()
"""
    run(FORK + code, chunk)


def test_F01_forks_while_images_of_their_own_are_decoded(chunk: Path) -> None:
    code = """
def read(dataset):
    return [(zlib.crc32(image.tobytes()), label) for image, label in dataset]
expected = read(dataset)
over = threading.Event()
def busy():
    while not over.is_set():
        assert read(dataset) == expected
thread = threading.Thread(target=busy)
thread.start()
# Decode threads take memory from a list that is locked for moments; a fork must not happen in one of them.
for _ in range(60):
    check(in_child(lambda: len(dataset[0:2]) == 2 or os._exit(3)))
check(in_child(lambda: read(dataset) == expected or os._exit(3)))
over.set()
thread.join()
"""
    run(FORK + code, chunk)


def test_F01_an_iterator_of_the_parent_says_so_in_the_child(chunk: Path) -> None:
    code = """
batches = dataset.iter_batches(8, image_size=32)
next(batches)
def work():
    try:
        for _ in batches:
            pass
    except RuntimeError as exc:
        assert "fork" in str(exc)
    else:
        raise SystemExit("no error")
    batches.close()
check(in_child(work))
assert sum(len(labels) for _, labels in batches) == 88
"""
    run(FORK + code, chunk)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_F01_workers_of_multiprocessing(chunk: Path, method: str) -> None:
    code = """
if __name__ == "__main__":
    dataset = load_dataset(sys.argv[2], label_fn=support.member_name)
    expected = support.checksums(dataset)
    context = multiprocessing.get_context(sys.argv[3])
    with context.Pool(2) as pool:
        results = [pool.apply_async(support.checksums, (dataset,)) for _ in range(4)]
        for result in results:
            assert result.get(15) == expected
    process = context.Process(target=support.checksums, args=(dataset,))
    process.start()
    process.join(15)
    assert process.exitcode == 0
    assert support.checksums(dataset) == expected
"""
    run(code, chunk, method, timeout_s=40)


def test_F03_errors_cross_from_workers(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "bad.zip", {**numbered(5), "cat/bad.jpg": b"\xff\xd8\xff no image"})
    code = """
if __name__ == "__main__":
    from pixcrawler import ImageDecodeError
    dataset = load_dataset(sys.argv[2])
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        try:
            pool.apply(support.checksums, (dataset,))
        except ImageDecodeError as exc:
            print(exc.code, exc.chunk_id, exc.member)
"""
    assert run(code, path, timeout_s=40).split()[1:] == ["bad.zip", "cat/bad.jpg"]


@pytest.fixture(scope="module")
def slow_chunk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One batch of it is several seconds of work for one thread."""
    data = encode(Image.fromarray(picture(200, 300)).resize((6000, 4000)), "JPEG")
    return write_zip(tmp_path_factory.mktemp("data") / "slow.zip", {f"{number}.jpg": data for number in range(60)})


INTERRUPTED = {
    "native": """
import pathlib, zipfile
with zipfile.ZipFile(sys.argv[2]) as archive:
    items = support.bare_items([archive.read(name) for name in archive.namelist()])
decoder = support.make_decoder(threads=1, image_size=(64, 64))
import numpy as np
out = np.empty((len(items), 64, 64, 3), np.uint8)
print("ready", flush=True)
decoder.decode_into(items, out)
print("finished", flush=True)
""",
    "batches": """
dataset = load_dataset(sys.argv[2], decode_threads=1, memory_limit="1GB")
print("ready", flush=True)
for _ in dataset.iter_batches(60, image_size=64):
    pass
print("finished", flush=True)
""",
    "samples": """
dataset = load_dataset(sys.argv[2], decode_threads=1, memory_limit="1GB")
print("ready", flush=True)
for _ in dataset:
    pass
print("finished", flush=True)
""",
    "arrays": """
dataset = load_dataset(sys.argv[2], decode_threads=1, image_size=64)
print("ready", flush=True)
dataset.to_arrays()
print("finished", flush=True)
""",
    "slice": """
dataset = load_dataset(sys.argv[2], decode_threads=1, image_size=64)
print("ready", flush=True)
dataset[:]
print("finished", flush=True)
""",
}


@pytest.mark.alone
@pytest.mark.parametrize("way", INTERRUPTED)
def test_F04_ctrl_c_ends_a_big_batch_within_a_second(slow_chunk: Path, way: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PRELUDE + INTERRUPTED[way], str(TESTS), str(slow_chunk)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.5)
        assert process.poll() is None
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        try:
            out, err = process.communicate(timeout=15)
        finally:
            process.kill()
        took_s = time.monotonic() - began
    assert out == ""
    assert "KeyboardInterrupt" in err
    assert process.returncode in {-signal.SIGINT, 130}
    assert took_s < 1


def test_F06_the_interpreter_ends_quietly_in_the_midst_of_passes(chunk: Path) -> None:
    code = """
dataset = load_dataset(sys.argv[2], decode_threads=2)
kept = [iter(dataset), dataset.iter_batches(4), dataset.iter_batches(25, image_size=700)]
for one in kept:
    next(one)
print("end")
"""
    process = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", PRELUDE + code, str(TESTS), str(chunk)],
        capture_output=True,
        text=True,
        timeout=FORK_TIMEOUT_S,
        check=False,
    )
    assert (process.returncode, process.stdout, process.stderr) == (0, "end\n", "")


def test_a_hundred_passes_leak_neither_threads_nor_memory_nor_files(chunk: Path) -> None:
    code = """
import gc
dataset = load_dataset(sys.argv[2], decode_threads=2)
def state():
    gc.collect()
    resident = int(open("/proc/self/statm").read().split()[1]) * 4096
    return resident, len(os.listdir("/proc/self/fd")), threading.active_count()
def work(times):
    for number in range(times):
        support.checksums(dataset)
        next(dataset.iter_batches(8, image_size=(40, 50)))
        dataset[number % 96]
        support.checksums(load_dataset(sys.argv[2]))
work(20)
before = state()
work(80)
after = state()
print(*before, *after)
"""
    before_bytes, before_files, before_threads, after_bytes, after_files, after_threads = map(
        int, run(code, chunk).split()
    )
    assert after_files <= before_files
    assert after_threads <= before_threads
    assert after_bytes - before_bytes < 16 << 20


def test_no_thread_says_anything_on_stderr(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "bad.zip", {**numbered(5), **{f"bad{n}.jpg": b"\xff\xd8\xff bad" for n in range(20)}})
    process = subprocess.run(
        [
            sys.executable,
            "-c",
            PRELUDE + "print(len(support.catching_warning(load_dataset(sys.argv[2], on_error='skip'))))",
            str(TESTS),
            str(path),
        ],
        capture_output=True,
        text=True,
        timeout=FORK_TIMEOUT_S,
        check=True,
        env={**os.environ, "RUST_BACKTRACE": "1"},
    )
    assert re.fullmatch(r"5\n", process.stdout)
    assert process.stderr == ""
