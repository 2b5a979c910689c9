"""From the pieces of a pass to what its consumer takes: good samples in order, bad ones raised or recorded."""

from __future__ import annotations

import inspect
import warnings
from typing import TYPE_CHECKING, Any

from pixcrawler._native import empty
from pixcrawler.exceptions import AuthenticationError, ImageSizeError
from pixcrawler.failures import Failure
from pixcrawler.passes import PassIterator
from pixcrawler.records import DecodedSample, EncodedSample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from pixcrawler.decode_ahead import Piece
    from pixcrawler.exceptions import PixCrawlerError
    from pixcrawler.failures import FailureLedger
    from pixcrawler.options import Options
    from pixcrawler.passes import Pass
    from pixcrawler.schedule import OpenedChunk, Sample
    from pixcrawler.worker_failures import WorkerFailures

__all__ = ["Delivery", "excused"]


class Delivery:
    """Hands out what a pass decodes. Of its methods one is called, once.

    Args:
        run: The pass.
        options: Says what becomes of bad samples.
        label: Gives a sample's label and metadata, from its chunk and its index in the directory.
        report_to: Takes what is left out as well, for another process; None for nobody.
    """

    def __init__(
        self,
        run: Pass,
        options: Options,
        label: Callable[[OpenedChunk, int], tuple[Any, dict[str, Any]]],
        report_to: WorkerFailures | None,
    ) -> None:
        self._run = run
        self._options = options
        self._label = label
        self._report_to = report_to

    def samples(self) -> PassIterator[tuple[NDArray[np.uint8], Any]]:
        """(image, label), one by one."""
        return PassIterator(self._run, self._samples())

    def decoded(self) -> PassIterator[DecodedSample]:
        """Images one by one, each with its chunk, name and metadata."""
        return PassIterator(self._run, self._decoded())

    def encoded(self) -> PassIterator[EncodedSample]:
        """Files as they are stored, one by one."""
        return PassIterator(self._run, self._encoded())

    def batches(self, batch_size: int, *, drop_last: bool) -> PassIterator[tuple[NDArray[np.uint8], list[Any]]]:
        """Batches and their labels; the last one may have fewer, unless it is left out."""
        return PassIterator(self._run, self._batches(batch_size, drop_last=drop_last))

    def in_place(
        self, whole: Callable[[], NDArray[np.uint8] | None], on_progress: Callable[[int], None] | None
    ) -> list[Any]:
        """Take all samples of a pass that decodes into one array; the good ones come to stand together at its front.

        Args:
            whole: The array; asked for when something was decoded into it.
            on_progress: Called with the number of samples that are done.

        Returns:
            The labels of the good ones.
        """
        labels: list[Any] = []
        with PassIterator(self._run, self._run.pieces()) as pieces:
            reached = 0
            for piece in pieces:
                self._settle_all(piece)
                out = whole()
                for position, sample in enumerate(piece.samples):
                    if position not in piece.errors:
                        # An image that was decoded stands in the array.
                        if out is not None and len(labels) != reached + position:
                            out[len(labels)] = out[reached + position]
                        labels.append(self._label(sample.segment.opened, sample.index)[0])
                        self._run.clock.deliver(1)
                reached += len(piece.samples)
                if on_progress is not None:
                    on_progress(reached)
        self._finish()
        return labels

    def _samples(self) -> Iterator[tuple[NDArray[np.uint8], Any]]:
        for sample, image in self._good_samples():
            label, _ = self._label(sample.segment.opened, sample.index)
            self._run.clock.deliver(1)
            yield image, label
        self._finish()

    def _decoded(self) -> Iterator[DecodedSample]:
        for sample, image in self._good_samples():
            opened = sample.segment.opened
            label, metadata = self._label(opened, sample.index)
            self._run.clock.deliver(1)
            yield DecodedSample(opened.chunk.id, sample.member, image, label, dict(metadata))
        self._finish()

    def _encoded(self) -> Iterator[EncodedSample]:
        for sample, (data, size) in self._good_samples():
            opened = sample.segment.opened
            label, metadata = self._label(opened, sample.index)
            self._run.clock.deliver(1)
            # The chunk keeps its own metadata: the consumer may do what it likes with these.
            yield EncodedSample(opened.chunk.id, sample.member, data, label, dict(metadata), size)
        self._finish()

    def _good_samples(self) -> Iterator[tuple[Sample, Any]]:
        """The samples of a pass that can be delivered, each with what was made of it."""
        for piece in self._run.pieces():
            self._settle_chunk(piece)
            # Each image is let go of as it is handed out: its memory is used again as soon as the consumer drops it.
            images: list[Any] = list(piece.images)
            piece.images = []
            for position, sample in enumerate(piece.samples):
                # One by one: the good ones before a bad one are delivered, wherever a piece begins.
                self._settle(piece, position)
                image, images[position] = images[position], None
                if image is not None:
                    yield sample, image

    def _batches(self, batch_size: int, *, drop_last: bool) -> Iterator[tuple[NDArray[np.uint8], list[Any]]]:
        images: list[NDArray[np.uint8]] = []
        labels: list[Any] = []
        for piece in self._run.pieces():
            self._settle_all(piece)
            good = [position for position in range(len(piece.samples)) if position not in piece.errors]
            own = [self._label(piece.samples[at].segment.opened, piece.samples[at].index)[0] for at in good]
            if not labels and len(good) == len(piece.samples) == batch_size:
                self._run.clock.deliver(batch_size)
                yield _stack(piece.images), own
                continue
            # A failed slot leaves a gap: this batch is put together from the good ones, by copying.
            images.extend(_stack(piece.images)[at] for at in good)
            labels.extend(own)
            while len(labels) >= batch_size:
                self._run.clock.deliver(batch_size)
                yield _joined(images[:batch_size]), labels[:batch_size]
                del images[:batch_size], labels[:batch_size]
        if labels and not drop_last:
            self._run.clock.deliver(len(labels))
            yield _joined(images), labels
        self._finish(dropped=len(labels) if drop_last else 0)

    def _settle_all(self, piece: Piece) -> None:
        """Raise or record all failures of a piece, as ``on_error`` says."""
        self._settle_chunk(piece)
        for position in sorted(piece.errors.keys() | piece.kept.keys()):
            self._settle(piece, position)

    def _settle_chunk(self, piece: Piece) -> None:
        """Raise or record that a whole chunk could not be opened."""
        if piece.chunk_error is not None:
            samples = 1 if piece.chunk_samples is None else piece.chunk_samples
            self._fail(piece.chunk_error, num_samples=samples)
            self._run.note_failed_chunk(samples)

    def _settle(self, piece: Piece, position: int) -> None:
        """Raise or record the failure of one sample, if it failed; record it if it was kept."""
        if position in piece.errors:
            self._fail(piece.errors[position])
            self._run.note_failure()
        elif position in piece.kept:
            self._run.kept.add(Failure.of(piece.kept[position]))
            self._run.clock.kept += 1

    def _fail(self, error: PixCrawlerError, *, num_samples: int = 1) -> None:
        failure = excused(self._options, error, num_samples=num_samples)
        self._run.failures.add(failure)
        if self._report_to is not None:
            self._report_to.record(failure)

    def _finish(self, *, dropped: int = 0) -> None:
        """End the pass, and warn of what it left out.

        Args:
            dropped: Good samples of a last batch that was not wanted.
        """
        run = self._run
        samples = run.finish(dropped=dropped)
        told = []
        if run.failures:
            told.append(
                f"{run.clock.failures} of {samples} samples were left out ({_listed(run.failures)}): dataset.failures "
                'says which and why, dataset.failures.save("failures.jsonl") writes it down for cleaning'
            )
        if run.kept:
            told.append(f"{len(run.kept)} of {samples} images end too early and were kept: see dataset.kept")
        if told:
            warnings.warn("; ".join(told), stacklevel=_stacklevel_of_user())


