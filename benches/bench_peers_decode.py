"""Every photograph decoded to an array, against what users of other libraries write. Needs ``.venv-peers``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peers_store import FILES, LITDATA_CHUNKS, MDS_SHARDS, TAR_SHARDS
from peers_table import OURS, ZIP, Peer, compare
from report import Report

if TYPE_CHECKING:
    from data import Setting

_SCRIPT = "peers_contestant.py"
_PEERS = (
    Peer(OURS, ("ours.py",), ZIP, 0.0),
    Peer("zipfile + Pillow", (_SCRIPT, "zip", "pillow"), ZIP, 0.0),
    Peer("OpenCV", (_SCRIPT, "zip", "opencv"), ZIP, 0.5),
    Peer("torchvision", (_SCRIPT, "zip", "torchvision"), ZIP, 0.5),
    Peer("torchvision, DataLoader", (_SCRIPT, "loader", "torchvision"), FILES, 0.5),
    Peer("tf.data", (_SCRIPT, "zip", "tfdata"), ZIP, 2.0, orients=False),
    Peer("DALI, CPU", (_SCRIPT, "loader", "dali"), FILES, 0.5),
    Peer("SPDL", (_SCRIPT, "loader", "spdl"), FILES, 2.0, orients=False),
    Peer("WebDataset", (_SCRIPT, "loader", "webdataset"), TAR_SHARDS, 0.0, orients=False),
    Peer("LitData", (_SCRIPT, "loader", "litdata"), LITDATA_CHUNKS, 0.5),
    Peer("MosaicML Streaming", (_SCRIPT, "loader", "streaming"), MDS_SHARDS, 0.0, orients=False),
)


def run(setting: Setting) -> Report:
    report = Report(
        "peers-decode",
        "Full decode to RGB arrays, image by image: `for image, label in load_dataset(zip)` against other libraries",
        (
            *("contestant", "reads", "photographs", "threads"),
            *("images/s", "of pixcrawler", "CPU ms/image", "processors busy", "off Pillow"),
        ),
        setting.rounds_or(5),
        setting.description,
        setting.fast,
        plot_axis="images per second with all threads (median, smallest to largest)",
    )
    compare(report, setting, _PEERS, None)
    return report
