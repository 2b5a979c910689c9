"""Which key and which API: from arguments, the environment, or the file that ``pixcrawler login`` writes."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import re
import secrets
import stat
import warnings
from pathlib import Path
from typing import Literal, NamedTuple, NoReturn
from urllib.parse import SplitResult, urlsplit

from pixcrawler._constants import DEFAULT_BASE_URL
from pixcrawler.exceptions import AuthenticationError, escape

__all__ = [
    "ENV_KEY",
    "Credentials",
    "KeySource",
    "SecretText",
    "address",
    "credentials_path",
    "mask_likely",
    "read_key_file",
    "remove_login",
    "resolve",
    "write_login",
]

_logger = logging.getLogger("pixcrawler")

ENV_KEY = "PIXCRAWLER_API_KEY"
_ENV_KEY_FILE = "PIXCRAWLER_API_KEY_FILE"
_ENV_URL = "PIXCRAWLER_BASE_URL"
_FILE_MAX_BYTES = 65_536
_DEFAULT_PORTS = {"http": 80, "https": 443}
_LOGIN_FIELDS = frozenset({"api_key", "base_url"})
# Where a text is likely to repeat a secret: the query and the user name of an address, a header's value.
_LIKELY_SECRETS = (
    (re.compile(r"(?<=[\w/.%~-])\?[^\s\"'<>]+"), "?***"),
    (re.compile(r"//[^\s/@]+@"), "//***@"),
    (re.compile(r"\b(Bearer|Basic)\s+[^\s\"'<>,]+", re.IGNORECASE), r"\1 ***"),
)

KeySource = Literal["argument", "PIXCRAWLER_API_KEY", "PIXCRAWLER_API_KEY_FILE", "login"]
"""Where a key was found."""

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
        source: Where the key was found.

    Attributes:
        api_key, base_url: As given, the address without a slash at the end.
        origin: The address's scheme, host and port: the only origin that the key is sent to.
        source: As given; None where there is no key.

    Raises:
        ValueError: The key has characters that no header can carry, or the address is not a plain http or https one.
            The key is not part of the message.
    """

    __slots__ = ("api_key", "base_url", "origin", "source")

    def __init__(self, api_key: str | None, base_url: str, source: KeySource = "argument") -> None:
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
        self.source: KeySource | None = None if api_key is None else source

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


def mask_likely(text: str) -> str:
    """A text without what is likely to be a secret: queries and user names of addresses, values of headers.

    Args:
        text: Any text.
    """
    for pattern, replacement in _LIKELY_SECRETS:
        text = pattern.sub(replacement, text)
    return text


