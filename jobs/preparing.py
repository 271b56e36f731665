"""Progress of preparing raw data: its steps are shown by the executor that runs them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from jobs.steps import StepBars
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


def prepared_with_bars(config: RunConfig, executor: Executor = LOCAL_EXECUTOR) -> Prepared:
    """The prepared data of a config, found or written; arguments and errors as those of `prepare`."""
    from pipeline.data.prepare import prepare

    with PreparingBars() as bars:
        return prepare(config, bars.shown(executor))


class PreparingBars(StepBars):
    """Shows the steps of preparing data while the block runs; the bars vanish with it."""

    def shown(self, executor: Executor) -> Executor:
        """An executor whose work is shown."""
        return _Shown(executor, self)


class _Shown:
    """An :class:`pipeline.runtime.executor.Executor` whose work is shown."""

    def __init__(self, executor: Executor, bars: PreparingBars) -> None:
        self._executor, self._bars = executor, bars

    def map(self, function: Callable[[Item], Result], items: Iterable[Item], threads: int = 1) -> Iterator[Result]:
        """As :meth:`pipeline.runtime.executor.Executor.map`."""
        every = list(items)
        called = function.func if isinstance(function, partial) else function
        results = self._executor.map(function, every, threads)
        return self._bars.each(_STEPS.get(called, _OTHER), results, len(every))

    def check_access(self, files: Sequence[Path], folder: Path) -> None:
        """As :meth:`pipeline.runtime.executor.Executor.check_access`."""
        self._executor.check_access(files, folder)
