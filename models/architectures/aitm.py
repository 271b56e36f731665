"""Adaptive information transfer multi-task model: along a chain, each task hands what it knows to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from itertools import pairwise
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, PositiveInt, field_validator
from torch import Tensor, nn

from models.architectures.base import Architecture, HeadTransform, View, first_layer
from models.architectures.base_config import ArchitectureConfig
from models.embedding.base import Embedding
from models.layers.experts import BatchedLinear, mixed
from models.layers.multilayer import multilayer
from models.layers.related import parts_read, related
from models.layers.task_graph import TaskGraph
from models.layers.towers import tower


class Transfer(nn.Module):
    """A task's vector and what the task before hands on, mixed by attention.

    Each of the two has a query, a key and a value, linear maps of its own vector; the shares of the values are the
    softmax of query · key / sqrt(D) over the two.

    Args:
        width: Width of both vectors, D.
        dropout: Dropout of the layer that hands on.
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.info = multilayer(width, [width], dropout)
        self.query, self.key, self.value = (nn.Linear(width, width, bias=False) for _ in range(3))

    def forward(self, own_BD: Tensor, before_BD: Tensor) -> Tensor:
        """The mixture, B x D, of a task's own vector and that of the task before."""
        width = own_BD.shape[1]
        both_B2D = torch.cat([own_BD.unsqueeze(1), self.info(before_BD).unsqueeze(1)], dim=1)
        query, key = self.query(both_B2D).view(-1, 1, width), self.key(both_B2D).view(-1, width, 1)
        score_B2 = torch.bmm(query, key).view(-1, 2) * width**-0.5
        return mixed(score_B2.softmax(dim=1), self.value(both_B2D))


class AITM(Architecture):
    """Each task has a bottom and a tower; along the chain, a task's vector is mixed with what the one before hands on.

    Losses of later tasks reach the bottom and the transfer of every earlier one, which are therefore shared; the
    tower of each task is its own, and so are bottom and transfer of the last. Tasks read the embeddings and numeric
    values, with the vectors of all tasks but the last.

    Args:
        embedding: The embedding of the features.
        values: Number of further columns of the input, such as numeric values.
        tasks: The names of the tasks.
        config: Sizes of the layers, and the chain.
    """

    def __init__(self, embedding: Embedding, *, values: int, tasks: Sequence[str], config: AITMConfig) -> None:
        super().__init__(embedding)
        width, read = sum(embedding.layout.widths) + values, config.bottom[-1]
        self._graph = config.graph(tasks)
        self.bottoms = nn.ModuleList(multilayer(width, config.bottom, config.dropout) for _ in tasks)
        self.transfers = nn.ModuleDict(
            {str(task): Transfer(read, config.dropout) for task, parents in enumerate(self._graph.parents) if parents}
        )
        self.towers = nn.ModuleList(tower(read, config.tower, config.ensemble) for _ in tasks)

    def through_layers(self, input_BX: Tensor) -> tuple[Tensor, tuple[View, ...]]:
        """Logits B x T, and T views of the input with the vectors that later losses reach."""
        vectors, views = related(self._graph, input_BX, self._vector)
        return torch.cat([tower(vector) for tower, vector in zip(self.towers, vectors, strict=True)], dim=1), views

    def _vector(self, task: int, input_BX: Tensor, before: Sequence[Tensor]) -> Tensor:
        vector_BD: Tensor = self.bottoms[task](input_BX)
        for before_BD in before:  # one, or none at the beginning of the chain
            vector_BD = self.transfers[str(task)](vector_BD, before_BD)
        return vector_BD

    def input_layers(self) -> Sequence[nn.Linear | BatchedLinear]:
        """The first layer of each task's bottom."""
        return [first_layer(bottom) for bottom in self.bottoms]

    def shared_layers(self) -> list[nn.Parameter]:
        """The parameters of bottoms and transfers of tasks that others follow."""
        modules: list[nn.Module] = [self.bottoms[task] for task in self._graph.reached]
        modules += [self.transfers[str(task)] for task in self._graph.reached if self._graph.parents[task]]
        return [parameter for module in modules for parameter in module.parameters()]


class AITMConfig(ArchitectureConfig):
    """Adaptive information transfer (Xi et al., KDD 2021): along a chain, a task hands what it knows to the next.

    The paper's calibrator, a penalty where a task is more probable than the one before, is left out: it is a loss of
    two tasks at once. The architecture `esmm` keeps that order without one. Tasks read no single vector, so methods
    with rotations are refused.

    Args:
        kind: The architecture.
        chain: The tasks that follow one another, at least two, such as ``["click", "cart", "purchase"]``. One that is
            not trained is left out of it; a task that is not in it stands alone.
        detach: Whether a task's loss leaves the bottoms and transfers of earlier tasks alone.
        bottom: Units of each layer of a task's bottom.
        tower: Units of each hidden layer of a task's tower; empty for one linear layer.
        dropout: Dropout of the bottoms, and of the layers that hand on.
    """

    kind: Literal["aitm"] = "aitm"
    chain: Annotated[tuple[str, ...], Field(min_length=2)]
    detach: bool = False
    bottom: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (128, 64)
    tower: tuple[PositiveInt, ...] = ()
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @field_validator("chain")
    @classmethod
    def _has_each_task_once(cls, chain: tuple[str, ...]) -> tuple[str, ...]:
        if twice := [task for task in dict.fromkeys(chain) if chain.count(task) > 1]:
            raise ValueError(f"a task should stand in the chain once, found `{'`, `'.join(twice)}` more often")
        return chain

    @classmethod
    def example(cls) -> Self:
        """A chain of three tasks."""
        return cls(chain=("income", "marital", "education"), bottom=(6, 5), tower=(4,))

    @property
    def relations(self) -> Mapping[str, Sequence[str]]:
        """Each task of the chain but the first, with the one before."""
        return _links(self.chain)

    def graph(self, tasks: Sequence[str]) -> TaskGraph:
        """The trained tasks of the chain, which closes over those that are not trained."""
        return TaskGraph.of(_links([task for task in self.chain if task in tasks]), tasks, detach=self.detach)

    def parts_read(self, tasks: Sequence[str]) -> Sequence[Set[int]]:
        """An earlier task reads its own vector alone, every other one the base and the vectors of those before."""
        return parts_read(self.graph(tasks))

    def network(
        self, embedding: Embedding, *, values: int, tasks: Sequence[str], head_transform: HeadTransform | None
    ) -> AITM:
        """The network with these keys."""
        del head_transform  # None: there is no vector to map
        return AITM(embedding, values=values, tasks=tasks, config=self)


def _links(chain: Sequence[str]) -> dict[str, list[str]]:
    """Each task of a chain but the first, with the one before."""
    return {task: [before] for before, task in pairwise(chain)}
