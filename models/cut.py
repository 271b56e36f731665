"""The cut at the output of embedding tables: a leaf for the model, and exact per-task gradients of the touched rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from features.encoder import Table


@dataclass(frozen=True)
class Bags:
    """Which rows each bag reads, feature by feature.

    Args:
        ids_N: Row of the feature's table, for every entry of every bag, features one after another.
        lengths_FB: Entries of each of the F x B bags.
        weight_N: Factor of each entry in its bag's sum (1 / length for a mean); None for all 1.
    """

    ids_N: Tensor
    lengths_FB: Tensor
    weight_N: Tensor | None = None

    def to(self, device: torch.device) -> Bags:
        """The bags on a device."""
        weight_N = None if self.weight_N is None else self.weight_N.to(device)
        return Bags(self.ids_N.to(device), self.lengths_FB.to(device), weight_N)


@dataclass(frozen=True)
class Layout:
    """Where features stand among the pooled columns, and which of them share a table.

    Args:
        widths: Embedding width of each feature, in the order of the pooled columns.
        tables: For each feature the number of its table.
        rows: Rows of each table.
    """

    widths: Sequence[int]
    tables: Sequence[int]
    rows: Sequence[int]

    @classmethod
    def of(cls, tables: Sequence[Table]) -> Layout:
        """The layout of tables whose features stand one after another."""
        places = [i for i, table in enumerate(tables) for _ in table.features]
        return cls([tables[i].width for i in places], places, [table.rows for table in tables])

    def first_row_F(self) -> Tensor:
        """For each feature the number of its table's row 0, rows of all tables counted through."""
        starts = torch.tensor([0, *self.rows[:-1]]).cumsum(0)
        return starts[torch.tensor(self.tables)]


@dataclass(frozen=True)
class TableCut:
    """One batch's cut; implements :class:`gradops.base.Cut` for tables held whole in this process.

    Args:
        pooled_BE: Pooled embeddings, attached to the tables.
        leaf_BE: The same values as a leaf that requires grad.
        bags: What the batch read.
        layout: Columns and tables of the features.
    """

    pooled_BE: Tensor
    leaf_BE: Tensor
    bags: Bags
    layout: Layout

    @classmethod
    def of(cls, pooled_BE: Tensor, bags: Bags, layout: Layout) -> TableCut:
        """Cut the graph at the pooled embeddings."""
        return cls(pooled_BE, pooled_BE.detach().requires_grad_(), bags, layout)

    def backward(self, cotangent_BE: Tensor) -> None:
        """Send one cotangent into the tables: each is touched exactly once a step."""
        self.pooled_BE.backward(cotangent_BE)

    def task_gradients(self, cotangent_TBE: Tensor) -> Iterator[Tensor]:
        """T x (touched rows * width) task gradients, one block for each embedding width.

        Entries of equal row are summed over bags and features before anything else: the Gram matrix of unsummed
        cotangents is off by up to 0.9 on small tables.
        """
        widths_F = torch.tensor(self.layout.widths, device=cotangent_TBE.device)
        for width in sorted(set(self.layout.widths)):
            yield self._block(cotangent_TBE, (widths_F == width).nonzero().squeeze(1), width)

    def _block(self, cotangent_TBE: Tensor, feature_G: Tensor, width: int) -> Tensor:
        """The gradients of the tables that are ``width`` wide, read by the features ``feature_G``."""
        tasks, batch, _ = cotangent_TBE.shape
        blocks = cotangent_TBE.split(list(self.layout.widths), dim=2)
        mine_TBGW = torch.stack([blocks[f] for f in feature_G.tolist()], dim=2)
        cotangent_bag_TW = mine_TBGW.permute(2, 1, 0, 3).reshape(len(feature_G) * batch, tasks * width)
        entry_N, bag_N = self._entries(feature_G, batch)
        weight_N = None if self.bags.weight_N is None else self.bags.weight_N[entry_N]
        sums_UTW = _sum_by_row(self._row_N()[entry_N], bag_N, weight_N, cotangent_bag_TW)
        return sums_UTW.view(-1, tasks, width).transpose(0, 1).reshape(tasks, -1)

    def _row_N(self) -> Tensor:
        """Row of each entry, counted through all tables."""
        lengths_F = self.bags.lengths_FB.view(len(self.layout.widths), -1).sum(1)
        first_row_F = self.layout.first_row_F().to(self.bags.ids_N.device)
        return self.bags.ids_N + first_row_F.repeat_interleave(lengths_F)

    def _entries(self, feature_G: Tensor, batch: int) -> tuple[Tensor, Tensor]:
        """Places of the features' entries among all entries, and each one's bag among the features' G x B bags."""
        features = len(self.layout.widths)
        bag_N = torch.arange(features * batch, device=feature_G.device).repeat_interleave(self.bags.lengths_FB)
        group_F = torch.full((features,), -1, device=feature_G.device)
        group_F[feature_G] = torch.arange(len(feature_G), device=feature_G.device)
        group_N = group_F[bag_N // batch]
        entry_N = (group_N >= 0).nonzero().squeeze(1)
        return entry_N, (group_N * batch + bag_N % batch)[entry_N]


def _sum_by_row(row_N: Tensor, bag_N: Tensor, weight_N: Tensor | None, cotangent_bag_X: Tensor) -> Tensor:
    """Sum the bags' cotangents over all entries of equal row: a sort, and one embedding bag per distinct row."""
    order_N = row_N.argsort(stable=True)
    _, counts_U = row_N[order_N].unique_consecutive(return_counts=True)
    offsets_U = counts_U.cumsum(0) - counts_U
    weights = None if weight_N is None else weight_N[order_N]
    return functional.embedding_bag(bag_N[order_N], cotangent_bag_X, offsets_U, mode="sum", per_sample_weights=weights)
