"""The process that reads hostile chunks, shared by all tests of a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from certificates import Authority
from faulty_server import FaultyServer
from oracle import Examiner

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def examiner() -> Iterator[Examiner]:
    """Reads chunks in a child process under a memory cap, and asserts what holds of every input."""
    with Examiner() as started:
        yield started


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    """An API on 127.0.0.1."""
    with FaultyServer() as running:
        yield running


@pytest.fixture
def other() -> Iterator[FaultyServer]:
    """A server at another port."""
    with FaultyServer() as running:
        yield running


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that nobody knows."""
    return Authority(tmp_path_factory.mktemp("authority"))
