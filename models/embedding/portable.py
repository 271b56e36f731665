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
        self._joined: list[_Joined] = []

    @torch.no_grad()
    def join(self) -> None:
        """Make the tables of each width parts of one tensor, which one look-up reads; called once they are loaded.

        Their names and values stay. They cannot be trained by it: gradients would be those of the whole tensor.
        """
        tables = list(self.tables())
        for width in sorted(set(self.layout.widths)):
            mine = [place for place, table in enumerate(tables) if table.shape[1] == width]
            whole_RW = torch.cat([tables[place] for place in mine])
            for place, part in zip(mine, whole_RW.split([len(tables[place]) for place in mine]), strict=True):
                tables[place].data = part
            self._joined.append(_Joined.of(self.layout, width, whole_RW))
        self._order_E = _order(self.layout)

    def forward(self, bags: Bags) -> Tensor:
        """Pooled embeddings B x E."""
        lengths_FB = bags.lengths_FB.view(len(self.layout.widths), -1)
        if not self._joined:
            return self._one_by_one(bags, lengths_FB)
        if len(self._joined) == 1:
            return self._joined[0].pooled(bags.ids_N, lengths_FB, bags.weight_N)
        entries_F = lengths_FB.sum(1)
        blocks = [joined.pooled(*joined.own(bags, lengths_FB, entries_F)) for joined in self._joined]
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


class _Joined:
    """The tables of one width as one tensor.

    Args:
        whole_RW: All rows of these tables.
        feature_G: The features of this width.
        first_G: The row of the tensor that is row 0 of each feature's table.
        features: The number of all features.
    """

    def __init__(self, whole_RW: Tensor, feature_G: Sequence[int], first_G: Sequence[int], features: int) -> None:
        self.whole_RW, self.width = whole_RW, whole_RW.shape[1]
        self.first_G = torch.tensor(first_G, dtype=torch.int32 if len(whole_RW) < 1 << 31 else torch.int64)
        self.feature_G = torch.tensor(feature_G)
        self.is_own_F = torch.zeros(features, dtype=torch.bool)
        self.is_own_F[self.feature_G] = True

    @classmethod
    def of(cls, layout: Layout, width: int, whole_RW: Tensor) -> _Joined:
        """The features of a layout that have this width."""
        feature_G = [feature for feature, own in enumerate(layout.widths) if own == width]
        first, row = dict[int, int](), 0
        for table in dict.fromkeys(layout.tables[feature] for feature in feature_G):
            first[table] = row
            row += layout.rows[table]
        return cls(whole_RW, feature_G, [first[layout.tables[f]] for f in feature_G], len(layout.widths))

    def own(self, bags: Bags, lengths_FB: Tensor, entries_F: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """The ids, lengths and weights of the features of this width."""
        is_own_N = self.is_own_F.repeat_interleave(entries_F, output_size=len(bags.ids_N))
        weight_N = None if bags.weight_N is None else bags.weight_N[is_own_N]
        return bags.ids_N[is_own_N], lengths_FB[self.feature_G], weight_N

    def pooled(self, ids_N: Tensor, lengths_GB: Tensor, weight_N: Tensor | None) -> Tensor:
        """Pooled embeddings of these features, B x (G width)."""
        features, rows = lengths_GB.shape
        row_N = ids_N + self.first_G.repeat_interleave(lengths_GB.sum(1), output_size=len(ids_N))
        length_X = lengths_GB.reshape(-1)
        begin_X = (length_X.cumsum(0) - length_X).to(row_N.dtype)
        pooled_XW = functional.embedding_bag(row_N, self.whole_RW, begin_X, mode="sum", per_sample_weights=weight_N)
        return pooled_XW.view(features, rows, self.width).transpose(0, 1).reshape(rows, features * self.width)


def _order(layout: Layout) -> Tensor:
    """The place of each column of the features, in their order, where features of one width stand together."""
    widths = torch.tensor(layout.widths)
    column_E = torch.arange(int(widths.sum())).split(layout.widths)
    together_E = torch.cat(
        [column_E[f] for w in sorted(set(layout.widths)) for f, own in enumerate(layout.widths) if own == w]
    )
    return together_E.argsort()
