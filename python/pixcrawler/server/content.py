"""A chunk's bytes as an HTTP answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, BinaryIO, Final

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive, Scope, Send

__all__ = ["FileBytes"]

# 0.38 s of processor a GB, against 0.74 with 256 KiB: each block is a hop to a thread and back.
BLOCK_BYTES: Final = 1 << 20


class FileBytes(Response):
    """Bytes [start, stop) of an open file, which is closed afterwards.

    One block at most waits in memory for a slow client, beside the one that its connection holds: ``send`` returns when
    there is room.

    Args:
        file: Unbuffered; nobody else may move its position.
        start: First byte.
        stop: Behind the last byte.
        status_code: Of the answer.
        headers: Of the answer, Content-Length included.
    """

    def __init__(self, file: BinaryIO, start: int, stop: int, *, status_code: int, headers: Mapping[str, str]) -> None:
        super().__init__(status_code=status_code)
        self.raw_headers = [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
        self._file = file
        self._start = start
        self._stop = stop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  (ASGI's form)
        """Send it; stops early, and quietly, when the client is gone."""
        loop = asyncio.get_running_loop()
        gone = asyncio.ensure_future(_wait_until_gone(receive))
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            position = self._start
            self._file.seek(position)
            while position < self._stop and not gone.done():
                # In a thread: the bytes may have to come from a disk, and other clients must not wait for that.
                block = await loop.run_in_executor(None, self._file.read, min(BLOCK_BYTES, self._stop - position))
                if not block:
                    message = f"{self._file.name} ended at byte {position} of {self._stop} while it was sent"
                    raise OSError(message)
                position += len(block)
                await send({"type": "http.response.body", "body": block, "more_body": position < self._stop})
        finally:
            gone.cancel()
            self._file.close()


async def _wait_until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
