"""A moving average of tables that costs a step only the rows that it reads, and is that of a whole table all the same.

Let ``w_t`` be a row after step t, and ``S_t = b S_(t-1) + (1 - b) w_t`` with ``S_0 = 0`` the moving sum of decay b; the
average is ``a_t = S_t / (1 - b^t)``, as Adam corrects its moments. Its scaled distance from the row,
``D_t = (S_t - (1 - b^t) w_t) / b^t``, is ``D_(t-1)`` while the row rests, and

    D_t = D_(t-1) + (b^(1 - t) - 1) (w_(t-1) - w_t),    a_t = w_t + b^t / (1 - b^t) D_t.

So a row's ``D`` has to be touched only in a step that moves the row: this is exact for every row, at any time. ``b^-t``
grows without bound, so ``D`` is held times ``b^base``, and the base follows the step from time to time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.embedding.base import Embedding, Part
from models.embedding.cut import Bags
from models.embedding.shard import local_part
from models.transfer import sent

_LARGEST = 40 * math.log(2)  # of a factor, as its logarithm; float32 holds 2^127


@dataclass(frozen=True)
class _Read:
    """The rows of a part of a table that a step reads, as they were before it."""

    place: int
    row_U: Tensor
    before_UW: Tensor


class RowAverage:
    """The moving average of the tables of one process, whose optimizer moves only rows that are read.

    Args:
        embedding: The tables, on their device.
        decay: Decay b of the average in a step, in (0, 1).
    """

    def __init__(self, embedding: Embedding, decay: float) -> None:
        self._embedding, self._decay, self._base = embedding, decay, 0
        self._parts: list[Part] = embedding.parts()
        self.distance = [torch.zeros_like(part.weights, requires_grad=False) for part in self._parts]
        self._read: list[_Read] = []

    def before(self, bags: Bags) -> None:
        """Keep the rows that a step is about to move. Among ranks, all take part.

        Args:
            bags: The rows that this process's batch reads.
        """
        row_U = self._embedding.rows_read(bags)
        ends = [(part.first, part.first + len(part.weights)) for part in self._parts]
        ends_X2 = sent(torch.tensor(ends, dtype=row_U.dtype).view(-1, 2), row_U.device)
        places = torch.searchsorted(row_U, ends_X2).tolist()  # of all parts at once: a device is waited for here
        self._read = []
        for place, (part, (start, stop)) in enumerate(zip(self._parts, places, strict=True)):
            mine_U = row_U[start:stop].long() - part.first
            self._read.append(_Read(place, mine_U, part.weights.detach().index_select(0, mine_U)))

    @torch.no_grad()
    def after(self, step: int) -> None:
        """Account for a step that has moved the rows that were kept before it.

        Args:
            step: The step's number, counted from 1.
        """
        log = -math.log(self._decay)
        if (step - self._base) * log > _LARGEST:
            for distance in self.distance:
                distance.mul_(math.exp(-(step - self._base) * log))
            self._base = step
        factor = math.exp((step - 1 - self._base) * log) - math.exp(-self._base * log)
        for read in self._read:
            now_UW = self._parts[read.place].weights.index_select(0, read.row_U)
            self.distance[read.place].index_add_(0, read.row_U, read.before_UW - now_UW, alpha=factor)
        self._read = []

    def add(self, step: int) -> None:
        """Turn the tables' weights after a step into their averages, in place."""
        log = -math.log(self._decay)
        factor = math.exp(-(step - self._base) * log) / -math.expm1(-step * log)
        for part, distance in zip(self._parts, self.distance, strict=True):
            part.weights.detach().add_(distance, alpha=factor)

    @property
    def weights(self) -> list[Tensor]:
        """The weights of this process's parts of the tables."""
        return [part.weights.detach() for part in self._parts]

    def state_dict(self) -> dict[str, Any]:
        """The state by the numbers of tables, spread over the ranks like the tables."""
        return {"base": self._base, "tables": self._embedding.spread_parts(self.distance)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state of :meth:`state_dict`."""
        self._base = state["base"]
        for part, distance in zip(self._parts, self.distance, strict=True):
            saved = local_part(state["tables"][part.table])
            assert saved is not None, "a rank that holds a part of a table has saved it"
            distance.copy_(saved)
