"""Barecat archives: millions of files in a few shards, any one of them at once.

::

    from pixcrawler import barecat

    bc = barecat.Barecat("imagenet.barecat", threadsafe=True)
    data = bc["n01440764/0001.jpg"]
    image = barecat.DecodedView(bc)["train/cat/image001.jpg"]

The format and the interface are Barecat's: what either writes, the other reads, changes and verifies. numpy and Pillow
are loaded when they are first needed.
"""

from __future__ import annotations

from pixcrawler.barecat.archive import Barecat
from pixcrawler.barecat.codecs import DecodedView
from pixcrawler.barecat.exceptions import (
    BarecatError,
    BarecatIntegrityError,
    DirectoryNotEmptyBarecatError,
    FileExistsBarecatError,
    FileNotFoundBarecatError,
    FileTooLargeBarecatError,
    IsADirectoryBarecatError,
    NotADirectoryBarecatError,
    NotEnoughSpaceBarecatError,
)
from pixcrawler.barecat.files import BarecatFileObject
from pixcrawler.barecat.index import Index
from pixcrawler.barecat.infos import BarecatDirInfo, BarecatEntryInfo, BarecatFileInfo, Order
from pixcrawler.barecat.layout import exists, remove
from pixcrawler.barecat.paths import SHARD_SIZE_UNLIMITED

__all__ = [
    "SHARD_SIZE_UNLIMITED",
    "Barecat",
    "BarecatDirInfo",
    "BarecatEntryInfo",
    "BarecatError",
    "BarecatFileInfo",
    "BarecatFileObject",
    "BarecatIntegrityError",
    "DecodedView",
    "DirectoryNotEmptyBarecatError",
    "FileExistsBarecatError",
    "FileNotFoundBarecatError",
    "FileTooLargeBarecatError",
    "Index",
    "IsADirectoryBarecatError",
    "NotADirectoryBarecatError",
    "NotEnoughSpaceBarecatError",
    "Order",
    "exists",
    "remove",
]
