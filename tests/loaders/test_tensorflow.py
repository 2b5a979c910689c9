"""``to_tensorflow``: shapes, pixels, order and labels; Keras; errors; and that what is left behind ends."""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from faulty_server import FaultyServer, serve_job
from pixcrawler import load_dataset
from pixcrawler.server.run import ServerProcess
from pixcrawler.server.store import JobSpec, Store
from support import encode, numbered, picture, run_child, write_zip

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).resolve().parent.parent
HAS_TENSORFLOW = importlib.util.find_spec("tensorflow") is not None
# Importing it takes 5 s, and many times that where other tests run beside it.
CHILD_S = 200
pytestmark = pytest.mark.timeout(CHILD_S + 20)


def first_size(path: Path, **options: object) -> tuple[int, int] | None:
    with load_dataset(path, **options) as dataset:  # type: ignore[arg-type]  # options of any kind
        return dataset.first_size()


# The shape, without TensorFlow.


def test_the_first_size_is_that_of_the_headers(tmp_path: Path) -> None:
    assert first_size(write_zip(tmp_path / "same.zip", numbered(9))) == (6, 5)
    mixed = {**numbered(9), "label0/other.png": encode(picture(6, 6))}
    assert first_size(write_zip(tmp_path / "mixed.zip", mixed)) is None
    assert first_size(write_zip(tmp_path / "empty.zip", {})) is None


def test_the_first_size_is_that_of_the_picture_as_it_is_delivered(tmp_path: Path) -> None:
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    path = write_zip(tmp_path / "turned.zip", {"cat/a.jpg": encode(picture(20, 30), "JPEG", exif=exif)})
    assert first_size(path) == (30, 20)
    assert first_size(path, apply_exif=False) == (20, 30)


def test_a_broken_image_does_not_decide_on_the_first_size(tmp_path: Path) -> None:
    broken = encode(picture(40, 50), "JPEG")[:600]
    nothing = {"label0/none.jpg": b"", "label0/text.jpg": b"no image"}
    path = write_zip(tmp_path / "broken.zip", {"label0/broken.jpg": broken, **nothing, **numbered(9)})
    assert first_size(path) == (6, 5)
    assert first_size(write_zip(tmp_path / "all.zip", nothing)) is None


def test_the_first_size_costs_one_range_request(photos_zip: Path) -> None:
    with FaultyServer() as server:
        data = photos_zip.read_bytes()
        serve_job(server, "j", {"c0": data}, num_images=500)
        with load_dataset("j", "key", server.url) as dataset:
            assert dataset.first_size() is None
            requests = server.ranges("/data/c0.zip")
        tail, segment = (one.removeprefix("bytes=") for one in requests if one is not None)
        assert tail.startswith("-")
        start, stop = segment.split("-")
        assert int(stop) - int(start) < 1 << 20


def test_without_tensorflow_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    monkeypatch.delitem(sys.modules, "pixcrawler.loaders.tensorflow", raising=False)
    dataset = load_dataset(write_zip(tmp_path / "a.zip", numbered(3)))
    with pytest.raises(ImportError) as raised:
        dataset.to_tensorflow()
    assert 'pip install "pixcrawler-sdk[tensorflow]"' in str(raised.value)


# With it, in children: each imports it once.

needs_tensorflow = pytest.mark.skipif(not HAS_TENSORFLOW, reason="not installed: tensorflow")

START = """
import gc, sys, threading, time, warnings, weakref
sys.path.insert(0, sys.argv[1])
import numpy as np
import tensorflow as tf
from pixcrawler import load_dataset
from support import number_of

def ours():
    return sorted(thread.name for thread in threading.enumerate() if thread.name.startswith("pixcrawler-"))

def numbers(elements):
    return [number_of(image) for image, _ in elements.as_numpy_iterator()]
"""

