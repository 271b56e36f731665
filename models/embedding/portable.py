"""The embedding that serves: the same weights, under the same names, in plain torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from features.encoder import Table
from models.embedding.base import Embedding
from models.embedding.cut import Bags, Layout


class PortableEmbedding(Embedding):
    """A drop-in for :class:`models.embedding.torchrec.TorchRecEmbedding` that needs no TorchRec.

    Its state dict has the same keys.

    Args:
        tables: The tables; their features one after another are the pooled columns.
    """

    def __init__(self, tables: Sequence[Table]) -> None:
        super().__init__()
        self.layout = Layout.of(tables)
        # Drawn here as a bag would draw them: on the device "meta" a bag needs torch's compiler for its own draw.
        bags = {
            t.weights_name: nn.EmbeddingBag(t.rows, t.width, mode="sum", _weight=torch.randn(t.rows, t.width))
            for t in tables
        }
        self.collection = nn.ModuleDict({"embedding_bags": nn.ModuleDict(bags)})

    def forward(self, bags: Bags) -> Tensor:
        """Pooled embeddings B x E."""
        lengths_FB = bags.lengths_FB.view(len(self.layout.widths), -1)
        entries = lengths_FB.sum(1).tolist()
        ids = bags.ids_N.split(entries)
        weights = [None] * len(entries) if bags.weight_N is None else bags.weight_N.split(entries)
        offsets_FB = lengths_FB.cumsum(1) - lengths_FB
        tables = list(self.tables())
        read_F = [tables[place] for place in self.layout.tables]
        return torch.cat(
            [
                functional.embedding_bag(i, table, o.to(i.dtype), mode="sum", per_sample_weights=w)
                for i, o, w, table in zip(ids, offsets_FB, weights, read_F, strict=True)
            ],
            dim=1,
        )
