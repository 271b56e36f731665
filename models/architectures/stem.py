"""Shared and task-specific embeddings: every task has tables of its own, and reads all experts but trains few."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal, Self, cast

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from models.architectures.base import Architecture, HeadTransform, View, last_layer
from models.architectures.base_config import ArchitectureConfig
from models.embedding.base import Embedding
from models.layers.experts import BatchedLinear, Experts, Gate, mixed
from models.layers.members import MemberScale
from models.layers.towers import tower
from models.layers.views import views_of


class _OwnLayers(nn.Module):
    """A task's own layers: experts over its embeddings, a gate over all experts, a tower, and factors of members."""

    def __init__(self, widths: Sequence[int], values: int, tasks: int, config: STEMConfig) -> None:
        super().__init__()
        width = sum(widths)
        experts = tasks * config.own_experts + config.shared_experts
        self.experts = Experts(width + values, config.own_experts, config.expert, config.dropout)
        self.gate = Gate(2 * width + values, experts, config.gate)
        self.tower = tower(config.expert[-1], config.tower, config.ensemble)
        self.members = MemberScale(config.ensemble, widths) if config.ensemble > 1 else None

    def scaled(self, own_BE: Tensor) -> Tensor:
        """The task's embeddings, those of all members of an ensemble."""
        return own_BE if self.members is None else self.members(own_BE)


class STEM(Architecture):
    """Shared experts over the shared tables, experts of each task over the task's tables; gates mix all of them.

    A task reads the outputs of other tasks' experts, but its loss does not reach them. So a task's tables, experts,
    gate and tower are its own; tasks share the shared tables and experts.

    Args:
        embedding: The embedding of the features: the shared tables, then those of each task.
        values: Number of further columns of the input, such as numeric values.
        tasks: The names of the tasks.
        config: Number and sizes of the layers.
    """

    def __init__(self, embedding: Embedding, *, values: int, tasks: Sequence[str], config: STEMConfig) -> None:
        super().__init__(embedding)
        self._tasks, self.own_tables = tuple(tasks), len(tasks)
        widths = self.shared_layout.widths
        self._width = sum(widths)
        self.shared = Experts(self._width + values, config.shared_experts, config.expert, config.dropout)
        self.own = nn.ModuleList(_OwnLayers(widths, values, len(tasks), config) for _ in tasks)

    def through(
        self, pooled_BE: Tensor, value_BV: Tensor, own_BX: Tensor | None = None
    ) -> tuple[Tensor, tuple[View, ...]]:
        """As the base has it; ``own_BX`` is needed."""
        assert own_BX is not None, "its tasks have tables of their own"
        input_BX = self.layers_input(pooled_BE, value_BV)
        own = [layers.scaled(own_BE) for layers, own_BE in zip(self._own(), own_BX.split(self._width, 1), strict=True)]
        if self.members is None:
            return self.through_layers(input_BX, own)
        logits_NT, views = self.through_layers(self.members(input_BX), own)
        return self.members.apart(logits_NT), views

    def through_layers(self, input_BX: Tensor, own: Sequence[Tensor] = ()) -> tuple[Tensor, tuple[View, ...]]:
        """Logits B x T, and for each task a view of the shared experts' outputs B x m x D, and of the shared input.

        Args:
            input_BX: The shared input.
            own: The embeddings of each task's own tables, B x E, which its experts read in place of the shared ones.
        """
        views = tuple(zip(*(views_of(tensor, len(own)) for tensor in (self.shared(input_BX), input_BX)), strict=True))
        read = [self._own_input(own_BE, input_BX) for own_BE, (_, input_BX) in zip(own, views, strict=True)]
        outputs = [layers.experts(own_BX) for layers, own_BX in zip(self._own(), read, strict=True)]
        logits = [self._logit(task, own[task], view, outputs) for task, view in enumerate(views)]
        return torch.cat(logits, dim=1), views

    def _own(self) -> list[_OwnLayers]:
        return [cast("_OwnLayers", layers) for layers in self.own]

    def _own_input(self, own_BE: Tensor, input_BX: Tensor) -> Tensor:
        """The shared input with a task's embeddings in place of the shared ones, which are its first columns."""
        return torch.cat([own_BE, input_BX[:, self._width :]], dim=1)

    def _logit(self, task: int, own_BE: Tensor, view: Sequence[Tensor], outputs: Sequence[Tensor]) -> Tensor:
        """One task's logit, B x 1; of the outputs of other tasks' experts only the values are read."""
        shared_BND, input_BX = view
        layers, mine = self._own()[task], [o if other == task else o.detach() for other, o in enumerate(outputs)]
        share_BN = layers.gate(torch.cat([own_BE, input_BX], dim=1))
        logit_B1: Tensor = layers.tower(mixed(share_BN, torch.cat([*mine, shared_BND], dim=1)))
        return logit_B1

    def output_layers(self) -> list[nn.Linear | BatchedLinear]:
        """The last layer of each task's own tower."""
        return [last_layer(layers.tower) for layers in self._own()]

    def shared_layers(self) -> list[nn.Parameter]:
        """The parameters of the shared experts."""
        return list(self.shared.parameters())

    def expert_gates(self) -> Mapping[str, nn.Module]:
        """The gate of each task; its shares are those of all tasks' experts, task by task, then of the shared ones."""
        return {task: layers.gate for task, layers in zip(self._tasks, self._own(), strict=True)}


class STEMConfig(ArchitectureConfig):
    """Shared and task-specific embeddings (STEM-Net, Su et al., AAAI 2024): each task has tables of its own.

    Every feature has 1 + T embeddings, one that tasks share and one a task, of which each goes through its own experts.
    The gate of a task mixes all experts; the outputs of other tasks' experts are read without training them. A
    departure: a gate reads the task's and the shared embeddings side by side, not their sum, which is a special case of
    it. Numbers, and the columns that an interaction adds, are read beside both. Tasks read no single vector, so methods
    with rotations are refused.

    Args:
        kind: The architecture.
        shared_experts: Number of shared experts.
        own_experts: Number of experts of each task.
        expert: Units of each layer of an expert.
        gate: Units of each hidden layer of a gate; empty for one linear layer.
        tower: Units of each hidden layer of a task's tower; empty for one linear layer.
        dropout: Dropout of the experts.
    """

    has_own_tables: ClassVar[bool] = True

    kind: Literal["stem"] = "stem"
    shared_experts: PositiveInt = 2
    own_experts: PositiveInt = 1
    expert: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (96,)
    gate: tuple[PositiveInt, ...] = ()
    tower: tuple[PositiveInt, ...] = ()
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @classmethod
    def example(cls) -> Self:
        """Two experts of each kind, gates and towers with a hidden layer."""
        return cls(shared_experts=2, own_experts=2, expert=(6, 5), gate=(4,), tower=(4,))

    def network(
        self, embedding: Embedding, *, values: int, tasks: Sequence[str], head_transform: HeadTransform | None
    ) -> STEM:
        """The network with these keys."""
        del head_transform  # None: there is no vector to map
        return STEM(embedding, values=values, tasks=tasks, config=self)
