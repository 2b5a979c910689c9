"""HTTP/1.1 connections whose bodies of a known length go from the socket straight into a segment.

httpcore's own connection hands every byte through h11: from the kernel to bytes, a bytearray, bytes again, and then to
where it belongs, in pieces that each take the interpreter's lock. Here h11 reads and writes heads, and bodies without a
length; the rest is one native call for a range. Connections to a proxy stay httpcore's.
"""

from __future__ import annotations

import contextlib
import select
import threading
import time
from collections import deque
from enum import Enum, auto
from typing import TYPE_CHECKING

import h11
import httpcore

from pixcrawler._constants import KEEPALIVE_S, READ_BYTES
from pixcrawler._network import wait_readable

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pixcrawler._native import SegmentBuffer
    from pixcrawler._network import Backend, Stream

__all__ = ["BODY", "Body", "Connection", "DirectPool", "Flights"]

# The key of an answer's extension that holds its Body.
BODY = "pixcrawler.body"

# Taken at once until the head is there: little of the body comes along, and is copied.
_HEAD_READ_BYTES = 4096


# Of one request among many: those by which all must end are not among them.
_FAILURES = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ConnectionNotAvailable,
    OSError,
)


class _State(Enum):
    NEW = auto()
    ACTIVE = auto()
    IDLE = auto()
    CLOSED = auto()


class DirectPool(httpcore.ConnectionPool):
    """A pool of connections without a proxy.

    Args:
        backend: Makes the sockets.
        ssl_context: Called for each connection over TLS.
        max_keepalive: Idle connections kept.
        header_bytes: Bytes of the heads of one answer, interim ones included.
    """

    def __init__(
        self, backend: Backend, ssl_context: Callable[[], ssl.SSLContext], max_keepalive: int, header_bytes: int
    ) -> None:
        super().__init__(max_connections=None, max_keepalive_connections=max_keepalive)
        self._header_bytes = header_bytes
        self._backend = backend
        self._make_ssl_context = ssl_context
        # Those that were not opened for a request.
        self._own: list[Connection] = []
        self._own_lock = threading.Lock()

    def create_connection(self, origin: httpcore.Origin) -> httpcore.ConnectionInterface:
        """A connection that is not connected yet."""
        return Connection(origin, self._backend, self._make_ssl_context, self._header_bytes)

    def idle(self, origin: httpcore.Origin) -> list[Connection]:
        """Connections there that no request uses at this moment, and whose peer has not ended them."""
        with self._own_lock:
            self._own = [connection for connection in self._own if not connection.is_closed()]
            known = [*self._own, *self.connections]
        return [
            connection
            for connection in known
            if isinstance(connection, Connection)
            and connection.can_handle_request(origin)
            and connection.is_idle()
            and not connection.has_expired()
        ]

    def open(self, origin: httpcore.Origin, timeout: float) -> None:
        """Open one more connection, for :class:`Flights`.

        Args:
            origin: Where it leads.
            timeout: Seconds.
        """
        connection = Connection(origin, self._backend, self._make_ssl_context, self._header_bytes)
        connection.open(timeout)
        with self._own_lock:
            self._own.append(connection)

    def close(self) -> None:
        """Close all connections."""
        super().close()
        with self._own_lock:
            own, self._own = self._own, []
        for connection in own:
            connection.close()


