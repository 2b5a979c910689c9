"""A store of small images, and a server of it on a real socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import httpx
import pytest

from pixcrawler.server.run import ServerProcess
from pixcrawler.server.store import JobSpec, Store
from server.helpers import make_images

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pixcrawler.records import Job


class Served(NamedTuple):
    """A served store: an old job of 5 chunks, then a newer one of one."""

    store: Path
    key: str
    url: str
    client: httpx.Client
    pid: int
    old: Job
    new: Job


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server in a process of its own."""
    folder = tmp_path_factory.mktemp("served")
    store, key = Store.create(folder / "store")
    with store:
        images = make_images(folder / "images", 10)
        old = store.pack(images, JobSpec("old one", "animals", ("small", "pets"), chunk_size=2)).job
        new = store.pack(images, JobSpec("new one", tags=("small",))).job
    with (
        ServerProcess(folder / "store") as server,
        httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {key}"}, trust_env=False) as client,
    ):
        yield Served(folder / "store", key, server.url, client, server.pid, old, new)
