"""What a failure of TLS means, in words."""

from __future__ import annotations

import ssl

__all__ = ["CertificatesError", "explain", "is_permanent"]

# OpenSSL's X509_V_ERR_... (x509_vfy.h), by number.
_CERTIFICATES = {
    9: "the certificate is not valid yet: check this machine's clock",
    10: "the certificate has expired: whoever runs the server has to renew it (or this machine's clock is wrong)",
    18: "the certificate is self-signed: set SSL_CERT_FILE to it, if it is the right one",
    19: "the certificate's authority is not known here: set SSL_CERT_FILE to the authority's certificate",
    20: "the certificate's authority is not known here, or the server leaves out an intermediate certificate: "
    "set SSL_CERT_FILE to the authority's certificate",
    21: "the certificate's authority is not known here, or the server leaves out an intermediate certificate: "
    "set SSL_CERT_FILE to the authority's certificate",
    23: "the certificate has been revoked",
    62: "the certificate is for another host name: check the address",
    64: "the certificate is for another address: use the server's host name",
    66: "the certificate's key is too weak: whoever runs the server has to renew it",
    67: "the authority's key is too weak: whoever runs the server has to renew it",
    68: "the certificate is signed with a weak digest such as SHA-1: whoever runs the server has to renew it",
}
_HANDSHAKES = {
    "WRONG_VERSION_NUMBER": "the server does not speak TLS there: check the port, or use http if it is meant",
    "HTTP_REQUEST": "the server does not speak TLS there: check the port, or use http if it is meant",
    "UNSUPPORTED_PROTOCOL": "the server offers no version of TLS that is still safe: it needs TLS 1.2 or later",
    "TLSV1_ALERT_PROTOCOL_VERSION": "the server offers no version of TLS that is still safe: it needs TLS 1.2 or later",
    "NO_SHARED_CIPHER": "the server and this machine have no cipher in common",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "the server refuses the handshake: it may know no safe cipher, or not this host",
    "TLSV1_UNRECOGNIZED_NAME": "the server does not know this host name: check the address",
    "DH_KEY_TOO_SMALL": "the server's key exchange is too weak",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the server asks for a certificate of the client's",
}


class CertificatesError(Exception):
    """The certificates that the environment names cannot be loaded. Internal: it becomes a NetworkError."""


def explain(error: ssl.SSLError) -> str:
    """What is wrong and who can mend it; OpenSSL's own name for it at the end.

    Args:
        error: Of a handshake.
    """
    own = error.reason or error.strerror or type(error).__name__
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{_CERTIFICATES.get(error.verify_code, 'the certificate is not valid')} ({error.verify_message or own})"
    return f"{_HANDSHAKES.get(own, 'the handshake failed')} ({own})"


def is_permanent(error: ssl.SSLError) -> bool:
    """Whether the next handshake will fail likewise. A reset or an alert in the middle of one can pass.

    Args:
        error: Of a handshake.
    """
    return isinstance(error, ssl.SSLCertVerificationError) or error.reason in _HANDSHAKES
