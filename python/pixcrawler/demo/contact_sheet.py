"""A batch as one picture: its images in a grid, each with its label."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageDraw, ImageFont

from pixcrawler.exceptions import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["contact_sheet"]

_MARGIN = 12
_CAPTION = 26
_BACKGROUND = (250, 250, 250)
_INK = (32, 32, 32)


def contact_sheet(images: NDArray[np.uint8], labels: Sequence[Any]) -> Image.Image:
    """Draw a batch.

    Args:
        images: uint8 (B, H, W, 3).
        labels: B labels, shown below the images.

    Returns:
        An RGB picture, about as wide as four thirds of its height.
    """
    count, height, width, _ = images.shape
    columns = max(1, min(count, math.ceil(math.sqrt(count * 4 / 3 * (height + _CAPTION) / width))))
    rows = math.ceil(count / columns)
    cell_width, cell_height = width + _MARGIN, height + _CAPTION + _MARGIN
    sheet = Image.new("RGB", (columns * cell_width + _MARGIN, rows * cell_height + _MARGIN), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=15)
    for position, (image, label) in enumerate(zip(images, labels, strict=True)):
        left = _MARGIN + position % columns * cell_width
        top = _MARGIN + position // columns * cell_height
        sheet.paste(Image.fromarray(image), (left, top))
        text = escape(str(label))
        while draw.textlength(text, font=font) > width:
            text = f"{text[:-2]}…"
        draw.text((left, top + height + 4), text, fill=_INK, font=font)
    return sheet