VALUES = """
import keras
photos, small, url, key, shared_job, mixed_job = sys.argv[2:]

# Every image and label, in order, of local photographs resized, by several steps.
with load_dataset(photos, image_size=(48, 64)) as dataset:
    elements = dataset.to_tensorflow()
    assert ours() == []
    image, label = elements.element_spec
    assert (image.shape, image.dtype) == ((48, 64, 3), tf.uint8)
    assert (label.shape, label.dtype) == ((), tf.int64)
    assert elements.cardinality() == len(elements) == len(dataset) == 500
    expected, names = dataset.to_arrays()
    for turn in range(2):
        found = list(elements.as_numpy_iterator())
        assert np.array_equal(np.stack([image for image, _ in found]), expected)
        assert [dataset.classes[label] for _, label in found] == names.tolist()
    found = list(elements.skip(3).take(100).batch(64).as_numpy_iterator())
    assert [len(labels) for _, labels in found] == [64, 36]
    assert np.array_equal(np.concatenate([images for images, _ in found]), expected[3:103])
    shuffled = [image.tobytes() for image, _ in elements.take(60).shuffle(100, seed=1).as_numpy_iterator()]
    assert sorted(shuffled) == sorted(image.tobytes() for image in expected[:60])
    assert ours() == []

# The same of images of many sizes, whose last step is not full.
with load_dataset(photos, memory_limit="64MB", decode_threads=3) as dataset:
    elements = dataset.to_tensorflow()
    assert elements.element_spec[0].shape.as_list() == [None, None, 3]
    assert len(elements) == 500
    for (image, label), (expected, name) in zip(elements.as_numpy_iterator(), dataset, strict=True):
        assert np.array_equal(image, expected) and dataset.classes[label] == name
    resized = elements.map(lambda image, label: (tf.image.resize(image, (32, 32)), label)).batch(100)
    assert [images.shape for images, _ in resized] == [(100, 32, 32, 3)] * 5

# One size found by the headers of a local zip; other modes; one image a step and an int as a label.
with load_dataset(small) as dataset:
    assert dataset.to_tensorflow().element_spec[0].shape == (6, 5, 3)
    assert numbers(dataset.to_tensorflow()) == list(range(150))
    assert numbers(dataset.to_tensorflow().take(2).repeat(3)) == [0, 1] * 3
for mode, channels in (("L", 1), ("RGBA", 4)):
    with load_dataset(small, mode=mode, memory_limit=800, label_fn=lambda *_: 7) as dataset:
        elements = dataset.to_tensorflow()
        assert elements.element_spec[0].shape == (6, 5, channels)
        image, label = next(elements.as_numpy_iterator())
        assert image.shape == (6, 5, channels) and label == 7

# Jobs of a server. The catalogue knows that the images of one share a size.
with load_dataset(shared_job, key, url) as dataset:
    elements = dataset.to_tensorflow()
    assert dataset.info.image_size == (6, 5) and dataset.stats().requests == 0
    assert elements.element_spec[0].shape == (6, 5, 3)
    assert numbers(elements) == [number_of(image) for image, _ in dataset]
    # The guide's model, its validation split, and several epochs.
    model = keras.Sequential(
        [
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(len(dataset.classes)),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        history = model.fit(elements.batch(32), epochs=3, verbose=0).history
        assert len(history["loss"]) == 3
        train, validation = elements.skip(50).shuffle(100), elements.take(50)
        history = model.fit(
            train.batch(32).prefetch(tf.data.AUTOTUNE), validation_data=validation.batch(32), epochs=2, verbose=0
        ).history
    assert len(history["val_accuracy"]) == 2
    assert model.predict(elements.batch(32), verbose=0).shape == (150, 3)
    assert ours() == []
with load_dataset(mixed_job, key, url) as dataset:
    elements = dataset.to_tensorflow()
    assert elements.element_spec[0].shape.as_list() == [None, None, 3] and len(elements) == 24
    for (image, label), (expected, name) in zip(elements.as_numpy_iterator(), dataset, strict=True):
        assert np.array_equal(image, expected) and dataset.classes[label] == name

# The dataset goes with the last that is made of it, though TensorFlow keeps generators.
dataset = load_dataset(small)
gone = weakref.ref(dataset)
elements = dataset.to_tensorflow().batch(4)
del dataset
gc.collect()
iterator = iter(elements)
del elements
gc.collect()
assert sum(len(labels) for _, labels in iterator) == 150
del iterator
gc.collect()
assert gone() is None
"""

