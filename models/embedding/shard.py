"""The part of an embedding table that one process holds."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributed._shard.sharded_tensor.api import ShardedTensor

from features.encoder import Table


@dataclass(frozen=True)
class Shard:
    """The rows and columns of a table that are in this process.

    Args:
        table: The table.
        row: Its first row.
        column: Its first column.
        weights: The memory that is trained, rows x columns.
    """

    table: Table
    row: int
    column: int
    weights: Tensor

    @torch.no_grad()
    def take(self, first: int, drawn: Tensor) -> None:
        """Copy the shard's part of whole rows ``drawn`` of the table, which begin at row ``first``."""
        start, stop = max(first, self.row), min(first + len(drawn), self.row + len(self.weights))
        if start < stop:
            columns = slice(self.column, self.column + self.weights.shape[1])
            self.weights[start - self.row : stop - self.row].copy_(drawn[start - first : stop - first, columns])


def local_part(value: Tensor) -> Tensor | None:
    """This process's part of a tensor that may be spread over several; None if it has none."""
    if not isinstance(value, ShardedTensor):
        return value
    shards = value.local_shards()
    return shards[0].tensor if shards else None
