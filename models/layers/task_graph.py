"""The order of tasks of which some are built on others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import Self


def circle_of(relations: Mapping[str, Sequence[str]]) -> Sequence[str]:
    """A task, the one that it is built on, and so on until the same task again; empty if there is no such circle.

    Args:
        relations: Each task that is built on others, with these.
    """
    try:
        TopologicalSorter(relations).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        return circle[::-1]
    return ()


BASE = -1  # the part that no earlier task has made, among the parts that a task reads


@dataclass(frozen=True)
class TaskGraph:
    """Trained tasks, by their places, of which some are built on others.

    Args:
        parents: For each task the places of those that it is built on.
        detach: Whether a task's loss leaves the earlier tasks alone.
    """

    parents: tuple[tuple[int, ...], ...]
    detach: bool = False

    @classmethod
    def of(cls, relations: Mapping[str, Sequence[str]], tasks: Sequence[str], *, detach: bool) -> Self:
        """The graph of the tasks that are trained; one that is not trained is left out.

        Args:
            relations: Each task that is built on others, with these; without a circle.
            tasks: The names of the trained tasks.
            detach: As above.
        """
        places = {name: place for place, name in enumerate(tasks)}
        known = ([places[name] for name in relations.get(task, ()) if name in places] for task in tasks)
        return cls(tuple(map(tuple, known)), detach)

    @cached_property
    def order(self) -> tuple[int, ...]:
        """All tasks, each after those that it is built on."""
        return tuple(TopologicalSorter(dict(enumerate(self.parents))).static_order())

    @cached_property
    def reached(self) -> tuple[int, ...]:
        """In this order, the tasks whose parts are shared, since losses of later tasks reach them."""
        return () if self.detach else tuple(task for task in self.order if any(task in some for some in self.parents))
