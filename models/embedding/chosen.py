"""The pooled embeddings of some of a network's features, from the tables that serve all of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from models.embedding.cut import Bags, Layout
from models.embedding.joined import order
from models.embedding.portable import PortableEmbedding


class ChosenEmbedding:
    """Pools the bags of some features; nothing of the tables is copied.

    Args:
        source: The embedding of all features, joined.
        features: The places of the chosen features among all, ascending.
    """

    def __init__(self, source: PortableEmbedding, features: Sequence[int]) -> None:
        layout = source.layout
        self._features = len(features)
        chosen = Layout([layout.widths[f] for f in features], [layout.tables[f] for f in features], layout.rows)
        self._order_E = order(chosen) if features else torch.empty(0, dtype=torch.int64)
        found = (joined.of_features(features) for joined in source.joined)
        self._joined = [joined for joined in found if joined is not None]

    def __call__(self, bags: Bags, rows: int) -> Tensor:
        """Pooled embeddings of rows, B x E of the chosen features, in their order."""
        if not self._features:
            return torch.empty(rows, 0)
        lengths_FB = bags.lengths_FB.view(self._features, rows)
        if len(self._joined) == 1:
            return self._joined[0].pooled(bags.ids_N, lengths_FB, bags.weight_N)
        entries_F = lengths_FB.sum(1)
        blocks = [joined.pooled(*joined.own(bags, lengths_FB, entries_F)) for joined in self._joined]
        return torch.cat(blocks, dim=1)[:, self._order_E]
