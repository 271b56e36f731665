"""The processes that share a step: each has rows of the batch, and every gradient is a sum over all rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor

from gradops.message import Packed, Sums


class Group(Protocol):
    """Processes that take every step together, in the same order of calls."""

    @property
    def rank(self) -> int:
        """This process's number, from 0 up."""

    @property
    def size(self) -> int:
        """Number of processes."""

    def begin_sum(self, values: Sequence[Tensor]) -> Sums:
        """Start to sum tensors over all processes, and return what waits for the sums.

        All processes start and await the same exchanges in the same order; other work may be done in between. The sums
        are the same to the bit on all processes.
        """

    def sum(self, values: Sequence[Tensor]) -> list[Tensor]:
        """The sums of :meth:`begin_sum`."""

    def each(self, values: Tensor) -> Tensor:
        """The values of all processes, one after another: R x the shape of one."""

    def confirm(self, name: str, values: Tensor) -> None:
        """Raise an error where values that should be equal on all processes differ."""


@dataclass(frozen=True)
class Alone:
    """One process that has all rows; its sums and checks cost nothing."""

    rank: int = 0
    size: int = 1

    def begin_sum(self, values: Sequence[Tensor]) -> Sums:
        """The values as they are."""
        return lambda: list(values)

    def sum(self, values: Sequence[Tensor]) -> list[Tensor]:
        """The values as they are."""
        return list(values)

    def each(self, values: Tensor) -> Tensor:
        """The values as those of the first process."""
        return values[None]

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

    def begin_sum(self, values: Sequence[Tensor]) -> Sums:
        """Start one exchange for each buffer of the packed values; the given tensors stay unchanged."""
        packed = Packed(values)
        works = [dist.all_reduce(buffer, group=self.processes, async_op=True) for buffer in packed.buffers]

        def sums() -> list[Tensor]:
            for work in works:
                work.wait()
            return packed.unpacked()

        return sums

    def sum(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Sum all values; the given tensors stay unchanged."""
        return self.begin_sum(values)()

    def each(self, values: Tensor) -> Tensor:
        """The values of all ranks in one exchange."""
        every = values.new_empty(self.size, *values.shape)
        dist.all_gather_into_tensor(every, values.detach()[None].contiguous(), group=self.processes)
        return every

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
    rows = group.each(torch.tensor(values.shape[dim], device=values.device)).tolist()
    start = sum(rows[: group.rank])
    mine = slice(start, start + rows[group.rank])
    shape = [*values.shape]
    shape[dim] = sum(rows)
    whole = values.new_zeros(shape)
    whole.narrow(dim, start, values.shape[dim]).copy_(values)
    return group.sum([whole])[0], mine
