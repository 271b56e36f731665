"""Multi-gate mixture of experts: experts that all tasks share, mixed for each task by a gate of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from models.architectures.base import Architecture, HeadTransform, View, first_layer
from models.architectures.base_config import ArchitectureConfig
from models.embedding.base import Embedding
from models.layers import towers
from models.layers.experts import BatchedLinear, Experts, Gate, mixed
from models.layers.views import views_of


class MMoE(Architecture):
    """Shared experts over the embeddings and numeric values; a gate and a tower a task.

    Args:
        embedding: The embedding of the features.
        values: Number of further columns of the input, such as numeric values.
        tasks: The names of the tasks.
        experts: Number of experts.
        expert: Units of each layer of an expert.
        gate: Units of each hidden layer of a gate; empty for one linear layer.
        tower: Units of each hidden layer of a tower; empty for one linear layer.
        dropout: Probability of dropping a unit of the experts while training, in [0, 1).
        members: Number of members of an ensemble, see :attr:`ArchitectureConfig.ensemble`.
    """

    def __init__(
        self,
        embedding: Embedding,
        *,
        values: int,
        tasks: Sequence[str],
        experts: int,
        expert: Sequence[int],
        gate: Sequence[int] = (),
        tower: Sequence[int] = (),
        dropout: float = 0.0,
        members: int = 1,
    ) -> None:
        super().__init__(embedding)
        self._tasks = tuple(tasks)
        width, read = sum(embedding.layout.widths) + values, expert[-1]
        self.experts = Experts(width, experts, expert, dropout)
        self.task_gates = nn.ModuleList(Gate(width, experts, gate) for _ in tasks)
        self.towers = nn.ModuleList(towers.tower(read, tower, members) for _ in tasks)

    def through_layers(self, input_BX: Tensor) -> tuple[Tensor, tuple[View, ...]]:
        """Logits B x T, and for each task a view of the experts' outputs B x N x D, and of the input of its gate."""
        tasks = len(self._tasks)
        views = tuple(zip(views_of(self.experts(input_BX), tasks), views_of(input_BX, tasks), strict=True))
        logits = [
            tower(mixed(gate(input_BX), output_BND))
            for tower, gate, (output_BND, input_BX) in zip(self.towers, self.task_gates, views, strict=True)
        ]
        return torch.cat(logits, dim=1), views

    def input_layers(self) -> Sequence[nn.Linear | BatchedLinear]:
        """The first layer of the experts, and of each gate."""
        return [first_layer(part) for part in (self.experts, *self.task_gates)]

    def shared_layers(self) -> list[nn.Parameter]:
        """The parameters of the experts; each gate and each tower is its task's own."""
        return list(self.experts.parameters())

    def expert_gates(self) -> Mapping[str, nn.Module]:
        """The gate of each task."""
        return dict(zip(self._tasks, self.task_gates, strict=True))


class MMoEConfig(ArchitectureConfig):
    """Experts that all tasks share, mixed for each task by a gate of its own.

    Tasks read no single vector, so methods with rotations are refused.

    Args:
        kind: The architecture.
        experts: Number of experts.
        expert: Units of each layer of an expert.
        gate: Units of each hidden layer of a task's gate; empty for one linear layer.
        tower: Units of each hidden layer of a task's tower; empty for one linear layer.
        dropout: Dropout of the experts.
    """

    kind: Literal["mmoe"] = "mmoe"
    experts: Annotated[int, Field(ge=2)] = 4
    expert: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (96, 96)
    gate: tuple[PositiveInt, ...] = ()
    tower: tuple[PositiveInt, ...] = ()
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @classmethod
    def example(cls) -> Self:
        """Three experts of two layers, gates and towers with a hidden layer."""
        return cls(experts=3, expert=(8, 6), gate=(5,), tower=(4,))

    def network(
        self, embedding: Embedding, *, values: int, tasks: Sequence[str], head_transform: HeadTransform | None
    ) -> MMoE:
        """The network with these keys."""
        del head_transform  # None: there is no vector to map
        return MMoE(
            embedding,
            values=values,
            tasks=tasks,
            experts=self.experts,
            expert=self.expert,
            gate=self.gate,
            tower=self.tower,
            dropout=self.dropout,
            members=self.ensemble,
        )
