"""Cross layers: products of the input with linear maps of itself, of one degree more in each layer."""

from __future__ import annotations

from typing import Annotated, Literal, Self

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from models.embedding.cut import Layout
from models.interactions.base import Interaction, InteractionConfig


class CrossLayers(Interaction):
    """The cross network of DCN-v2, below an architecture: ``x_{l+1} = x_0 * (W_l x_l + b_l) + x_l``.

    Args:
        width: Width of the input.
        layers: Number of layers.
        rank: Rank of each W, which is then a product of two matrices; 0 for a full one.
    """

    def __init__(self, width: int, layers: int, rank: int) -> None:
        super().__init__(extra=0)
        self.layers = nn.ModuleList(_map(width, rank) for _ in range(layers))

    def forward(self, pooled_BE: Tensor, value_BV: Tensor) -> Tensor:
        """The last layer's output, as wide as the input."""
        input_BX = torch.cat([pooled_BE, value_BV], dim=1)
        crossed_BX = input_BX
        for layer in self.layers:
            crossed_BX = input_BX * layer(crossed_BX) + crossed_BX
        return crossed_BX


def _map(width: int, rank: int) -> nn.Module:
    if not rank:
        return nn.Linear(width, width)
    return nn.Sequential(nn.Linear(width, rank, bias=False), nn.Linear(rank, width))


class DCNv2Config(InteractionConfig):
    """Cross layers of DCN-v2 (Wang et al., WWW 2021), below the architecture.

    Args:
        kind: The interaction.
        layers: Number of cross layers; each raises the largest degree of the products by one.
        rank: Rank of the layers' matrices; 0 for full ones, whose weights and products grow with the square of the
            input's width.
    """

    kind: Literal["dcn_v2"] = "dcn_v2"
    layers: PositiveInt = 2
    rank: Annotated[int, Field(ge=0)] = 32

    @classmethod
    def example(cls) -> Self:
        """Two layers of low rank."""
        return cls(layers=2, rank=3)

    def build(self, layout: Layout, values: int) -> CrossLayers:
        """The cross layers."""
        return CrossLayers(sum(layout.widths) + values, self.layers, self.rank)
