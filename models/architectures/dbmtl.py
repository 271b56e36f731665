"""Deep Bayesian multi-target learning: tasks are built on other tasks, as a declared graph says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, PositiveInt, field_validator
from torch import Tensor, nn

from models.architectures.base import Architecture, HeadTransform, View, first_layer
from models.architectures.base_config import ArchitectureConfig
from models.embedding.base import Embedding
from models.layers.experts import BatchedLinear
from models.layers.multilayer import multilayer
from models.layers.related import parts_read, related
from models.layers.task_graph import TaskGraph
from models.layers.towers import head


class DBMTL(Architecture):
    """On a shared bottom each task has a tower, and above it a relation network that also reads those of its parents.

    Losses of later tasks reach tower and relation network of every task that is a parent, which are therefore shared;
    each task's last layer is its own. Tasks read the bottom's output, with the relation networks' outputs of parents.

    Args:
        embedding: The embedding of the features.
        values: Number of further columns of the input, such as numeric values.
        tasks: The names of the tasks.
        config: Sizes of the layers, and the parents of each task.
    """

    def __init__(self, embedding: Embedding, *, values: int, tasks: Sequence[str], config: DBMTLConfig) -> None:
        super().__init__(embedding)
        width = sum(embedding.layout.widths) + values
        self._graph = TaskGraph.of(config.parents, tasks, detach=config.detach)
        self.bottom = multilayer(width, config.bottom, config.dropout)
        self.towers = nn.ModuleList(multilayer(config.bottom[-1], config.tower) for _ in tasks)
        own, read = [config.bottom[-1], *config.tower][-1], config.relation[-1]
        self.relations = nn.ModuleList(
            multilayer(own + len(parents) * read, config.relation) for parents in self._graph.parents
        )
        self.outputs = nn.ModuleList(head(read, config.ensemble) for _ in tasks)

    def through_layers(self, input_BX: Tensor) -> tuple[Tensor, tuple[View, ...]]:
        """Logits B x T, and T views of the bottom's output with the vectors that later losses reach."""
        vectors, views = related(self._graph, self.bottom(input_BX), self._vector)
        return torch.cat([output(vector) for output, vector in zip(self.outputs, vectors, strict=True)], dim=1), views

    def _vector(self, task: int, shared_BD: Tensor, of_parents: Sequence[Tensor]) -> Tensor:
        vector_BD: Tensor = self.relations[task](torch.cat([self.towers[task](shared_BD), *of_parents], dim=1))
        return vector_BD

    def output_layers(self) -> list[nn.Linear | BatchedLinear]:
        """The layer above each task's relation network."""
        return [layer for layer in self.outputs if isinstance(layer, nn.Linear | BatchedLinear)]

    def input_layers(self) -> Sequence[nn.Linear | BatchedLinear]:
        """The first layer of the bottom."""
        return [first_layer(self.bottom)]

    def shared_layers(self) -> list[nn.Parameter]:
        """The parameters of the bottom, and of towers and relation networks of parents."""
        modules = [self.bottom, *(part[task] for part in (self.towers, self.relations) for task in self._graph.reached)]
        return [parameter for module in modules for parameter in module.parameters()]


class DBMTLConfig(ArchitectureConfig):
    """Deep Bayesian multi-target learning (Wang et al., 2019): a graph of tasks, each built on its parents.

    ``r_t = relation_t([tower_t(z), r_s for the parents s])``, and the logit of task t is linear in r_t. Departures from
    EasyRec's: all tasks have layers of the same sizes, and no batch norm stands between them. Tasks read more than one
    vector, so methods with rotations are refused.

    Args:
        kind: The architecture.
        parents: Task to the tasks that it is built on, such as ``{"purchase": ["click", "cart"]}``, without a circle.
            One that is not trained is left out.
        detach: Whether a task's loss leaves towers and relation networks of its parents alone.
        bottom: Units of each shared layer.
        tower: Units of each layer of a task's tower; empty for none.
        relation: Units of each layer of a task's relation network.
        dropout: Dropout of the shared layers.
    """

    kind: Literal["dbmtl"] = "dbmtl"
    parents: Annotated[dict[str, Annotated[tuple[str, ...], Field(min_length=1)]], Field(min_length=1)]
    detach: bool = False
    bottom: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (192, 192)
    tower: tuple[PositiveInt, ...] = (32,)
    relation: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (32,)
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @field_validator("parents")
    @classmethod
    def _names_each_once(cls, parents: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        if twice := [task for task, names in parents.items() if len({*names}) < len(names)]:
            raise ValueError(f"a task should name each parent once, found one twice at `{'`, `'.join(twice)}`")
        return parents

    @classmethod
    def example(cls) -> Self:
        """A task built on two others, of which one is built on the other."""
        parents = {"marital": ("income",), "education": ("income", "marital")}
        return cls(parents=parents, bottom=(8, 6), tower=(5,), relation=(4,))

    @property
    def relations(self) -> Mapping[str, Sequence[str]]:
        """The parents of each task."""
        return self.parents

    def parts_read(self, tasks: Sequence[str]) -> Sequence[Set[int]]:
        """An earlier task reads its own vector alone, every other one the base and the vectors of those before."""
        return parts_read(TaskGraph.of(self.parents, tasks, detach=self.detach))

    def network(
        self, embedding: Embedding, *, values: int, tasks: Sequence[str], head_transform: HeadTransform | None
    ) -> DBMTL:
        """The network with these keys."""
        del head_transform  # None: there is no vector to map
        return DBMTL(embedding, values=values, tasks=tasks, config=self)
