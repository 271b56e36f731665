"""Steps of a command: a bar for each on a terminal, or a line every few seconds elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from jobs.console import Bars, err

Item = TypeVar("Item")

_SILENT = 2.0  # seconds without a word
_BETWEEN = 10.0  # seconds between two lines


class StepBars(Bars):
    """Shows steps while they last. A :class:`pipeline.runtime.progress.Progress`.

    Bars vanish with their steps. Between steps nothing is drawn, so that a command may ask a question.
    """

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        super().__init__(*columns)
        self._bars.live.transient = True
        self._next = time.monotonic() + _SILENT

    def each(self, step: str, items: Iterable[Item], total: int | None = None) -> Iterator[Item]:
        """As :meth:`pipeline.runtime.progress.Progress.each`."""
        is_outer = not self._bars.live.is_started
        bar = self._bars.add_task(step, total=total)
        self._bars.start()
        try:
            for done, item in enumerate(items, 1):
                self._bars.advance(bar)
                self._print(f"{step}: {done}" if total is None else f"{step}: {done} of {total}")
                yield item
        finally:
            self._bars.remove_task(bar)
            if is_outer:
                self._bars.stop()

    def _print(self, line: str) -> None:
        """Print a line where there are no bars, unless another one was printed shortly before."""
        if not err.is_terminal and time.monotonic() >= self._next:
            err.print(line, highlight=False, markup=False)
            self._next = time.monotonic() + _BETWEEN
