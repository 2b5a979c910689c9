"""A large dataset damaged in twelve ways: the epoch ends, the ledger is exact, memory keeps to its limit."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support import encode, numbered, picture, run_child

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
CHUNKS, MEMBERS = 20, 500
BATCH_SIZE = 64
LIMIT_BYTES = 32_000_000

CHILD = """
import gc, json, sys, time, warnings
warnings.filterwarnings("ignore", message=".*were left out.*")
sys.path.insert(0, sys.argv[1])
import support
from pixcrawler import load_dataset

folder, warm, limit = sys.argv[2:5]
with load_dataset(warm, decode_threads=2, memory_limit="4MB") as dataset:
    for _ in dataset.iter_batches(4):
        pass
gc.collect()
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
before = support.peak_bytes()
numbers, sizes = [], []
began = time.perf_counter()
with load_dataset(folder, on_error="skip", max_failures=0.08, decode_threads=2, memory_limit=int(limit)) as dataset:
    for images, _ in dataset.iter_batches(64):
        numbers.extend(support.number_of(image) for image in images)
        sizes.append(len(images))
    grown = support.peak_bytes() - before
    stats = dataset.stats()
    dataset.failures.save(sys.argv[5])
    print(json.dumps({
        "numbers": numbers,
        "sizes": sizes,
        "grown": grown,
        "counts": [len(dataset), stats.images, stats.failures, dataset.failures.num_samples],
        "seconds": time.perf_counter() - began,
    }))
"""


@pytest.fixture(scope="module")
def damage() -> ModuleType:
    """The benchmark's own maker of damaged chunks."""
    spec = importlib.util.spec_from_file_location("damage", ROOT / "benches" / "damage.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules["damage"] = module
    spec.loader.exec_module(module)
    return module


def test_ten_thousand_members_of_which_seven_percent_are_damaged(tmp_path: Path, damage: Any) -> None:
    folder = tmp_path / "chunks"
    folder.mkdir()
    good = list(numbered(CHUNKS * MEMBERS).values())
    jpegs = [encode(picture(48, 40, seed), "JPEG") for seed in range(3)]
    expected = damage.write_damaged(
        folder, good.__getitem__, chunks=CHUNKS, members=MEMBERS, damageable=lambda number: jpegs[number % 3]
    )
    assert len(damage.KINDS) == 12
    warm = tmp_path / "warm"
    warm.mkdir()
    damage.write_damaged(warm, good.__getitem__, chunks=1, members=20, share=0)
    ledger = tmp_path / "failures.jsonl"
    report = json.loads(run_child(CHILD, ROOT / "tests", folder, warm, LIMIT_BYTES, ledger))

    failures = [json.loads(line) for line in ledger.read_text("utf-8").splitlines()]
    assert [(one["chunk_id"], one["member"]) for one in failures] == [place[:2] for place in expected.failures]
    wrong = [
        (one["member"], one["code"], sorted(codes))
        for one, (_, _, codes) in zip(failures, expected.failures, strict=True)
        if one["code"] not in codes
    ]
    assert wrong == []
    assert {one["code"] for one in failures} >= {
        "crc", "duplicate", "encrypted", "limit_pixels", "not_an_image", "truncated_image", "unsafe_name",
        "unsupported_format", "unsupported_method",
    }  # fmt: skip
    assert report["numbers"] == expected.good
    assert set(report["sizes"][:-1]) == {BATCH_SIZE}
    assert len(expected.good) + len(expected.failures) == CHUNKS * MEMBERS
    assert report["counts"] == [CHUNKS * MEMBERS, len(expected.good), len(expected.failures), len(expected.failures)]
    assert len(expected.failures) >= 0.07 * CHUNKS * MEMBERS
    assert report["grown"] < LIMIT_BYTES
