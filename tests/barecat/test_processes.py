"""Archives in other processes: pickled, under every start method, as the dataset of a DataLoader."""

from __future__ import annotations

import multiprocessing
import pickle
from typing import TYPE_CHECKING

import pytest

from pixcrawler import barecat
from pixcrawler.barecat import Barecat
from support import run_child

if TYPE_CHECKING:
    from pathlib import Path

FILES = {f"{'cat' if n % 2 else 'dog'}/{n:03d}.bin": bytes([n]) * (n + 1) for n in range(60)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with Barecat(tmp_path / "x.barecat", readonly=False, shard_size_limit=500) as bc:
        bc.update(FILES)
    return tmp_path / "x.barecat"


def test_a_reader_pickles_as_its_path_and_options(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    bc = Barecat("x.barecat", threadsafe=True, readonly_is_immutable=True)
    assert bc["cat/001.bin"] == FILES["cat/001.bin"]
    data = pickle.dumps(bc)
    assert len(data) < 500
    monkeypatch.chdir("/")
    copy = pickle.loads(data)
    assert (copy.path, copy.threadsafe, copy.readonly) == (str(path), True, True)
    assert dict(copy.items()) == FILES
    view = barecat.DecodedView(Barecat(path))
    view.register_codec([".bin"], bytes, len)
    del view.codecs[".npy"]
    copied = pickle.loads(pickle.dumps(view))
    assert copied["cat/003.bin"] == 4
    assert copied.codecs.keys() == view.codecs.keys()
    assert copied.codecs[".jpg"] is view.codecs[".jpg"]
    with Barecat(path, readonly=False) as writer, pytest.raises(ValueError, match="pickled"):
        pickle.dumps(writer)


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_every_start_method(method: str, path: Path) -> None:
    bc = Barecat(path)
    assert len(bc) == 60
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(bc.__getitem__, FILES) == list(FILES.values())


def test_the_errors_pickle(path: Path) -> None:
    bc = Barecat(path)
    for read in (lambda: bc.read("nothing"), lambda: bc.listdir("nothing")):
        with pytest.raises(barecat.FileNotFoundBarecatError) as failed:
            read()
        copy = pickle.loads(pickle.dumps(failed.value))
        assert (type(copy), copy.code, copy.member) == (type(failed.value), "entry_not_found", "nothing")
        assert str(copy) == str(failed.value)


def test_the_tutorials_dataset_in_a_data_loader(path: Path) -> None:
    pytest.importorskip("torch")
    code = """
    import sys
    import torch.utils.data
    from pixcrawler import barecat

    class Images(torch.utils.data.Dataset):
        def __init__(self, path):
            self.bc = barecat.Barecat(path, threadsafe=True)
            self.paths = list(self.bc.index.iter_all_paths())
            self.classes = sorted({path.split("/")[0] for path in self.paths})

        def __len__(self):
            return len(self.paths)

        def __getitem__(self, number):
            path = self.paths[number]
            data = self.bc[path]
            assert data == bytes([len(data) - 1]) * len(data)
            return len(data), self.classes.index(path.split("/")[0])

    if __name__ == "__main__":
        dataset = Images(sys.argv[1])
        assert len(dataset[0]) == 2
        for workers in (0, 2):
            loader = torch.utils.data.DataLoader(dataset, batch_size=8, shuffle=True, num_workers=workers)
            seen = [(int(n), int(label)) for sizes, labels in loader for n, label in zip(sizes, labels)]
            assert sorted(n for n, _ in seen) == list(range(1, 61))
            assert all(label == n % 2 for n, label in seen)
        print("done")
    """
    assert run_child(code, path).strip() == "done"
