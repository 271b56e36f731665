"""What ranks tell each other about a batch before its step, in one exchange."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from gradops.group import Group


@dataclass(frozen=True)
class BatchHeader:
    """Facts about the rows that all ranks have of a batch.

    Args:
        total_T: Sum of the weights of each task's known labels.
        most_rows: The largest number of rows on any rank.
        most_entries_F: Likewise of the entries of each feature.
        interrupted: Whether any rank has been told to end.
    """

    total_T: Tensor
    most_rows: int
    most_entries_F: Sequence[int]
    interrupted: bool

    @classmethod
    def of(cls, weight_BT: Tensor, entries_F: Sequence[int], is_told: bool, group: Group) -> BatchHeader:
        """The header of a batch; all ranks take part.

        Args:
            weight_BT: Weights of this rank's labels, by :func:`models.loss.label_weights`.
            entries_F: Number of entries of each feature on this rank.
            is_told: Whether this rank has been told to end.
            group: The ranks.
        """
        total_T, rows, tasks = weight_BT.sum(0), len(weight_BT), weight_BT.shape[1]
        if group.size == 1:
            return cls(total_T, rows, entries_F, is_told)
        # float64 holds such counts exactly; one rank after another is added, so that every rank rounds alike.
        every_RX = group.each(torch.cat([total_T, total_T.new_tensor([rows, is_told, *entries_F])]))
        most_rows, heard, *most_entries_F = map(int, every_RX[:, tasks:].amax(0).tolist())
        return cls(reduce(torch.add, every_RX[:, :tasks].unbind()), most_rows, most_entries_F, heard > 0)
