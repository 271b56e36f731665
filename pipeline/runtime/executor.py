"""Executors run a command's independent pieces of work: in threads of this process, or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from features.errors import InputError
from pipeline.runtime.prefetch import prefetch

Item = TypeVar("Item")
Result = TypeVar("Result")


class Executor(Protocol):
    """Runs pieces of work that are independent of each other."""

    def map(self, function: Callable[[Item], Result], items: Iterable[Item], threads: int = 1) -> Iterator[Result]:
        """The results of a function, in the order of its items; its first error ends the work.

        Args:
            function: Called with each item. It is sent to a worker once, together with the arguments bound to it.
            items: The inputs, read only as workers become free.
            threads: Number of items that this process works on at the same time. A cluster uses one task a CPU instead.
        """

    def check_access(self, files: Sequence[Path], folder: Path) -> None:
        """See that every worker can read some files and write to a folder.

        Raises:
            InputError: If some cannot. It names each of them.
        """


class ThreadExecutor:
    """Threads of this process."""

    def map(self, function: Callable[[Item], Result], items: Iterable[Item], threads: int = 1) -> Iterator[Result]:
        """As :meth:`Executor.map`."""
        return prefetch((partial(function, item) for item in items), threads)

    def check_access(self, files: Sequence[Path], folder: Path) -> None:
        """Nothing to do: the files were found by this process."""


LOCAL_EXECUTOR = ThreadExecutor()


def _on_ray() -> AbstractContextManager[Executor]:
    try:
        from pipeline.runtime.ray_executor import ray_cluster
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise InputError("the engine `ray` needs Ray, which is not installed: pip install 'gradops[ray]'") from None
    return ray_cluster()


# Name of `--engine` to a context manager that starts the executor and ends it with the block.
EXECUTORS: dict[str, Callable[[], AbstractContextManager[Executor]]] = {
    "local": lambda: nullcontext(LOCAL_EXECUTOR),
    "ray": _on_ray,
}
