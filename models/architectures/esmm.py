"""Entire-space multi-task model: a task's probability is that of an earlier task times its own, given the earlier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from models.architectures.base import Architecture, HeadTransform, View, first_layer
from models.architectures.base_config import ArchitectureConfig
from models.embedding.base import Embedding
from models.embedding.cut import Bags
from models.layers.experts import BatchedLinear
from models.layers.multilayer import multilayer
from models.layers.related import Read, read_by_tasks
from models.layers.task_graph import BASE, TaskGraph
from models.layers.towers import tower


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
        self._conditional = config.conditional
        self._graph = TaskGraph.of(config.relations, tasks, detach=config.detach)
        self.bottom = multilayer(width, config.bottom, config.dropout)
        self.towers = nn.ModuleList(tower(config.bottom[-1], config.tower, config.ensemble) for _ in tasks)

    def through_layers(self, input_BX: Tensor) -> tuple[Tensor, tuple[View, ...]]:
        """Logits B x T of the products, and T views of the bottom's output with the logits of shared towers."""
        reads, views = self._reads(input_BX)
        return torch.cat([self._logit(task, read) for task, read in enumerate(reads)], dim=1), views

    def served_logits(self, bags: Bags, value_BV: Tensor) -> Tensor:
        """Logits B x O: those of the tasks, then, if the config asks for them, of each task given its earlier one."""
        if not self._conditional:
            return super().served_logits(bags, value_BV)
        reads, _ = self._reads(self.layers_input(self.embedding(bags), value_BV))
        logits = [self._logit(task, read) for task, read in enumerate(reads)]
        logits += [self._own_logit(task, reads[task]) for task, given in enumerate(self._graph.parents) if given]
        return torch.cat(logits, dim=1)

    def _reads(self, input_BX: Tensor) -> tuple[list[Read], tuple[Tensor, ...]]:
        shared_BD = self.bottom(input_BX)
        logits = {task: self.towers[task](shared_BD) for task in self._graph.reached}
        return read_by_tasks(shared_BD, logits, len(self.towers))

    def _logit(self, task: int, read: Read) -> Tensor:
        """The logit of a task's probability over all rows, B x 1."""
        logit_B1 = self._own_logit(task, read)
        for given in self._graph.parents[task]:  # one, or none
            given_B1 = self._logit(given, read)
            logit_B1 = logit_of_product(logit_B1, given_B1.detach() if self._graph.detach else given_B1)
        return logit_B1

    def _own_logit(self, task: int, read: Read) -> Tensor:
        """The logit of a task's probability given the earlier task, B x 1."""
        logit_B1: Tensor = read.earlier[task] if task in read.earlier else self.towers[task](read.base_BX)
        return logit_B1

    def own_prevalences(self, prevalence: Sequence[float]) -> list[float]:
        """Of a task that is given another one, the share of the other's positives that are its own, at most 0.95.

        The limit is for labels that do not follow one another: where a task has nearly as many positives as the one
        that it is given, or more, the log-odds would leave the range in which a tower learns.
        """
        found = list(prevalence)
        for task, parents in enumerate(self._graph.parents):
            for given in parents:  # one, or none
                found[task] = min(prevalence[task] / prevalence[given], 0.95)
        return found

    def input_layers(self) -> Sequence[nn.Linear | BatchedLinear]:
        """The first layer of the bottom."""
        return [first_layer(self.bottom)]

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
        conditional: Whether a served model also gives p(purchase given click), as the output ``purchase_given_click``.
        detach: Whether a task's loss leaves the towers of the tasks that it is given alone.
        bottom: Units of each shared layer.
        tower: Units of each hidden layer of a task's tower; empty for one linear layer.
        dropout: Dropout of the shared layers.
    """

    kind: Literal["esmm"] = "esmm"
    given: Annotated[dict[str, str], Field(min_length=1)]
    conditional: bool = False
    detach: bool = False
    bottom: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (192, 192)
    tower: tuple[PositiveInt, ...] = ()
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @model_validator(mode="after")
    def _is_a_product(self) -> Self:
        if self.conditional and self.ensemble > 1:
            raise ValueError(
                "conditional: members' probabilities are averaged, and a mean of products is no product of means; "
                f"set `conditional = false` or `ensemble = 1`, found {self.ensemble}"
            )
        return self

    @classmethod
    def example(cls) -> Self:
        """A chain of three tasks."""
        return cls(given={"marital": "income", "education": "marital"}, bottom=(8, 6), tower=(4,))

    @property
    def relations(self) -> Mapping[str, Sequence[str]]:
        """Each task that is given another one, with this one."""
        return {task: (given,) for task, given in self.given.items()}

    def parts_read(self, tasks: Sequence[str]) -> Sequence[Set[int]]:
        """A task reads the logits of all tasks before it; its own logit if others are given it, else the base."""
        graph = TaskGraph.of(self.relations, tasks, detach=self.detach)
        found: dict[int, set[int]] = {}
        for task in graph.order:
            found[task] = {task if task in graph.reached else BASE}.union(*(found[p] for p in graph.parents[task]))
        return [found[task] for task in range(len(tasks))]

    def further_outputs(self, tasks: Sequence[str]) -> Sequence[str]:
        """The tasks given their earlier ones, where both are trained: ``purchase_given_click``."""
        trained = (task for task in tasks if self.conditional and self.given.get(task) in tasks)
        return [f"{task}_given_{self.given[task]}" for task in trained]

    def network(
        self, embedding: Embedding, *, values: int, tasks: Sequence[str], head_transform: HeadTransform | None
    ) -> ESMM:
        """The network with these keys."""
        del head_transform  # None: there is no vector to map
        return ESMM(embedding, values=values, tasks=tasks, config=self)

    def _content(self) -> dict[str, Any]:
        """As the base has it; `conditional` only if it is true, since runs and models are older than it."""
        content = super()._content()
        if not self.conditional:
            del content["conditional"]
        return content
