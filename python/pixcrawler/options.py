"""How samples are decoded and delivered: the keyword arguments of ``load_dataset``, checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pixcrawler.limits import Limits
from pixcrawler.schedule import parse_bytes

if TYPE_CHECKING:
    from pixcrawler.failures import Failure

__all__ = ["ErrorFunction", "ImageSize", "LabelFunction", "Options", "check_count", "size_of"]

ImageSize: TypeAlias = "int | tuple[int, int]"
LabelFunction: TypeAlias = Callable[[str, Any, "dict[str, Any]"], Any]
ErrorFunction: TypeAlias = Callable[["Failure"], Literal["raise", "skip"]]

_MAX_SIDE = 65_535
_CHANNELS = {"L": 1, "RGB": 3, "RGBA": 4}


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        message = f"{name} must be one of {', '.join(map(repr, choices))}, not {value!r}"
        raise ValueError(message)


@dataclass(frozen=True)
class Options:
    """Options of a dataset; every value is checked when it is made.

    Attributes:
        image_size: (height, width) in pixels that every image gets, or None for each image's own.
        resize_mode: "stretch" (Pillow's ``resize``), "crop" (torchvision's ``Resize`` then ``CenterCrop``) or "pad"
            (Pillow's ``ImageOps.pad(color=0)``).
        interpolation: "nearest", "bilinear", "bicubic" or "lanczos", each byte for byte Pillow's.
        mode: "RGB", "L" or "RGBA".
        apply_exif: Turn images as their EXIF orientation says.
        draft: Let JPEGs be decoded at a fraction of their size where that covers ``image_size``. Faster; changes
            pixels.
        on_error: "raise" at the first bad sample, or "skip" it and record it in ``failures``; or a function that is
            called with each :class:`pixcrawler.failures.Failure` and returns one of the two.
        max_failures: Samples that may be skipped in one pass, a count or a fraction below 1; None for any number.
        on_truncated: "fail" or "keep" JPEGs that end too early; those kept are recorded in ``kept``.
        limits: Bounds on untrusted input.
        memory_limit: Bytes held at once: segments, batches decoded ahead, decoders' working memory.
        max_workers: Requests at once; of single samples eight times as many.
        decode_threads: Threads that decode; None for the processors that the process may use.
        label_fn: Called with (member name, label, metadata) for every sample; returns the label to deliver.

    Raises:
        ValueError, TypeError: A value is not one of these.
    """

    image_size: tuple[int, int] | None = None
    resize_mode: Literal["stretch", "crop", "pad"] = "stretch"
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bilinear"
    mode: Literal["RGB", "L", "RGBA"] = "RGB"
    apply_exif: bool = True
    draft: bool = False
    on_error: Literal["raise", "skip"] | ErrorFunction = "raise"
    max_failures: float | None = None
    on_truncated: Literal["fail", "keep"] = "fail"
    limits: Limits = field(default_factory=Limits)
    memory_limit: int | str = "256MB"
    max_workers: int = 4
    decode_threads: int | None = None
    label_fn: LabelFunction | None = None

    def __post_init__(self) -> None:
        """Check every value."""
        size_of(self.image_size)
        parse_bytes(self.memory_limit)
        _check_choice("resize_mode", self.resize_mode, ("stretch", "crop", "pad"))
        _check_choice("interpolation", self.interpolation, ("nearest", "bilinear", "bicubic", "lanczos"))
        _check_choice("mode", self.mode, tuple(_CHANNELS))
        if not callable(self.on_error):
            _check_choice("on_error", self.on_error, ("raise", "skip"))
        _check_choice("on_truncated", self.on_truncated, ("fail", "keep"))
        check_count("max_workers", self.max_workers)
        if self.decode_threads is not None:
            check_count("decode_threads", self.decode_threads)
        _check_type("limits", self.limits, Limits)
        _check_max_failures(self.max_failures)

    @property
    def channels(self) -> int:
        """Bytes a pixel."""
        return _CHANNELS[self.mode]

    @property
    def skips(self) -> bool:
        """Whether a bad sample need not end a pass."""
        return self.on_error != "raise"

    @property
    def memory_bytes(self) -> int:
        """``memory_limit`` as a number."""
        return parse_bytes(self.memory_limit)


def _check_type(name: str, value: object, kind: type) -> None:
    if not isinstance(value, kind):
        message = f"{name} must be a {kind.__name__}, not {value!r}"
        raise TypeError(message)


def _check_max_failures(allowed: object) -> None:
    is_count = isinstance(allowed, int) and not isinstance(allowed, bool) and allowed >= 0
    is_fraction = isinstance(allowed, float) and 0 <= allowed < 1
    if not (allowed is None or is_count or is_fraction):
        message = f"max_failures must be a count (int) or a fraction from 0 to below 1, not {allowed!r}"
        raise ValueError(message)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def check_count(name: str, value: object) -> None:
    """Raise ValueError, naming the argument, unless its value is a positive int."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        message = f"{name} must be a positive int, not {value!r}"
        raise ValueError(message)


def size_of(size: ImageSize | None) -> tuple[int, int] | None:
    """(height, width) of an ``image_size``, or None.

    Raises:
        ValueError: It is neither an int nor two of them, each from 1 to 65,535.
    """
    if size is None:
        return None
    try:
        height, width = (size, size) if isinstance(size, int) else size
        good = all(_is_int(side) and 1 <= side <= _MAX_SIDE for side in (height, width))
    except (TypeError, ValueError):
        good = False
    if not good:
        message = f"image_size must be an int or (height, width), each from 1 to {_MAX_SIDE}, not {size!r}"
        raise ValueError(message)
    return height, width
