"""Progress of preparing raw data: a bar for each step on a terminal, or a line every few seconds elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from jobs.console import Bars, err
from pipeline.data.chunks import count_chunk, encode_chunk
from pipeline.files.content import identity
from pipeline.runtime.executor import LOCAL_EXECUTOR, Executor

if TYPE_CHECKING:
    from pipeline.config.run import RunConfig
    from pipeline.data.prepared import Prepared

Item = TypeVar("Item")
Result = TypeVar("Result")

_STEPS: dict[Any, str] = {
    identity: "hashing files",
    count_chunk: "counting values of training rows",
    encode_chunk: "encoding rows",
}
_OTHER = "checking files"
_SILENT = 2.0  # seconds without a word
_BETWEEN = 10.0  # seconds between two lines


def prepared_with_bars(config: RunConfig, executor: Executor = LOCAL_EXECUTOR) -> Prepared:
    """The prepared data of a config, found or written; arguments and errors as those of `prepare`."""
    from pipeline.data.prepare import prepare

    with PreparingBars() as bars:
        return prepare(config, bars.shown(executor))


class PreparingBars(Bars):
    """Shows the steps of preparing data while the block runs; the bars vanish with it."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        super().__init__(*columns)
        self._bars.live.transient = True
        self._next = time.monotonic() + _SILENT

    def shown(self, executor: Executor) -> Executor:
        """An executor whose work is shown."""
        return _Shown(executor, self)

    def step(self, name: str, results: Iterator[Result], total: int) -> Iterator[Result]:
        """The results of a step, each counted.

        Args:
            name: The step in words.
            results: Its results.
            total: Their number.
        """
        bar = self._bars.add_task(name, total=total)
        for done, result in enumerate(results, 1):
            self._bars.advance(bar)
            self._print(f"{name}: {done} of {total} pieces")
            yield result
        self._bars.remove_task(bar)

    def _print(self, line: str) -> None:
        """Print a line where there are no bars, unless another one was printed shortly before."""
        if not err.is_terminal and time.monotonic() >= self._next:
            err.print(line, highlight=False, markup=False)
            self._next = time.monotonic() + _BETWEEN


class _Shown:
    """An :class:`pipeline.runtime.executor.Executor` whose work is shown."""

    def __init__(self, executor: Executor, bars: PreparingBars) -> None:
        self._executor, self._bars = executor, bars

    def map(self, function: Callable[[Item], Result], items: Iterable[Item], threads: int = 1) -> Iterator[Result]:
        """As :meth:`pipeline.runtime.executor.Executor.map`."""
        every = list(items)
        called = function.func if isinstance(function, partial) else function
        results = self._executor.map(function, every, threads)
        return self._bars.step(_STEPS.get(called, _OTHER), results, len(every))

    def check_access(self, files: Sequence[Path], folder: Path) -> None:
        """As :meth:`pipeline.runtime.executor.Executor.check_access`."""
        self._executor.check_access(files, folder)
