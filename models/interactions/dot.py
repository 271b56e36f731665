"""Products of every two embeddings, as in DLRM."""

from __future__ import annotations

from typing import Literal, Self

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from models.embedding.cut import Layout
from models.interactions.base import Interaction, InteractionConfig
from models.layers.experts import BatchedLinear
from models.transfer import sent


class DotProducts(Interaction):
    """The product of every two features' vectors, beside the embeddings and numbers.

    Embeddings may be of any width: a linear map of its own brings each to one width, and one map brings all numbers
    together to one more vector.

    Args:
        layout: Columns of the features.
        values: Number of numeric values.
        width: Width of the vectors.
    """

    def __init__(self, layout: Layout, values: int, width: int) -> None:
        vectors = len(layout.widths) + (values > 0)
        super().__init__(extra=vectors * (vectors - 1) // 2)
        self._widths = list(layout.widths)
        self.maps = nn.ModuleDict(
            {str(w): BatchedLinear(self._widths.count(w), w, width) for w in dict.fromkeys(self._widths)}
        )
        self.of_values = nn.Linear(values, width) if values else None

    def forward(self, pooled_BE: Tensor, value_BV: Tensor) -> Tensor:
        """Embeddings, products of pairs, and numbers."""
        parts = [self._mapped(pooled_BE, int(width), layer) for width, layer in self.maps.items()]
        if self.of_values is not None:
            parts.append(self.of_values(value_BV).unsqueeze(1))
        vector_BNW = torch.cat(parts, dim=1)
        product_BX = torch.bmm(vector_BNW, vector_BNW.transpose(1, 2)).flatten(1)
        first, second = torch.tril_indices(*(vector_BNW.shape[1],) * 2, offset=-1, device=pooled_BE.device)
        chosen_BX = product_BX.index_select(1, first * vector_BNW.shape[1] + second)
        return torch.cat([pooled_BE, chosen_BX, value_BV], dim=1)

    def _mapped(self, pooled_BE: Tensor, width: int, layer: nn.Module) -> Tensor:
        """The vectors of all features whose embeddings have a width, B x their number x the width of vectors."""
        if len(self.maps) > 1:
            owner_E = [own for own in self._widths for _ in range(own)]
            mine_E = torch.tensor([column for column, own in enumerate(owner_E) if own == width])
            pooled_BE = pooled_BE.index_select(1, sent(mine_E, pooled_BE.device))
        mapped: Tensor = layer(pooled_BE.view(-1, self._widths.count(width), width))
        return mapped


class DotConfig(InteractionConfig):
    """Products of every two features' vectors (Naumov et al., DLRM, 2019), beside embeddings and numbers.

    They differ from DLRM's in that embeddings may have different widths, which linear maps make equal.

    Args:
        kind: The interaction.
        width: Width of the vectors that are multiplied.
    """

    kind: Literal["dot"] = "dot"
    width: PositiveInt = 16

    @classmethod
    def example(cls) -> Self:
        """Vectors of three numbers."""
        return cls(width=3)

    def build(self, layout: Layout, values: int) -> DotProducts:
        """The products."""
        return DotProducts(layout, values, self.width)
