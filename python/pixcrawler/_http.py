"""HTTP for the API and for chunks: with _pools the only importer of httpx, which parses addresses.

Pools of connections, GET only. The key goes to the API's own origin and nowhere else; redirects are followed by
hand; every exception of httpx, which users may inject, and below becomes one of ours here, without secrets in its
text. Callers retry.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import logging
import os
import re
import select
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urljoin, urlsplit

import httpcore
import httpx

from pixcrawler import _network, _tls, _wire
from pixcrawler._connection import BODY, Flights
from pixcrawler._constants import CONNECT_TIMEOUT_S, URL_MAX_CHARACTERS
from pixcrawler._credentials import SecretText, mask_likely
from pixcrawler._pools import PORTS, Pools, ProxyError, make_request, target_of
from pixcrawler._retry import is_retryable_status, parse_retry_after
from pixcrawler.exceptions import (
    AuthenticationError,
    JobNotCompleteError,
    NetworkError,
    NotFoundError,
    PixCrawlerError,
    ProtocolError,
    RateLimitError,
    escape,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from pixcrawler._connection import Body, Connection
    from pixcrawler._credentials import Credentials
    from pixcrawler._native import SegmentBuffer
    from pixcrawler._retry import RetryPolicy
    from pixcrawler.limits import Limits

__all__ = ["Answer", "Http", "show_url"]

_log = logging.getLogger(__name__)
_LAST_PORT = 65_535
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_OK = 200
_UNAUTHORIZED = 401
_FROM_BETWEEN = frozenset({204, 205, 304})
_CONFLICT = 409
_TOO_MANY_REQUESTS = 429
_REFUSALS: dict[int, tuple[type[PixCrawlerError], str]] = {
    _UNAUTHORIZED: (AuthenticationError, "auth"),
    403: (AuthenticationError, "forbidden"),
    404: (NotFoundError, "not_found"),
    410: (NotFoundError, "not_found"),
}
_ERROR_TEXT_CHARACTERS = 200
# Shorter values in an address are no secrets, and masking them would make a server's text unreadable.
_SECRET_CHARACTERS = 6

# Pools inherited over a fork: kept for ever, because collecting them would close, and warn about, sockets that the
# parent uses.
_inherited: list[object] = []


def show_url(url: str) -> str:
    """An address as it may be shown: without user name, query and fragment, which can be secrets.

    Args:
        url: Any text.
    """
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "an unreadable address"
    return escape(f"{parts.scheme}://{host}{parts.path}" if parts.netloc else parts.path)


@dataclass(frozen=True, slots=True)
class _Response:
    """An answer as httpx or httpcore give it.

    Attributes:
        status: HTTP status.
        headers: By names in lower case.
        parts: The body, undecoded.
        body: The same, if it can be received without copies.
        close: Lets the connection go.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    parts: Iterable[bytes]
    body: Body | None
    close: Callable[[], object]

    @classmethod
    def of_httpx(cls, response: httpx.Response) -> _Response:
        """That of an injected client; its transport may have answered from memory."""
        parts = [response.content] if response.is_stream_consumed else _network.watched(response.iter_raw())
        return cls(response.status_code, response.headers, parts, None, response.close)

    @classmethod
    def of_httpcore(cls, response: httpcore.Response) -> _Response:
        """That of our own connections."""
        headers: dict[str, str] = {}
        for key, value in response.headers:
            name, text = key.decode("latin-1").lower(), _decoded(value)
            headers[name] = f"{headers[name]}, {text}" if name in headers else text
        body = response.extensions.get(BODY)
        return cls(response.status, headers, response.iter_stream(), body, response.close)


