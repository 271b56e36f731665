"""The embedding that serves: the same weights, under the same names, in plain torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from features.encoder import Table
from models.embedding.base import Embedding
from models.embedding.cut import Bags, Layout
from models.embedding.joined import Joined, order
from models.embedding.precisions import FLOAT32, Precision
from models.embedding.stored import STORED


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
        self.joined: list[Joined] = []

    @torch.no_grad()
    def join(self, precision: Precision = FLOAT32) -> None:
        """Make the tables of each width parts of one tensor, which one look-up reads; called once they are loaded.

        In float32 their names and values stay. They cannot be trained by it: gradients would be those of the whole
        tensor. In another precision they are no parameters any more, and nothing is left of them in float32.

        Args:
            precision: Precision of the tensor.

        Raises:
            InputError: If a number is too large for the precision.
        """
        tables = list(self.tables())
        for width in sorted(set(self.layout.widths)):
            mine = [place for place, table in enumerate(tables) if table.shape[1] == width]
            stored = STORED[precision].of([tables[place] for place in mine])
            if precision == FLOAT32:
                parts = stored.rows_RW.split([len(tables[place]) for place in mine])
                for place, part in zip(mine, parts, strict=True):
                    tables[place].data = part
            self.joined.append(Joined.of(self.layout, width, stored))
        if precision != FLOAT32:
            self.collection = nn.ModuleDict()
        self._order_E = order(self.layout)

    @property
    def precision(self) -> Precision:
        """The precision of the tables."""
        return self.joined[0].stored.precision if self.joined else FLOAT32

    @property
    def size(self) -> int:
        """The bytes of the tables, which are joined."""
        return sum(joined.stored.size for joined in self.joined)

    def forward(self, bags: Bags) -> Tensor:
        """Pooled embeddings B x E."""
        lengths_FB = bags.lengths_FB.view(len(self.layout.widths), -1)
        if not self.joined:
            return self._one_by_one(bags, lengths_FB)
        if len(self.joined) == 1:
            return self.joined[0].pooled(bags.ids_N, lengths_FB, bags.weight_N)
        entries_F = lengths_FB.sum(1)
        blocks = [joined.pooled(*joined.own(bags, lengths_FB, entries_F)) for joined in self.joined]
        return torch.cat(blocks, dim=1)[:, self._order_E]

    def _one_by_one(self, bags: Bags, lengths_FB: Tensor) -> Tensor:
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
