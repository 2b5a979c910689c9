"""A small real HTTP server in a thread, with switches for what servers and networks do wrong."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import re
import socket
import struct
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

    from typing_extensions import Self

_STEP_BYTES = 16 * 1024


@dataclasses.dataclass(frozen=True)
class Fault:
    """What one answer does wrong.

    Attributes:
        latency_s: Wait before the answer.
        bytes_per_s: Bandwidth of the body.
        cut_after: Close the connection after this many bytes of the body; negative: before the headers.
        reset: Close with a reset rather than an end.
        stall_after: Fall silent after this many bytes of the body; negative: before the headers.
        trickle_headers: Send one byte of the headers every 0.2 s.
        status: Answer with this status and a JSON error.
        headers: Further headers, or others.
        body: The body of an error, instead of JSON.
        ignore_range: Answer 200 with everything.
        content_range: Send this Content-Range instead of the right one.
        no_content_length: End the body by closing.
        chunked: Use chunked transfer coding.
        extra: Bytes sent after the body, within its coding.
        redirect: Answer 302 to this address.
        corrupt_at: Flip one bit of this byte of the file.
        raw: Send these bytes instead of an answer, and close the connection.
    """

    latency_s: float = 0.0
    bytes_per_s: float | None = None
    cut_after: int | None = None
    reset: bool = False
    stall_after: int | None = None
    trickle_headers: bool = False
    status: int | None = None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    body: bytes | None = None
    ignore_range: bool = False
    content_range: str | None = None
    no_content_length: bool = False
    chunked: bool = False
    extra: bytes = b""
    redirect: str | None = None
    corrupt_at: int | None = None
    raw: bytes | None = None

    def __str__(self) -> str:
        """Only what is wrong: the name of a test's parameter."""
        fields = dataclasses.fields(self)
        return ",".join(
            f"{f.name}={getattr(self, f.name)}" for f in fields if getattr(self, f.name) not in (f.default, {})
        )


@dataclasses.dataclass(frozen=True)
class Seen:
    """A request as it arrived: path with query, headers in lower case, the client's port (one for each connection)."""

    target: str
    headers: Mapping[str, str]
    connection: int


