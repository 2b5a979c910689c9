"""Labels as integers, for frameworks that know no others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pixcrawler.dataset import Dataset

__all__ = ["ClassIndex"]


class ClassIndex:
    """From a label as it is stored to an integer. Can be pickled.

    Args:
        dataset: Whose ``class_to_idx`` string labels become positions in. Reads the directories if the catalogue does
            not name the labels.

    Raises:
        PixCrawlerError: A directory cannot be read.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._positions: Mapping[str, int] = dataset.class_to_idx

    def __call__(self, label: Any) -> int:
        """The position of a string in ``class_to_idx``; an int as it is.

        Raises:
            TypeError: The label is neither.
            ValueError: The string is none of the classes that the catalogue names.
        """
        if isinstance(label, str):
            position = self._positions.get(label)
            if position is None:
                message = f"the label {label!r} is none of dataset.classes"
                raise ValueError(f"{message}: the catalogue names others; load_dataset(label_fn=...) can map it")
            return position
        if isinstance(label, int) and not isinstance(label, bool):
            return label
        what = "no label" if label is None else f"a label of type {type(label).__name__}"
        message = f"a sample has {what}, and a framework needs integers: pass load_dataset(label_fn=...)"
        raise TypeError(f"{message}, which is called with (member name, label, metadata) and returns a str or an int")
