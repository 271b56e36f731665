"""The embedding of a graph that leaves torch: pooled by operations that ONNX has, for any number of rows and ids."""

from __future__ import annotations

import torch
from torch import Tensor

from models.embedding.base import Embedding
from models.embedding.cut import Bags
from models.embedding.joined import Joined, order
from models.embedding.portable import PortableEmbedding


class ExportedEmbedding(Embedding):
    """The same function as a :class:`~models.embedding.portable.PortableEmbedding`, whose tables are joined.

    ONNX has no bag of embeddings: rows are gathered and added to their bag's place. Tables keep their precision: the
    rows that are gathered are turned into float32.

    Args:
        source: The embedding, joined (:meth:`~models.embedding.portable.PortableEmbedding.join`); its tables are not
            copied.

    Raises:
        ValueError: If its tables are not joined.
    """

    def __init__(self, source: PortableEmbedding) -> None:
        super().__init__()
        if not source.joined:
            raise ValueError("the tables of the embedding should be joined. Found them apart.")
        self.layout = source.layout
        self._widths = [_Width(joined, len(self.layout.widths)) for joined in source.joined]
        self.widths = torch.nn.ModuleList(self._widths)
        self.register_buffer("order_E", order(self.layout))

    def forward(self, bags: Bags) -> Tensor:
        """Pooled embeddings B x E."""
        features = len(self.layout.widths)
        rows = bags.lengths_FB.shape[0] // features
        bag_N = bag_of_entries(bags)
        feature_N = torch.div(bag_N, rows, rounding_mode="floor")
        row_N = bag_N - feature_N * rows
        is_alone = len(self._widths) == 1
        blocks = [width(bags, feature_N, row_N, rows, is_alone=is_alone) for width in self._widths]
        return torch.cat(blocks, dim=1).index_select(1, self.get_buffer("order_E"))


def bag_of_entries(bags: Bags) -> Tensor:
    """The number of each entry's bag."""
    length_X = bags.lengths_FB
    begin_X = length_X.cumsum(0) - length_X
    # Bags without an entry begin where the next one does, the last ones behind the last entry.
    begun_M = torch.zeros(bags.ids_N.shape[0] + 1, dtype=torch.int64)
    begun_M = begun_M.index_put((begin_X,), torch.ones_like(begin_X), accumulate=True)
    return begun_M[:-1].cumsum(0) - 1


class _Width(torch.nn.Module):
    """The tables of one width.

    Args:
        joined: These tables.
        features: The number of all features.
    """

    first_F: Tensor
    place_F: Tensor
    is_own_F: Tensor

    def __init__(self, joined: Joined, features: int) -> None:
        super().__init__()
        self.stored = joined.stored
        self._width, self._own = joined.width, len(joined.feature_G)
        first_F, place_F = (torch.zeros(features, dtype=torch.int64) for _ in range(2))
        first_F[joined.feature_G] = joined.first_G.long()
        place_F[joined.feature_G] = torch.arange(self._own)
        buffers = {"first_F": first_F, "place_F": place_F, "is_own_F": joined.is_own_F}
        for name, buffer in buffers.items():
            self.register_buffer(name, buffer)

    def forward(self, bags: Bags, feature_N: Tensor, row_N: Tensor, rows: int, *, is_alone: bool) -> Tensor:
        """Pooled embeddings of the features of this width, B x (G width)."""
        ids_N, weight_N = bags.ids_N, bags.weight_N
        if not is_alone:
            own_M = self.is_own_F[feature_N].nonzero().squeeze(1)
            ids_N, feature_N, row_N = ids_N[own_M], feature_N[own_M], row_N[own_M]
            weight_N = None if weight_N is None else weight_N[own_M]
        read_NW, factor_N = self.stored.read(ids_N + self.first_F[feature_N])
        for each_N in (factor_N, weight_N):
            if each_N is not None:
                read_NW = read_NW * each_N.unsqueeze(1)
        pooled_XW = torch.zeros(rows * self._own, self._width)
        place_N = row_N * self._own + self.place_F[feature_N]
        pooled_XW = pooled_XW.index_put((place_N,), read_NW, accumulate=True)
        return pooled_XW.view(rows, self._own * self._width)
