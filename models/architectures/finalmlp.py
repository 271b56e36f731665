"""Two streams of layers over inputs that are gated differently, fused for each task by products of both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from models.architectures.base import Architecture, HeadTransform, View
from models.architectures.base_config import ArchitectureConfig
from models.embedding.base import Embedding
from models.layers.experts import BatchedLinear
from models.layers.multilayer import multilayer
from models.layers.towers import head
from models.layers.views import views_of


class _Stream(nn.Module):
    """Layers over an input of which a gate scales each column, by 0 to 2: ``2 sigmoid(g(x)) * x``."""

    def __init__(self, width: int, config: FinalMLPConfig) -> None:
        super().__init__()
        gate = [multilayer(width, config.gate), nn.Linear([width, *config.gate][-1], width), nn.Sigmoid()]
        self.gate = nn.Sequential(*gate)
        self.layers = multilayer(width, config.bottom, config.dropout)

    def forward(self, input_BX: Tensor) -> Tensor:
        """The last layer's output, B x D."""
        output_BD: Tensor = self.layers(2 * self.gate(input_BX) * input_BX)
        return output_BD


class _Fusion(nn.Module):
    """A logit from both streams: ``w1'o1 + w2'o2 + b``, and ``o1'(W o2 + c)`` within each head, a part of the units.

    The paper has no c, which adds to w1.

    Args:
        width: Width of each stream's output, D.
        heads: Number of parts.
        members: Members of an ensemble, each of which has its own w1, w2 and b.
    """

    def __init__(self, width: int, heads: int, members: int) -> None:
        super().__init__()
        self.linear = head(2 * width, members)
        self.bilinear = BatchedLinear(heads, width // heads, width // heads)

    def forward(self, both_BX: Tensor) -> Tensor:
        """B x 1, from both outputs side by side, B x 2D."""
        first_BD, second_BD = both_BX.chunk(2, dim=1)
        heads, units = self.bilinear.bias.shape
        mapped_BD = self.bilinear(second_BD.reshape(-1, heads, units)).flatten(1)
        logit_B1: Tensor = self.linear(both_BX) + (first_BD * mapped_BD).sum(1, keepdim=True)
        return logit_B1


class FinalMLP(Architecture):
    """Two streams that tasks share, and a fusion of both for each task.

    Args:
        embedding: The embedding of the features.
        values: Number of further columns of the input, such as numeric values.
        tasks: Number of tasks, T.
        config: Number and sizes of the layers.
    """

    def __init__(self, embedding: Embedding, *, values: int, tasks: int, config: FinalMLPConfig) -> None:
        super().__init__(embedding)
        width = sum(embedding.layout.widths) + values
        self.streams = nn.ModuleList(_Stream(width, config) for _ in range(2))
        self.towers = nn.ModuleList(_Fusion(config.bottom[-1], config.heads, config.ensemble) for _ in range(tasks))

    def through_layers(self, input_BX: Tensor) -> tuple[Tensor, tuple[View, ...]]:
        """Logits B x T, and T views of both streams' outputs side by side, B x 2D."""
        views = views_of(torch.cat([stream(input_BX) for stream in self.streams], dim=1), len(self.towers))
        return torch.cat([tower(view) for tower, view in zip(self.towers, views, strict=True)], dim=1), views

    def output_layers(self) -> list[nn.Linear | BatchedLinear]:
        """The linear part of each fusion, whose bias is that of the whole."""
        parts = (fusion.get_submodule("linear") for fusion in self.towers)
        return [layer for layer in parts if isinstance(layer, nn.Linear | BatchedLinear)]

    def shared_layers(self) -> list[nn.Parameter]:
        """The parameters of the streams and their gates; each fusion is its task's own."""
        return list(self.streams.parameters())


class FinalMLPConfig(ArchitectureConfig):
    """Two streams of layers over differently gated inputs, fused by products (Mao et al., FinalMLP, AAAI 2023).

    The logit is the paper's equations 8 and 10, with one bias for all heads' sum; inputs are gated by its equations 6
    and 7. It differs in that each gate reads the whole input, where the paper's two gates read features that are chosen
    by hand, such as those of users and of items; both streams have layers of one size; and there are several tasks.

    Tasks read both vectors by products, not by linear maps, so methods with rotations are refused.

    Args:
        kind: The architecture.
        bottom: Units of each layer of a stream.
        gate: Units of each hidden layer of a stream's gate; empty for one linear layer.
        heads: Number of equal parts of the last layer's units; products are formed within each, so that more parts have
            fewer weights. It divides the units of the last layer.
        dropout: Dropout of the streams' layers.
    """

    kind: Literal["finalmlp"] = "finalmlp"
    bottom: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (192, 192)
    gate: tuple[PositiveInt, ...] = (64,)
    heads: PositiveInt = 2
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.bottom[-1] % self.heads:
            raise ValueError(f"heads: should divide the last of `bottom`, {self.bottom[-1]}; found {self.heads}")
        return self

    @classmethod
    def example(cls) -> Self:
        """Streams of two layers, two heads, gates with a hidden layer."""
        return cls(bottom=(8, 12), gate=(5,), heads=2)

    def network(
        self, embedding: Embedding, *, values: int, tasks: Sequence[str], head_transform: HeadTransform | None
    ) -> FinalMLP:
        """The network with these keys."""
        del head_transform  # None: tasks read no vector by linear maps
        return FinalMLP(embedding, values=values, tasks=len(tasks), config=self)