ERRORS = """
bad, late, nameless, photos = sys.argv[2:]

def error_of(elements):
    try:
        for _ in elements:
            pass
    except tf.errors.InvalidArgumentError as error:
        return str(error)
    raise AssertionError("nothing was raised")

text = error_of(load_dataset(bad).to_tensorflow())
assert "ImageDecodeError: chunk bad.zip, member label0/bad.jpg: " in text, text
assert "[truncated_image]" in text

with load_dataset(bad, on_error="skip") as dataset:
    elements = dataset.to_tensorflow()
    assert elements.cardinality() == tf.data.UNKNOWN_CARDINALITY
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert numbers(elements) == list(range(150))
    assert any("1 of 151 samples were left out" in str(one.message) for one in caught)
    assert [(failure.member, failure.code) for failure in dataset.failures] == [("label0/bad.jpg", "truncated_image")]

# An image of another size behind the first segment: the message says what to do.
elements = load_dataset(late).to_tensorflow()
assert elements.element_spec[0].shape == (700, 700, 3)
text = error_of(elements)
assert "ImageSizeError: chunk late.zip, member cat/late.png: " in text, text
assert "expected 700 x 700 (height x width), got 6 x 6" in text
assert "Pass image_size=" in text

text = error_of(load_dataset(nameless).to_tensorflow())
assert "TypeError: a sample has no label" in text and "label_fn" in text

# What is let go of ends its pass.
elements = load_dataset(photos, image_size=64).to_tensorflow()
for _ in elements.take(1):
    pass
assert ours() == []
iterator = iter(elements.batch(2).prefetch(1))
next(iterator)
assert ours() != []
del iterator
assert ours() == []
dataset = load_dataset(photos, image_size=64)
iterator = iter(dataset.to_tensorflow())
next(iterator)
dataset.close()
assert ours() == []

# What is left is ended at exit: iterators of all kinds, with threads of TensorFlow behind them.
left = [
    iter(load_dataset(photos, image_size=224).to_tensorflow().batch(8).prefetch(4)),
    iter(load_dataset(bad, image_size=8, on_error="skip").to_tensorflow().repeat().batch(1000).prefetch(4)),
    iter(load_dataset(nameless, label_fn=lambda *_: 1).to_tensorflow().repeat().shuffle(9).prefetch(tf.data.AUTOTUNE)),
]
for iterator in left:
    next(iterator)
print(time.time())
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_zip(tmp_path_factory.mktemp("small") / "small.zip", numbered(150))


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, small: Path, kodak_folder: Path
) -> Iterator[tuple[str, str, str, str]]:
    """A store's address and key; a job whose images share a size, and one of photographs."""
    folder = tmp_path_factory.mktemp("served")
    store, key = Store.create(folder / "store")
    with store:
        shared = store.pack(small, JobSpec("shared", chunk_size=64)).job
        mixed = store.pack(kodak_folder, JobSpec("mixed", chunk_size=10)).job
    with ServerProcess(folder / "store") as running:
        yield running.url, key, shared.id, mixed.id


@needs_tensorflow
def test_values_shapes_and_keras(photos_zip: Path, small: Path, server: tuple[str, str, str, str]) -> None:
    run_child(START + VALUES, TESTS, photos_zip, small, *server, timeout_s=CHILD_S)


@needs_tensorflow
def test_errors_and_what_is_left_behind(tmp_path: Path, photos_zip: Path) -> None:
    bad = write_zip(tmp_path / "bad.zip", {**numbered(150), "label0/bad.jpg": encode(picture(30, 30), "JPEG")[:400]})
    # More than one segment of photographs of one size, then another.
    members = {f"cat/{number}.png": encode(picture(700, 700, number)) for number in range(8)}
    late = write_zip(tmp_path / "late.zip", {**members, "cat/late.png": encode(picture(6, 6))})
    nameless = write_zip(tmp_path / "nameless.zip", {f"{at}.png": data for at, data in enumerate(numbered(8).values())})
    ended = float(run_child(START + ERRORS, TESTS, bad, late, nameless, photos_zip, timeout_s=CHILD_S))
    # A process that hangs at its end is killed at the time limit.
    assert time.time() - ended < CHILD_S / 2
