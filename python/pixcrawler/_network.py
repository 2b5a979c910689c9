"""Sockets: reads that can be cancelled, requests that end on time, and addresses that may be connected to.

httpcore's own backend leaves a blocked read to its timeout, here up to 30 s, and knows no bound for a whole request: a
server that sends one header byte at a time holds a thread for hours. The backend here wakes four times a second, while
it connects and shakes hands as well; only the system's resolver cannot be interrupted.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import select
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import httpcore

from pixcrawler._constants import CONNECT_TIMEOUT_S, READ_BYTES, SLOW_BYTES, SLOW_TIME_S, WAKE_S

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Iterator

    from pixcrawler._native import SegmentBuffer


class CancelledError(Exception):
    """The request was cancelled from another thread. Internal: it becomes a NetworkError."""


class OutOfTimeError(Exception):
    """The request's total time is over. Internal: it becomes a NetworkError."""


class TooSlowError(Exception):
    """The answer trickles. Internal: it becomes a NetworkError."""


class PrivateAddressError(Exception):
    """A public API points to a private address. Internal: it becomes a NetworkError."""


class _Call(threading.local):
    """The request that the current thread is in: a connection serves many, one after the other."""

    deadline_s: float = float("inf")
    cancelled: threading.Event | None = None
    is_inside: bool = False
    speed: Speed | None = None


class Speed:
    """How fast an answer arrives: at least so many bytes in each window of time, the first of which begins with a byte.

    Args:
        window_s: Length of a window.
        window_bytes: Bytes that must come in each.
    """

    def __init__(self, window_s: float, window_bytes: int) -> None:
        self._window_s = window_s
        self._window_bytes = window_bytes
        self._ends_s = float("inf")
        self._received = 0

    def received(self, size_bytes: int, now_s: float) -> None:
        """Note bytes that came."""
        if self._ends_s == float("inf"):
            self._ends_s = now_s + self._window_s
        self._received += size_bytes

    def check(self, now_s: float) -> None:
        """Raise TooSlowError if a window is over in which too few came."""
        if now_s < self._ends_s:
            return
        if self._received < self._window_bytes:
            message = f"{self._received} bytes in {self._window_s:g} s, fewer than {self._window_bytes}"
            raise TooSlowError(message)
        self._ends_s = now_s + self._window_s
        self._received = 0


_call = _Call()


@contextlib.contextmanager
def bounded(
    *, deadline_s: float, cancelled: threading.Event | None, slow_s: float = SLOW_TIME_S, slow_bytes: int = SLOW_BYTES
) -> Iterator[None]:
    """Bound everything that this thread reads and writes inside the block.

    Args:
        deadline_s: On the clock of :func:`time.monotonic`.
        cancelled: Ends the request when set.
        slow_s: A time in which the answer must bring
        slow_bytes: so many bytes at least.
    """
    before = _call.deadline_s, _call.cancelled, _call.is_inside, _call.speed
    _call.deadline_s, _call.cancelled, _call.is_inside = deadline_s, cancelled, True
    _call.speed = Speed(slow_s, slow_bytes)
    try:
        yield
    finally:
        _call.deadline_s, _call.cancelled, _call.is_inside, _call.speed = before


class _NotOfRequests(logging.Filter):
    """Drops what is logged inside a request: addresses and headers, which can be secrets."""

    def filter(self, _record: logging.LogRecord) -> bool:
        return not _call.is_inside


# httpx and httpcore log addresses with their queries, and all headers of an answer.
for _name in ("httpx", *(f"httpcore.{part}" for part in ("connection", "http11", "http2", "proxy", "socks"))):
    logging.getLogger(_name).addFilter(_NotOfRequests())


def _time_left(limit_s: float) -> float:
    """Seconds that the next step may block, at most ``WAKE_S``; raises when the request must end."""
    if _call.cancelled is not None and _call.cancelled.is_set():
        raise CancelledError
    now = time.monotonic()
    if now >= _call.deadline_s:
        raise OutOfTimeError
    if _call.speed is not None:
        _call.speed.check(now)
    return max(0.001, min(WAKE_S, limit_s - now, _call.deadline_s - now))


def _note_received(size_bytes: int) -> None:
    if _call.speed is not None:
        _call.speed.received(size_bytes, time.monotonic())


def watched(parts: Iterable[bytes]) -> Iterator[bytes]:
    """What somebody else reads from a socket, ended at the next part when the request must end.

    Args:
        parts: A body as it arrives.
    """
    for part in parts:
        _note_received(len(part))
        yield part
        _time_left(float("inf"))


