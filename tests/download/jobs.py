"""Jobs to download, and what became of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pixcrawler
from support import zip_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from faulty_server import FaultyServer
    from pixcrawler import DownloadReport


def download(server: FaultyServer, output: Path, form: Any = "numpy", job: str = "j", **options: Any) -> DownloadReport:
    """Download a job of the server into ``output``."""
    return pixcrawler.download_dataset(job, output, form, base_url=server.url, api_key="key", **options)


def described(members: Mapping[str, bytes], lines: Sequence[Mapping[str, Any]]) -> bytes:
    """A chunk with a ``metadata.jsonl``."""
    return zip_of({**members, "metadata.jsonl": "\n".join(map(json.dumps, lines)).encode()})


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder by its name, but what a download notes of itself."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in files
        if not path.relative_to(folder).parts[0].startswith(".pixcrawler")
    }


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def sent_bytes(server: FaultyServer) -> int:
    """Bytes of chunks that the server was asked for: all the rest of a file from each range's start on."""
    total = 0
    for seen in server.seen:
        path = seen.target.partition("?")[0]
        if path in server.files:
            start = seen.headers.get("range", "bytes=0-").removeprefix("bytes=").partition("-")[0]
            total += len(server.files[path]) - int(start)
    return total
