"""A tiny HTTP proxy in a thread: forwards absolute-form requests, tunnels CONNECT, and can die in mid-body."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self


class Proxy:
    """Listens on 127.0.0.1.

    Args:
        hosts: Name -> port on 127.0.0.1 that it leads to; it resolves no other names.

    Attributes:
        heads: The heads of the requests that it got.
        cut_after: So many bytes from the server are let through by the next connection, which then ends.
        refuse: The status that it answers instead.
    """

    def __init__(self, hosts: Mapping[str, int]) -> None:
        self.heads: list[bytes] = []
        self.cut_after: int | None = None
        self.refuse: int | None = None
        self._hosts = hosts
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.closing(client):
            received = b""
            while b"\r\n\r\n" not in received:
                data = client.recv(65_536)
                if not data:
                    return
                received += data
            self.heads.append(received.partition(b"\r\n\r\n")[0])
            if self.refuse is not None:
                client.sendall(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % self.refuse)
                return
            # Before the server can answer: its answer may set the next.
            left, self.cut_after = self.cut_after, None
            method, target, _ = received.split(b" ", 2)
            address = urlsplit(f"//{target.decode()}" if method == b"CONNECT" else target.decode())
            with socket.create_connection(("127.0.0.1", self._hosts[address.hostname or ""])) as upstream:
                if method == b"CONNECT":
                    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    path = f"{address.path}?{address.query}" if address.query else address.path
                    upstream.sendall(received.replace(target, path.encode(), 1))
                self._relay(client, upstream, left)

    def _relay(self, client: socket.socket, upstream: socket.socket, left: int | None) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ, upstream)
            selector.register(upstream, selectors.EVENT_READ, client)
            while not self._stop.is_set():
                for key, _ in selector.select(0.2):
                    source = key.fileobj
                    assert isinstance(source, socket.socket)
                    data = source.recv(16_384)
                    if left is not None and source is upstream:
                        data, left = data[:left], left - len(data)
                    if data:
                        key.data.sendall(data)
                    if not data or (left is not None and left <= 0):
                        return
