"""``to_tensorflow().batch(64)``, against a pipeline of tf.data written by hand on the same files."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from bench_decode import speed_ratio
from pairing import Spread, ratios, take_turns
from peers_store import CLASS_FOLDERS
from peers_table import ZIP, Peer, difference, leave_out, start_all
from report import Bar, Report
from workers import BenchError, Worker

from pixcrawler._machine import usable_cpus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from data import Photos, Setting
    from workers import Epoch

_SIZE = 224
_SCRIPT = "tensorflow_loader.py"
_OURS, _PLAIN = "to_tensorflow", "iter_batches"
_HAND, _HAND_ANTIALIASED = "tf.data by hand", "tf.data by hand, antialias"
# Without antialiasing there is less to do.
_BARS = {_HAND: 1.5, _HAND_ANTIALIASED: 2.0}
_PEERS = (
    Peer(_OURS, (_SCRIPT, "to_tensorflow"), ZIP, 0.0, "antialiased"),
    Peer(_PLAIN, (_SCRIPT, "iter_batches"), ZIP, 0.0, "antialiased"),
    Peer(_HAND, (_SCRIPT, "by_hand"), CLASS_FOLDERS, 12.0, "not antialiased", orients=False),
    Peer(_HAND_ANTIALIASED, (_SCRIPT, "by_hand_antialiased"), CLASS_FOLDERS, 2.0, "antialiased", orients=False),
)


def run(setting: Setting) -> Report:
    report = Report(
        "tensorflow-loader",
        f"`to_tensorflow().batch(64)` with image_size={_SIZE}, against tf.data written by hand",
        (
            *("contestant", "reads", "resize", "photographs", "threads"),
            *("images/s", f"of {_PLAIN}", "CPU ms/image", "processors busy", "off Pillow"),
        ),
        setting.rounds_or(7),
        setting.description,
        setting.fast,
        plot_axis="images per second (median, smallest to largest)",
    )
    for photos in setting.all_photos:
        for threads in [usable_cpus()] if setting.fast else sorted({1, usable_cpus()}):
            _compare(report, setting, photos, threads)
    report.notes += [
        (
            "By hand: `list_files`, `read_file`, `decode_jpeg`, `tf.image.resize`, `batch`, `prefetch`, with AUTOTUNE "
            "for every number, in a private pool of so many threads; resize with its default does not antialias."
        ),
        (
            f"{_PLAIN} is the package without TensorFlow. What tf.data costs is the difference: the array of several "
            "images goes to TensorFlow as it is, but its batch(64) copies each image once more."
        ),
        (
            "Pipelines are built once, before the epochs; each epoch makes its iterator (10 to 40 ms in TensorFlow). "
            "Dropping it, which often waits for TensorFlow's own autotuning thread, by chance and with any pipeline "
            "(0 to 1.2 s), is not timed. Files and zip are in the page cache."
        ),
        (
            "Off Pillow: mean absolute difference from Pillow's pixels in levels of 255, checked after timing; 0 means "
            "every byte is equal."
        ),
    ]
    return report


def _compare(report: Report, setting: Setting, photos: Photos, threads: int) -> None:
    """All contestants with so many threads, in turns."""
    # Each imports TensorFlow: a smoke test does without the last.
    peers = _PEERS[:-1] if setting.fast else _PEERS
    with ExitStack() as stack:
        raced: dict[str, Worker] = {}
        for peer, started in zip(peers, start_all(setting, peers, photos, threads, _SIZE), strict=True):
            if isinstance(started, Worker):
                raced[peer.name] = stack.enter_context(started)
            else:
                leave_out(report, peer.name, str(started))
        if _PLAIN not in raced:
            raise BenchError(report.notes[-1])
        # They are warm already.
        epochs = take_turns({name: worker.go for name, worker in raced.items()}, report.rounds, warm=0)
        off = {
            peer.name: difference(peer, raced[peer.name], setting, photos, _SIZE)
            for peer in peers
            if peer.name in raced
        }
    for peer in peers:
        if peer.name in epochs:
            _add_row(report, peer, photos, threads, epochs, off[peer.name])
    if _OURS not in epochs:
        return
    place = f"{photos.name}, {threads} thread(s)"
    for name, bar in _BARS.items():
        if name in epochs:
            report.bars.append(Bar(f"{place}, times {name}", speed_ratio(epochs[_OURS], epochs[name]).median, bar))
    if photos is setting.photos:
        cpu = ratios([one.cpu_s for one in epochs[_OURS]], [one.cpu_s for one in epochs[_PLAIN]])
        report.bars.append(Bar(f"{place}, CPU of {_PLAIN}", cpu.median, 1.15, at_most=True))


def _add_row(
    report: Report, peer: Peer, photos: Photos, threads: int, epochs: Mapping[str, Sequence[Epoch]], off: float
) -> None:
    own = epochs[peer.name]
    if any(epoch.images != photos.num_images for epoch in own):
        raise BenchError(f"{peer.name}: {[epoch.images for epoch in own]} images of {photos.num_images}")
    rate = Spread.of([epoch.images / epoch.seconds for epoch in own])
    cpu_ms = Spread.of([1000 * epoch.cpu_s / epoch.images for epoch in own])
    busy = Spread.of([epoch.cpu_s / epoch.seconds for epoch in own])
    share = "1" if peer.name == _PLAIN else speed_ratio(own, epochs[_PLAIN]).text()
    report.add(
        *(peer.name, peer.reads, peer.resize, photos.name, str(threads)),
        *(rate.text(".0f"), share, f"{cpu_ms.median:.2f}", f"{busy.median:.2f}", f"{off:.2f}" if off else "0"),
    )
    report.plot.append((f"{peer.name}, {threads} thr., {photos.path.stem}", rate))
    report.samples[f"{peer.name}, {photos.name}, {threads}"] = [
        {"seconds": epoch.seconds, "cpu_s": epoch.cpu_s} for epoch in own
    ]