class FaultyServer:
    """Serves files and JSON documents; each answer may be spoilt.

    Args:
        files, documents: As below.
        address: Where it listens, with a port of 0 for a free one.
        context: Speak TLS.

    Attributes:
        files: Path -> bytes, served with Range and a strong ETag.
        documents: Path -> JSON value, or a function from the query to one.
        seen: All requests so far.
        draw: Asked with path and number of the request for it (from 0) for the fault of an answer for which none is
            queued.
        always: The fault of all answers for which none is queued or drawn, by path; "" for all paths.
        signatures: Path -> the ``sig`` that its query must have, else 403.
        etags: Path -> ETag, where it is not made from the content; None for none.
    """

    def __init__(
        self,
        files: Mapping[str, bytes] | None = None,
        documents: Mapping[str, Any] | None = None,
        *,
        address: tuple[str, int] = ("127.0.0.1", 0),
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.files: dict[str, bytes] = dict(files or {})
        self.documents: dict[str, Any] = dict(documents or {})
        self.seen: list[Seen] = []
        self.draw: Callable[[str, int], Fault | None] | None = None
        self.drawn: Counter[str] = Counter()
        self.always: dict[str, Fault] = {}
        self.signatures: dict[str, str] = {}
        self.etags: dict[str, str | None] = {}
        self.stop = threading.Event()
        self._queues: dict[str, list[Fault]] = {}
        self._lock = threading.Lock()
        outer = self

        class Handler(_Handler):
            server_state = outer

        self._server = _Quiet(address, Handler)
        self.url = f"{'http' if context is None else 'https'}://{address[0]}:{self.port}"
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    def fail(self, path: str, *faults: Fault) -> None:
        """Spoil the next answers for a path, one fault each."""
        with self._lock:
            self._queues.setdefault(path, []).extend(faults)

    def take(self, path: str) -> Fault:
        with self._lock:
            queue = self._queues.get(path)
            if queue:
                return queue.pop(0)
            drawn = None if self.draw is None else self.draw(path, self.drawn[path])
            self.drawn[path] += 1
            if drawn is not None:
                return drawn
        return self.always.get(path) or self.always.get("") or Fault()

    def note(self, seen: Seen) -> None:
        with self._lock:
            self.seen.append(seen)

    def ranges(self, path: str) -> list[str | None]:
        """The Range headers of the requests for a path, in order."""
        return [seen.headers.get("range") for seen in self.seen if urlsplit(seen.target).path == path]


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True
    # Connections that are opened at once; beyond it the kernel lets a client try again after a second.
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of the tests."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server_state: FaultyServer
    protocol_version = "HTTP/1.1"
    # Else the kernel holds small answers back for 40 ms.
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        state = self.server_state
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        state.note(Seen(self.path, headers, self.client_address[1]))
        fault = state.take(parts.path)
        query = parse_qs(parts.query)
        with contextlib.suppress(ConnectionError, TimeoutError):
            state.stop.wait(fault.latency_s)
            self._answer(parts.path, query, headers, fault)

    def _answer(self, path: str, query: dict[str, list[str]], headers: dict[str, str], fault: Fault) -> None:
        state = self.server_state
        signature = state.signatures.get(path)
        if fault.raw is not None:
            self.wfile.write(fault.raw)
            self.close_connection = True
        elif fault.redirect is not None:
            self._send(302, {"Location": fault.redirect}, b"", fault)
        elif fault.status is not None:
            body = json.dumps({"error": {"message": f"made to fail with {fault.status}"}}).encode()
            self._send(fault.status, {}, body if fault.body is None else fault.body, fault)
        elif signature is not None and query.get("sig") != [signature]:
            self._send(403, {}, b"<Error><Code>AccessDenied</Code></Error>", fault)
        elif path in state.documents:
            document = state.documents[path]
            value = document(query) if callable(document) else document
            self._send(200, {"Content-Type": "application/json"}, json.dumps(value).encode(), fault)
        elif path in state.files:
            self._send_file(path, headers, fault)
        else:
            self._send(404, {}, b'{"error": {"message": "no such thing"}}', fault)

    def _send_file(self, path: str, headers: dict[str, str], fault: Fault) -> None:
        data = self.server_state.files[path]
        etag = self.server_state.etags.get(path, f'"{hashlib.md5(data).hexdigest()}"')
        if fault.corrupt_at is not None:
            spoilt = bytearray(data)
            spoilt[fault.corrupt_at] ^= 1
            data = bytes(spoilt)
        sent = {} if etag is None else {"ETag": etag}
        if_range = headers.get("if-range")
        match = re.fullmatch(r"bytes=(\d*)-(\d*)", headers.get("range", ""))
        if match is None or fault.ignore_range or (if_range is not None and if_range != etag):
            self._send(200, sent, data, fault)
            return
        first, last = match.groups()
        start = max(0, len(data) - int(last)) if not first else int(first)
        stop = len(data) if not first or not last else min(int(last) + 1, len(data))
        if start >= len(data):
            self._send(416, {"Content-Range": f"bytes */{len(data)}"}, b"", fault)
            return
        sent["Content-Range"] = fault.content_range or f"bytes {start}-{stop - 1}/{len(data)}"
        self._send(206, sent, data[start:stop], fault)

    def _send(self, status: int, headers: dict[str, str], body: bytes, fault: Fault) -> None:
        sent = {"Content-Length": str(len(body)), **headers, **fault.headers}
        if fault.no_content_length or fault.chunked:
            del sent["Content-Length"]
        if fault.chunked:
            sent["Transfer-Encoding"] = "chunked"
        if fault.no_content_length:
            sent["Connection"] = "close"
            self.close_connection = True
        head = f"HTTP/1.1 {status} X\r\n" + "".join(f"{k}: {v}\r\n" for k, v in sent.items() if v) + "\r\n"
        if self._ended(fault, -1):
            return
        if fault.trickle_headers:
            for byte in head.encode("latin-1"):
                self.wfile.write(bytes([byte]))
                if self.server_state.stop.wait(0.2):
                    return
        else:
            self.wfile.write(head.encode("latin-1"))
        self._send_body(body + fault.extra, fault)

    def _send_body(self, body: bytes, fault: Fault) -> None:
        position = 0
        stops = [n for n in (fault.cut_after, fault.stall_after) if n is not None]
        while True:
            if self._ended(fault, position):
                return
            if position >= len(body):
                break
            step = body[position : min([position + _STEP_BYTES, *stops])]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(step), step) if fault.chunked else step)
            position += len(step)
            if fault.bytes_per_s is not None:
                time.sleep(len(step) / fault.bytes_per_s)
        if fault.chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _ended(self, fault: Fault, position: int) -> bool:
        """Whether the answer ends here; waits if it is to fall silent."""
        if fault.stall_after is not None and position >= fault.stall_after:
            self.wfile.flush()
            self.server_state.stop.wait()
        elif fault.cut_after is None or position < fault.cut_after:
            return False
        elif fault.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        return True


def serve_job(server: FaultyServer, job_id: str, chunks: Mapping[str, bytes], **fields: Any) -> None:
    """Let a server answer as the API of one completed job, whose chunks are at its ``/data/<chunk id>.zip``."""
    records = []
    for index, (chunk_id, data) in enumerate(chunks.items()):
        server.files[f"/data/{chunk_id}.zip"] = data
        records.append(
            {
                "id": chunk_id,
                "index": index,
                "url": f"{server.url}/data/{chunk_id}.zip",
                "size_bytes": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
            }
        )
    server.documents[f"/api/v1/jobs/{job_id}"] = {"id": job_id, "status": "completed", "chunks": records, **fields}
