"""Tables of a dataset as pandas DataFrames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pixcrawler.loaders.missing import needs

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from pixcrawler.failures import Failure

__all__ = ["failures_frame"]

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
