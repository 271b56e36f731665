"""Tables of which every rank has a copy: reading them takes no exchange, and a step of all of them takes one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

import torch
import torch.distributed as dist
from fbgemm_gpu.split_table_batched_embeddings_ops_training import DenseTableBatchedEmbeddingBagsCodegen as DenseKernel
from torch import Tensor
from torch.nn import functional

from features.encoder import Table
from models.embedding.copies import TallTable
from models.embedding.cut import Bags, sum_by_row
from models.embedding.fused import fixed_weights
from models.embedding.gathering import told_by_all

# Number of weights below which a table's whole gradient is sent: mostly fewer bytes than what a batch has read of it.
DENSE_BELOW = 10_000


class CopiedTables:
    """Tables that every rank reads by itself and all ranks step alike.

    Of small tables the ranks tell each other dense gradients; of others the rows that they have read, and the
    cotangents of their bags. All of it travels in one exchange, and every rank adds it up in the same order, so that
    the copies stay equal to the bit.

    ``part_of`` has the number of the part that reads each table, by its name.

    Args:
        tables: The tables.
        device: This rank's device.
        processes: The process group; None for the default one.
        dense_below: Number of weights below which a table is small.
    """

    def __init__(
        self,
        tables: Sequence[Table],
        device: torch.device,
        processes: dist.ProcessGroup | None,
        dense_below: int = DENSE_BELOW,
    ) -> None:
        self.part_of = {t.name: 0 if t.rows * t.width < dense_below else t.width for t in tables}
        numbers = sorted({*self.part_of.values()})
        alike = {number: [table for table in tables if self.part_of[table.name] == number] for number in numbers}
        self._rows_F = {
            number: torch.tensor([t.rows for t in part for _ in t.features], device=device)
            for number, part in alike.items()
        }
        self._parts: dict[int, DenseCopies | RowCopies] = {
            number: RowCopies(part, device) if number else DenseCopies(part, device) for number, part in alike.items()
        }
        self._processes = processes

    @property
    def tall(self) -> list[TallTable]:
        """The tables, those of equal width that stand together as one."""
        return [tall for part in self._parts.values() for tall in part.tall]

    def pooled(self, bags: Mapping[int, Bags]) -> dict[int, Tensor]:
        """Pooled embeddings of the features of each part, by its number; with gradients, those of the pass before go.

        Args:
            bags: The bags of each part's features, with the sizes of all ranks' batches where gradients are wanted.

        Raises:
            RuntimeError: If an id is not a row of its table.
        """
        for number, rows_F in self._rows_F.items():
            _check_ids(bags[number], rows_F)
        if torch.is_grad_enabled():
            self.clear()
        return {number: part.pooled(bags[number]) for number, part in self._parts.items()}

    def clear(self) -> None:
        """Forget the gradients of this rank."""
        for part in self._parts.values():
            part.clear()

    def take_gradients(self) -> None:
        """Give the tables the sum of all ranks' gradients from the last backward pass; all ranks take part.

        Without a backward pass no table gets a gradient.
        """
        told = {number: part.told() for number, part in self._parts.items()}
        values = [value for one in told.values() for value in one]
        if not values:
            return
        every_R = [iter(one) for one in told_by_all(values, self._processes)]
        for number, part in self._parts.items():
            if told[number]:
                part.take([[next(one) for _ in told[number]] for one in every_R])
        self.clear()


def _check_ids(bags: Bags, rows_F: Tensor) -> None:
    counts_F = bags.lengths_FB.view(len(rows_F), -1).sum(1)
    rows_N = rows_F.repeat_interleave(counts_F, output_size=len(bags.ids_N))
    # In memory, another table follows a table's last row. On a GPU nothing waits for the answer.
    torch._assert_async(((bags.ids_N >= 0) & (bags.ids_N < rows_N)).all(), "ids should be 0 <= idx < num_rows")


class DenseCopies:
    """Small tables in one kernel, whose backward pass gives the dense gradient of all of them.

    Args:
        tables: The tables.
        device: This rank's device.
    """

    def __init__(self, tables: Sequence[Table], device: torch.device) -> None:
        places = [place for place, table in enumerate(tables) for _ in table.features]
        sizes, self._features = [(table.rows, table.width) for table in tables], len(places)
        self._kernel = DenseKernel(sizes, feature_table_map=places, use_cpu=device.type == "cpu")
        flat = self._kernel.weights.detach().zero_()
        groups = [[*group] for _, group in groupby(tables, key=lambda table: table.width)]
        numbers = [sum(table.rows * table.width for table in group) for group in groups]
        self.tall = [
            TallTable(group, part.view(-1, group[0].width))
            for group, part in zip(groups, flat.split(numbers), strict=True)
        ]

    def pooled(self, bags: Bags) -> Tensor:
        """Pooled embeddings of the tables' features."""
        offsets = functional.pad(bags.lengths_FB.cumsum(0), (1, 0))
        pooled_BE: Tensor = self._kernel(bags.ids_N, offsets, bags.weight_N, *fixed_weights(bags, self._features))
        return pooled_BE

    def clear(self) -> None:
        """Forget the gradient."""
        self._kernel.weights.grad = None

    def told(self) -> list[Tensor]:
        """What other ranks are told: the gradient, if there was a backward pass."""
        gradient = self._kernel.weights.grad
        return [] if gradient is None else [gradient]

    def take(self, every_R: Sequence[Sequence[Tensor]]) -> None:
        """Make the sum of what all ranks have told the gradient of the tables: that of the rows that are not zero."""
        gradient = torch.stack([one[0] for one in every_R]).sum(0)
        for tall, part in zip(self.tall, gradient.split([tall.weights.numel() for tall in self.tall]), strict=True):
            tall.take_rows_of(part.view_as(tall.weights))


