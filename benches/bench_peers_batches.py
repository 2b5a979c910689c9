"""Batches of 64 images of 224 x 224, against what users of other libraries write. Needs ``.venv-peers``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peers_store import FILES, LITDATA_CHUNKS, MDS_SHARDS, TAR_SHARDS
from peers_table import OURS, ZIP, Peer, compare
from report import Report

if TYPE_CHECKING:
    from data import Setting

_SIZE = 224
_LOOP, _LOADER = "peers.py", ("peers_contestant.py", "loader")
_BILINEAR, _LINEAR = "bilinear, antialiased", "bilinear, not antialiased"
_PEERS = (
    Peer(OURS, ("ours.py",), ZIP, 0.0, _BILINEAR),
    Peer("zipfile + Pillow", (_LOOP, "pillow"), ZIP, 0.0, _BILINEAR),
    Peer(
        "OpenCV, INTER_AREA",
        (_LOOP, "opencv"),
        ZIP,
        4.0,
        "area, antialiased",
        options=("--interpolation", "INTER_AREA"),
    ),
    Peer("OpenCV, INTER_LINEAR", (_LOOP, "opencv"), ZIP, 12.0, _LINEAR, options=("--interpolation", "INTER_LINEAR")),
    Peer("torchvision", (_LOOP, "torchvision"), ZIP, 1.0, _BILINEAR),
    Peer("torchvision, DataLoader", (*_LOADER, "torchvision"), FILES, 1.0, _BILINEAR),
    Peer("tf.data", (_LOOP, "tfdata"), ZIP, 12.0, _LINEAR, orients=False),
    Peer("DALI, CPU", (*_LOADER, "dali"), FILES, 1.0, _BILINEAR),
    Peer("SPDL", (*_LOADER, "spdl"), FILES, 4.0, "bicubic, antialiased", orients=False),
    Peer("WebDataset", (*_LOADER, "webdataset"), TAR_SHARDS, 0.0, _BILINEAR, orients=False),
    Peer("LitData", (*_LOADER, "litdata"), LITDATA_CHUNKS, 1.0, _BILINEAR),
    Peer("MosaicML Streaming", (*_LOADER, "streaming"), MDS_SHARDS, 0.0, _BILINEAR, orients=False),
)


def run(setting: Setting) -> Report:
    report = Report(
        "peers-batches",
        f"`iter_batches(64, image_size={_SIZE})` against other libraries, each with its usual resize",
        (
            *("contestant", "reads", "resize", "photographs", "threads"),
            *("images/s", "of pixcrawler", "CPU ms/image", "processors busy", "off Pillow"),
        ),
        setting.rounds_or(5),
        setting.description,
        setting.fast,
        plot_axis="images per second with all threads (median, smallest to largest)",
    )
    compare(report, setting, _PEERS, _SIZE)
    return report
