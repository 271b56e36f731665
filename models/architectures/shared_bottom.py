"""Towers on a shared bottom: the default architecture, and the GradOPS paper's network on Census-income."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from models.architectures.base import Architecture, HeadTransform, first_layer
from models.architectures.base_config import ArchitectureConfig
from models.embedding.base import Embedding
from models.layers import towers
from models.layers.experts import BatchedLinear
from models.layers.multilayer import multilayer
from models.layers.views import views_of


class SharedBottom(Architecture):
    """Embeddings and numeric values, a shared multi-layer perceptron, one tower a task.

    The defaults are the network of the GradOPS paper on Census-income: two ReLU layers of 192 units, dropout 0.3.

    Args:
        embedding: The embedding of the features.
        values: Number of further columns of the input, such as numeric values.
        tasks: Number of tasks, T.
        bottom: Units of each shared layer, each followed by ReLU and dropout.
        tower: Units of each hidden layer of a tower; empty for one linear layer.
        dropout: Probability of dropping a unit of the shared layers while training, in [0, 1).
        members: Number of members of an ensemble, see :attr:`ArchitectureConfig.ensemble`.
        head_transform: Module through which the towers read the shared representation; None for none.
    """

    def __init__(
        self,
        embedding: Embedding,
        *,
        values: int,
        tasks: int,
        bottom: Sequence[int] = (192, 192),
        tower: Sequence[int] = (),
        dropout: float = 0.3,
        members: int = 1,
        head_transform: HeadTransform | None = None,
    ) -> None:
        super().__init__(embedding, head_transform)
        width = sum(embedding.layout.widths) + values
        self.bottom = multilayer(width, bottom, dropout)
        shared = bottom[-1] if bottom else width
        self.towers = nn.ModuleList(towers.tower(shared, tower, members) for _ in range(tasks))

    def through_layers(self, input_BX: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Logits B x T, and T views B x D of the bottom's output, before any head transform."""
        views = views_of(self.bottom(input_BX), len(self.towers))
        read = views if self.head_transform is None else self.head_transform(views)
        return torch.cat([tower(view) for tower, view in zip(self.towers, read, strict=True)], dim=1), views

    def input_layers(self) -> Sequence[nn.Linear | BatchedLinear]:
        """The first layer of the bottom."""
        return [first_layer(self.bottom)]

    def shared_layers(self) -> list[nn.Parameter]:
        """The parameters of the bottom; each tower is its task's own."""
        return list(self.bottom.parameters())

    def heads(self) -> Sequence[nn.Linear | BatchedLinear]:
        """The first layer of each tower."""
        return [first_layer(tower) for tower in self.towers]


class SharedBottomConfig(ArchitectureConfig):
    """The shared-bottom network; the defaults are the GradOPS paper's.

    Args:
        kind: The architecture.
        bottom: Units of each shared layer.
        tower: Units of each hidden layer of a task's tower; empty for one linear layer.
        dropout: Dropout of the shared layers.
    """

    kind: Literal["shared_bottom"] = "shared_bottom"
    bottom: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (192, 192)
    tower: tuple[PositiveInt, ...] = ()
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3

    @property
    def head_width(self) -> int:
        """The number of units of the bottom's last layer."""
        return self.bottom[-1]

    @classmethod
    def example(cls) -> Self:
        """A network with two shared layers and one hidden layer a tower."""
        return cls(bottom=(8, 6), tower=(4,), dropout=0.0)

    def network(
        self, embedding: Embedding, *, values: int, tasks: Sequence[str], head_transform: HeadTransform | None
    ) -> SharedBottom:
        """The network with these keys."""
        return SharedBottom(
            embedding,
            values=values,
            tasks=len(tasks),
            bottom=self.bottom,
            tower=self.tower,
            dropout=self.dropout,
            members=self.ensemble,
            head_transform=head_transform,
        )
