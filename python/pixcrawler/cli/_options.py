"""Options that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["access_options", "as_json_option", "given"]

_C = TypeVar("_C", bound="Callable[..., Any]")

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def access_options(command: _C) -> _C:
    """The key and the address of an API. The client reads the environment, as it knows which key belongs where."""
    key = click.option(
        "--api-key",
        metavar="KEY",
        help="API key. Safer in the variable PIXCRAWLER_API_KEY: other users of a machine see arguments.",
    )
    address = click.option("--base-url", metavar="URL", help="Address of the API; else that in PIXCRAWLER_BASE_URL.")
    return key(address(command))


def given(**options: Any) -> dict[str, Any]:
    """The options that were given; the others keep the defaults of the function that they go to."""
    return {name: value for name, value in options.items() if value is not None}
