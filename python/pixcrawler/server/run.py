"""Running the server: in this process, or in a child of it."""

from __future__ import annotations

import contextlib
import ipaddress
import signal
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Final

from pixcrawler.exceptions import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from typing_extensions import Self

__all__ = ["ServerProcess", "is_loopback", "serve"]

# Longer than a client pauses between two segments: a new connection costs it a round trip.
KEEP_ALIVE_S: Final = 75
# What an answer in progress gets to end after the first signal; then, or at a second signal, it is cut off.
DRAIN_S: Final = 5


def is_loopback(host: str) -> bool:
    """Whether an address to bind can be reached from this machine alone.

    Args:
        host: A name or an address.
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def serve(
    store: Path, *, host: str = "127.0.0.1", port: int = 8000, on_ready: Callable[[str], None] | None = None
) -> None:
    """Serve a store until SIGINT or SIGTERM.

    Args:
        store: Its folder.
        host: Address to bind.
        port: Port to bind; 0 for a free one.
        on_ready: Called with the server's URL, real port included, when it answers.

    Raises:
        NotFoundError: There is no store.
        StoreError: The store is broken, or the address cannot be bound.
        ModuleNotFoundError: The extra ``server`` is not installed.
    """
    import uvicorn

    from pixcrawler.server.app import create_app
    from pixcrawler.server.store import Store

    class Server(uvicorn.Server):
        """Tells when it is ready, and takes a signal as the normal way to end."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if on_ready is not None:
                on_ready(url)

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            # uvicorn's own raises the signal again at the end, which would make every clean stop look like a crash.
            handlers = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
            try:
                yield
            finally:
                for number, handler in handlers.items():
                    signal.signal(number, handler)

        def _stop(self, _number: int, _frame: object) -> None:
            self.force_exit = self.should_exit
            self.should_exit = True

    with Store(store) as opened, _listen(host, port) as listener:
        shown = f"[{host}]" if ":" in host else host
        url = f"http://{shown}:{listener.getsockname()[1]}"
        config = uvicorn.Config(
            create_app(opened),
            lifespan="off",
            ws="none",
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=DRAIN_S,
        )
        Server(config).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server((address[0], port), family=family)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        message = f"cannot listen on {host} port {port}: {reason}"
        raise StoreError(message, code="address") from error


class ServerProcess:
    """A server in a child process, so that it shares no interpreter lock with a client in this one.

    The child ends with this object, with its context, or, whatever happens, with this process: it watches a pipe.
    Ctrl-C in a terminal reaches this process alone.

    Args:
        store: The store's folder.
        host: Address to bind.
        port: Port to bind; 0 for a free one.
        start_timeout_s: Seconds until it must answer.

    Attributes:
        url: Where it answers.
        pid: Of the child.

    Raises:
        StoreError: It did not start; its own message is on stderr.
    """

    def __init__(self, store: Path, *, host: str = "127.0.0.1", port: int = 0, start_timeout_s: float = 30.0) -> None:
        command = [
            sys.executable,
            "-m",
            "pixcrawler.server",
            "--store",
            str(store),
            "--host",
            host,
            "--port",
            str(port),
        ]
        self._child = subprocess.Popen(  # noqa: S603  (our own interpreter and module; no shell)
            [*command, "--until-stdin-ends"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.pid = self._child.pid
        timer = threading.Timer(start_timeout_s, self._child.kill)
        timer.start()
        try:
            self.url = self._child.stdout.readline().strip() if self._child.stdout else ""
        finally:
            timer.cancel()
        if not self.url:
            self.close()
            message = f"the server did not start (exit code {self._child.returncode})"
            raise StoreError(message, code="server_start")

    def close(self) -> int:
        """Stop the child, by force if it takes longer than its answers in progress may.

        Returns:
            Its exit code. Idempotent.
        """
        if self._child.stdin:
            self._child.stdin.close()
        try:
            self._child.wait(DRAIN_S + 5)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        if self._child.stdout:
            self._child.stdout.close()
        return self._child.returncode

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
