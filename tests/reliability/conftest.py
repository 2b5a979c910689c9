"""The process that reads hostile chunks, shared by all tests of a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from oracle import Examiner

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def examiner() -> Iterator[Examiner]:
    """Reads chunks in a child process under a memory cap, and asserts what holds of every input."""
    with Examiner() as started:
        yield started