def excused(options: Options, error: PixCrawlerError, *, num_samples: int = 1) -> Failure:
    """The record of an error that ``on_error`` lets pass.

    Args:
        options: With ``on_error``.
        error: Its place filled in.
        num_samples: How many samples are missing for it.

    Raises:
        PixCrawlerError: The error itself: ``on_error`` says so, or it fails everything.
    """
    failure = Failure.of(error, num_samples=num_samples)
    # A size that does not fit is a missing argument; a refused key, and a server that is down, fail everything:
    # none of these is a bad sample.
    fails_all = isinstance(error, (ImageSizeError, AuthenticationError)) or error.code == "server_down"
    if fails_all or _decide(options, failure) == "raise":
        raise error
    return failure


def _decide(options: Options, failure: Failure) -> str:
    """What ``on_error`` says of a failure: "raise" or "skip"."""
    if not callable(options.on_error):
        return options.on_error
    decision: object = options.on_error(failure)
    if isinstance(decision, str) and decision in {"raise", "skip"}:
        return decision
    message = f"on_error must return 'raise' or 'skip', not {decision!r}"
    raise (ValueError if isinstance(decision, str) else TypeError)(message)


def _stacklevel_of_user() -> int:
    """The stacklevel, for the caller's warning, of the first line that is not of this package: a loader's is none."""
    stacklevel, frame = 0, inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "pixcrawler":
        frame = frame.f_back
        stacklevel += 1
    # Seen from the caller.
    return stacklevel


def _listed(ledger: FailureLedger) -> str:
    return ", ".join(f"{code}: {count}" for code, count in ledger.counts().items())


def _stack(images: Any) -> NDArray[np.uint8]:
    """A stacked piece's images, which are one array."""
    return images  # type: ignore[no-any-return]  # StackedJobs make no others


def _joined(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    import numpy as np

    height, width, channels = images[0].shape
    return np.stack(images, out=empty((len(images), height, width, channels)))
