"""Progress of long steps, item by item, for whoever waits for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

Item = TypeVar("Item")


class Progress(Protocol):
    """Shows steps."""

    def each(self, step: str, items: Iterable[Item], total: int | None = None) -> Iterator[Item]:
        """The items of a step, each counted as it is asked for.

        Args:
            step: The step in words.
            items: Its items.
            total: Their number; None if it is not known.
        """
        ...


class Silent:
    """Shows nothing. A :class:`Progress`."""

    def each(self, step: str, items: Iterable[Item], total: int | None = None) -> Iterator[Item]:
        """The items."""
        del step, total
        yield from items
