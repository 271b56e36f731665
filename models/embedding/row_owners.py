"""Gradients of table rows that several ranks have read, summed on the ranks that own the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from models.embedding.cut import RowGradients

_Counts = list[list[int]]  # R x K: for each rank, a number for each width


@dataclass(frozen=True)
class RowOwners:
    """The owners of rows: row ``r`` belongs to rank ``r % ranks``, wherever its weights are.

    Implements :class:`models.embedding.cut.Owners`.

    A Gram matrix needs gradients but no weights, so the owner of a row is independent of the sharding plan, and the
    same exchanges serve every plan: one of the numbers of rows, one of the rows, and one of their gradients, each for
    all widths together. Without them, rows that several ranks read would give a Gram matrix that is off by up to 0.4 on
    small tables.

    Args:
        processes: The process group; None for the default one.
    """

    processes: dist.ProcessGroup | None = None

    def collected(self, read: Sequence[RowGradients]) -> list[RowGradients]:
        """See :meth:`models.embedding.cut.Owners.collected`."""
        ranks = dist.get_world_size(self.processes)
        if ranks == 1:
            return list(read)
        owners = [rows.row_U % ranks for rows in read]
        orders = [owner_U.argsort(stable=True) for owner_U in owners]
        sent_RK = torch.stack([owner_U.bincount(minlength=ranks) for owner_U in owners], dim=1)
        got_RK = torch.empty_like(sent_RK)
        dist.all_to_all_single(got_RK, sent_RK, group=self.processes)
        sent, got = sent_RK.tolist(), got_RK.tolist()
        pairs = [*zip(read, orders, strict=True)]
        row_NK = self._exchanged([rows.row_U[order_U] for rows, order_U in pairs], sent, got)
        gradients = [rows.gradient_TUW.transpose(0, 1)[order_U] for rows, order_U in pairs]
        gradient_NTWK = self._exchanged(gradients, sent, got)
        return [RowGradients.summed(row_N, values) for row_N, values in zip(row_NK, gradient_NTWK, strict=True)]

    def _exchanged(self, values_K: Sequence[Tensor], sent: _Counts, got: _Counts) -> list[Tensor]:
        """What the ranks send to this one in one exchange, for each width in the order of ranks.

        Args:
            values_K: For each width, a value a row, those of the first rank's rows first.
            sent: Number of rows of each width that each rank gets.
            got: Number of those that each rank sends.
        """
        size_K = [values.shape[1:].numel() for values in values_K]
        parts_KR = [values.split(counts) for values, counts in zip(values_K, zip(*sent, strict=True), strict=True)]
        flat = torch.cat([part.flatten() for parts in zip(*parts_KR, strict=True) for part in parts])
        leave, come = (
            [[n * size for n, size in zip(row, size_K, strict=True)] for row in n_RK] for n_RK in (sent, got)
        )
        found = flat.new_empty(sum(map(sum, come)))
        dist.all_to_all_single(found, flat, [*map(sum, come)], [*map(sum, leave)], group=self.processes)
        pieces = found.split([number for row in come for number in row])
        widths = len(values_K)
        return [torch.cat(pieces[k::widths]).view(-1, *values.shape[1:]) for k, values in enumerate(values_K)]
