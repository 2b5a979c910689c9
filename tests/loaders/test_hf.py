"""``to_hf``: datasets of Hugging Face's ``datasets``, whole and streaming, with the files' own bytes."""

from __future__ import annotations

import gc
import json
import pickle
import threading
import time
import zipfile
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faulty_server import FaultyServer, serve_job
from pixcrawler import UnsupportedImageError, load_dataset
from support import encode, numbered, picture, run_child, write_zip, zip_of

datasets = pytest.importorskip("datasets")


TESTS = Path(__file__).resolve().parent.parent
JPEG = encode(picture(40, 60), "JPEG")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of datasets: the test's own."""
    # That of the environment is read once a process.
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf-home/datasets")
    return tmp_path / "hf-home/datasets"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five chunks of ten numbered images, with some metadata."""
    members = list(numbered(50).items())
    place = tmp_path / "chunks"
    place.mkdir()
    for chunk in range(5):
        own = dict(members[chunk * 10 : chunk * 10 + 10])
        # A line without a label would say that there is none.
        lines = [{"file_name": name, "label": name.split("/")[0], "at": at} for at, name in enumerate(own)]
        write_zip(place / f"{chunk}.zip", {**own, "metadata.jsonl": "\n".join(map(json.dumps, lines)).encode()})
    return place


def rows_of(found: Any) -> list[tuple[bytes, int, str]]:
    """Bytes, label and metadata of each row, undecoded."""
    found = found.cast_column("image", datasets.Image(decode=False))
    return [(row["image"]["bytes"], row["label"], row["metadata"]) for row in found]


def expected(folder: Path) -> list[tuple[bytes, int, str]]:
    rows = []
    for chunk in sorted(folder.glob("*.zip")):
        with zipfile.ZipFile(chunk) as archive:
            names = [name for name in archive.namelist() if name != "metadata.jsonl"]
            rows += [(archive.read(name), int(name[5]), json.dumps({"at": at})) for at, name in enumerate(names)]
    return rows


class TestWhole:
    def test_rows_are_the_files_in_order(self, folder: Path) -> None:
        found = load_dataset(folder).to_hf()
        assert isinstance(found, datasets.Dataset)
        assert found.column_names == ["image", "label", "metadata"]
        assert found.features["image"] == datasets.Image()
        assert found.features["label"] == datasets.ClassLabel(names=["label0", "label1", "label2"])
        assert found.features["metadata"] == datasets.Value("string")
        assert len(found) == 50
        assert rows_of(found) == expected(folder)
        assert found.features["label"].int2str(found[4]["label"]) == "label1"
        paths = [row["path"] for row in found.cast_column("image", datasets.Image(decode=False))["image"]]
        assert paths[13] == "zip://label1/0013.png::1.zip"

    def test_real_photographs_are_decoded_by_pillow_to_our_pixels(self, kodak_folder: Path) -> None:
        found = load_dataset(kodak_folder).to_hf()
        own = load_dataset(kodak_folder)
        assert found.features["label"].names == list(own.classes)
        for row, (image, label) in zip(found, own, strict=True):
            np.testing.assert_array_equal(np.asarray(row["image"].convert("RGB")), image)
            assert row["label"] == own.class_to_idx[label]

    def test_it_is_used_as_any_other(self, folder: Path, tmp_path: Path, cache: Path) -> None:
        found = load_dataset(folder).to_hf()
        assert len(found.filter(lambda row: row["label"] == 1, load_from_cache_file=False)) == 17
        split = found.train_test_split(test_size=0.2, seed=0)
        assert (len(split["train"]), len(split["test"])) == (40, 10)
        mapped = found.map(lambda row: {"mean": np.asarray(row["image"]).mean()}, load_from_cache_file=False)
        assert mapped[7]["mean"] == pytest.approx((7 + 0 + 99) / 3)
        found.save_to_disk(tmp_path / "saved")
        assert rows_of(datasets.load_from_disk(tmp_path / "saved")) == expected(folder)
        found.to_parquet(tmp_path / "saved.parquet")
        again = datasets.load_dataset(
            "parquet", data_files=str(tmp_path / "saved.parquet"), split="train", cache_dir=str(cache)
        )
        assert again.features == found.features
        assert rows_of(again) == expected(folder)
        # Two from one dataset have nothing to do with each other.
        other = load_dataset(folder).to_hf()
        assert other.cache_files != found.cache_files
        assert rows_of(found) == rows_of(other)

    def test_a_file_of_the_same_name_in_the_working_directory_is_not_taken(
        self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in numbered(50):
            (tmp_path / "here" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "here" / name).write_bytes(b"something else")
        monkeypatch.chdir(tmp_path / "here")
        dataset = load_dataset(folder)
        assert rows_of(dataset.to_hf()) == rows_of(dataset.to_hf(streaming=True)) == expected(folder)
        # Through datasets' own encoding, too.
        mapped = dataset.to_hf().cast_column("image", datasets.Image(decode=False)).map(load_from_cache_file=False)
        assert rows_of(mapped) == expected(folder)

    def test_integer_labels(self, folder: Path) -> None:
        dataset = load_dataset(folder, label_fn=lambda member, _label, _metadata: -int(member[-8:-4]))
        for found in (dataset.to_hf(), dataset.to_hf(streaming=True)):
            assert found.features["label"] == datasets.Value("int64")
            assert [row["label"] for row in found] == [-number for number in range(50)]

    @pytest.mark.parametrize("streaming", [False, True])
    @pytest.mark.parametrize("label", [None, {"a": 1}, 1.5, True, ["cat"]])
    def test_other_labels_are_an_error_that_names_the_remedy(
        self, folder: Path, cache: Path, label: Any, streaming: bool
    ) -> None:
        dataset = load_dataset(folder, label_fn=lambda *_: label)
        with pytest.raises(TypeError, match="label_fn"):
            list(dataset.to_hf(streaming=streaming))
        # Nothing half written stays.
        assert not list(cache.glob("pixcrawler-*"))

    def test_strings_and_integers_together_are_an_error_too(self, folder: Path) -> None:
        dataset = load_dataset(folder, label_fn=lambda member, label, _: label if member[-5] < "5" else 7)
        with pytest.raises(TypeError, match=r"label2/0005\.png has the label 7 where others have strings.*label_fn"):
            dataset.to_hf()

    def test_a_string_that_the_catalogue_does_not_name(self) -> None:
        with FaultyServer() as server:
            serve_job(server, "j", {"c0": zip_of(numbered(6))}, labels=[{"name": "label0", "count": 6}])
            with (
                load_dataset("j", "key", server.url) as dataset,
                pytest.raises(ValueError, match=r"'label1' is none of dataset\.classes.*label_fn"),
            ):
                dataset.to_hf()

    @pytest.mark.parametrize("streaming", [False, True])
    def test_an_empty_dataset(self, tmp_path: Path, streaming: bool) -> None:
        found = load_dataset(write_zip(tmp_path / "c.zip", {})).to_hf(streaming=streaming)
        assert list(found) == []
        assert list(found.features) == ["image", "label", "metadata"]

    @pytest.mark.parametrize("streaming", [False, True])
    def test_failures_are_as_in_any_pass(self, tmp_path: Path, cache: Path, streaming: bool) -> None:
        members = {**numbered(5), "bad/text.jpg": b"no image", "cut/x.jpg": JPEG[:-200], **numbered(9)}
        path = write_zip(tmp_path / "c.zip", members)
        with pytest.raises(UnsupportedImageError) as caught:
            list(load_dataset(path).to_hf(streaming=streaming))
        assert caught.value.member == "bad/text.jpg"
        assert not list(cache.glob("pixcrawler-*"))
        dataset = load_dataset(path, on_error="skip")
        with pytest.warns(UserWarning, match="1 of 11 samples were left out"):
            found = rows_of(dataset.to_hf(streaming=streaming))
        assert len(found) == 10
        assert [failure.member for failure in dataset.failures] == ["bad/text.jpg"]
        # What is damaged comes as it is stored, and fails where it is decoded.
        assert JPEG[:-200] in [data for data, _, _ in found]


class TestStreaming:
    def test_nothing_is_read_before_it_is_asked_for(self) -> None:
        with FaultyServer() as server:
            chunks = {f"c{n}": zip_of(dict(list(numbered(30).items())[n * 10 : n * 10 + 10])) for n in range(3)}
            serve_job(server, "j", chunks, labels=[{"name": f"label{n}", "count": 10} for n in range(3)])
            with load_dataset("j", "key", server.url) as dataset:
                server.seen.clear()
                found = dataset.to_hf(streaming=True)
                assert server.seen == []
                assert [row["label"] for row in found.take(3)] == [0, 1, 2]
                asked = {seen.target for seen in server.seen}
                assert all("c0" in target for target in asked)
                assert [row["label"] for row in found] == [number % 3 for number in range(30)]

    def test_each_iteration_begins_anew_in_order(self, folder: Path) -> None:
        found = load_dataset(folder).to_hf(streaming=True)
        assert isinstance(found, datasets.IterableDataset)
        assert found.features["label"] == datasets.ClassLabel(names=["label0", "label1", "label2"])
        assert found.num_shards == 5
        for _ in range(2):
            assert rows_of(found) == expected(folder)

    def test_take_skip_shuffle_map_batch(self, folder: Path) -> None:
        found = load_dataset(folder).to_hf(streaming=True)
        all_rows = expected(folder)
        assert rows_of(found.take(13)) == all_rows[:13]
        assert rows_of(found.skip(13)) == all_rows[13:]
        shuffled = rows_of(found.shuffle(seed=1, buffer_size=20))
        assert shuffled != all_rows
        assert sorted(shuffled) == sorted(all_rows)
        assert rows_of(found.shuffle(seed=1, buffer_size=20)) == shuffled
        mapped = found.map(lambda row: {"number": np.asarray(row["image"])[0, 0, 0]})
        assert [row["number"] for row in mapped] == list(range(50))
        assert [len(batch["label"]) for batch in found.batch(20)] == [20, 20, 10]

    def test_an_iteration_that_is_broken_off_leaves_no_threads(self, folder: Path) -> None:
        next(iter(load_dataset(folder).to_hf(streaming=True)))
        gc.collect()
        deadline = time.monotonic() + 5
        while any(thread.name.startswith("pixcrawler") for thread in threading.enumerate()):
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def test_a_copy_keeps_its_key_and_a_pickle_does_not_hold_it(self) -> None:
        with FaultyServer() as server:
            serve_job(
                server, "j", {"c0": zip_of(numbered(6))}, labels=[{"name": f"label{n}", "count": 2} for n in range(3)]
            )
            with load_dataset("j", "very-secret", server.url) as dataset:
                found = dataset.to_hf(streaming=True)
                assert b"very-secret" not in pickle.dumps(found)
                assert len(list(deepcopy(found))) == 6

    def test_resumed_from_its_state(self, folder: Path) -> None:
        found = load_dataset(folder).to_hf(streaming=True).cast_column("image", datasets.Image(decode=False))
        seen = []
        for row in found:
            seen.append(row["image"]["bytes"])
            if len(seen) == 17:
                state = found.state_dict()
                break
        found.load_state_dict(state)
        seen += [row["image"]["bytes"] for row in found]
        assert seen == [data for data, _, _ in expected(folder)]


def test_decoding_options_have_no_effect(kodak_folder: Path) -> None:
    plain, changed = load_dataset(kodak_folder), load_dataset(kodak_folder, image_size=9, mode="L", draft=True)
    assert rows_of(plain.to_hf()) == rows_of(changed.to_hf())


def test_no_network_is_used_and_what_was_written_goes_with_the_process_but_not_with_a_forked_child(
    folder: Path, cache: Path
) -> None:
    code = """
    import os, socket, sys
    from pathlib import Path
    def refuse(*_):
        raise AssertionError("the network was asked")
    socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
    from pixcrawler import load_dataset
    dataset = load_dataset(sys.argv[1])
    found = dataset.to_hf()
    (file,) = (Path(one["filename"]) for one in found.cache_files)
    child = os.fork()
    if child == 0:
        sys.exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert file.is_file()
    print(len(found), len(list(dataset.to_hf(streaming=True))), file)
    """
    *counts, file = run_child(code, folder).split()
    assert counts == ["50", "50"]
    assert Path(file).is_relative_to(cache)
    assert not Path(file).parent.exists()


MEMORY = """
import gc, sys
sys.path.insert(0, sys.argv[1])
import support
import datasets
from pixcrawler import load_dataset

