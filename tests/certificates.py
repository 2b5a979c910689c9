"""A certificate authority of the tests' own, by the openssl command."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

_CONFIG = """
[ca]
default_ca = own
[own]
certificate = authority.pem
private_key = authority.key
database = index.txt
rand_serial = yes
new_certs_dir = .
unique_subject = no
default_md = sha256
default_days = 2
policy = policy
[policy]
commonName = supplied
"""
_EC_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Authority:
    """Issues certificates.

    Args:
        folder: Empty; holds keys and certificates.

    Attributes:
        certificate: Its own.
    """

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("no openssl command")
        self._folder = folder
        self.certificate = folder / "authority.pem"
        (folder / "config").write_text(_CONFIG, encoding="ascii")
        (folder / "index.txt").touch()
        command = ["req", "-x509", *_EC_KEY, "-days", "2", "-subj", "/CN=authority"]
        self._openssl(*command, "-keyout", "authority.key", "-out", "authority.pem")

    def issue(self, name: str, *options: str, hosts: str = "IP:127.0.0.1,DNS:localhost") -> ssl.SSLContext:
        """A server's context with a new certificate.

        Args:
            name: Of the files.
            *options: Of ``openssl ca``: -startdate, -enddate, -md.
            hosts: The certificate's subjectAltName.
        """
        (self._folder / f"{name}.extensions").write_text(f"subjectAltName = {hosts}\n", encoding="ascii")
        self._openssl("req", *_EC_KEY, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.request")
        command = ["ca", "-batch", "-notext", "-config", "config", "-in", f"{name}.request", "-out", f"{name}.pem"]
        self._openssl(*command, "-extfile", f"{name}.extensions", *options)
        return self._context(name)

    def sign_itself(self, name: str) -> ssl.SSLContext:
        """A server's context with a certificate that nobody issued."""
        command = ["req", "-x509", *_EC_KEY, "-days", "2", "-subj", f"/CN={name}"]
        extension = ["-addext", "subjectAltName=IP:127.0.0.1"]
        self._openssl(*command, *extension, "-keyout", f"{name}.key", "-out", f"{name}.pem")
        return self._context(name)

    def _context(self, name: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # A server may use what a client must refuse.
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.load_cert_chain(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        return context

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self._folder, check=True, capture_output=True)
