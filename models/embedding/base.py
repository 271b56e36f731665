"""The base of every embedding: its tables, the cut at its output, and the optimizer of its tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from features.transforms import FIRST_KNOWN
from models.embedding.cut import Bags, Layout, TableCut


@dataclass(frozen=True)
class Part:
    """Rows of a table that this process holds.

    Args:
        table: The table's number.
        first: The number of the first row, the rows of all tables numbered consecutively.
        weights: The rows, perhaps a part of their columns.
    """

    table: int
    first: int
    weights: Tensor


class Embedding(nn.Module):
    """Embedding tables: from the ids of a batch to pooled embeddings B x E."""

    layout: Layout

    def tables(self) -> Iterator[nn.Parameter]:
        """The weights of the tables."""
        return self.parameters()

    def optimizer(self, rate: float) -> Optimizer | None:
        """The optimizer that steps the tables; None if they have dense gradients, which the network's optimizer steps.

        Args:
            rate: Its learning rate.
        """
        del rate
        return None

    def cut(self, bags: Bags) -> TableCut:
        """The pooled embeddings, cut from the tables."""
        return TableCut.of(self(bags), bags, self.layout)

    def parts(self) -> list[Part]:
        """All parts of tables that this process holds, copies included."""
        starts = self.layout.starts()
        return [Part(i, starts[i], table) for i, table in enumerate(self.tables())]

    def rows_read(self, bags: Bags) -> Tensor:
        """The distinct rows that a batch reads, in order, the rows of all tables numbered consecutively.

        Among ranks, all take part, and each gets the rows that any of them reads.
        """
        row_U: Tensor = torch.unique(self.layout.row_N(bags))
        return row_U

    def spread_parts(self, values: Sequence[Tensor]) -> dict[int, Tensor]:
        """A tensor for each part, of its size, by the number of its table: a state that any number of ranks can load.

        Args:
            values: The tensors, in the order of :meth:`parts`.
        """
        return {part.table: value for part, value in zip(self.parts(), values, strict=True)}

    def whole_state(self) -> dict[str, Tensor]:
        """The state dict of whole tables."""
        return self.state_dict()

    def placement(self) -> dict[str, Any]:
        """The ranks that hold each table; empty if one process holds them all."""
        return {}

    def initialise(self, generator: torch.Generator, std: float) -> None:
        """Draw the tables: normal, their special rows (padding, null, out of vocabulary) zero."""
        for table in self.tables():
            table.normal_(0.0, std, generator=generator)[:FIRST_KNOWN] = 0.0