def anonymous():
    # Pages of a mapped file are the system's, not ours.
    lines = open("/proc/self/status").read().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon:")).split()[1]) * 1024

load_dataset(sys.argv[3], memory_limit="4MB", decode_threads=2).to_hf()
gc.collect()
before, peak = anonymous(), 0
import threading
done = threading.Event()
def watch():
    global peak
    while not done.wait(0.002):
        peak = max(peak, anonymous())
watcher = threading.Thread(target=watch)
watcher.start()
found = load_dataset(sys.argv[2], memory_limit="16MB", decode_threads=2).to_hf()
done.set()
watcher.join()
print(len(found), peak - before)
"""


def test_writing_keeps_to_the_memory_limit_and_works_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    data = encode(picture(700, 900), "JPEG", quality=95)
    path = write_zip(tmp_path / "c.zip", {f"a/{n}.jpg": data for n in range(200)})
    warm = write_zip(tmp_path / "warm.zip", numbered(8))
    count, grown = map(int, run_child(MEMORY, TESTS, path, warm).split())
    assert count == 200
    assert 200 * len(data) > 100_000_000
    # Beside the limit: a record batch, as rows and as Arrow has it, and what malloc keeps for each thread.
    assert grown < 16_000_000 + 3 * 4_200_000 + 16_000_000


TORCH = """
import sys
if __name__ == "__main__":
    import torch
    from pixcrawler import load_dataset

    folder, url = sys.argv[1:3]
    # Workers read a job with the parent's key, however they are started.
    ways = [(None, 0, folder, None), ("fork", 2, folder, None), ("fork", 2, "j", url), ("spawn", 1, "j", url)]
    for context, workers, path, base_url in ways:
        found = load_dataset(path, "key", base_url).to_hf(streaming=True).with_format("torch")
        loader = torch.utils.data.DataLoader(
            found, batch_size=8, num_workers=workers, multiprocessing_context=context
        )
        for _ in range(1 if context == "spawn" else 2):
            numbers, labels = [], []
            for batch in loader:
                assert batch["image"].dtype == torch.uint8 and batch["image"].shape[1:] == (3, 6, 5)
                assert batch["label"].dtype == torch.int64
                numbers += batch["image"][:, 0, 0, 0].tolist()
                labels += batch["label"].tolist()
            assert sorted(numbers) == list(range(50)), (context, workers, numbers)
            assert all(label == number % 3 for number, label in zip(numbers, labels))
        print(context, workers)
    whole = load_dataset(folder).to_hf().with_format("torch")
    loader = torch.utils.data.DataLoader(whole, batch_size=8, num_workers=2, shuffle=True)
    numbers = [number for batch in loader for number in batch["image"][:, 0, 0, 0].tolist()]
    assert sorted(numbers) == list(range(50)) and numbers != sorted(numbers)
    print("whole")
"""


# Each worker that is spawned imports torch and datasets again.
@pytest.mark.alone
@pytest.mark.timeout(180)
def test_in_a_dataloader_of_torch_each_sample_comes_once(folder: Path) -> None:
    pytest.importorskip("torch")
    chunks = {path.stem: path.read_bytes() for path in sorted(folder.glob("*.zip"))}
    with FaultyServer() as server:
        serve_job(server, "j", chunks, labels=[{"name": f"label{n}", "count": 17} for n in range(3)])
        printed = run_child(TORCH, folder, server.url, timeout_s=170).splitlines()
    assert printed == ["None 0", "fork 2", "fork 2", "spawn 1", "whole"]