@dataclass(frozen=True)
class _Read:
    """What a batch has read.

    Args:
        row_N: The row of every entry, the rows of all tables numbered consecutively.
        piece_N: The piece of the pooled embeddings that it was added to.
        weight_N: Factor of each entry; None for all 1.
        cotangent_PW: The cotangents of the pieces.
    """

    row_N: Tensor
    piece_N: Tensor
    weight_N: Tensor | None
    cotangent_PW: Tensor

    def told(self, most_entries: int, most_pieces: int) -> list[Tensor]:
        """Tensors of equal sizes on all ranks."""
        entries, pieces = len(self.row_N), len(self.cotangent_PW)
        told = [self.row_N.new_tensor([entries]), self.row_N, self.piece_N]
        told += [] if self.weight_N is None else [self.weight_N]
        padded = [told[0], *(functional.pad(value, (0, most_entries - entries)) for value in told[1:])]
        return [*padded, functional.pad(self.cotangent_PW, (0, 0, 0, most_pieces - pieces))]

    @classmethod
    def of_all(cls, every_R: Sequence[Sequence[Tensor]]) -> _Read:
        """What all ranks have told, as one batch."""
        counts = [int(one[0]) for one in every_R]
        cotangents = [one[-1] for one in every_R]
        row_N, piece_N, *weights = (
            torch.cat([value[:count] for value, count in zip(values, counts, strict=True)])
            for values in zip(*(one[1:-1] for one in every_R), strict=True)
        )
        rank_N = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts)).to(piece_N.device)
        piece_N = piece_N + rank_N * len(cotangents[0])  # there may be more pieces of all ranks than of one
        return cls(row_N, piece_N, weights[0] if weights else None, torch.cat(cotangents))


class RowCopies:
    """Tables of one width of which ranks tell each other what they have read, and the cotangents.

    Args:
        tables: The tables.
        device: This rank's device.
    """

    def __init__(self, tables: Sequence[Table], device: torch.device) -> None:
        starts = accumulate((table.rows for table in tables), initial=0)
        first = [start for table, start in zip(tables, starts, strict=False) for _ in table.features]
        rows, self._width = sum(table.rows for table in tables), tables[0].width
        # In 32 bits fewer bytes are told.
        self._first_G = torch.tensor(first, device=device, dtype=torch.int32 if rows < 1 << 31 else torch.int64)
        self.tall = [TallTable(tables, torch.zeros(rows, self._width, device=device))]
        self._told: list[Tensor] = []

    def pooled(self, bags: Bags) -> Tensor:
        """Pooled embeddings of the tables' features; where gradients are wanted, a leaf."""
        features = len(self._first_G)
        lengths_GB = bags.lengths_FB.view(features, -1)
        batch, entries = lengths_GB.shape[1], len(bags.ids_N)
        row_N = bags.ids_N + self._first_G.repeat_interleave(lengths_GB.sum(1), output_size=entries)
        length_X = lengths_GB.reshape(-1).to(row_N.dtype)
        pooled_XW = functional.embedding_bag(
            row_N,
            self.tall[0].weights,
            length_X.cumsum(0, dtype=row_N.dtype) - length_X,
            mode="sum",
            per_sample_weights=bags.weight_N,
        )
        pooled_BE = pooled_XW.view(features, batch, self._width).transpose(0, 1).reshape(batch, -1)
        if torch.is_grad_enabled():
            piece_X = (
                torch.arange(features * batch, device=row_N.device, dtype=row_N.dtype)
                .view(batch, features)
                .T.reshape(-1)
            )
            piece_N = piece_X.repeat_interleave(length_X, output_size=entries)
            most_entries, most_pieces = sum(bags.most_entries_F or ()), (bags.most_rows or 0) * features

            def keep(cotangent_BE: Tensor) -> None:
                read = _Read(row_N, piece_N, bags.weight_N, cotangent_BE.reshape(-1, self._width))
                self._told = read.told(most_entries, most_pieces)

            pooled_BE.requires_grad_().register_hook(keep)
        return pooled_BE

    def clear(self) -> None:
        """Forget the gradient."""
        self._told = []

    def told(self) -> list[Tensor]:
        """What other ranks are told, if there was a backward pass."""
        return self._told

    def take(self, every_R: Sequence[Sequence[Tensor]]) -> None:
        """Make the sum of what all ranks have told the gradient of the tables: that of the rows that were read."""
        read = _Read.of_all(every_R)
        summed = sum_by_row(read.row_N, read.piece_N[None], read.weight_N, read.cotangent_PW)
        self.tall[0].take(summed.row_U, summed.gradient_TUW[0])
