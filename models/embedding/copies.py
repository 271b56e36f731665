"""Tables that every rank copies, stepped together: those of equal width are one tall table in their kernel's memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from models.embedding.shard import Shard


@dataclass(frozen=True)
class TallTable:
    """Copied tables of equal width that stand one after another in a kernel's memory.

    Args:
        kernel: All weights of the kernel, which get the dense gradient.
        start: The place of the first weight in them.
        shards: The tables.
        weights: Their weights, rows x width: the kernel's memory.
    """

    kernel: Tensor
    start: int
    shards: Sequence[Shard]
    weights: Tensor

    def take_gradient(self) -> None:
        """Hand the weights the non-zero rows of the kernel's gradient, if it has one."""
        if self.kernel.grad is not None:
            part = self.kernel.grad[self.start : self.start + self.weights.numel()]
            self.weights.grad = _rows_of(part.view_as(self.weights))

    def state_of_tables(self, state: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
        """The state of each table by its name, in the memory of the tall table's; a single number is that of all."""
        rows = [len(shard.weights) for shard in self.shards]
        parts = {kind: value.split(rows) if value.dim() else [value] * len(rows) for kind, value in state.items()}
        return {
            shard.table.name: {kind: part[i] for kind, part in parts.items()} for i, shard in enumerate(self.shards)
        }


def tall_tables(copies: Mapping[Tensor, Sequence[Shard]]) -> list[TallTable]:
    """The tall tables of kernels.

    Args:
        copies: The tables of each kernel, in the order of its memory, by the tensor that has their dense gradient.
    """
    found = []
    for kernel, shards in copies.items():
        start = 0
        for width, group in groupby(shards, key=lambda shard: shard.weights.shape[1]):
            alike = [*group]
            numbers = sum(shard.weights.numel() for shard in alike)
            weights = kernel.detach()[start : start + numbers].view(-1, width)
            assert weights.data_ptr() == alike[0].weights.data_ptr(), "the tables stand elsewhere in memory"
            found.append(TallTable(kernel, start, alike, weights))
            start += numbers
    return found


def _rows_of(gradient: Tensor) -> Tensor:
    """A sparse gradient of the non-zero rows; for 300 rows torch's ``to_sparse`` takes 5 ms, this 0.05 ms."""
    row_U = gradient.any(1).nonzero()[:, 0]
    return torch.sparse_coo_tensor(
        row_U[None], gradient[row_U], gradient.shape, is_coalesced=True, check_invariants=False
    )
