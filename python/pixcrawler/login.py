"""The key that stays: kept by ``pixcrawler login``, removed by ``logout``, explained by ``whoami``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pixcrawler import _credentials
from pixcrawler._credentials import KeySource, address
from pixcrawler.client import PixCrawlerClient
from pixcrawler.exceptions import AuthenticationError, PixCrawlerError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Identity", "KeySource", "address", "login", "logout", "whoami"]


@dataclass(frozen=True, slots=True)
class Identity:
    """Which API is used, and with which key.

    Attributes:
        base_url: The API's address.
        key_source: Where the key was found; None if there is none.
        error: Why the API does not take it, or cannot be asked; None if it takes it, or needs none.
    """

    base_url: str
    key_source: KeySource | None
    error: PixCrawlerError | None = None

    @property
    def accepted(self) -> bool | None:
        """Whether the API takes the key; None if it cannot be asked."""
        if self.error is None:
            return True
        return False if isinstance(self.error, AuthenticationError) else None


def login(api_key: str, base_url: str | None = None) -> Path:
    """Check a key with one request, and keep it with its address for every later use.

    Args:
        api_key: The key.
        base_url: The API; else ``PIXCRAWLER_BASE_URL``, else that of the last login, else the default one.

    Returns:
        The file that holds them, mode 0600.

    Raises:
        ValueError: Key or address cannot be one.
        AuthenticationError: The API refuses the key; nothing is kept.
        PixCrawlerError: The API cannot be asked; nothing is kept.
        OSError: The file cannot be written.
    """
    credentials = _credentials.Credentials(api_key, address(base_url))
    del api_key
    with PixCrawlerClient(credentials.api_key, credentials.base_url) as client:
        client.check_access()
    return _credentials.write_login(credentials)


def logout() -> bool:
    """Forget the key that :func:`login` kept.

    Returns:
        Whether there was one.

    Raises:
        OSError: The file cannot be removed.
    """
    return _credentials.remove_login()


def whoami(api_key: str | None = None, base_url: str | None = None) -> Identity:
    """Tell which API and which key are used, and ask the API whether it takes that key.

    Args:
        api_key: As in ``load_dataset``.
        base_url: As in ``load_dataset``.

    Raises:
        ValueError: Key or address cannot be one.
        AuthenticationError: A file that should hold the key does not.
    """
    credentials = _credentials.resolve(api_key, base_url)
    del api_key
    error = None
    try:
        with PixCrawlerClient(credentials.api_key, credentials.base_url) as client:
            client.check_access()
    except PixCrawlerError as caught:
        error = caught
    return Identity(credentials.base_url, credentials.source, error)
