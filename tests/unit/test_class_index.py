"""Labels as integers: the classes' positions, ints as they are, and nothing else."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest

from faulty_server import FaultyServer, serve_job
from pixcrawler import load_dataset
from pixcrawler.loaders.class_index import ClassIndex
from support import numbered, write_zip, zip_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def index(tmp_path: Path) -> ClassIndex:
    return ClassIndex(load_dataset(write_zip(tmp_path / "c.zip", numbered(9))))


def test_strings_are_positions_in_class_to_idx(index: ClassIndex, tmp_path: Path) -> None:
    dataset = load_dataset(tmp_path / "c.zip")
    assert {name: index(name) for name in dataset.classes} == dataset.class_to_idx
    assert [index(label) for _, label in dataset] == [number % 3 for number in range(9)]


@pytest.mark.parametrize("label", [0, 7, -1, 1 << 40])
def test_ints_are_as_they_are(index: ClassIndex, label: int) -> None:
    assert index(label) == label


@pytest.mark.parametrize(
    ("label", "what"),
    [
        (None, "no label"),
        (True, "type bool"),
        (1.5, "type float"),
        ({"a": 1}, "type dict"),
        (["cat"], "type list"),
        (b"cat", "type bytes"),
    ],
)
def test_anything_else_is_an_error_that_names_label_fn(index: ClassIndex, label: Any, what: str) -> None:
    with pytest.raises(TypeError, match=rf"{what}.*label_fn=.*\(member name, label, metadata\)"):
        index(label)


@pytest.mark.parametrize("label", ["", "label9", "LABEL0"])
def test_a_string_that_is_no_class_is_an_error_that_names_label_fn(index: ClassIndex, label: str) -> None:
    with pytest.raises(ValueError, match=rf"'{label}' is none of dataset\.classes.*label_fn"):
        index(label)


def test_a_pickle_has_all_that_it_needs(index: ClassIndex) -> None:
    copy = pickle.loads(pickle.dumps(index))
    assert [copy(name) for name in ("label0", "label1", "label2")] == [0, 1, 2]


def test_the_catalogues_classes_are_asked_for_nothing_else() -> None:
    with FaultyServer() as server:
        serve_job(
            server, "j", {"c0": zip_of(numbered(3))}, labels=[{"name": "b", "count": 1}, {"name": "a", "count": 2}]
        )
        with load_dataset("j", "key", server.url) as dataset:
            server.seen.clear()
            index = ClassIndex(dataset)
            assert (index("a"), index("b")) == (0, 1)
            assert server.seen == []


def test_classes_are_those_of_label_fn(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "c.zip", numbered(9))
    index = ClassIndex(load_dataset(path, label_fn=lambda _member, label, _metadata: label.upper()))
    assert index("LABEL2") == 2
    assert ClassIndex(load_dataset(path, label_fn=lambda *_: 5))(5) == 5
