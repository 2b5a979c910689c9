"""A server of one job whose line is as slow as asked: all connections share its rate, and each answer begins late.

    throttled_server.py CHUNK --images N [--chunks N] [--rate MB/s] [--latency-ms N]

It speaks the wire contract for the job ``job_bench``, whose chunks are all the same file, prints its URL, and ends with
its standard input. A process of its own, so that it shares no interpreter lock with the client.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import re
import socket
import sys
import threading
import time
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer

JOB_ID = "job_bench"
_RANGE = re.compile(rb"\r\nrange: *bytes=(\d*)-(\d*)", re.IGNORECASE)
# Small, so that connections share the line as evenly as on a real one.
_SLICE_BYTES = 16 << 10
# How much a line that was idle for a moment may catch up: more than a sleep is late, less than a request.
_BURST_S = 0.002


class Line:
    """A line of so many bytes a second. Each slice gets its time on it, in the order in which connections ask.

    Args:
        bytes_per_s: Its rate; 0 for one without a limit.
    """

    def __init__(self, bytes_per_s: float) -> None:
        self.bytes_per_s = bytes_per_s
        self._lock = threading.Lock()
        self._free_at = 0.0

    def wait_for(self, size_bytes: int) -> None:
        """Return when so many bytes would have passed."""
        with self._lock:
            self._free_at = max(self._free_at, time.monotonic() - _BURST_S) + size_bytes / self.bytes_per_s
            done_at = self._free_at
        wait_s = done_at - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)


class Server(ThreadingTCPServer):
    """The server.

    Args:
        chunk: The chunk's file.
        images: Its images.
        chunks: How many chunks the job has, all this file.
        line: What all answers share.
        latency_s: How late each answer begins.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, chunk: Path, images: int, chunks: int, line: Line, latency_s: float) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.line = line
        self.latency_s = latency_s
        self.descriptor = os.open(chunk, os.O_RDONLY)
        self.size_bytes = chunk.stat().st_size
        self.sha256 = hashlib.sha256(chunk.read_bytes()).hexdigest()
        records = [
            {
                "id": f"chunk_{index}",
                "index": index,
                "url": f"/chunks/{index}",
                "size_bytes": self.size_bytes,
                "num_images": images,
                "sha256": self.sha256,
            }
            for index in range(chunks)
        ]
        job = {"id": JOB_ID, "name": "bench", "status": "completed", "progress": 100, "version": 1, "chunks": records}
        counts = {"num_images": images * chunks, "num_chunks": chunks, "chunk_size": images}
        self.job = json.dumps({**job, **counts, "size_bytes": self.size_bytes * chunks}).encode()


class Handler(BaseRequestHandler):
    """Answers one connection's requests.

    By hand: the standard library's handler takes half a millisecond for a request, on processors that the client needs.
    """

    server: Server
    request: socket.socket

    def handle(self) -> None:
        """Serve requests until the client hangs up."""
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        came = b""
        with contextlib.suppress(ConnectionError):
            while data := self.request.recv(1 << 16):
                came += data
                head, end, rest = came.partition(b"\r\n\r\n")
                if end:
                    came = rest
                    time.sleep(self.server.latency_s)
                    self._answer(head.split(b" ", 2)[1], head)

    def _answer(self, path: bytes, head: bytes) -> None:
        """The job, or a range of the chunk."""
        if path.startswith(b"/chunks/"):
            self._send_chunk(_RANGE.search(head))
        elif path == f"/api/v1/jobs/{JOB_ID}".encode():
            self.request.sendall(_head(200, len(self.server.job), "Content-Type: application/json") + self.server.job)
        else:
            self.request.sendall(_head(404, 0))

    def _send_chunk(self, asked: re.Match[bytes] | None) -> None:
        size = self.server.size_bytes
        start, stop, status = 0, size, 200
        headers = ["Accept-Ranges: bytes", f'ETag: "{self.server.sha256}"', "Content-Type: application/zip"]
        if asked is not None:
            first, last = asked.groups()
            start = int(first) if first else max(size - int(last), 0)
            stop = min(int(last) + 1, size) if first and last else size
            status = 206
            headers.append(f"Content-Range: bytes {start}-{stop - 1}/{size}")
        # Held back until the body follows.
        self.request.sendall(_head(status, stop - start, *headers), socket.MSG_MORE)
        while start < stop:
            if not self.server.line.bytes_per_s:
                start += os.sendfile(self.request.fileno(), self.server.descriptor, start, stop - start)
                continue
            data = os.pread(self.server.descriptor, min(_SLICE_BYTES, stop - start), start)
            self.server.line.wait_for(len(data))
            self.request.sendall(data)
            start += len(data)


def _head(status: int, length: int, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", *headers, f"Content-Length: {length}", "", ""]
    return "\r\n".join(lines).encode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("chunk", type=Path)
    parser.add_argument("--images", type=int, required=True)
    parser.add_argument("--chunks", type=int, default=1)
    parser.add_argument("--rate", type=float, default=0, help="MB (10^6 bytes) a second; 0: as fast as it goes")
    parser.add_argument("--latency-ms", type=float, default=0)
    arguments = parser.parse_args()
    line = Line(arguments.rate * 1e6)
    server = Server(arguments.chunk, arguments.images, arguments.chunks, line, arguments.latency_ms / 1000)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(json.dumps({"ready": True, "url": f"http://127.0.0.1:{server.server_address[1]}"}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
