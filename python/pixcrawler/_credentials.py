"""Which key and which API: from arguments, the environment, or the file that ``pixcrawler login`` writes."""

from __future__ import annotations

import json
import logging
import os
import stat
import warnings
from pathlib import Path
from typing import NoReturn
from urllib.parse import SplitResult, urlsplit

from pixcrawler._constants import DEFAULT_BASE_URL

__all__ = ["Credentials", "SecretText", "credentials_path", "resolve"]

_logger = logging.getLogger("pixcrawler")

_ENV_KEY = "PIXCRAWLER_API_KEY"
_ENV_URL = "PIXCRAWLER_BASE_URL"
_FILE_MAX_BYTES = 65_536
_DEFAULT_PORTS = {"http": 80, "https": 443}

Origin = tuple[str, str, int]
"""Scheme, host and port, in the form in which they are compared."""


def origin_of(url: str) -> Origin:
    """The origin of an http or https address (RFC 6454, 4).

    Args:
        url: An absolute address.

    Raises:
        ValueError: It is not one. The message does not repeat it, as it may hold a secret.
    """
    try:
        parts: SplitResult = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme.lower() not in _DEFAULT_PORTS or not host:
        message = "not an http or https address with a host"
        raise ValueError(message)
    return parts.scheme.lower(), host.rstrip("."), _DEFAULT_PORTS[parts.scheme.lower()] if port is None else port


class SecretText(str):
    """A text whose repr hides it: from a traceback that lists variables, and from containers that are printed."""

    __slots__ = ()

    def __repr__(self) -> str:
        """That there is one."""
        return mask(self)


class Credentials:
    """A key and the API that it belongs to. The key never shows in a repr, and is never pickled from here.

    Args:
        api_key: The key, or None for none.
        base_url: The API's address, without the ``/api/v1``.

    Attributes:
        api_key, base_url: As given, the address without a slash at the end.
        origin: The address's scheme, host and port: the only origin that the key is sent to.

    Raises:
        ValueError: The key has characters that no header can carry, or the address is not a plain http or https one.
            The key is not part of the message.
    """

    __slots__ = ("api_key", "base_url", "origin")

    def __init__(self, api_key: str | None, base_url: str) -> None:
        if api_key is not None and (
            not api_key or not api_key.isascii() or not api_key.isprintable() or " " in api_key
        ):
            message = "api_key must be printable ASCII without spaces"
            raise ValueError(message)
        try:
            origin = origin_of(base_url)
            parts = urlsplit(base_url)
        except ValueError:
            message = "base_url must be an http or https address with a host, such as https://api.example.com"
            raise ValueError(message) from None
        if parts.username is not None or parts.query or parts.fragment:
            message = "base_url must not hold a user name, a query or a fragment"
            raise ValueError(message)
        self.api_key = None if api_key is None else SecretText(api_key)
        self.base_url = base_url.rstrip("/")
        self.origin = origin

    def __repr__(self) -> str:
        """The address, and whether there is a key."""
        return f"Credentials(api_key={mask(self.api_key)}, base_url={self.base_url!r})"

    def __reduce__(self) -> NoReturn:
        """A client decides where a key may go."""
        message = "credentials cannot be pickled"
        raise TypeError(message)


def mask(secret: str | None) -> str:
    """What may be shown of a secret: only whether there is one.

    Args:
        secret: A secret, or None.
    """
    return "None" if secret is None else "'***'"


def credentials_path() -> Path:
    """The file of ``pixcrawler login``: JSON with ``api_key`` and ``base_url``, mode 0600."""
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "pixcrawler" / "credentials.json"


def resolve(api_key: str | None, base_url: str | None) -> Credentials:
    """Find the key and the API: the arguments, then the environment, then the login file, then the default address.

    A key belongs to the address beside it. That of the login file is used for the origin of the file's address only;
    that of the environment for the origin of the environment's address only, if there is one: where there is none, the
    address that the caller or the login file gives was chosen for it.

    Args:
        api_key: The key, if the caller gave one.
        base_url: The API's address, if the caller gave one.

    Returns:
        The credentials; the key is None if there is none anywhere.

    Raises:
        ValueError: As in :class:`Credentials`, or the login file is not readable as such.
    """
    api_key, base_url = api_key or None, base_url or None
    env_key, env_url = (os.environ.get(name, "").strip() or None for name in (_ENV_KEY, _ENV_URL))
    if api_key is None and env_key is not None and base_url is not None and env_url is not None:
        if _is_same_origin(base_url, env_url):
            api_key = env_key
        else:
            # Only an address that is plain is shown.
            shown = Credentials(None, base_url).base_url
            advice = "pass api_key=... for another API"
            _logger.warning("%s is not sent to %s, as it belongs to %s: %s", _ENV_KEY, shown, _ENV_URL, advice)
    else:
        api_key = api_key or env_key
    base_url = base_url or env_url
    if api_key is None or base_url is None:
        file_key, file_url = _read_login()
        base_url = base_url or file_url or DEFAULT_BASE_URL
        found = Credentials(api_key, base_url)
        if api_key is None and file_key is not None and found.origin == origin_of(file_url or DEFAULT_BASE_URL):
            return Credentials(file_key, base_url)
        return found
    return Credentials(api_key, base_url)


def _is_same_origin(one: str, other: str) -> bool:
    try:
        return origin_of(one) == origin_of(other)
    except ValueError:
        return False


def _read_login() -> tuple[str | None, str | None]:
    """Key and address of the login file; both None without one."""
    path = credentials_path()
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(_FILE_MAX_BYTES)
    except OSError:
        return None, None
    if os.name == "posix" and stat.S_IMODE(mode) & (stat.S_IRWXG | stat.S_IRWXO):
        warnings.warn(f"{path} can be read by other users; run: chmod 600 {path}", stacklevel=4)
    try:
        content = json.loads(data)
    except ValueError:
        content = None
    key = content.get("api_key") if isinstance(content, dict) else None
    url = content.get("base_url") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(key, str | None) or not isinstance(url, str | None):
        message = f"{path} is not a login file; run `pixcrawler login` again, or remove it"
        raise ValueError(message)  # noqa: TRY004  (the file's content is wrong, not an argument's type)
    return key, url
