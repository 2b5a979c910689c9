"""One chunk behind a server, and a downloader that does not sleep: what the tests of the network side share."""

from __future__ import annotations

import dataclasses
import random
from typing import TYPE_CHECKING, Any

from faulty_server import serve_job
from pixcrawler._retry import Clock, RetryPolicy
from pixcrawler.client import PixCrawlerClient

if TYPE_CHECKING:
    from collections.abc import Callable

    from faulty_server import FaultyServer
    from pixcrawler._native import SegmentBuffer
    from pixcrawler.downloader import Downloader

DATA = random.Random(1).randbytes(300_000)
PATH = "/data/c0.zip"
START, STOP = 1_000, 200_000

# As the default one, but that an attempt is given up within a second.
IMPATIENT = RetryPolicy(idle_s=0.5, slow_s=0.5, slow_bytes=1_000)


class Rig:
    """A server with one chunk, a client that does not sleep, and its downloader.

    Args:
        server: Answers the API, and the chunk's requests.
        data: The chunk.
        url: Where the chunk is said to be, if not at that server.
        on_wait: Called before each retry.
        options: Of the client.
    """

    def __init__(
        self,
        server: FaultyServer,
        data: bytes = DATA,
        *,
        url: str | None = None,
        on_wait: Callable[[], object] = lambda: None,
        **options: Any,
    ) -> None:
        self.server = server
        self.waits: list[float] = []
        serve_job(server, "j", {"c0": data})
        if url is not None:
            server.documents["/api/v1/jobs/j"]["chunks"][0]["url"] = url

        def sleep(seconds: float, _cancelled: object) -> None:
            self.waits.append(seconds)
            on_wait()

        clock = Clock(chance=lambda: 0.0, sleep=sleep)
        self.client = PixCrawlerClient("key", server.url, clock=clock, **options)
        (self.chunk,) = self.client.iter_chunks("j")
        self.unknown = dataclasses.replace(self.chunk, size_bytes=None, sha256=None)
        self.downloader: Downloader = self.client.downloader("j")

    def fetch(self, start: int = START, stop: int = STOP) -> bytes:
        return content(self.downloader.fetch_range(self.chunk, start, stop))

    def close(self) -> None:
        self.downloader.close()
        self.client.close()


def content(buffer: SegmentBuffer) -> bytes:
    return buffer.tobytes(0, len(buffer))
