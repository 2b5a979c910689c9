"""A directory goes to another process as the table that was read, and a damaged pickle of it is refused."""

from __future__ import annotations

import copy
import pickle
import random
import struct
import zlib

import pytest

from pixcrawler import _native
from pixcrawler._native import Directory
from pixcrawler.exceptions import LimitError
from pixcrawler.limits import Limits
from support import numbered, open_directory, zip_of


def state_of(directory: Directory) -> bytes:
    _, (state,) = directory.__reduce__()
    return state


def described(directory: Directory) -> list[object]:
    members = range(len(directory))
    return [
        directory.samples,
        directory.tolerated,
        *((directory.name(at), directory.raw_name(at), directory.extent(at)) for at in members),
        *((directory.is_refused(at), directory.find(directory.name(at))) for at in members),
    ]


def test_it_is_the_same_in_another_process() -> None:
    data = zip_of({**numbered(20), "folder/": b"", "../bad.png": b"x", "metadata.jsonl": b"{}"})
    directory = open_directory(data)
    for other in (pickle.loads(pickle.dumps(directory)), copy.copy(directory), copy.deepcopy(directory)):
        assert described(other) == described(directory)
        assert directory.is_refused(21)
        start, stop = directory.extent(3)
        assert other.read_member(3, data[start:stop], start) == directory.read_member(3, data[start:stop], start)
    bare = Directory.bare(["a.jpg", "b/ä.jpg"], [10, 20])
    assert described(pickle.loads(pickle.dumps(bare))) == described(bare)


def test_it_keeps_its_limits() -> None:
    data = zip_of({"a.png": bytes(1000)})
    directory = open_directory(data, Limits(inflated_bytes=999))
    other = pickle.loads(pickle.dumps(directory))
    start, stop = other.extent(0)
    with pytest.raises(LimitError):
        other.read_member(0, data[start:stop], start)


def test_it_is_small() -> None:
    assert len(pickle.dumps(open_directory(zip_of(numbered(500))))) < 500 * 36


@pytest.mark.parametrize("state", [b"", b"x", bytes(104), bytes(2000), b"\xff" * 2000, struct.pack("<13Q", *[1] * 13)])
def test_what_is_no_directory(state: bytes) -> None:
    with pytest.raises(ValueError, match=f"{len(state)} bytes"):
        _native.restore_directory(state)


def test_a_damaged_one_is_refused_or_harmless() -> None:
    data = zip_of({**numbered(6), "../bad.png": b"x"})
    state = state_of(open_directory(data))
    rng = random.Random(5)
    for _ in range(3000):
        damaged = bytearray(state)
        for _ in range(rng.randint(1, 3)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        try:
            directory = _native.restore_directory(bytes(damaged))
        except ValueError:
            continue
        described(directory)
        for at in range(len(directory)):
            try:
                assert zlib.crc32(directory.read_member(at, data, 0)) is not None
            except ValueError:
                continue