def _decoded(value: bytes) -> str:
    """A header's text: UTF-8, as a Location of today's servers is, else Latin-1."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


class Answer:
    """One answer while its body arrives. Its address is the final one, after redirects.

    Attributes:
        status: HTTP status.
        headers: By names in lower case.
        url: Where it came from; a secret if presigned.
        foreign: Whether it came from another origin than the API's.
    """

    def __init__(self, response: _Response, url: str, *, foreign: bool) -> None:
        self._response = response
        self.status = response.status
        self.headers = response.headers
        self.url = url
        self.foreign = foreign

    @property
    def encoding(self) -> str | None:
        """The Content-Encoding; None for none, the only one that is asked for."""
        encoding = self.headers.get("content-encoding", "").strip().lower()
        return None if encoding in {"", "identity"} else encoding

    def iter_raw(self) -> Iterator[bytes]:
        """The body as it arrives, undecoded.

        Raises:
            NetworkError: The connection broke, stalled, or ran out of time.
        """
        try:
            yield from self._response.parts
        except _EXCEPTIONS as exc:
            error = _mapped(exc, self.url)
        else:
            return
        raise error

    def receive_into(self, buffer: SegmentBuffer) -> bool:
        """Append the whole body to a buffer, without a copy on the way.

        Returns:
            False, and nothing is done, where that is not possible: then :meth:`iter_raw` is the way.

        Raises:
            NetworkError: As :meth:`iter_raw`. What came before is in the buffer.
        """
        body = self._response.body
        try:
            return body is not None and body.receive_into(buffer)
        except _EXCEPTIONS as exc:
            error = _mapped(exc, self.url)
        raise error

    def start(self, limit: int) -> bytes:
        """The start of a body that is not what it should be; nothing if the connection breaks. The rest is not read.

        Args:
            limit: Bytes.
        """
        try:
            return b"".join(_first(self.iter_raw(), limit))
        except NetworkError:
            return b""

    def read(self, limit: int) -> bytes | None:
        """The whole body.

        Args:
            limit: Bytes to read at most.

        Returns:
            The body, or None if it is longer than the limit.
        """
        parts = bytearray()
        for data in self.iter_raw():
            parts += data
            if len(parts) > limit:
                return None
        return bytes(parts)


class Http:
    """A pool of connections to the API and to the places where chunks are.

    Args:
        credentials: The key and the API's address.
        limits: Bounds on redirects and bodies.
        timeout_s: Total time of one request.
        policy: When an attempt is given up.
        verify_ssl: Check certificates.
        max_connections: Connections kept alive; more can be open at once.
        http_client: Use this client instead of one of our own; it is not closed, and its proxies and certificates are
            its owner's business.
        allow_private_hosts: Let a public API point to private addresses.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        limits: Limits,
        timeout_s: float,
        policy: RetryPolicy,
        verify_ssl: bool,
        max_connections: int,
        http_client: httpx.Client | None,
        allow_private_hosts: bool,
    ) -> None:
        self._credentials = credentials
        self._limits = limits
        self._timeout_s = timeout_s
        self._policy = policy
        self._verify_ssl = verify_ssl
        self._max_connections = max_connections
        self._injected = http_client
        self._guard = _network.Guard(*credentials.origin[1:], allow_private_hosts=allow_private_hosts)
        self._own: Pools | None = None
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._closed = False

    def close(self) -> None:
        """Close the connections that we made. Requests under way fail."""
        self._after_fork()
        with self._lock:
            self._closed = True
            own, self._own = self._own, None
        if own is not None:
            own.close()

    def _after_fork(self) -> None:
        if self._pid != os.getpid():
            # The lock may have been held, and the pool in the middle of something, when the parent forked.
            _inherited.append((self._own, self._lock))
            self._own, self._lock, self._pid = None, threading.Lock(), os.getpid()

    def _pools(self) -> Pools | None:
        """Our own connections; None if the client was injected."""
        self._after_fork()
        with self._lock:
            if self._closed:
                message = "the client is closed"
                raise RuntimeError(message)
            if self._own is None and self._injected is None:
                self._own = Pools(
                    self._guard,
                    verify_ssl=self._verify_ssl,
                    max_connections=self._max_connections,
                    header_bytes=self._limits.header_bytes,
                )
            return self._own

    @contextlib.contextmanager
    def get(
        self, url: str, headers: Mapping[str, str] | None = None, *, cancelled: threading.Event | None = None
    ) -> Iterator[Answer]:
        """Ask for something, following redirects.

        Args:
            url: Absolute.
            headers: Sent to every address on the way.
            cancelled: Ends the request within a second when set.

        Yields:
            The answer of the last address, whatever its status; its body is read inside the block.

        Raises:
            NetworkError: It could not be had, took too long, or a redirect was refused.
        """
        deadline_s = time.monotonic() + self._timeout_s
        with contextlib.ExitStack() as stack:
            slow_s, slow_bytes = self._policy.slow_s, self._policy.slow_bytes
            stack.enter_context(
                _network.bounded(deadline_s=deadline_s, cancelled=cancelled, slow_s=slow_s, slow_bytes=slow_bytes)
            )
            authorized = True
            url = SecretText(url)
            for _ in range(self._limits.redirects + 1):
                foreign = _origin(url) != self._credentials.origin
                # Once the API's origin is left the key is not sent again, wherever the way leads.
                authorized = authorized and not foreign
                response = stack.enter_context(self._send(url, headers, authorized=authorized))
                if _log.isEnabledFor(logging.DEBUG):
                    part = f" {headers['range']}" if headers and "range" in headers else ""
                    _log.debug("GET %s%s: %d", show_url(url), part, response.status)
                if response.status not in _REDIRECTS:
                    yield Answer(response, url, foreign=foreign)
                    return
                url = _redirect_target(url, SecretText(response.headers.get("location", "")))
                response.close()
            message = f"{show_url(url)}: more than {self._limits.redirects} redirects"
            raise NetworkError(message, code="redirect")

    def get_many(
        self,
        requests: Sequence[tuple[str, Mapping[str, str]]],
        take: Callable[[int, Answer], object],
        *,
        at_once: int,
        cancelled: threading.Event | None = None,
    ) -> None:
        """Ask for many small things from this one thread, each over a connection of its own.

        Only where all goes well: no redirect is followed, nothing is tried again, and what fails is left out.

        Args:
            requests: Absolute addresses, and headers.
            take: Called with the position of a request and its answer, whose body is read inside the call.
            at_once: Requests under way.
            cancelled: Ends it within a second when set.
        """
        pools = self._pools()
        if pools is None or not hasattr(select, "poll"):
            return
        bounds = partial(
            _network.bounded,
            deadline_s=time.monotonic() + self._timeout_s,
            cancelled=cancelled,
            slow_s=self._policy.slow_s,
            slow_bytes=self._policy.slow_bytes,
        )
        places: dict[tuple[str, str, int], list[int]] = {}
        for position, (url, _) in enumerate(requests):
            places.setdefault(_origin(url), []).append(position)
        with bounds(), contextlib.suppress(*_EXCEPTIONS_OF_SENDING):
            for origin, positions in places.items():
                foreign = origin != self._credentials.origin
                wanted = min(at_once, len(positions))
                connections = self._connections(pools, requests[positions[0]][0], wanted, bounds)

                def request_of(position: int, *, foreign: bool = foreign) -> httpcore.Request:
                    url, headers = requests[position]
                    sent = self._headers(headers, authorized=not foreign)
                    return make_request(SecretText(url), sent, self._timeouts())

                def take_response(position: int, response: httpcore.Response, *, foreign: bool = foreign) -> None:
                    take(position, Answer(_Response.of_httpcore(response), requests[position][0], foreign=foreign))

                Flights(connections, positions).run(request_of, take_response, self._policy.idle_s)

    def _connections(
        self, pools: Pools, url: str, wanted: int, bounds: Callable[[], AbstractContextManager[None]]
    ) -> list[Connection]:
        """Idle connections to an address; what is missing is opened, all at once: each takes a round trip or three."""
        pool, origin = pools.direct(url)
        if pool is None:
            return []

        def open_one(_: int) -> None:
            with bounds(), contextlib.suppress(*_EXCEPTIONS_OF_SENDING):
                pool.open(origin, self._timeouts()["connect"])

        missing = wanted - len(pool.idle(origin))
        if missing > 0:
            with ThreadPoolExecutor(missing, thread_name_prefix="pixcrawler-connect") as executor:
                list(executor.map(open_one, range(missing)))
        return pool.idle(origin)[:wanted]

    def _headers(self, headers: Mapping[str, str] | None, *, authorized: bool) -> dict[str, str]:
        sent = {"accept": "*/*", "accept-encoding": "identity", "user-agent": _user_agent(), **(headers or {})}
        if authorized and self._credentials.api_key is not None:
            sent["authorization"] = SecretText(f"Bearer {self._credentials.api_key}")
        return sent

    def _timeouts(self) -> dict[str, float]:
        idle_s = self._policy.idle_s
        return {"connect": min(CONNECT_TIMEOUT_S, self._timeout_s), "read": idle_s, "write": idle_s, "pool": idle_s}

    @contextlib.contextmanager
    def _send(self, url: str, headers: Mapping[str, str] | None, *, authorized: bool) -> Iterator[_Response]:
        pools = self._pools()
        sent = self._headers(headers, authorized=authorized)
        timeouts = self._timeouts()
        try:
            if pools is not None:
                response = _Response.of_httpcore(pools.send(url, sent, timeouts))
            else:
                timeout = httpx.Timeout(timeouts["read"], connect=timeouts["connect"])
                response = self._send_injected(url, sent, timeout, authorized=authorized)
        except _EXCEPTIONS_OF_SENDING as exc:
            error = _mapped(exc, url)
        else:
            try:
                yield response
            finally:
                response.close()
            return
        raise error

    def _send_injected(
        self, url: str, headers: Mapping[str, str], timeout: httpx.Timeout, *, authorized: bool
    ) -> _Response:
        client = self._injected
        assert client is not None, "without one there are pools"
        parts = urlsplit(url)
        host, port = _origin(url)[1:]
        self._guard.addresses(host, port)
        # Always given, as else the client's own credentials would go to every address.
        auth = (
            httpx.BasicAuth(unquote(parts.username), unquote(parts.password or "")) if parts.username else httpx.Auth()
        )
        # Cookies and further headers of the client's own belong to the API as the key does.
        build = client.build_request if authorized else httpx.Request
        request = build("GET", url, headers=headers, extensions={"timeout": timeout.as_dict()})
        return _Response.of_httpx(client.send(request, auth=auth, stream=True, follow_redirects=False))

    def get_json(self, url: str, *, cancelled: threading.Event | None = None) -> tuple[Any, int]:
        """Ask the API for a JSON document. One attempt.

        Args:
            url: Absolute.
            cancelled: Ends the request within a second when set.

        Returns:
            The document, and the length of its text in bytes.

        Raises:
            PixCrawlerError: As :meth:`get` and :meth:`error_of`; ProtocolError if the answer is not JSON, or too large.
        """
        with self.get(url, {"accept": "application/json"}, cancelled=cancelled) as answer:
            if answer.status != _OK:
                raise self.error_of(answer)
            if (encoding := answer.encoding) is not None:
                message = f"{show_url(url)}: Content-Encoding {escape(encoding, limit=40)}, which was not asked for"
                raise ProtocolError(message, code="protocol")
            body = answer.read(self._limits.json_bytes)
        if body is None:
            message = f"{show_url(url)}: more than {self._limits.json_bytes} bytes (Limits.json_bytes)"
            raise ProtocolError(message, code="answer_too_large")
        size_bytes = len(body)
        try:
            return _wire.parse_json(body, self._limits.json_bytes), size_bytes
        except _wire.TooManyValuesError as exc:
            message, code = f"{show_url(url)}: {exc}", "answer_too_large"
        except _wire.BadJsonError as exc:
            start = self.clean(_message_of(None, body[: 4 * _ERROR_TEXT_CHARACTERS]), url)
            text = f"; the answer starts with: {start}" if start else ""
            message, code = f"{show_url(url)}: {exc}{text}", "protocol"
        # Outside of the handlers and without the body: an answer can hold addresses that are secrets.
        del body
        raise ProtocolError(message, code=code)

    def error_of(self, answer: Answer) -> PixCrawlerError:
        """The error that an answer other than 200 and 206 means. Reads its body, up to a limit.

        Args:
            answer: The answer.

        Returns:
            The error, not raised; ``retryable`` as the status says.
        """
        status = answer.status
        document: Any = None
        # What is encoded stays unread: it was not asked for, and may be a bomb. Else the status says enough.
        body = answer.start(self._limits.error_body_bytes) if answer.encoding is None else b""
        with contextlib.suppress(ValueError, RecursionError):
            document = json.loads(body)
        text = self.clean(_message_of(document, body), answer.url)
        detail = f"{show_url(answer.url)}: status {status}{': ' if text else ''}{text}"
        if status == _CONFLICT:
            job_status, progress = _job_state(document)
            return JobNotCompleteError(detail, status=job_status, progress=progress)
        if status == _UNAUTHORIZED and self._credentials.api_key is None and not answer.foreign:
            detail += " (no key was given)"
        if status in _REFUSALS:
            kind, code = _REFUSALS[status]
            return kind(detail, code=code)
        if not is_retryable_status(status):
            is_refusal = status in range(400, 500)
            if is_refusal:
                return NetworkError(detail, code="refused")
            # A 204, 205 or 304 that nobody asked for comes from something in between, which may be gone the next time.
            return ProtocolError(detail, code="protocol", retryable=status in _FROM_BETWEEN)
        retry_after_s = parse_retry_after(answer.headers.get("retry-after"), now_s=time.time())
        if status == _TOO_MANY_REQUESTS:
            return RateLimitError(detail, code="rate_limited", retryable=True, retry_after_s=retry_after_s)
        return NetworkError(detail, code="server_error", retryable=True, retry_after_s=retry_after_s)

    def clean(self, text: bytes | str, url: str) -> str:
        """The start of a server's text, fit to be shown: escaped, and without the secrets that a server may echo.

        Args:
            text: The text.
            url: Where it came from.
        """
        shown = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        parts = urlsplit(url)
        secrets = [self._credentials.api_key, parts.password, parts.query]
        secrets += [value for _, value in parse_qsl(parts.query, keep_blank_values=True)]
        secrets += [field.partition("=")[2] for field in parts.query.split("&")]
        if parts.username:
            secrets.append(base64.b64encode(unquote(f"{parts.username}:{parts.password or ''}").encode()).decode())
        for secret in sorted({s for s in secrets if s and len(s) >= _SECRET_CHARACTERS}, key=len, reverse=True):
            shown = shown.replace(secret, "***").replace(unquote(secret), "***")
        return escape(mask_likely(shown).strip(), limit=_ERROR_TEXT_CHARACTERS)


