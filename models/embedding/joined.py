"""The tables of one width as one tensor, which one look-up reads."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from models.embedding.cut import Bags, Layout
from models.embedding.stored import StoredRows


class Joined:
    """The tables of one width as one tensor.

    Args:
        stored: All rows of these tables.
        feature_G: The features of this width.
        first_G: The row of the tensor that is row 0 of each feature's table.
        features: The number of all features.
    """

    def __init__(self, stored: StoredRows, feature_G: Sequence[int], first_G: Sequence[int], features: int) -> None:
        self.stored = stored
        rows, self.width = stored.rows_RW.shape
        self.first_G = torch.tensor(first_G, dtype=torch.int32 if rows < 1 << 31 else torch.int64)
        self.feature_G = torch.tensor(feature_G)
        self.is_own_F = torch.zeros(features, dtype=torch.bool)
        self.is_own_F[self.feature_G] = True

    @classmethod
    def of(cls, layout: Layout, width: int, stored: StoredRows) -> Joined:
        """The features of a layout that have this width."""
        feature_G = [feature for feature, own in enumerate(layout.widths) if own == width]
        first, row = dict[int, int](), 0
        for table in dict.fromkeys(layout.tables[feature] for feature in feature_G):
            first[table] = row
            row += layout.rows[table]
        return cls(stored, feature_G, [first[layout.tables[f]] for f in feature_G], len(layout.widths))

    def of_features(self, chosen: Sequence[int]) -> Joined | None:
        """The same rows, read by some of all features alone, in this order; None if none of them has this width."""
        first = dict(zip(self.feature_G.tolist(), self.first_G.tolist(), strict=True))
        places = [place for place, feature in enumerate(chosen) if feature in first]
        if not places:
            return None
        return Joined(self.stored, places, [first[chosen[place]] for place in places], len(chosen))

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
        pooled_XW = self.stored.summed(row_N, begin_X, weight_N)
        return pooled_XW.view(features, rows, self.width).transpose(0, 1).reshape(rows, features * self.width)


def order(layout: Layout) -> Tensor:
    """The place of each column of the features, in their order, where features of one width stand together."""
    widths = torch.tensor(layout.widths)
    column_E = torch.arange(int(widths.sum())).split(layout.widths)
    together_E = torch.cat(
        [column_E[f] for w in sorted(set(layout.widths)) for f, own in enumerate(layout.widths) if own == w]
    )
    return together_E.argsort()