class _Socket(httpcore.NetworkStream):
    """A connected socket of our own making, with httpcore's exceptions."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    @classmethod
    def connect(cls, address: str, port: int, timeout: float) -> _Socket:
        """Connect, in steps.

        Args:
            address: Numeric.
            port: The port.
            timeout: Seconds.
        """
        limit_s = time.monotonic() + timeout
        try:
            family, kind, protocol, _, where = socket.getaddrinfo(
                address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
            )[0]
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(0)
                with contextlib.suppress(BlockingIOError):
                    sock.connect(where)
                _wait_connected(sock, limit_s)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except BaseException:
                sock.close()
                raise
        except OSError as exc:
            raise httpcore.ConnectError(str(exc)) from exc
        return cls(sock)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            self._sock.settimeout(timeout)
            return self._sock.recv(max_bytes)
        except TimeoutError as exc:
            raise httpcore.ReadTimeout(str(exc)) from exc
        except OSError as exc:
            raise httpcore.ReadError(str(exc)) from exc

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        try:
            self._sock.settimeout(timeout)
            self._sock.sendall(buffer)
        except TimeoutError as exc:
            raise httpcore.WriteTimeout(str(exc)) from exc
        except OSError as exc:
            raise httpcore.WriteError(str(exc)) from exc

    def close(self) -> None:
        self._sock.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> _Socket:
        limit_s = float("inf") if timeout is None else time.monotonic() + timeout
        try:
            sock = ssl_context.wrap_socket(self._sock, server_hostname=server_hostname, do_handshake_on_connect=False)
            try:
                _shake_hands(sock, limit_s)
            except BaseException:
                sock.close()
                raise
        except OSError as exc:
            self.close()
            raise httpcore.ConnectError(str(exc)) from exc
        return _Socket(sock)

    def get_extra_info(self, info: str) -> Any:
        if info == "socket":
            return self._sock
        return _is_ready(self._sock, 0, to_write=False) if info == "is_readable" else None


def _is_ready(sock: socket.socket, timeout_s: float, *, to_write: bool) -> bool:
    """Whether a socket can be read from, or written to; a broken or closed one can."""
    if sock.fileno() < 0:
        return True
    if hasattr(select, "poll"):
        # Unlike select it knows descriptors above 1,024.
        poll = select.poll()
        poll.register(sock, select.POLLOUT if to_write else select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))
    # Where there is no poll, a connection that fails is an exceptional state.
    wanted = [sock]
    return any(select.select(() if to_write else wanted, wanted if to_write else (), wanted, timeout_s))


def wait_readable(poll: select.poll, timeout_s: float) -> list[int]:
    """The descriptors that can be read from, in steps; ends as every read of the request does.

    Args:
        poll: What they are registered with.
        timeout_s: Seconds to wait for the first.

    Raises:
        httpcore.ReadTimeout: None can be within this time.
    """
    limit_s = time.monotonic() + timeout_s
    while True:
        ready = poll.poll(_time_left(limit_s) * 1000)
        if ready:
            return [descriptor for descriptor, _ in ready]
        if time.monotonic() >= limit_s:
            raise httpcore.ReadTimeout


def _wait_connected(sock: socket.socket, limit_s: float) -> None:
    while not _is_ready(sock, _time_left(limit_s), to_write=True):
        if time.monotonic() >= limit_s:
            message = "no connection within the time allowed"
            raise httpcore.ConnectTimeout(message)
    error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, os.strerror(error))


def _shake_hands(sock: ssl.SSLSocket, limit_s: float) -> None:
    while True:
        sock.settimeout(_time_left(limit_s))
        try:
            sock.do_handshake()
        except TimeoutError as exc:
            if time.monotonic() >= limit_s:
                message = "no TLS handshake within the time allowed"
                raise httpcore.ConnectTimeout(message) from exc
        else:
            return


class Stream(httpcore.NetworkStream):
    """A connection whose reads block in short steps."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        # Called by httpcore's own HTTP/1.1 alone, which takes more than the 64 KiB it asks for as well.
        return self.read_some(max(max_bytes, READ_BYTES), timeout)

    def read_some(self, max_bytes: int, timeout: float | None) -> bytes:
        """What arrives next; empty at the end.

        Args:
            max_bytes: Bytes at most.
            timeout: Seconds to wait for the first.
        """
        limit_s = float("inf") if timeout is None else time.monotonic() + timeout
        while True:
            step_s = _time_left(limit_s)
            try:
                data = self._inner.read(max_bytes, step_s)
            except httpcore.ReadTimeout:
                if time.monotonic() >= limit_s:
                    raise
            else:
                _note_received(len(data))
                return data

    def receive_into(self, buffer: SegmentBuffer, length: int, timeout: float) -> None:
        """Append exactly so many bytes to a buffer that has room for them.

        Args:
            buffer: What came stays in it when the connection breaks.
            length: Bytes.
            timeout: Seconds without a byte.
        """
        sock = self._inner.get_extra_info("socket")
        # What TLS delivers is decrypted by Python's module.
        is_plain = os.name == "posix" and type(sock) is socket.socket
        limit_s = time.monotonic() + timeout
        while length > 0:
            step_s = _time_left(limit_s)
            if is_plain:
                received, is_ended = _receive(buffer, sock, length, step_s)
            else:
                try:
                    data = self._inner.read(min(length, READ_BYTES), step_s)
                except httpcore.ReadTimeout:
                    received, is_ended = 0, False
                else:
                    buffer.write(data)
                    received, is_ended = len(data), not data
            if is_ended:
                message = f"the connection ended {length - received} bytes before the body"
                raise httpcore.RemoteProtocolError(message)
            if received:
                _note_received(received)
                length -= received
                limit_s = time.monotonic() + timeout
            elif time.monotonic() >= limit_s:
                raise httpcore.ReadTimeout

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # Request heads only: they fit the socket's buffer, so one bound suffices.
        _time_left(float("inf"))
        left_s = _call.deadline_s - time.monotonic()
        self._inner.write(buffer, left_s if timeout is None else min(timeout, left_s))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> Stream:
        return Stream(self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _receive(buffer: SegmentBuffer, sock: socket.socket, length: int, timeout_s: float) -> tuple[int, bool]:
    try:
        return buffer.receive(sock.fileno(), length, timeout_s)
    except OSError as exc:
        raise httpcore.ReadError(str(exc)) from exc


class Guard:
    """Decides which addresses may be connected to: from a public API no way leads to a private network.

    Args:
        api_host: The API's own host. It is public if one of its addresses is, at the first request.
        api_port: Its port. There, all of the addresses that it had at first are allowed.
        allow_private_hosts: Allow all.
    """

    def __init__(self, api_host: str, api_port: int, *, allow_private_hosts: bool) -> None:
        self._api = (api_host, api_port)
        self._allow = allow_private_hosts
        self._first: list[str] | None = None

    def addresses(self, host: str, port: int) -> list[str]:
        """Resolve a host and leave out what must not be connected to.

        Args:
            host: A name or a literal address.
            port: The port to be connected to.

        Returns:
            The numeric addresses, in the resolver's order.

        Raises:
            PrivateAddressError: All are private although the API is public.
            OSError: The name does not resolve.
        """
        found = _resolve(host, port)
        if self._allow:
            return found
        is_api = (host, port) == self._api
        if self._first is None:
            self._first = found if is_api else self._resolve_api()
        # Of no known address: it was reached some other way, through a proxy, and nothing speaks for a private network.
        if self._first and not any(map(is_public, self._first)):
            return found
        allowed = [address for address in found if is_public(address) or (is_api and address in self._first)]
        if not allowed:
            raise PrivateAddressError
        return allowed

    def check_literal(self, host: str) -> None:
        """Judge a host that a proxy will resolve: what is no name can be, in whatever form it is written.

        Args:
            host: A name or a literal address.

        Raises:
            PrivateAddressError: It is private although the API's host is not such a literal.
        """
        if not self._allow and _is_private_literal(host) and not _is_private_literal(self._api[0]):
            raise PrivateAddressError

    def _resolve_api(self) -> list[str]:
        try:
            return _resolve(*self._api)
        except OSError:
            return []


# All that has been given out to the public (IANA: IPv6 address space); outside lie forms of IPv4 and site-local ones.
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")


def _resolve(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as exc:
        message = "not a host name"
        raise OSError(message) from exc
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _is_private_literal(host: str) -> bool:
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        # RFC 6761, 6.3.
        return True
    try:
        found = socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return False
    return not all(is_public(str(entry[4][0])) for entry in found)


def is_public(address: str) -> bool:
    """Whether an address is one of the public Internet's.

    Args:
        address: Numeric, as the resolver gives it.
    """
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        # An IPv4 address in IPv6 form (mapped, 6to4, NAT64) leads where the IPv4 address does.
        nat64 = int(ip) & 0xFFFFFFFF if ip in ipaddress.IPv6Network("64:ff9b::/96") else None
        inner = ip.ipv4_mapped or ip.sixtofour or (None if nat64 is None else ipaddress.IPv4Address(nat64))
        if inner is None and ip not in _GLOBAL_UNICAST:
            return False
        ip = inner or ip
    return ip.is_global and not ip.is_multicast


class Backend(httpcore.NetworkBackend):
    """Makes connections whose reads can be cancelled, to addresses that the guard allows.

    Args:
        guard: Checks addresses; None for connections to a proxy, which resolves names itself.
    """

    def __init__(self, guard: Guard | None) -> None:
        self._proxies = httpcore.SyncBackend()
        self._guard = guard

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> Stream:
        if self._guard is None:
            # httpcore's own sockets, which do TLS within TLS.
            _time_left(float("inf"))
            return Stream(self._proxies.connect_tcp(host, port, timeout, local_address, socket_options))
        try:
            addresses = self._guard.addresses(host, port)
        except OSError as exc:
            raise httpcore.ConnectError(str(exc)) from exc
        for last, address in enumerate(addresses, 1 - len(addresses)):
            try:
                # The address that was checked, not the name: it could resolve to another one now.
                return Stream(_Socket.connect(address, port, CONNECT_TIMEOUT_S if timeout is None else timeout))
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if last == 0:
                    raise
        message = "the name has no address"
        raise httpcore.ConnectError(message)
