"""The cut at the output of embedding tables: a leaf for the model, and exact per-task gradients of the touched rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from features.encoder import Table
from models.transfer import sent


@dataclass(frozen=True)
class Bags:
    """The rows that each bag reads, feature by feature.

    Args:
        ids_N: Row of the feature's table, for every entry of every bag, features one after another.
        lengths_FB: Entries of each of the F x B bags.
        weight_N: Factor of each entry in its bag's sum (1 / length for a mean); None for all 1.
        known_FB: The lengths on the CPU, where the bags came from there: reading them waits for no device.
        most_rows: The largest number of rows that any rank has of the batch; None where ranks have to ask each other.
        most_entries_F: Likewise of the entries of each feature.
    """

    ids_N: Tensor
    lengths_FB: Tensor
    weight_N: Tensor | None = None
    known_FB: Tensor | None = None
    most_rows: int | None = None
    most_entries_F: Sequence[int] | None = None

    def entries(self, features: int) -> list[int]:
        """The number of entries of each feature."""
        lengths_FB = self.lengths_FB if self.known_FB is None else self.known_FB
        return lengths_FB.view(features, -1).sum(1).tolist() if len(lengths_FB) else [0] * features

    def to(self, device: torch.device) -> Bags:
        """The bags on a device; the device is not waited for."""
        weight_N = None if self.weight_N is None else sent(self.weight_N, device)
        known_FB = self.lengths_FB if self.lengths_FB.device.type == "cpu" else self.known_FB
        there = replace(self, ids_N=sent(self.ids_N, device), lengths_FB=sent(self.lengths_FB, device))
        return replace(there, weight_N=weight_N, known_FB=known_FB)

    def repeated(self, times: int) -> Bags:
        """The bags of all features several times one after another, for tables that read them several times."""
        weight_N, known_FB = (None if v is None else v.repeat(times) for v in (self.weight_N, self.known_FB))
        most_F = None if self.most_entries_F is None else [*self.most_entries_F] * times
        return Bags(self.ids_N.repeat(times), self.lengths_FB.repeat(times), weight_N, known_FB, self.most_rows, most_F)


@dataclass(frozen=True)
class Layout:
    """The places of features among the pooled columns, and the tables that they share.

    Args:
        widths: Embedding width of each feature, in the order of the pooled columns.
        tables: The number of each feature's table.
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

    def first(self, parts: int) -> Layout:
        """The layout of the first part of the tables, where they are the same features' tables several times."""
        features, tables = len(self.widths) // parts, len(self.rows) // parts
        return Layout(self.widths[:features], self.tables[:features], self.rows[:tables])

    def starts(self) -> list[int]:
        """The number of each table's row 0, the rows of all tables numbered consecutively; and the number of rows."""
        return [0, *accumulate(self.rows)]

    def first_row_F(self) -> Tensor:
        """The number of row 0 of each feature's table, the rows of all tables numbered consecutively."""
        starts = torch.tensor(self.starts())
        # Sorting rows is the largest cost of a Gram matrix of tables; it takes half the time in 32 bits.
        return starts[torch.tensor(self.tables)].to(torch.int32 if starts[-1] < 1 << 31 else torch.int64)

    def row_N(self, bags: Bags) -> Tensor:
        """The row of every entry of a batch's bags, the rows of all tables numbered consecutively."""
        first_row_F = sent(self.first_row_F(), bags.ids_N.device)
        counts_F = bags.lengths_FB.view(len(first_row_F), -1).sum(1) if len(bags.lengths_FB) else 0 * first_row_F
        return bags.ids_N + first_row_F.repeat_interleave(counts_F, output_size=len(bags.ids_N))

    def number_F(self, width: int) -> Tensor:
        """The number of each feature among those of this width; -1 for features of other widths."""
        here_F = torch.tensor(self.widths) == width
        return torch.where(here_F, here_F.cumsum(0) - 1, -1)


@dataclass(frozen=True)
class RowGradients:
    """Task gradients of rows of equal width.

    Args:
        row_U: The rows, those of all tables numbered consecutively.
        gradient_TUW: Their gradients.
    """

    row_U: Tensor
    gradient_TUW: Tensor

    @classmethod
    def summed(cls, row_N: Tensor, gradient_NTW: Tensor) -> RowGradients:
        """Distinct rows with the sums of their gradients, from rows that may occur several times."""
        entries, tasks, width = gradient_NTW.shape
        piece_TN = torch.arange(entries * tasks, device=row_N.device).view(entries, tasks).T
        return sum_by_row(row_N, piece_TN, None, gradient_NTW.reshape(-1, width))


class Owners(Protocol):
    """Processes that read the same tables; each process owns some of the rows."""

    def collected(self, read: Sequence[RowGradients]) -> list[RowGradients]:
        """The rows that this process owns, each once, with the gradients of all processes.

        Args:
            read: For each width, the rows that this process has read, each once.
        """


