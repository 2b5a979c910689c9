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

from importlib import import_module
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from pixcrawler.barecat.conversion import archive2barecat, barecat2archive, wrap_archive
    from pixcrawler.barecat.merging import merge, merge_symlink, subset
    from pixcrawler.barecat.resharding import reshard
    from pixcrawler.barecat.upgrading import upgrade

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
    "archive2barecat",
    "barecat2archive",
    "exists",
    "merge",
    "merge_symlink",
    "remove",
    "reshard",
    "subset",
    "upgrade",
    "wrap_archive",
]

# What makes archives of others is imported when it is first used: tarfile and zipfile are slow to import.
_HOMES = {
    "archive2barecat": "conversion",
    "barecat2archive": "conversion",
    "merge": "merging",
    "merge_symlink": "merging",
    "reshard": "resharding",
    "subset": "merging",
    "upgrade": "upgrading",
    "wrap_archive": "conversion",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    value: object = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