def credentials_path() -> Path:
    """The file of ``pixcrawler login``: JSON with ``api_key`` and ``base_url``, mode 0600.

    Raises:
        FileNotFoundError: Nobody knows where this user's home is.
    """
    base = os.environ.get("XDG_CONFIG_HOME")
    try:
        folder = Path(base) if base else Path.home() / ".config"
    except RuntimeError as error:
        message = "this user has no home folder; set HOME or XDG_CONFIG_HOME"
        raise FileNotFoundError(errno.ENOENT, message) from error
    return folder / "pixcrawler" / "credentials.json"


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
        ValueError: As in :class:`Credentials`; the message names the variable if it comes from one.
        AuthenticationError: The login file, or that which ``PIXCRAWLER_API_KEY_FILE`` names, cannot be read as such.
    """
    api_key, base_url = api_key or None, base_url or None
    env_url = os.environ.get(_ENV_URL, "").strip() or None
    found = _Found(api_key, "argument") if api_key is not None else _from_environment()
    if found.source != "argument" and found.key is not None and base_url is not None and env_url is not None:
        # Only an address that is plain is shown.
        shown = Credentials(None, base_url).base_url
        if not _is_same_origin(base_url, env_url):
            advice = "pass api_key=... for another API"
            _logger.warning("%s is not sent to %s, as it belongs to %s: %s", found.source, shown, _ENV_URL, advice)
            found = _Found(None, found.source)
    if base_url is None and env_url is not None:
        _check(_ENV_URL, None, env_url)
    base_url = base_url or env_url
    if found.key is None or base_url is None:
        login = _read_login()
        base_url = base_url or login.base_url or DEFAULT_BASE_URL
        origin = Credentials(None, base_url).origin
        if found.key is None and login.key is not None and origin == origin_of(login.base_url or DEFAULT_BASE_URL):
            found = _Found(login.key, "login")
    if found.key is not None and found.source != "argument":
        _check(found.source, found.key, DEFAULT_BASE_URL)
    return Credentials(found.key, base_url, found.source)


def address(base_url: str | None = None) -> str:
    """The API that :func:`resolve` finds, whether or not there is a key for it.

    Args:
        base_url: The API's address, if the caller gave one.

    Raises:
        ValueError: As in :func:`resolve`.
    """
    env_url = os.environ.get(_ENV_URL, "").strip() or None
    if not base_url and env_url is not None:
        _check(_ENV_URL, None, env_url)
    base_url = base_url or env_url
    if base_url is None:
        # A broken login file is no reason not to log in anew.
        with contextlib.suppress(AuthenticationError):
            base_url = _read_login().base_url
    return Credentials(None, base_url or DEFAULT_BASE_URL).base_url


class _Found(NamedTuple):
    key: str | None
    source: KeySource


def _from_environment() -> _Found:
    key = os.environ.get(ENV_KEY, "").strip()
    file = os.environ.get(_ENV_KEY_FILE, "").strip()
    if key or not file:
        return _Found(SecretText(key) if key else None, "PIXCRAWLER_API_KEY")
    return _Found(read_key_file(Path(file)), "PIXCRAWLER_API_KEY_FILE")


def _check(name: str, key: str | None, url: str) -> None:
    """Let the error of a value that is not an argument name where it comes from."""
    try:
        Credentials(key, url)
    except ValueError as error:
        message = f"{name}: {error}"
        raise ValueError(message) from None


def _is_same_origin(one: str, other: str) -> bool:
    try:
        return origin_of(one) == origin_of(other)
    except ValueError:
        return False


def read_key_file(path: Path) -> str:
    """The key in a file: its first line.

    Args:
        path: The file.

    Raises:
        AuthenticationError: It cannot be read, or has no such line.
    """
    try:
        with path.open("rb") as file:
            line = file.readline(_FILE_MAX_BYTES).decode("utf-8-sig").strip()
        problem = "" if line else "its first line is empty"
    except UnicodeDecodeError:
        problem = "it is not a text"
    except OSError as error:
        problem = error.strerror or type(error).__name__
    if problem:
        message = f"{path}: {problem}"
        raise AuthenticationError(message, code="key_file")
    return SecretText(line)


class _Login(NamedTuple):
    key: str | None = None
    base_url: str | None = None


def _read_login() -> _Login:
    """Key and address of the login file; both None without one."""
    try:
        path = credentials_path()
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(_FILE_MAX_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return _Login()
    except OSError as error:
        _logger.warning("the login file is not used: %s: %s", path, error.strerror)
        return _Login()
    if os.name == "posix" and stat.S_IMODE(mode) & (stat.S_IRWXG | stat.S_IRWXO):
        warnings.warn(f"{path} can be read by other users; run: chmod 600 {path}", stacklevel=4)
    return _parsed_login(path, data)


def _parsed_login(path: Path, data: bytes) -> _Login:
    """What the login file says. Its values are not in the error, nor in its traceback's variables."""
    content: object = None
    with contextlib.suppress(ValueError, RecursionError):
        content = json.loads(data)
    del data
    problem, login = "it is not a JSON object", _Login()
    if isinstance(content, dict):
        key, url = content.get("api_key"), content.get("base_url")
        unknown = ", ".join(sorted(str(name) for name in content.keys() - _LOGIN_FIELDS))
        if not isinstance(key, str | None) or not isinstance(url, str | None):
            problem = "api_key and base_url must be texts"
        else:
            login = _Login(None if key is None else SecretText(key), url)
            try:
                Credentials(login.key, login.base_url or DEFAULT_BASE_URL)
                problem = ""
            except ValueError as error:
                problem = str(error)
        if not problem and unknown:
            warnings.warn(f"{path} has fields that are not used: {escape(unknown)}", stacklevel=5)
    del content
    if problem:
        message = f"{path}: {problem}"
        raise AuthenticationError(message, code="login_file")
    return login


def write_login(credentials: Credentials) -> Path:
    """Keep a key and its address in the login file: mode 0600 in a folder of mode 0700, replaced at once or not at all.

    Args:
        credentials: With a key.

    Returns:
        The file.

    Raises:
        OSError: It cannot be written; the file is what it was before.
    """
    path = credentials_path()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    text = json.dumps({"api_key": credentials.api_key, "base_url": credentials.base_url}, indent=2) + "\n"
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return path


def remove_login() -> bool:
    """Remove the login file.

    Returns:
        Whether there was one.

    Raises:
        OSError: It cannot be removed.
    """
    try:
        credentials_path().unlink()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
