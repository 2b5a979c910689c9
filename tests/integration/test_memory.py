"""``memory_limit``: what a pass holds beside the arrays handed out, measured in a process of its own."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from pixcrawler import load_dataset
from support import encode, number_of, numbered, picture, run_child, write_zip

TESTS = Path(__file__).resolve().parent.parent

CHILD = """
import gc, json, sys
sys.path.insert(0, sys.argv[1])
import support
from pixcrawler import load_dataset

path, limit, how, warm = sys.argv[2:6]
# What the interpreter, the libraries and the decode threads themselves take: measured on a few images.
with load_dataset(warm, decode_threads=2, memory_limit="4MB") as dataset:
    for _ in dataset.iter_batches(4, image_size=224):
        pass
    dataset[0]
gc.collect()
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
before = support.peak_bytes()
images = 0
with load_dataset(path, decode_threads=2, memory_limit=limit) as dataset:
    items = dataset.iter_batches(8, image_size=224) if how == "batches" else dataset
    for image, _ in items:
        images += len(image) if how == "batches" else 1
print(json.dumps({"grown": support.peak_bytes() - before, "images": images}))
"""


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    members = {f"{number}.jpg": encode(picture(60, 60, number), "JPEG") for number in range(8)}
    return write_zip(tmp_path_factory.mktemp("warm") / "warm.zip", members)


@pytest.mark.parametrize("how", ["batches", "samples"])
@pytest.mark.parametrize("limit_mb", [16, 48])
def test_a_pass_keeps_to_its_limit(photos_zip: Path, warm: Path, limit_mb: int, how: str) -> None:
    report = json.loads(run_child(CHILD, TESTS, photos_zip, f"{limit_mb}MB", how, warm))
    assert report["images"] == 500
    # In the consumer's hands: two batches of 8, or two single images, the largest of 8 MB.
    handed_out = 2 * 8 * 224 * 224 * 3 if how == "batches" else 2 * 8_000_000
    # The largest image alone is decoded in 8 MB; the rest is what malloc keeps for each thread.
    assert report["grown"] < limit_mb * 1_000_000 + handed_out + 16_000_000


def test_many_chunks_take_no_more_than_few(tmp_path: Path, warm: Path) -> None:
    data = encode(picture(300, 400), "JPEG", quality=95)
    grown = {}
    for count in (4, 24):
        folder = tmp_path / str(count)
        folder.mkdir()
        for chunk in range(count):
            write_zip(folder / f"{chunk:03d}.zip", {f"{number}.jpg": data for number in range(40)})
        report = json.loads(run_child(CHILD, TESTS, folder, "16MB", "batches", warm))
        assert report["images"] == 40 * count
        grown[count] = report["grown"]
    # Twenty chunks more are 50 MB more.
    assert grown[24] < grown[4] + 8_000_000


def test_a_batch_larger_than_the_limit_runs_alone_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = load_dataset(write_zip(tmp_path / "c.zip", numbered(64)), memory_limit="2MB")
    with caplog.at_level(logging.WARNING, logger="pixcrawler"):
        shapes = [images.shape for images, _ in dataset.iter_batches(16, image_size=400)]
    assert shapes == [(16, 400, 400, 3)] * 4
    (record,) = caplog.records
    assert "memory_limit" in record.getMessage()
    assert str(16 * 400 * 400 * 3) in record.getMessage()


def test_an_image_larger_than_the_limit_runs_alone_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    big = encode(picture(1000, 1200), "JPEG")
    members = {**numbered(5), **{f"big/{number}.jpg": big for number in range(6)}, "small/1.jpg": big}
    dataset = load_dataset(write_zip(tmp_path / "c.zip", members), memory_limit="1MB")
    with caplog.at_level(logging.WARNING, logger="pixcrawler"):
        delivered = list(dataset)
    assert [number_of(image) for image, _ in delivered[:5]] == list(range(5))
    assert [image.shape for image, _ in delivered[5:]] == [(1000, 1200, 3)] * 7
    assert [record.name for record in caplog.records] == ["pixcrawler.schedule"]


def test_a_limit_of_next_to_nothing_still_delivers_everything(tmp_path: Path) -> None:
    dataset = load_dataset(write_zip(tmp_path / "c.zip", numbered(100)), memory_limit=1)
    assert [number_of(image) for image, _ in dataset] == list(range(100))
    assert sum(len(images) for images, _ in dataset.iter_batches(7)) == 100
    assert number_of(dataset[42][0]) == 42


def test_batches_larger_than_the_limit_do_not_pile_up(tmp_path: Path, warm: Path) -> None:
    code = """
    import gc, sys
    sys.path.insert(0, sys.argv[1])
    import support
    from pixcrawler import load_dataset
    for _ in load_dataset(sys.argv[3], decode_threads=2).iter_batches(4, image_size=224):
        pass
    gc.collect()
    before = support.peak_bytes()
    dataset = load_dataset(sys.argv[2], decode_threads=2, memory_limit="4MB")
    for images, labels in dataset.iter_batches(16, image_size=800):
        images[:] = 1
    print(support.peak_bytes() - before)
    """
    path = write_zip(tmp_path / "c.zip", numbered(16 * 8))
    one = 16 * 800 * 800 * 3
    # The one in the consumer's hands, the one that is decoded for it, and nothing further.
    assert int(run_child(code, TESTS, path, warm)) < 2 * one + 8_000_000
