"""What to install when a framework is missing."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["needs"]


@contextlib.contextmanager
def needs(extra: str, what: str) -> Iterator[None]:
    """Around the import of a framework: says which extra to install if it is missing.

    Args:
        extra: Its name in the package's metadata.
        what: The method that needs it, such as "to_torch()".

    Raises:
        ImportError: A module of another package is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "pixcrawler":
            raise
        message = f'{what} needs {error.name}, which is not installed: pip install "pixcrawler-sdk[{extra}]"'
        raise ImportError(message, name=error.name) from error
