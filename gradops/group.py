"""The processes that share a step: each has rows of the batch, and every gradient is a sum over all rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor


class Group(Protocol):
    """Processes that take every step together, in the same order of calls."""

    @property
    def rank(self) -> int:
        """This process's number, from 0 up."""

    @property
    def size(self) -> int:
        """Number of processes."""

    def sum(self, values: Sequence[Tensor]) -> list[Tensor]:
        """The sums over all processes of tensors of one type, the same to the bit on each of them."""

    def confirm(self, name: str, values: Tensor) -> None:
        """Raise an error where values that should be equal on all processes differ."""


@dataclass(frozen=True)
class Alone:
    """One process that has all rows; its sums and checks cost nothing."""

    rank: int = 0
    size: int = 1

    def sum(self, values: Sequence[Tensor]) -> list[Tensor]:
        """The values as they are."""
        return list(values)

    def confirm(self, name: str, values: Tensor) -> None:
        """Accept the values: no other process has any."""


@dataclass(frozen=True)
class Ranks:
    """The processes of a ``torch.distributed`` group.

    Losses are the local rows' parts of the losses of the whole batch (sums with the whole batch's shares, not means of
    local rows), so that sums over the ranks are right however uneven their rows are.

    Args:
        processes: The process group; None for the default one.
        checked: Whether to compare, by one more exchange of T numbers a step, values that should be equal on all ranks.
    """

    processes: dist.ProcessGroup | None = None
    checked: bool = False

    @property
    def rank(self) -> int:
        """This process's number in the group."""
        return dist.get_rank(self.processes)

    @property
    def size(self) -> int:
        """Number of processes in the group."""
        return dist.get_world_size(self.processes)

    def sum(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Sum all values in one exchange; the given tensors stay unchanged."""
        if not values:
            return []
        joint = torch.cat([value.detach().flatten() for value in values])
        dist.all_reduce(joint, group=self.processes)
        parts = joint.split([value.numel() for value in values])
        return [part.view(value.shape) for part, value in zip(parts, values, strict=True)]

    def confirm(self, name: str, values: Tensor) -> None:
        """Compare the values of all ranks, if ``checked``.

        Raises:
            RuntimeError: If the values differ, on every rank.
        """
        if not self.checked:
            return
        bits = values.detach().double().contiguous().view(torch.int64)  # as bits, NaN equals NaN
        both = torch.stack([bits, ~bits])
        dist.all_reduce(both, dist.ReduceOp.MAX, group=self.processes)
        if not torch.equal(both[0], ~both[1]):
            raise RuntimeError(f"The {name} should be equal on all ranks. Found {values.tolist()} on rank {self.rank}.")


def length(lengths: Tensor, group: Group) -> Tensor:
    """Lengths of vectors whose entries are on several processes, from the lengths of the parts on each."""
    return lengths if group.size == 1 else group.sum([lengths.square()])[0].sqrt()


def total(number: int, group: Group, device: torch.device) -> int:
    """The sum of every process's number."""
    return number if group.size == 1 else int(group.sum([torch.tensor(number, device=device)])[0])


def gathered(values: Tensor, dim: int, group: Group) -> tuple[Tensor, slice]:
    """The rows of all processes one after another, and the slice of this process's rows."""
    if group.size == 1:
        return values, slice(None)
    count_R = torch.zeros(group.size, dtype=torch.int64, device=values.device)
    count_R[group.rank] = values.shape[dim]
    rows = group.sum([count_R])[0].tolist()
    start = sum(rows[: group.rank])
    mine = slice(start, start + rows[group.rank])
    shape = [*values.shape]
    shape[dim] = sum(rows)
    whole = values.new_zeros(shape)
    whole.narrow(dim, start, values.shape[dim]).copy_(values)
    return group.sum([whole])[0], mine
