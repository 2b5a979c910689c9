"""R07: certificates and handshakes."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any

import pytest

from faulty_server import FaultyServer
from pixcrawler._retry import Clock
from pixcrawler.client import PixCrawlerClient
from pixcrawler.exceptions import NetworkError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from certificates import Authority

KEY = "canary-key-0123456789"
DOCUMENTS: dict[str, Any] = {"/api/v1/jobs/j": {"name": "over TLS"}}

CASES: dict[str, tuple[Callable[[Authority], ssl.SSLContext], str]] = {
    "self_signed": (lambda authority: authority.sign_itself("own"), "self-signed: set SSL_CERT_FILE to it"),
    "unknown_authority": (lambda authority: authority.issue("unknown"), "authority is not known here"),
    "expired": (
        lambda authority: authority.issue("old", "-startdate", "20200101000000Z", "-enddate", "20200102000000Z"),
        "has expired: whoever runs the server has to renew it",
    ),
    "not_yet_valid": (
        lambda authority: authority.issue("new", "-startdate", "20480101000000Z", "-enddate", "20490102000000Z"),
        "not valid yet: check this machine's clock",
    ),
    "wrong_host": (lambda authority: authority.issue("elsewhere", hosts="DNS:elsewhere.example"), "is for another"),
    "sha1": (lambda authority: authority.issue("sha1", "-md", "sha1"), "weak digest such as SHA-1"),
}


def ask(url: str, **options: Any) -> tuple[NetworkError, list[float]]:
    """The error of a request, and the waits before its retries."""
    waits: list[float] = []
    clock = Clock(sleep=lambda seconds, _cancelled: waits.append(seconds))
    with PixCrawlerClient(KEY, url, clock=clock, **options) as client, pytest.raises(NetworkError) as caught:
        client.get_job("j")
    return caught.value, waits


@pytest.mark.parametrize("case", CASES)
def test_R07_bad_certificates(case: str, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    make, explained = CASES[case]
    if case not in {"self_signed", "unknown_authority"}:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    with FaultyServer(documents=DOCUMENTS, context=make(authority)) as server:
        error, waits = ask(server.url)
        assert (error.code, error.retryable, waits) == ("tls", False, [])
        assert explained in str(error)
        assert isinstance(error.__cause__, ssl.SSLError)
        assert server.seen == [], "nothing was asked for, neither so nor in clear"


@pytest.mark.filterwarnings("ignore:.*TLSv1:DeprecationWarning")
def test_R07_a_server_of_tls_1_0(authority: Authority) -> None:
    context = authority.issue("ancient")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
    with FaultyServer(documents=DOCUMENTS, context=context) as server:
        for verify_ssl in (True, False):
            error, waits = ask(server.url, verify_ssl=verify_ssl)
            assert (error.code, waits) == ("tls", [])
            assert "needs TLS 1.2 or later" in str(error)
        assert server.seen == []


def test_R07_a_server_without_tls(server: FaultyServer) -> None:
    server.documents.update(DOCUMENTS)
    error, waits = ask(server.url.replace("http:", "https:"))
    assert (error.code, waits) == ("tls", [])
    assert "does not speak TLS there" in str(error)
    assert server.seen == []


def test_R07_no_retry_is_in_clear() -> None:
    """A peer that ends every handshake: each of the retries must be another handshake."""
    first_bytes: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def refuse() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    first_bytes.append(connection.recv(100_000)[:1])

        thread = threading.Thread(target=refuse)
        thread.start()
        error, waits = ask(f"https://127.0.0.1:{listening.getsockname()[1]}")
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert error.code in {"tls", "connection"}
    assert len(waits) == 3
    assert first_bytes == [b"\x16"] * 4, "the record type of a handshake"


def test_R07_ssl_cert_file_is_honoured(authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with FaultyServer(documents=DOCUMENTS, context=authority.issue("good")) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
        for url in (server.url, server.url.replace("127.0.0.1", "localhost")):
            with PixCrawlerClient(KEY, url) as client:
                assert client.get_job("j").name == "over TLS"
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
        error, waits = ask(server.url)
        assert (error.code, waits) == ("tls", [])
        assert "SSL_CERT_FILE" in str(error)
        assert len(server.seen) == 2


def test_R07_checks_are_off_only_where_told_and_logged(authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    with FaultyServer(documents=DOCUMENTS, context=authority.sign_itself("lonely")) as server:
        with PixCrawlerClient(KEY, server.url, verify_ssl=False) as client:
            assert client.get_job("j").name == "over TLS"
        (record,) = caplog.records
        assert (record.name, record.levelno) == ("pixcrawler", logging.WARNING)
        assert "certificate is not checked" in record.getMessage()
        # The next client checks again.
        assert ask(server.url)[0].code == "tls"
