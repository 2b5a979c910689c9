"""Which connections lead to an address: direct ones, or those of the proxy that the environment names for it."""

from __future__ import annotations

import base64
import functools
import importlib.util
import threading
import urllib.request
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

import httpcore
import httpx

from pixcrawler import _network, _tls
from pixcrawler._connection import DirectPool
from pixcrawler._constants import KEEPALIVE_S

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

__all__ = ["PORTS", "Pools", "ProxyError", "Target", "make_request", "target_of"]

PORTS = {"http": 80, "https": 443}


class ProxyError(Exception):
    """The environment's proxy cannot be used. Internal: it becomes a NetworkError."""


def _proxy_parts(proxy: str) -> SplitResult:
    try:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        is_address = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address, parts = False, urlsplit("")
    if not is_address or parts.scheme not in {"http", "https", "socks5", "socks5h"}:
        # It may hold a password: not shown.
        message = "http_proxy, https_proxy or all_proxy is no address of an HTTP or SOCKS 5 proxy"
        raise ProxyError(message)
    if parts.scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        message = "http_proxy, https_proxy or all_proxy names a SOCKS proxy: that needs `pip install socksio`"
        raise ProxyError(message)
    return parts


class Target(NamedTuple):
    """Where a request goes, in the forms in which it is needed."""

    url: httpcore.URL
    host: str
    headers: tuple[tuple[bytes, bytes], ...]


@functools.lru_cache(maxsize=64)
def target_of(url: str) -> Target:
    """An address taken apart: kept, as a chunk's serves many requests."""
    parsed = httpx.URL(url)
    headers = [(b"host", parsed.netloc)]
    if parsed.username:
        user = f"{parsed.username}:{parsed.password}".encode()
        headers.append((b"authorization", b"Basic " + base64.b64encode(user)))
    target = httpcore.URL(scheme=parsed.raw_scheme, host=parsed.raw_host, port=parsed.port, target=parsed.raw_path)
    return Target(target, parsed.host, tuple(headers))


def make_request(url: str, headers: Mapping[str, str], timeouts: Mapping[str, float]) -> httpcore.Request:
    target = target_of(url)
    own = {name for name, _ in target.headers}
    given = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    # The address's own user name comes before the key, as in every client.
    sent = [*target.headers, *(field for field in given if field[0] not in own)]
    return httpcore.Request("GET", target.url, headers=sent, extensions={"timeout": dict(timeouts)})


class Pools:
    """Pools of connections: one for direct ones, one for each proxy that the environment names."""

    def __init__(self, guard: _network.Guard, *, verify_ssl: bool, max_connections: int, header_bytes: int) -> None:
        self._guard = guard
        self._header_bytes = header_bytes
        self._verify_ssl = verify_ssl
        self._max_connections = max_connections
        self._pools: dict[str | None, httpcore.ConnectionPool] = {}
        self._proxies = urllib.request.getproxies()
        self._lock = threading.Lock()
        self._ssl_lock = threading.Lock()
        self._ssl_context: ssl.SSLContext | None = None

    def send(self, url: str, headers: Mapping[str, str], timeouts: Mapping[str, float]) -> httpcore.Response:
        """Ask for something; the answer's body is still to be read, and the answer to be closed."""
        return self._pool_for(target_of(url)).handle_request(make_request(url, headers, timeouts))

    def direct(self, url: str) -> tuple[DirectPool | None, httpcore.Origin]:
        """The pool for an address, None if a proxy leads there; and its origin."""
        target = target_of(url)
        pool = self._pool_for(target)
        return pool if isinstance(pool, DirectPool) else None, target.url.origin

    def _pool_for(self, target: Target) -> httpcore.ConnectionPool:
        proxy = self._proxies.get(target.url.scheme.decode()) or self._proxies.get("all")
        # NO_PROXY names hosts with and without a port.
        names = (target.host, f"{target.host}:{target.url.port or PORTS[target.url.scheme.decode()]}")
        if proxy is not None and any(map(urllib.request.proxy_bypass, names)):
            proxy = None
        if proxy is not None:
            self._guard.check_literal(target.host)
        with self._lock:
            pool = self._pools.get(proxy)
            if pool is None:
                pool = self._pools[proxy] = self._make_pool(proxy)
            return pool

    def _make_pool(self, proxy: str | None) -> httpcore.ConnectionPool:
        if proxy is None:
            backend = _network.Backend(self._guard)
            return DirectPool(backend, self._make_ssl_context, self._max_connections, self._header_bytes)
        parts = _proxy_parts(proxy)
        user = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
        address = httpcore.Proxy(url=f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", auth=user)
        return httpcore.ConnectionPool(
            ssl_context=self._make_ssl_context(),
            max_connections=None,
            max_keepalive_connections=self._max_connections,
            keepalive_expiry=KEEPALIVE_S,
            network_backend=_network.Backend(None),
            proxy=address,
        )

    def _make_ssl_context(self) -> ssl.SSLContext:
        """The context of all connections; made for the first that needs it, as reading the certificates takes 20 ms."""
        with self._ssl_lock:
            if self._ssl_context is None:
                try:
                    self._ssl_context = httpx.create_ssl_context(verify=self._verify_ssl)
                except OSError as exc:
                    message = f"the certificates that SSL_CERT_FILE or SSL_CERT_DIR name cannot be loaded: {exc}"
                    raise _tls.CertificatesError(message) from exc
            return self._ssl_context

    def close(self) -> None:
        with self._lock:
            pools, self._pools = list(self._pools.values()), {}
        for pool in pools:
            pool.close()
