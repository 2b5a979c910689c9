"""A dataset, and the failures of a pass, as pandas DataFrames."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from pixcrawler.loaders.missing import needs
from pixcrawler.loaders.numpy import label_array

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from pixcrawler.dataset import Dataset
    from pixcrawler.failures import Failure

__all__ = ["failures_frame", "to_dataframe"]

_COLUMNS = ("chunk_id", "member", "stage", "code", "reason", "num_samples")


def failures_frame(failures: Iterable[Failure]) -> pd.DataFrame:
    """The frame of :meth:`pixcrawler.failures.FailureLedger.to_dataframe`.

    Args:
        failures: The records, in order.

    Returns:
        A row a record.

    Raises:
        ImportError: pandas is not installed.
    """
    with needs("pandas", "to_dataframe()"):
        import pandas as pd
    # As objects: pandas' own texts know neither None nor lone surrogates.
    rows = [failure.to_dict() for failure in failures]
    frame = pd.DataFrame(rows, columns=list(_COLUMNS), dtype=object)
    return frame.astype({"num_samples": "int64"})


def to_dataframe(dataset: Dataset, *, decode: bool) -> pd.DataFrame:
    """The frame of :meth:`pixcrawler.dataset.Dataset.to_dataframe`.

    Args:
        dataset: Which.
        decode: Whether images are arrays; else they are the files as they are stored.

    Returns:
        A row a sample.

    Raises:
        ImportError: pandas or pyarrow is not installed.
        PixCrawlerError: A sample cannot be delivered.
    """
    with needs("pandas", "to_dataframe()"):
        import pandas as pd
    if not decode:
        with needs("pandas", "to_dataframe(decode=False)"):
            import pyarrow as pa  # noqa: F401 - told before anything is read
    images: list[Any] = []
    labels: list[Any] = []
    metadata: list[Any] = []
    sizes: list[tuple[int, int]] = []
    if decode:
        for decoded in dataset.iter_decoded():
            images.append(decoded.image)
            labels.append(decoded.label)
            metadata.append(decoded.metadata)
            sizes.append((decoded.image.shape[0], decoded.image.shape[1]))
    else:
        for encoded in dataset.iter_encoded(probe=True):
            images.append({"bytes": encoded.data, "path": encoded.member})
            labels.append(encoded.label)
            metadata.append(encoded.metadata or None)
            assert encoded.size is not None
            sizes.append(encoded.size)
        labels, metadata = _for_arrow(labels), _for_arrow(metadata)
    return pd.DataFrame(
        {
            "image": _objects(images),
            "label": _label_column(labels),
            "metadata": _objects(metadata),
            "height": pd.Series([height for height, _ in sizes], dtype="int64"),
            "width": pd.Series([width for _, width in sizes], dtype="int64"),
        }
    )


def _objects(values: list[Any]) -> pd.Series[Any]:
    """Values as they are: pandas makes columns of its own of arrays and None."""
    import numpy as np
    import pandas as pd

    return pd.Series(np.fromiter(values, dtype=object, count=len(values)), dtype=object)


def _label_column(labels: list[Any]) -> pd.Series[Any]:
    import pandas as pd

    array = label_array(labels)
    if array.dtype.kind == "U":
        # pandas' own texts refuse half a character.
        with contextlib.suppress(UnicodeEncodeError):
            return pd.Series(labels, dtype="str")
    return pd.Series(array) if array.dtype.kind == "i" else _objects(labels)


def _for_arrow(values: list[Any]) -> list[Any]:
    """Values that Parquet can hold as one column: as they are, or the JSON text of each."""
    import pyarrow as pa

    try:
        is_sound = _has_place_for_all(pa.array(values, from_pandas=True).type)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        is_sound = False
    return values if is_sound else [None if value is None else json.dumps(value, default=str) for value in values]


def _has_place_for_all(kind: Any) -> bool:
    """Whether no struct in an Arrow type is without fields: Parquet has none."""
    import pyarrow as pa

    if pa.types.is_struct(kind) and not kind.num_fields:
        return False
    return all(_has_place_for_all(kind.field(position).type) for position in range(kind.num_fields))
