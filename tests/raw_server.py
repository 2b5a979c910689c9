"""A server that sends whatever bytes a test wants: what no HTTP library would let it say."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator

    from typing_extensions import Self

# Steps of an answer beside bytes (sent) and seconds (waited).
CLOSE: Final = "close"
RESET: Final = "reset"


class RawServer:
    """Answers each request with scripted steps.

    Args:
        answer: Called with the request's head and its number (from 0); gives bytes to send, seconds to wait, CLOSE or
            RESET. After the last step the connection stays open for the next request.
        context: Speak TLS.

    Attributes:
        heads: The requests' heads so far.
        connections: How many connections were made.
        sent_bytes: Sent so far.
        reset_connections: So many are reset as soon as they are accepted.
    """

    def __init__(
        self, answer: Callable[[bytes, int], Iterable[bytes | float | str]], context: ssl.SSLContext | None = None
    ) -> None:
        self.heads: list[bytes] = []
        self.connections = 0
        self.sent_bytes = 0
        self.reset_connections = 0
        self._answer = answer
        self._context = context
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def listen(self) -> None:
        """Begin to accept connections; before, they are refused."""
        self._listener.listen(128)
        self._thread.start()

    def __enter__(self) -> Self:
        self.listen()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}"

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError), contextlib.closing(connection):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if number <= self.reset_connections:
                _reset(connection)
                return
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
            with contextlib.closing(connection):
                for head in _heads(connection):
                    with self._lock:
                        self.heads.append(head)
                        index = len(self.heads) - 1
                    if not self._play(connection, self._answer(head, index)):
                        return

    def _play(self, connection: socket.socket, steps: Iterable[bytes | float | str]) -> bool:
        """Whether the connection goes on."""
        for step in steps:
            if isinstance(step, bytes):
                connection.sendall(step)
                self.sent_bytes += len(step)
            elif isinstance(step, str):
                if step == RESET:
                    _reset(connection)
                return False
            elif self._stop.wait(step):
                return False
        return True


def _heads(connection: socket.socket) -> Iterator[bytes]:
    buffered = b""
    while data := connection.recv(65_536):
        buffered += data
        while b"\r\n\r\n" in buffered:
            head, _, buffered = buffered.partition(b"\r\n\r\n")
            yield head


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def range_of(head: bytes, size: int) -> tuple[int, int]:
    """Start and stop that a request's Range header asks for; everything if it has none."""
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"range":
            first, _, last = value.strip().removeprefix(b"bytes=").partition(b"-")
            if not first:
                return max(0, size - int(last)), size
            return int(first), int(last) + 1 if last else size
    return 0, size


def partial(head: bytes, data: bytes, *fields: bytes, length: bool = True) -> tuple[bytes, bytes]:
    """A right answer to a Range request: its head, with further fields, and its body."""
    start, stop = range_of(head, len(data))
    lines = [b"HTTP/1.1 206 Partial Content", b"Content-Range: bytes %d-%d/%d" % (start, stop - 1, len(data)), *fields]
    if length:
        lines.append(b"Content-Length: %d" % (stop - start))
    return b"\r\n".join(lines) + b"\r\n\r\n", data[start:stop]
