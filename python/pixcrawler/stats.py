"""Where the time of a pass went."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pixcrawler._native import DecoderStats

__all__ = ["PassClock", "Stats"]

# A share of the time from which on a wait is the bottleneck.
_CONSUMER_SHARE = 0.5
_NETWORK_SHARE = 0.25
# A pass so short that starting it and the first answers take most of its time has no bottleneck in the processor.
_IDLE_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Stats:
    """Figures of a dataset's latest pass, so far.

    Attributes:
        images: Images delivered.
        failures: Samples left out.
        kept: Images delivered though they end too early (``on_truncated="keep"``).
        bytes_fetched: Bytes read from the server or the disk.
        requests: Requests sent for chunks' bytes, those that failed included; 0 for a local path.
        retries: Those of them that came after a failed one for the same bytes.
        elapsed_s: From the start of the pass to its end, or to now.
        first_batch_s: From the start to the first batch or image; None before it.
        wait_network_s: Time in which decoding waited for bytes.
        wait_consumer_s: Time in which decoding waited for the consumer to take what was ready.
        wait_decode_s: Time in which the consumer waited for images.
        inflate_s: Reading members (header checks, inflate, CRC), summed over decode threads.
        decode_s: Decoding, colour and orientation, summed over decode threads.
        resize_s: Resizing, summed over decode threads.
        threads: Decode threads.
        images_by_decoder: Images by who decoded them: ``pixcrawler-jpeg`` (the project's own), ``libjpeg-turbo`` (for
            JPEGs that the own one does not take), ``png``, ``libwebp``, ``gif``, ``bmp``, ``tiff``. Those decoded ahead
            are counted too.
    """

    images: int = 0
    failures: int = 0
    kept: int = 0
    bytes_fetched: int = 0
    requests: int = 0
    retries: int = 0
    elapsed_s: float = 0.0
    first_batch_s: float | None = None
    wait_network_s: float = 0.0
    wait_consumer_s: float = 0.0
    wait_decode_s: float = 0.0
    inflate_s: float = 0.0
    decode_s: float = 0.0
    resize_s: float = 0.0
    threads: int = 0
    images_by_decoder: Mapping[str, int] = field(default_factory=dict)

    @property
    def images_per_s(self) -> float:
        """Images delivered a second."""
        return self.images / self.elapsed_s if self.elapsed_s else 0.0

    @property
    def busy(self) -> float:
        """Share of the decode threads' time that was work."""
        work_s = self.inflate_s + self.decode_s + self.resize_s
        return min(work_s / (self.elapsed_s * self.threads), 1.0) if self.elapsed_s and self.threads else 0.0

    @property
    def limit(self) -> str:
        """What limits this run, one plain sentence."""
        if not self.images:
            return "Nothing has been delivered yet."
        if self.wait_decode_s < (1 - _CONSUMER_SHARE) * self.elapsed_s and self.wait_consumer_s > self.wait_network_s:
            share = 1 - self.wait_decode_s / self.elapsed_s
            return f"The code that takes the images limits this run: it was busy for {share:.0%} of the time."
        if self.wait_network_s > _NETWORK_SHARE * self.elapsed_s and self.wait_network_s > self.wait_consumer_s:
            share = self.wait_network_s / self.elapsed_s
            rate = self.bytes_fetched / self.elapsed_s / 1e6
            return f"Fetching limits this run: decoding waited for {share:.0%} of the time, at {rate:.0f} MB/s."
        if self.busy < _IDLE_SHARE:
            return f"Waiting limits this run: the decode threads were busy for only {self.busy:.0%} of the time."
        parts = {"inflating": self.inflate_s, "decoding": self.decode_s, "resizing": self.resize_s}
        most = max(parts, key=lambda name: parts[name])
        threads = f"{self.threads} thread{'s' if self.threads != 1 else ''}"
        return f"The processor limits this run: {threads} busy for {self.busy:.0%} of the time, mostly {most}."


@dataclass(slots=True)
class PassClock:
    """What a pass measures of itself while it runs; behind the run's lock but for the consumer's own fields."""

    started: float = field(default_factory=time.perf_counter)
    ended: float | None = None
    first_batch: float | None = None
    images: int = 0
    failures: int = 0
    kept: int = 0
    wait_network_s: float = 0.0
    wait_consumer_s: float = 0.0
    wait_decode_s: float = 0.0
    inflate_s: float = 0.0

    def deliver(self, images: int) -> None:
        """Note that so many images were handed out."""
        self.images += images
        if self.first_batch is None:
            self.first_batch = time.perf_counter()

    def end(self) -> None:
        """Note the end of the pass, once."""
        if self.ended is None:
            self.ended = time.perf_counter()

    def read(self, decoder: DecoderStats, bytes_fetched: int, threads: int, source: Mapping[str, int]) -> Stats:
        """The figures, with those of the native decoder and of the source."""
        return Stats(
            images=self.images,
            failures=self.failures,
            kept=self.kept,
            bytes_fetched=bytes_fetched,
            requests=source.get("requests", 0),
            retries=source.get("retries", 0),
            elapsed_s=(time.perf_counter() if self.ended is None else self.ended) - self.started,
            first_batch_s=None if self.first_batch is None else self.first_batch - self.started,
            wait_network_s=self.wait_network_s,
            wait_consumer_s=self.wait_consumer_s,
            wait_decode_s=self.wait_decode_s,
            inflate_s=decoder["inflate_ns"] / 1e9 + self.inflate_s,
            decode_s=decoder["decode_ns"] / 1e9,
            resize_s=decoder["resize_ns"] / 1e9,
            threads=threads,
            images_by_decoder=decoder["images_by_decoder"],
        )