class Connection(httpcore.ConnectionInterface):
    """One connection, for GET requests one after the other."""

    def __init__(
        self,
        origin: httpcore.Origin,
        backend: Backend,
        ssl_context: Callable[[], ssl.SSLContext],
        header_bytes: int,
    ) -> None:
        self.header_bytes = header_bytes
        self._origin = origin
        self._backend = backend
        self._make_ssl_context = ssl_context
        self._stream: Stream | None = None
        self._state = _State.NEW
        self._lock = threading.Lock()
        self._expires_at = float("inf")
        self._is_reused = False
        self._body: Body | None = None

    def handle_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request and receive the answer's head.

        Raises:
            httpcore.ConnectionNotAvailable: The server ended the connection while it was idle: the pool sends the
                request again, over another one.
        """
        with self._lock:
            if self._state not in {_State.NEW, _State.IDLE}:
                raise httpcore.ConnectionNotAvailable
            self._state = _State.ACTIVE
        self.send(request)
        return self.receive()

    def open(self, timeout: float) -> None:
        """Connect, without a request to send yet."""
        self._stream = self._connect(timeout)
        self._state = _State.ACTIVE
        self.release(is_clean=True)

    def claim(self) -> bool:
        """Take it for :meth:`send` and :meth:`receive`, unless it is in use or its peer has ended it."""
        with self._lock:
            if self._state is not _State.IDLE or self.has_expired():
                return False
            self._state = _State.ACTIVE
            return True

    def send(self, request: httpcore.Request) -> None:
        """Send a request.

        Raises:
            httpcore.ConnectionNotAvailable: As :meth:`handle_request`.
        """
        timeouts = request.extensions["timeout"]
        self._is_reused = self._stream is not None
        self._body = None
        with self._closed_on_error():
            if self._stream is None:
                self._stream = self._connect(timeouts["connect"])
            # A new one for each request, as it does not see all of a body.
            # Its own limit, which says less, is never reached.
            parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=self.header_bytes + 2 * _HEAD_READ_BYTES)
            with _mapped():
                head = parser.send(
                    h11.Request(method=request.method, target=request.url.target, headers=request.headers)
                )
                parser.send(h11.EndOfMessage())
            # A server may refuse, and end the connection, before it has read the whole request.
            with contextlib.suppress(httpcore.WriteError):
                self._stream.write(head or b"", timeouts["write"])
            self._body = Body(self, self._stream, parser, timeouts["read"])

    def receive(self) -> httpcore.Response:
        """The answer to the request that was sent, its head received.

        Raises:
            httpcore.ConnectionNotAvailable: As :meth:`handle_request`.
        """
        body = self._body
        assert body is not None, "a request was sent"
        with self._closed_on_error():
            event = body.receive_head()
        extensions = {BODY: body, "http_version": b"HTTP/" + event.http_version, "reason_phrase": event.reason}
        return httpcore.Response(
            event.status_code, headers=event.headers.raw_items(), content=body, extensions=extensions
        )

    @contextlib.contextmanager
    def _closed_on_error(self) -> Iterator[None]:
        try:
            yield
        except (httpcore.NetworkError, httpcore.RemoteProtocolError) as exc:
            self.close()
            if self._is_reused and (self._body is None or not self._body.has_begun):
                raise httpcore.ConnectionNotAvailable from exc
            raise
        except BaseException:
            self.close()
            raise

    @property
    def descriptor(self) -> int:
        """Of the socket, which is open."""
        assert self._stream is not None, "a request was sent"
        number: int = self._stream.get_extra_info("socket").fileno()
        return number

    def _connect(self, timeout: float) -> Stream:
        host = self._origin.host.decode("ascii")
        # Before a socket is open: it fails if the certificates cannot be loaded.
        context = self._make_ssl_context() if self._origin.scheme == b"https" else None
        stream = self._backend.connect_tcp(host, self._origin.port, timeout)
        if context is None:
            return stream
        context.set_alpn_protocols(["http/1.1"])
        return stream.start_tls(context, host, timeout)

    def release(self, *, is_clean: bool) -> None:
        """End an answer; the connection is kept if nothing of it is left on the way."""
        with self._lock:
            if is_clean and self._state is _State.ACTIVE:
                self._expires_at = time.monotonic() + KEEPALIVE_S
                self._state = _State.IDLE
                return
        self.close()

    # What the pool asks.

    def close(self) -> None:
        """Close the socket; a request under way fails."""
        self._state = _State.CLOSED
        if self._stream is not None:
            self._stream.close()

    def info(self) -> str:
        """For people."""
        return f"{str(self._origin)!r}, HTTP/1.1, {self._state.name}"

    def can_handle_request(self, origin: httpcore.Origin) -> bool:
        """Whether it leads there."""
        return origin == self._origin

    def is_available(self) -> bool:
        """Whether it may be given a request."""
        return self._state is _State.IDLE

    def has_expired(self) -> bool:
        """Whether it was idle for too long, or its peer sent something unasked, most likely the end."""
        if self._state is not _State.IDLE or self._stream is None:
            return False
        return time.monotonic() > self._expires_at or bool(self._stream.get_extra_info("is_readable"))

    def is_idle(self) -> bool:
        """Whether no request is under way."""
        return self._state is _State.IDLE

    def is_closed(self) -> bool:
        """Whether it is of no use any more."""
        return self._state is _State.CLOSED


class Body:
    """An answer's body, to be read in one of two ways.

    Args:
        connection: To be released at the end.
        stream: Its socket.
        parser: Has sent the request.
        timeout: Seconds without a byte.

    Attributes:
        has_begun: Whether anything of the answer has come.
    """

    def __init__(self, connection: Connection, stream: Stream, parser: h11.Connection, timeout: float) -> None:
        self.has_begun = False
        self._head_bytes = 0
        self._connection = connection
        self._stream = stream
        self._parser = parser
        self._timeout = timeout
        self._length: int | None = None
        self._is_whole = False
        self._is_closed = False

    def receive_head(self) -> h11.Response:
        """The answer's head, after any interim ones.

        Raises:
            httpcore.RemoteProtocolError: It breaks the rules, or they are longer than the limit.
        """
        event = self._next_event(_HEAD_READ_BYTES)
        while not isinstance(event, h11.Response):
            event = self._next_event(_HEAD_READ_BYTES)
        if event.http_version not in {b"1.0", b"1.1"}:
            message = f"HTTP version {event.http_version.decode('latin-1')}, which was not offered"
            raise httpcore.RemoteProtocolError(message)
        fields = dict(event.headers)
        if b"content-length" in fields:
            if b"transfer-encoding" in fields:
                # What a server and one before it read differently (RFC 9112, 6.3).
                message = "an answer with both Transfer-Encoding and Content-Length"
                raise httpcore.RemoteProtocolError(message)
            self._length = int(fields[b"content-length"])
        return event

    def receive_into(self, buffer: SegmentBuffer) -> bool:
        """Append all of the body to a buffer.

        Returns:
            False, and nothing is done, if its length is not known or the buffer has less room.

        Raises:
            httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError: As reading does. What came
                before is in the buffer.
        """
        length = self._length
        if length is None or length > len(buffer) - buffer.filled:
            return False
        came, _ = self._parser.trailing_data
        buffer.write(came[:length])
        self._stream.receive_into(buffer, length - len(came[:length]), self._timeout)
        self._is_whole = len(came) <= length
        return True

    def __iter__(self) -> Iterator[bytes]:
        """The body as it arrives."""
        while isinstance(event := self._next_event(READ_BYTES), h11.Data):
            yield bytes(event.data)
        self._is_whole = self._parser.their_state is h11.DONE and not self._parser.trailing_data[0]

    def close(self) -> None:
        """Let the connection go: for further requests, if the body came whole and neither side wants an end."""
        if not self._is_closed:
            self._is_closed = True
            self._connection.release(is_clean=self._is_whole and self._parser.our_state is h11.DONE)

    def _next_event(self, max_bytes: int) -> object:
        while True:
            with _mapped():
                event = self._parser.next_event()
            if event is not h11.NEED_DATA:
                return event
            is_head = self._parser.their_state is h11.SEND_RESPONSE
            if is_head and self._head_bytes >= self._connection.header_bytes:
                # One head's, or those of any number of interim ones.
                message = f"more than {self._connection.header_bytes} bytes of headers (Limits.header_bytes)"
                raise httpcore.RemoteProtocolError(message)
            data = self._stream.read_some(max_bytes, self._timeout)
            if is_head and not data:
                message = "Server disconnected without sending a response."
                raise httpcore.RemoteProtocolError(message)
            self._head_bytes += len(data) if is_head else 0
            self.has_begun = True
            self._parser.receive_data(data)


class Flights:
    """Requests that one thread has under way, each over a connection of its own.

    Args:
        connections: Idle ones; one that is taken meanwhile is left out.
        positions: Which requests, in the order in which they are sent.
    """

    def __init__(self, connections: Sequence[Connection], positions: Iterable[int]) -> None:
        self._connections = connections
        self._waiting = deque(positions)
        self._flying: dict[int, tuple[Connection, int]] = {}
        self._poll = select.poll()

    def run(
        self,
        request_of: Callable[[int], httpcore.Request],
        take: Callable[[int, httpcore.Response], object],
        idle_s: float,
    ) -> None:
        """Send all, and take each answer when it begins; what fails is left out.

        Args:
            request_of: Makes the request of a position.
            take: Called with a position and its answer, whose body it reads.
            idle_s: Seconds without any answer.

        Raises:
            httpcore.ReadTimeout: None came for so long; or as every read does when the request must end.
        """
        try:
            for connection in self._connections:
                self._send_next(connection, request_of)
            while self._flying:
                for descriptor in wait_readable(self._poll, idle_s):
                    connection, position = self._flying.pop(descriptor)
                    self._poll.unregister(descriptor)
                    with contextlib.suppress(*_FAILURES):
                        self._take(connection, position, take)
                    self._send_next(connection, request_of)
        finally:
            for connection, _ in self._flying.values():
                connection.close()

    @staticmethod
    def _take(connection: Connection, position: int, take: Callable[[int, httpcore.Response], object]) -> None:
        response = connection.receive()
        try:
            take(position, response)
        finally:
            response.close()

    def _send_next(self, connection: Connection, request_of: Callable[[int], httpcore.Request]) -> None:
        if self._waiting and connection.claim():
            position = self._waiting.popleft()
            with contextlib.suppress(*_FAILURES):
                connection.send(request_of(position))
                self._poll.register(connection.descriptor, select.POLLIN)
                self._flying[connection.descriptor] = connection, position


@contextlib.contextmanager
def _mapped() -> Iterator[None]:
    """h11's exceptions as httpcore's."""
    try:
        yield
    except h11.LocalProtocolError as exc:
        raise httpcore.LocalProtocolError(str(exc)) from exc
    except h11.RemoteProtocolError as exc:
        raise httpcore.RemoteProtocolError(str(exc)) from exc
