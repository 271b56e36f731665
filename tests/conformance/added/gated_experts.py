"""Experts that all tasks share, mixed for each task by a gate of its own.

Each expert is a layer of units with a ReLU over everything that is known of a row, x. Task t adds up the experts'
outputs by the shares that its gate gives them, softmax(W x + b), and its tower makes a logit of the sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from models.architectures.base import Architecture, HeadTransform, View
from models.architectures.base_config import ArchitectureConfig
from models.embedding.base import Embedding
from models.layers.multilayer import multilayer
from models.layers.towers import tower
from models.layers.views import views_of


class GatedExperts(Architecture):
    """Shared experts; a gate and a tower a task.

    Args:
        embedding: The embedding of the features.
        values: Number of numeric values beside the embeddings.
        tasks: Number of tasks, T.
        config: Number and units of the experts.
    """

    def __init__(self, embedding: Embedding, *, values: int, tasks: int, config: GatedExpertsConfig) -> None:
        super().__init__(embedding)
        width = sum(embedding.layout.widths) + values
        self.experts = nn.ModuleList(multilayer(width, [config.units]) for _ in range(config.experts))
        self.gates = nn.ModuleList(nn.Linear(width, config.experts) for _ in range(tasks))
        self.towers = nn.ModuleList(tower(config.units, [], config.ensemble) for _ in range(tasks))

    def through_layers(self, input_BX: Tensor) -> tuple[Tensor, tuple[View, ...]]:
        """Logits B x T, and for each task a view of the experts' outputs and one of x, which its gate reads."""
        output_BND = torch.stack([expert(input_BX) for expert in self.experts], dim=1)
        tasks = len(self.towers)
        views = tuple(zip(views_of(output_BND, tasks), views_of(input_BX, tasks), strict=True))
        parts = zip(views, self.gates, self.towers, strict=True)
        return torch.cat([self._logit(*view, gate, tower) for view, gate, tower in parts], dim=1), views

    def _logit(self, output_BND: Tensor, input_BX: Tensor, gate: nn.Module, tower: nn.Module) -> Tensor:
        """One task's logit, B x 1."""
        share_BN = gate(input_BX).softmax(dim=1)
        logit_B1: Tensor = tower(torch.einsum("bn,bnd->bd", share_BN, output_BND))
        return logit_B1

    def shared_layers(self) -> list[nn.Parameter]:
        """The experts'; each gate and each tower is its task's own."""
        return list(self.experts.parameters())


class GatedExpertsConfig(ArchitectureConfig):
    """Shared experts, mixed for each task by a gate of its own.

    There is no one vector that all tasks read, and so no `head_width`: methods with rotations are refused.

    Args:
        kind: The architecture.
        experts: Number of experts, at least 2.
        units: Units of each expert.
    """

    kind: Literal["gated_experts"] = "gated_experts"
    experts: Annotated[int, Field(ge=2)] = 2
    units: PositiveInt = 64

    @classmethod
    def example(cls) -> Self:
        """Two experts of a few units."""
        return cls(experts=2, units=6)

    def network(
        self, embedding: Embedding, *, values: int, tasks: Sequence[str], head_transform: HeadTransform | None
    ) -> GatedExperts:
        """The network with these keys."""
        del head_transform  # None: there is no vector to map
        return GatedExperts(embedding, values=values, tasks=len(tasks), config=self)
