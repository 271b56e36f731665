"""Entire-space multi-task model: a task's probability is that of an earlier task times its own, given the earlier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from models.architectures.base import Architecture, ArchitectureConfig, HeadTransform, View
from models.embedding.base import Embedding
from models.layers.multilayer import multilayer
from models.layers.related import Read, read_by_tasks
from models.layers.task_graph import TaskGraph


class ESMM(Architecture):
    """Towers on a shared bottom; the towers' probabilities are multiplied along the chain of tasks.

    The tower of a task that others are given is reached by their losses, and therefore shared. What tasks read is the
    bottom's output, with the logits of those towers beside it.

    Args:
        embedding: The embedding of the features.
        values: Number of further columns of the input, such as numeric values.
        tasks: The names of the tasks.
        config: Sizes of the layers, and the task that each task is given.
    """

    def __init__(self, embedding: Embedding, *, values: int, tasks: Sequence[str], config: ESMMConfig) -> None:
        super().__init__(embedding)
        width = sum(embedding.layout.widths) + values
        self._graph = TaskGraph.of(config.relations, tasks, detach=config.detach)
        self.bottom = multilayer(width, config.bottom, config.dropout)
        read = config.bottom[-1]
        self.towers = nn.ModuleList(
            nn.Sequential(multilayer(read, config.tower), nn.Linear([read, *config.tower][-1], 1)) for _ in tasks
        )

    def through_layers(self, input_BX: Tensor) -> tuple[Tensor, tuple[View, ...]]:
        """Logits B x T of the products, and T views of the bottom's output with the logits of shared towers."""
        shared_BD = self.bottom(input_BX)
        logits = {task: self.towers[task](shared_BD) for task in self._graph.reached}
        reads, views = read_by_tasks(shared_BD, logits, len(self.towers))
        return torch.cat([self._logit(task, read) for task, read in enumerate(reads)], dim=1), views

    def _logit(self, task: int, read: Read) -> Tensor:
        """The logit of a task's probability over all rows, B x 1."""
        logit_B1 = read.earlier[task] if task in read.earlier else self.towers[task](read.base_BX)
        for given in self._graph.parents[task]:  # one, or none
            given_B1 = self._logit(given, read)
            logit_B1 = logit_of_product(logit_B1, given_B1.detach() if self._graph.detach else given_B1)
        return logit_B1

    def shared_layers(self) -> list[nn.Parameter]:
        """The parameters of the bottom, and of the towers of tasks that others are given."""
        modules = [self.bottom, *(self.towers[task] for task in self._graph.reached)]
        return [parameter for module in modules for parameter in module.parameters()]


def logit_of_product(first: Tensor, second: Tensor) -> Tensor:
    """The logit of the product of two probabilities, from their logits; no probability is formed, so none rounds to 0.

    ``1 - p q`` is ``(1 - q) + q (1 - p)``.
    """
    product, rest = logsigmoid(first) + logsigmoid(second), logsigmoid(second) + logsigmoid(-first)
    return product - torch.logaddexp(logsigmoid(-second), rest)


class ESMMConfig(ArchitectureConfig):
    """A task's probability is that of an earlier task times its own, given the earlier.

    Tasks read more than one vector, so methods with rotations are refused.

    Args:
        kind: The architecture.
        given: Task to the task that it is given, such as ``{"purchase": "click"}``: p(purchase) is p(click) times
            p(purchase given click), on every row. Where one of the two is not trained, the other stands alone.
        detach: Whether a task's loss leaves the towers of the tasks that it is given alone.
        bottom: Units of each shared layer.
        tower: Units of each hidden layer of a task's tower; empty for one linear layer.
        dropout: Dropout of the shared layers.
    """

    kind: Literal["esmm"] = "esmm"
    given: Annotated[dict[str, str], Field(min_length=1)]
    detach: bool = False
    bottom: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (192, 192)
    tower: tuple[PositiveInt, ...] = ()
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @classmethod
    def example(cls) -> Self:
        """A chain of three tasks."""
        return cls(given={"marital": "income", "education": "marital"}, bottom=(8, 6), tower=(4,))

    @property
    def relations(self) -> Mapping[str, Sequence[str]]:
        """Each task that is given another one, with this one."""
        return {task: (given,) for task, given in self.given.items()}

    def network(
        self, embedding: Embedding, *, values: int, tasks: Sequence[str], head_transform: HeadTransform | None
    ) -> ESMM:
        """The network with these keys."""
        del head_transform  # None: there is no vector to map
        return ESMM(embedding, values=values, tasks=tasks, config=self)
