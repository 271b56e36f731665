"""Who does a job's pieces of work: threads of this process, or the machines of a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from features.errors import InputError
from pipeline.runtime.prefetch import ahead

Item = TypeVar("Item")
Result = TypeVar("Result")


class Engine(Protocol):
    """Does pieces of work that need not know of each other."""

    def map(self, function: Callable[[Item], Result], items: Iterable[Item], threads: int = 1) -> Iterator[Result]:
        """The results of a function, in the order of its items; its first error ends the work.

        Args:
            function: What is done with an item. It is sent once, with all that it is bound to.
            items: Taken as they are needed.
            threads: How many items fit into this process at the same time. Elsewhere each CPU has one.
        """

    def reach(self, files: Sequence[Path], folder: Path) -> None:
        """Make sure that whoever works sees some files, and can write to a folder.

        Raises:
            InputError: If anybody does not. It names all who do not.
        """


class Threads:
    """Threads of this process."""

    def map(self, function: Callable[[Item], Result], items: Iterable[Item], threads: int = 1) -> Iterator[Result]:
        """As :meth:`Engine.map`."""
        return ahead((partial(function, item) for item in items), threads)

    def reach(self, files: Sequence[Path], folder: Path) -> None:
        """This process has found them itself."""


HERE = Threads()


def _on_ray() -> AbstractContextManager[Engine]:
    try:
        from pipeline.runtime.ray_executor import joined
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise InputError("the engine `ray` needs Ray, which is not installed: pip install 'gradops[ray]'") from None
    return joined()


# What begins an engine, by its name; it ends with the block.
ENGINES: dict[str, Callable[[], AbstractContextManager[Engine]]] = {"local": lambda: nullcontext(HERE), "ray": _on_ray}
