"""Beside torch, torchvision, TensorFlow, OpenCV and Pillow in one process, and inside their loaders."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pixcrawler import _native
from support import encode, numbered, picture, run_child, write_zip

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).resolve().parent.parent

# To import them all takes most of a child's time limit where other tests run beside it.
pytestmark = pytest.mark.alone


def needs(*names: str) -> pytest.MarkDecorator:
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


@pytest.fixture(scope="module")
def jpegs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs of several kinds: subsampled, not, progressive, grey."""
    members = {}
    for number in range(24):
        channels = 1 if number % 6 == 5 else 3
        pixels = picture(90 + number, 130 - number, number, channels)
        members[f"class{number % 4}/{number:02d}.jpg"] = encode(
            pixels, "JPEG", subsampling=number % 3, progressive=number % 2 == 1, quality=85
        )
    return write_zip(tmp_path_factory.mktemp("data") / "jpegs.zip", members)


def test_the_extension_exports_its_module_alone() -> None:
    # torch, OpenCV and Pillow each bring a libjpeg: none of our symbols may meet theirs.
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("no nm")
    listed = subprocess.run([nm, "-D", "--defined-only", _native.__file__], capture_output=True, text=True, check=True)
    assert [line.split()[-1] for line in listed.stdout.splitlines()] == ["PyInit__native"]


def test_the_extension_needs_only_what_every_linux_has() -> None:
    readelf = shutil.which("readelf")
    if readelf is None:
        pytest.skip("no readelf")
    listed = subprocess.run([readelf, "-d", _native.__file__], capture_output=True, text=True, check=True)
    needed = {line.split("[")[1].rstrip("]") for line in listed.stdout.splitlines() if "(NEEDED)" in line}
    assert needed
    allowed = ("libc.so", "libm.so", "libgcc_s.so", "libpthread.so", "libdl.so", "librt.so", "ld-linux")
    assert all(name.startswith(allowed) for name in needed), needed


COMPARE = """
import io, os, sys, warnings, zipfile
sys.path.insert(0, sys.argv[1])
warnings.simplefilter("ignore")
"""
FRAMEWORKS = """
import torch, torchvision
from torchvision.transforms import v2
from PIL import Image
import tensorflow as tf
try:
    import cv2
except ImportError:
    cv2 = None
"""
PIXELS = """
import numpy as np
import support
from pixcrawler import load_dataset
with zipfile.ZipFile(sys.argv[2]) as archive:
    files = [archive.read(name) for name in archive.namelist()]
dataset = load_dataset(sys.argv[2])
for turn in range(2):
    for data, (image, _) in zip(files, dataset, strict=True):
        encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        others = {
            "Pillow": np.asarray(Image.open(io.BytesIO(data)).convert("RGB")),
            "torchvision": torchvision.io.decode_jpeg(encoded, "RGB").permute(1, 2, 0).numpy(),
            "TensorFlow": tf.io.decode_jpeg(data, 3, dct_method="INTEGER_ACCURATE").numpy(),
        }
        if cv2 is not None:
            others["OpenCV"] = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        assert np.array_equal(image, others["Pillow"])
        for name, pixels in others.items():
            assert pixels.shape == image.shape, name
            # Their own builds of libjpeg-turbo may differ by a rounding, but none may be disturbed by ours.
            assert np.abs(pixels.astype(int) - image).max() <= 2, name
"""
CROP = """
images = [Image.open(io.BytesIO(data)).convert("RGB") for data in files]
for height, width in [(64, 64), (100, 100), (150, 150)]:
    resize = torchvision.transforms.Resize(height)
    crop = torchvision.transforms.CenterCrop((height, width))
    cropped = load_dataset(sys.argv[2], image_size=(height, width), resize_mode="crop")
    for picture, (image, _) in zip(images, cropped, strict=True):
        assert np.array_equal(np.asarray(crop(resize(picture))), image), (picture.size, height)
"""
TFDATA = """
dataset = load_dataset(sys.argv[2], image_size=(40, 50))
signature = (tf.TensorSpec((None, 40, 50, 3), tf.uint8), tf.TensorSpec((None,), tf.string))
stream = tf.data.Dataset.from_generator(lambda: dataset.iter_batches(7), output_signature=signature)
expected_images, expected_labels = dataset.to_arrays()
for _ in range(2):
    found = list(stream.prefetch(2).as_numpy_iterator())
    assert [len(images) for images, _ in found] == [7, 7, 7, 3]
    assert np.array_equal(np.concatenate([images for images, _ in found]), expected_images)
    assert [label.decode() for _, labels in found for label in labels] == expected_labels.tolist()
assert len(list(stream.take(1))) == 1
"""


