"""A served store, an API that can be spoilt, and the command as a user runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from faulty_server import FaultyServer
from server.conftest import Served, served

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Served", "served"]


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    """An API on 127.0.0.1."""
    with FaultyServer() as running:
        yield running


@pytest.fixture
def logged_in(served: Served, monkeypatch: pytest.MonkeyPatch) -> Served:
    """Key and address of the served store are in the environment."""
    monkeypatch.setenv("PIXCRAWLER_API_KEY", served.key)
    monkeypatch.setenv("PIXCRAWLER_BASE_URL", served.url)
    return served