@dataclass(frozen=True)
class TableCut:
    """One batch's cut; implements :class:`gradops.base.Cut` and :class:`gradops.base.OwnLeaf`.

    Args:
        pooled_BE: Pooled embeddings, attached to the tables.
        leaf_BE: The same values as a leaf that requires grad; where tasks have tables of their own, the columns of the
            tables that they share, which come first.
        bags: The rows of these tables that the batch read.
        layout: Columns and tables of the features, again those that tasks share.
        owners: The processes that read the tables together and sum the gradients of their rows; None for one process.
        own_BX: The columns of the tables of which each is one task's own, as a leaf that requires grad; None without
            any.
    """

    pooled_BE: Tensor
    leaf_BE: Tensor
    bags: Bags
    layout: Layout
    owners: Owners | None = None
    own_BX: Tensor | None = None

    @classmethod
    def of(cls, pooled_BE: Tensor, bags: Bags, layout: Layout, owners: Owners | None = None) -> TableCut:
        """Cut the graph at the pooled embeddings."""
        return cls(pooled_BE, pooled_BE.detach().requires_grad_(), bags, layout, owners)

    def with_own(self, bags: Bags, layout: Layout) -> TableCut:
        """The cut of the same tables, of which all but the first are a task's own.

        Args:
            bags: The rows that the batch read in the tables that tasks share.
            layout: Columns and tables of these.
        """
        leaf_BE, own_BX = self.pooled_BE.detach().tensor_split([sum(layout.widths)], dim=1)
        leaves = (leaf_BE.requires_grad_(), own_BX.requires_grad_())
        return replace(self, leaf_BE=leaves[0], own_BX=leaves[1], bags=bags, layout=layout)

    def piece(self, rows: slice) -> tuple[Tensor, Tensor | None]:
        """What a micro-batch of some rows reads: a leaf of its own, and its rows of the tasks' own columns."""
        own_BX = None if self.own_BX is None else self.own_BX[rows]
        return self.leaf_BE[rows].detach().requires_grad_(), own_BX

    def backward(self, cotangent_BE: Tensor) -> None:
        """Send one cotangent into the tables: each is touched exactly once a step.

        Args:
            cotangent_BE: That of the leaf; the cotangent of the tasks' own columns is that leaf's ``.grad``.
        """
        if self.own_BX is not None:
            own_BX = torch.zeros_like(self.own_BX) if self.own_BX.grad is None else self.own_BX.grad
            cotangent_BE = torch.cat([cotangent_BE, own_BX], dim=1)
        self.pooled_BE.backward(cotangent_BE)

    def task_gradients(self, cotangent_BTE: Tensor) -> Iterator[Tensor]:
        """T x (touched rows * width) task gradients, one block for each embedding width.

        Among several processes each gives the rows that it owns; the Gram matrices add up to that of dense gradients.
        Entries of equal row are summed over bags and features before anything else: the Gram matrix of unsummed
        cotangents is off by up to 0.9 on small tables.
        """
        read = (self._read(cotangent_BTE, width) for width in sorted(set(self.layout.widths)))
        rows = read if self.owners is None else self.owners.collected([*read])
        for of_width in rows:
            yield of_width.gradient_TUW.flatten(1)

    def _read(self, cotangent_BTE: Tensor, width: int) -> RowGradients:
        """The gradients of the rows of one width that this process has read."""
        number_F = sent(self.layout.number_F(width), cotangent_BTE.device)
        widths_F = torch.tensor(self.layout.widths)
        mine_E = (widths_F == width).repeat_interleave(widths_F)
        # By number: the true elements of a mask on a GPU would have to be counted.
        mine_X = mine_E.nonzero().squeeze(1)
        mine_BTX = cotangent_BTE if mine_E.all() else cotangent_BTE[:, :, sent(mine_X, cotangent_BTE.device)]
        return self._summed(mine_BTX, number_F, width)

    def _summed(self, cotangent_BTX: Tensor, number_F: Tensor, width: int) -> RowGradients:
        """The gradients of the tables of one width; their features have the numbers from 0 up."""
        batch, tasks, columns = cotangent_BTX.shape
        entry_N, feature_N, example_N = self._entries(number_F, batch)
        weight_N = None if self.bags.weight_N is None else self.bags.weight_N[entry_N]
        first_row_F = sent(self.layout.first_row_F(), feature_N.device)
        row_N = self.bags.ids_N[entry_N] + first_row_F[feature_N]
        pieces = columns // width
        # Cotangents as pieces of one width, and the piece of each entry, for every task.
        piece_N = example_N.long() * (tasks * pieces) + number_F[feature_N]
        piece_TN = piece_N + pieces * torch.arange(tasks, device=piece_N.device)[:, None]
        return sum_by_row(row_N, piece_TN, weight_N, cotangent_BTX.reshape(-1, width))

    def _entries(self, number_F: Tensor, batch: int) -> tuple[Tensor | slice, Tensor, Tensor]:
        """The entries of numbered features in the batch's first rows: their places, features and examples."""
        lengths_FB, entries = self.bags.lengths_FB, len(self.bags.ids_N)
        bag_N = torch.repeat_interleave(lengths_FB, output_size=entries)
        rows = len(lengths_FB) // len(number_F)
        feature_N, example_N = torch.div(bag_N, max(rows, 1), rounding_mode="floor"), bag_N % max(rows, 1)
        if batch == rows and len(set(self.layout.widths)) == 1:
            return slice(None), feature_N, example_N
        entry_N = ((number_F[feature_N] >= 0) & (example_N < batch)).nonzero().squeeze(1)
        return entry_N, feature_N[entry_N], example_N[entry_N]


def sum_by_row(row_N: Tensor, piece_TN: Tensor, weight_N: Tensor | None, pieces_PW: Tensor) -> RowGradients:
    """The pieces of all entries of equal row summed; a sort, and one embedding bag for all tasks."""
    tasks, entries = piece_TN.shape
    sorted_N, order_N = row_N.sort(stable=True)
    row_U, counts_U = sorted_N.unique_consecutive(return_counts=True)
    start_U = counts_U.cumsum(0) - counts_U
    start_TU = start_U + entries * torch.arange(tasks, device=start_U.device)[:, None]
    weights = None if weight_N is None else weight_N[order_N].repeat(tasks)
    sums = functional.embedding_bag(
        piece_TN[:, order_N].flatten(), pieces_PW, start_TU.flatten(), mode="sum", per_sample_weights=weights
    )
    return RowGradients(row_U, sums.view(tasks, len(row_U), pieces_PW.shape[1]))
