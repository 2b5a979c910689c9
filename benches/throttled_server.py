"""A server of one job whose line is as slow as asked: all connections share its rate, and each answer begins late.

    throttled_server.py CHUNK --images N [--chunks N] [--rate MB/s] [--latency-ms N]

It speaks the wire contract for the job ``job_bench``, whose chunks are all the same file, prints its URL, and ends with
its standard input. A process of its own, so that it shares no interpreter lock with the client.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

JOB_ID = "job_bench"
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


class Server(ThreadingHTTPServer):
    """The server.

    Args:
        chunk: The chunk's file.
        images: Its images.
        chunks: How many chunks the job has, all this file.
        line: What all answers share.
        latency_s: How late each answer begins.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, chunk: Path, images: int, chunks: int, line: Line, latency_s: float) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.line = line
        self.latency_s = latency_s
        self.chunk = chunk
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


class Handler(BaseHTTPRequestHandler):
    """Answers one connection's requests."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        """The job, or a range of the chunk."""
        time.sleep(self.server.latency_s)
        if self.path.startswith("/chunks/"):
            self._send_chunk()
        elif self.path == f"/api/v1/jobs/{JOB_ID}":
            self._head(200, len(self.server.job), {"Content-Type": "application/json"})
            self.wfile.write(self.server.job)
        else:
            self._head(404, 0, {})

    def _send_chunk(self) -> None:
        size = self.server.size_bytes
        start, stop, status = 0, size, 200
        headers = {"Accept-Ranges": "bytes", "ETag": f'"{self.server.sha256}"', "Content-Type": "application/zip"}
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if asked is not None:
            first, last = asked.groups()
            start = int(first) if first else max(size - int(last), 0)
            stop = min(int(last) + 1, size) if first and last else size
            status = 206
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        self._head(status, stop - start, headers)
        if not self.server.line.bytes_per_s:
            # Opened anew: sendfile moves the position of the file that it is given.
            with self.server.chunk.open("rb") as file:
                self.connection.sendfile(file, start, stop - start)
            return
        while start < stop:
            data = os.pread(self.server.descriptor, min(_SLICE_BYTES, stop - start), start)
            self.server.line.wait_for(len(data))
            self.connection.sendall(data)
            start += len(data)

    def _head(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing: standard error is for what goes wrong."""


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