PIXCRAWLER_FIRST = """
import support
from pixcrawler import load_dataset
len(load_dataset(sys.argv[2])[:4])
"""


@pytest.fixture(scope="module")
def in_both_orders(jpegs: Path) -> Iterator[dict[str, Future[str]]]:
    """Two children at once: most of their time is the frameworks' import, by one processor each."""
    with ThreadPoolExecutor(2) as pool:
        yield {
            "last": pool.submit(run_child, COMPARE + FRAMEWORKS + PIXELS + CROP, TESTS, jpegs),
            "first": pool.submit(run_child, COMPARE + PIXCRAWLER_FIRST + FRAMEWORKS + PIXELS + TFDATA, TESTS, jpegs),
        }


@needs("torch", "torchvision", "tensorflow")
@pytest.mark.parametrize("pixcrawler", ["last", "first"])
def test_pixels_are_the_same_beside_all_frameworks(in_both_orders: dict[str, Future[str]], pixcrawler: str) -> None:
    in_both_orders[pixcrawler].result()


USERS_CODE = """
import torch

class Wrapped(torch.utils.data.Dataset):
    def __init__(self, dataset):
        self.dataset = dataset

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        image, label = self.dataset[index]
        return torch.from_numpy(image), label, index
"""


@needs("torch")
def test_F01_inside_a_dataset_of_torch_in_workers_started_in_every_way(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "chunk.zip", numbered(60))
    (tmp_path / "users_code.py").write_text(USERS_CODE)
    code = """
    import sys
    sys.path[:0] = [sys.argv[1], sys.argv[3]]
    if __name__ == "__main__":
        import multiprocessing
        import torch
        from pixcrawler import load_dataset
        from support import number_of
        from users_code import Wrapped
        # Its workers are forked from one process that has imported torch.
        multiprocessing.set_forkserver_preload(["torch"])
        dataset = load_dataset(sys.argv[2])
        # The pool is in use before the workers are started.
        assert sum(len(images) for images, _ in dataset.iter_batches(16)) == 60
        ways = [(None, 0, False), ("fork", 1, False), ("fork", 4, True), ("spawn", 2, True), ("forkserver", 2, True)]
        for method, workers, persistent in ways:
            loader = torch.utils.data.DataLoader(
                Wrapped(dataset),
                batch_size=8,
                shuffle=True,
                num_workers=workers,
                multiprocessing_context=method,
                persistent_workers=persistent,
            )
            for _ in range(2):
                seen = []
                for images, labels, indices in loader:
                    for image, label, index in zip(images, labels, indices.tolist()):
                        assert number_of(image.numpy()) == index, method
                        assert label == f"label{index % 3}", method
                        seen.append(index)
                assert sorted(seen) == list(range(60)), method
            assert number_of(dataset[7][0]) == 7
            print(method, workers)
    """
    ways = run_child(code, TESTS, path, tmp_path).splitlines()
    assert ways == ["None 0", "fork 1", "fork 4", "spawn 2", "forkserver 2"]


@needs("torch")
def test_F03_an_error_in_a_worker_of_torch_keeps_its_text(tmp_path: Path) -> None:
    # torch carries an error's class and traceback text across, not the object, and makes a RuntimeError of the text
    # where the class wants more than a message.
    path = write_zip(tmp_path / "chunk.zip", {**numbered(8), "cat/bad.jpg": encode(picture(30, 30), "JPEG")[:400]})
    (tmp_path / "users_code.py").write_text(USERS_CODE)
    code = """
    import sys
    sys.path[:0] = [sys.argv[1], sys.argv[3]]
    import torch
    from pixcrawler import load_dataset
    from users_code import Wrapped
    loader = torch.utils.data.DataLoader(Wrapped(load_dataset(sys.argv[2])), batch_size=3, num_workers=1)
    try:
        for _ in loader:
            pass
    except RuntimeError as exc:
        print(exc)
    """
    text = run_child(code, TESTS, path, tmp_path)
    assert "pixcrawler.exceptions.ImageDecodeError: chunk chunk.zip, member cat/bad.jpg: " in text
    assert "[truncated_image]" in text