@functools.lru_cache(maxsize=1)
def _user_agent() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"pixcrawler-sdk/{version('pixcrawler-sdk')}"
    except PackageNotFoundError:
        return "pixcrawler-sdk"


def _first(parts: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """The first ``limit`` bytes."""
    for part in parts:
        yield part[:limit]
        limit -= len(part)
        if limit <= 0:
            return


def _message_of(document: Any, body: bytes) -> str | bytes:
    """The sentence in an error body of the usual shapes, else the body; nothing of other JSON, as it may be records."""
    for _ in range(2):
        if isinstance(document, dict):
            document = next((document[key] for key in ("message", "detail", "error") if document.get(key)), None)
    if isinstance(document, str):
        return document
    return b"" if body.lstrip()[:1] in {b"{", b"[", b'"'} else body


def _job_state(document: Any) -> tuple[str | None, float | None]:
    """Status and progress in the body of a 409, at the top or one level down."""
    for place in (document, *(document.values() if isinstance(document, dict) else ())):
        if isinstance(place, dict) and ("status" in place or "progress" in place):
            status, progress = place.get("status"), place.get("progress")
            return status if isinstance(status, str) else None, progress if isinstance(progress, int | float) else None
    return None, None


def _origin(url: str) -> tuple[str, str, int]:
    """The origin that a request for an address really goes to: read by the same parser."""
    try:
        target = target_of(url)
    except (ValueError, httpx.InvalidURL):
        target = None
    scheme = "" if target is None else target.url.scheme.decode("ascii")
    port = 0 if target is None else target.url.port or PORTS.get(scheme, 0)
    if target is None or scheme not in PORTS or not target.host or port > _LAST_PORT:
        # Nothing of the address is shown or chained: it may hold a secret anywhere.
        message = f"{show_url(url)}: not an http or https address with a host"
        raise NetworkError(message, code="bad_url") from None
    return scheme, target.host.rstrip("."), port


def _redirect_target(url: str, location: str) -> SecretText:
    """Where a redirect leads, if it may be followed."""
    here = show_url(url)
    if not location or len(location) > URL_MAX_CHARACTERS:
        message = f"{here}: a redirect with {'no' if not location else 'too long an'} address"
        raise NetworkError(message, code="redirect")
    try:
        # urljoin would take `http:///x` for a path here.
        is_malformed = bool(urlsplit(location).scheme) and not urlsplit(location).netloc
        target = SecretText("" if is_malformed else urljoin(url, location))
        scheme = _origin(target)[0]
    except (ValueError, NetworkError):
        message = f"{here}: a redirect to what is not an http or https address with a host"
        raise NetworkError(message, code="redirect") from None
    if scheme == "http" and _origin(url)[0] == "https":
        message = f"{here}: a redirect from https to http"
        raise NetworkError(message, code="redirect")
    return target


# Exceptions of this package that never leave it: what they mean, and the code that they become.
_OWN: dict[type[Exception], tuple[str, str]] = {
    ProxyError: ("", "proxy"),
    _network.CancelledError: ("", "closed"),
    _network.OutOfTimeError: ("the request's total time is over", "timeout"),
    _network.TooSlowError: ("it trickles", "timeout"),
    _network.PrivateAddressError: ("", "private_host"),
    _tls.CertificatesError: ("", "tls"),
}
_EXCEPTIONS: tuple[type[Exception], ...] = (
    *_OWN,
    httpx.HTTPError,
    httpx.InvalidURL,
    httpx.StreamError,
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
    httpcore.ConnectionNotAvailable,
    ssl.SSLError,
)
_EXCEPTIONS_OF_SENDING: tuple[type[Exception], ...] = (*_EXCEPTIONS, OSError)
_WRAPPERS = (httpx.HTTPError, httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException)
# What a server sent, as h11 quotes it: it may echo a secret.
_QUOTED = re.compile(r":?\s*(?:bytearray\()?b?['\"].*", re.DOTALL)


def _mapped(exc: Exception, url: str) -> NetworkError:
    """Our error for one of :data:`_EXCEPTIONS` or of the system's, most specific first.

    To be raised outside of the handler, so that ``exc`` does not become its context: frames of httpx, httpcore and h11
    have the request's headers among their variables, and their texts quote addresses, headers and answers.
    """
    place = show_url(url)
    root = _root(exc)
    reason = _reason(exc)
    error: NetworkError
    if type(exc) in _OWN:
        text, code = _OWN[type(exc)]
        detail = ": ".join(part for part in (place, text, str(exc)) if part)
        error = NetworkError(detail, code=code, retryable=code == "timeout")
    elif isinstance(exc, httpx.TimeoutException | httpcore.TimeoutException):
        error = NetworkError(f"{place}: {type(exc).__name__}", code="timeout", retryable=True)
    elif isinstance(root, ssl.SSLError):
        error = NetworkError(f"{place}: {_tls.explain(root)}", code="tls", retryable=not _tls.is_permanent(root))
    elif isinstance(exc, httpx.InvalidURL | httpx.UnsupportedProtocol | httpcore.UnsupportedProtocol):
        # Its text repeats parts of the address.
        error = NetworkError(place, code="bad_url")
    elif isinstance(exc, httpx.LocalProtocolError | httpcore.LocalProtocolError):
        # Its text repeats the header concerned.
        error = NetworkError(f"{place}: a header cannot be sent", code="bad_url")
    else:
        error = NetworkError(f"{place}: {reason}", code="connection", retryable=True)
    # Of the system's exceptions the text is worth showing.
    error.__cause__ = root.with_traceback(None) if isinstance(root, OSError) else None
    return error


def _reason(exc: Exception) -> str:
    text = (exc.strerror or "") if isinstance(exc, OSError) else str(exc)
    if isinstance(exc, httpx.ProtocolError | httpcore.ProtocolError):
        text = _QUOTED.sub("", text)
    return escape(text, limit=_ERROR_TEXT_CHARACTERS) or type(exc).__name__


def _root(exc: BaseException) -> BaseException:
    """What httpx and httpcore wrap: an exception of ssl or socket, if there is one."""
    while isinstance(exc, _WRAPPERS) and (inner := exc.__cause__ or exc.__context__) is not None:
        exc = inner
    return exc
