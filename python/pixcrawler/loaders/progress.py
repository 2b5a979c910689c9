"""A bar on the terminal while a whole dataset is read."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["ProgressBar"]

# What is over sooner needs no bar, and what has only begun cannot be told.
_EXPECTED_S = 2.0
_OBSERVED_S = 0.2


class ProgressBar:
    """Shows on stderr how much is done, if that is a terminal and all of it is expected to take more than 2 s.

    A context manager; rich is loaded when the bar is first seen, and the bar is gone at the end.

    Args:
        what: Stands before the bar.
        total: How many there are.
    """

    def __init__(self, what: str, total: int) -> None:
        self._what = what
        self._total = total
        # Without a console there is no stderr either.
        self._is_terminal = sys.stderr is not None and sys.stderr.isatty()
        self._began = time.perf_counter()
        self._stack = ExitStack()
        self._show: Callable[[int], None] | None = None

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take the bar away."""
        self._stack.close()

    def update(self, done: int) -> None:
        """Note that so many are done."""
        if not self._is_terminal:
            return
        if self._show is None:
            elapsed_s = time.perf_counter() - self._began
            if not done or elapsed_s < _OBSERVED_S or elapsed_s * self._total / done < _EXPECTED_S:
                return
            self._show = self._begin()
        self._show(done)

    def _begin(self) -> Callable[[int], None]:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        progress = self._stack.enter_context(Progress(*columns, console=Console(stderr=True), transient=True))
        task = progress.add_task(self._what, total=self._total)
        return lambda done: progress.update(task, completed=done)
