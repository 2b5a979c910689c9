"""Every argument of ``load_dataset`` is checked, and what is refused is quoted."""

from __future__ import annotations

import inspect
from dataclasses import fields, replace
from typing import Any

import pytest

from pixcrawler import Limits, load_dataset
from pixcrawler.options import Options, check_count, size_of


def test_the_defaults_are_those_of_load_dataset() -> None:
    published = inspect.signature(load_dataset).parameters
    options = Options()
    for field in fields(Options):
        if field.name == "limits":
            assert options.limits == Limits()
        else:
            assert getattr(options, field.name) == published[field.name].default, field.name


def test_the_published_signature() -> None:
    published = inspect.signature(load_dataset).parameters
    positional = [name for name, one in published.items() if one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    assert positional == ["job_id", "api_key", "base_url", "max_workers", "timeout", "verify_ssl"]
    assert {name for name, one in published.items() if one.kind is inspect.Parameter.KEYWORD_ONLY} == {
        "image_size",
        "resize_mode",
        "interpolation",
        "mode",
        "apply_exif",
        "draft",
        "on_error",
        "max_failures",
        "on_truncated",
        "limits",
        "memory_limit",
        "decode_threads",
        "label_fn",
        "allow_private_hosts",
        "http_client",
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("resize_mode", "fit"),
        ("interpolation", "BILINEAR"),
        ("mode", "rgb"),
        ("mode", None),
        ("on_error", "ignore"),
        ("on_truncated", True),
        ("max_workers", 0),
        ("max_workers", 1.5),
        ("decode_threads", 0),
        ("decode_threads", True),
        ("max_failures", -1),
        ("max_failures", 1.0),
        ("memory_limit", "lots"),
        ("memory_limit", 0),
        ("image_size", 0),
        ("image_size", True),
        ("image_size", (5, True)),
        ("image_size", -3),
        ("image_size", 65_536),
        ("image_size", (224,)),
        ("image_size", (224, 224, 3)),
        ("image_size", (224, 0)),
        ("image_size", (224.0, 224)),
        ("image_size", "224"),
    ],
)
def test_a_value_out_of_range_is_quoted(name: str, value: Any) -> None:
    with pytest.raises(ValueError) as caught:
        Options(**{name: value})
    assert repr(value) in str(caught.value)
    # The reader of a message about sizes knows which argument takes one.
    assert name in str(caught.value) or name == "memory_limit"


def test_load_dataset_checks_before_it_looks_anywhere() -> None:
    with pytest.raises(ValueError, match="resize_mode"):
        load_dataset("no/such/path", resize_mode="fit")  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [{"pixels": 5}, 100, "large"])
def test_limits_are_limits(value: Any) -> None:
    with pytest.raises(TypeError, match="limits must be a Limits"):
        Options(limits=value)


def test_changed_options_are_checked_too() -> None:
    with pytest.raises(ValueError, match="mode"):
        replace(Options(), mode="CMYK")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("size", "expected"),
    [(None, None), (224, (224, 224)), ((3, 4), (3, 4)), ([3, 4], (3, 4)), (65_535, (65_535, 65_535))],
)
def test_sizes(size: Any, expected: tuple[int, int] | None) -> None:
    assert size_of(size) == expected


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3), ("RGBA", 4)])
def test_channels(mode: Any, channels: int) -> None:
    assert Options(mode=mode).channels == channels


def test_memory_in_bytes() -> None:
    assert Options().memory_bytes == 256_000_000
    assert Options(memory_limit="1GiB").memory_bytes == 1 << 30


def test_counts() -> None:
    check_count("batch_size", 1)
    with pytest.raises(ValueError, match="batch_size must be a positive int, not 0"):
        check_count("batch_size", 0)


class TestLimits:
    @pytest.mark.parametrize("value", [1.5, "3", None, True])
    def test_are_ints(self, value: Any) -> None:
        with pytest.raises(TypeError, match=r"Limits\.pixels"):
            Limits(pixels=value)

    @pytest.mark.parametrize(("name", "value"), [("pixels", -1), ("chunk_bytes", 1 << 63), ("scans", 1 << 32)])
    def test_are_in_range(self, name: str, value: int) -> None:
        with pytest.raises(ValueError, match=rf"Limits\.{name}.*{value}"):
            Limits(**{name: value})

    def test_are_immutable(self) -> None:
        with pytest.raises(AttributeError):
            Limits().pixels = 5  # type: ignore[misc]
