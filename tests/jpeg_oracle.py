"""Pillow's pixels of JPEG files, and the check that what is delivered has them."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from oracle_child import digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from jpeg_cases import Inputs
    from oracle import Examiner, Outcome


def open_pillow(data: bytes) -> Image.Image | None:
    """The first picture as Pillow decodes it; None where Pillow refuses."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data))
            image.load()
    except (OSError, SyntaxError, ValueError, EOFError, IndexError):
        return None
    return image


def pillow_pixels(data: bytes) -> NDArray[np.uint8] | None:
    """Pillow's RGB as coded, without a turn; None where Pillow refuses."""
    image = open_pillow(data)
    return None if image is None else np.asarray(image.convert("RGB"))


def _reduced(data: bytes, denominator: int) -> Image.Image | None:
    """The picture as libjpeg decodes it at a fraction of its size; None where Pillow does not ask for that fraction."""
    image = Image.open(io.BytesIO(data))
    whole = image.size
    size = -(-image.width // denominator), -(-image.height // denominator)
    image.draft(None, (max(1, image.width // denominator), max(1, image.height // denominator)))
    return image if image.size == size != whole else None


def check(
    examiner: Examiner,
    inputs: Inputs,
    *,
    compare: bool = True,
    denominator: int = 1,
    change: Callable[[Image.Image], Image.Image] | None = None,
    **options: Any,
) -> Outcome:
    """Each input is refused with its code or delivered with Pillow's pixels, and all that holds of every input does.

    Args:
        examiner: Where they are read.
        inputs: By name.
        compare: Whether to compare pixels.
        denominator: Of the fraction of the size that they are decoded at.
        change: What ``options`` ask to be made of the RGB picture.
        **options: Of ``load_dataset``.
    """
    outcome = examiner.images({name: entry.data for name, entry in inputs.items()}, **options)
    assert outcome.codes == {name: entry.code for name, entry in inputs.items() if entry.code is not None}, outcome.text
    for name, entry in inputs.items():
        if entry.code is not None or not compare:
            continue
        data = entry.like or entry.data
        image = open_pillow(data) if denominator == 1 else _reduced(data, denominator)
        if image is None:
            assert denominator > 1, name
            continue
        if options.get("mode") == "RGBA":
            image = image.convert("RGB").convert("RGBA")
        elif options.get("mode") == "L":
            image = image.convert("RGB").convert("L")
        else:
            image = image.convert("RGB")
        pixels = np.asarray(image if change is None else change(image))
        shape, hashed = digest(pixels.reshape(*pixels.shape[:2], -1))
        assert outcome.delivered[name] == (tuple(shape), hashed), f"{name}: {outcome.delivered[name][0]}, not {shape}"
    return outcome
