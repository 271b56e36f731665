"""Keys that name tasks: the order in which tasks are built on others, and outputs named after them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Self

from pydantic import model_validator

from features.declared import Declared
from models.layers.task_graph import circle_of


class TaskNames(Declared):
    """The part of an architecture's keys that names tasks; without any, tasks are not built on each other."""

    @property
    def relations(self) -> Mapping[str, Sequence[str]]:
        """Each task that is built on earlier ones, with these."""
        return {}

    @model_validator(mode="after")
    def _is_no_circle(self) -> Self:
        if circle := circle_of(self.relations):
            found = " after ".join(f"`{task}`" for task in circle)
            raise ValueError(f"no task should be built on itself, found {found}")
        return self

    def unknown_tasks(self, tasks: Sequence[str]) -> Sequence[str]:
        """The names of tasks in the keys that are not among these, all that the config declares."""
        named = [*self.relations, *chain.from_iterable(self.relations.values())]
        return [name for name in dict.fromkeys(named) if name not in tasks]

    def further_outputs(self, tasks: Sequence[str]) -> Sequence[str]:
        """The names of the probabilities that a served model of these tasks gives beside theirs."""
        del tasks
        return ()
